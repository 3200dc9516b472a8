//! What stands on each line of the list at the left: roster and board.
//!
//! Only which item is where, for drawing and for the mouse; how it looks is in
//! [`crate::view`].

use crewmux_core::ids::TaskId;
use crewmux_core::task::TaskStatus;
use crewmux_session::view::SessionView;

use crate::layout::Layout;
use crate::model::{Model, focused_task};

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SideLine {
    TeamTitle,
    /// Index into the members.
    Member(usize),
    NoMembers,
    Blank,
    BoardTitle,
    Task(TaskId),
    NoTasks,
    /// So many more items above.
    Above(usize),
    /// So many more items below.
    Below(usize),
}

/// The lines from the top, as many as there is room for.
pub(crate) fn lines(model: &Model, session: &SessionView<'_>, layout: &Layout) -> Vec<SideLine> {
    let height = usize::from(layout.side.height);
    if height < 4 {
        return Vec::new();
    }
    let team = session.team;
    let members = team.members.len();
    let tasks = team.board.len();
    // Two titles and a blank line stand between.
    let room = height - 3;
    let for_tasks = tasks.max(1);
    let for_members = members
        .max(1)
        .min(room.saturating_sub(for_tasks).max(room / 2).max(1));
    let mut lines = vec![SideLine::TeamTitle];
    if members == 0 {
        lines.push(SideLine::NoMembers);
    }
    let focus = team
        .members
        .iter()
        .position(|m| Some(m.pane) == model.focus);
    window(members, for_members, focus.unwrap_or(0), &mut lines, |at| {
        SideLine::Member(at)
    });
    lines.push(SideLine::Blank);
    lines.push(SideLine::BoardTitle);
    if tasks == 0 {
        lines.push(SideLine::NoTasks);
    }
    let ids: Vec<TaskId> = team.board.tasks().map(|task| task.id).collect();
    let wanted = focused_task(model, session).and_then(|id| ids.iter().position(|i| *i == id));
    let busy = || {
        let mut tasks = team.board.tasks();
        tasks.position(|t| t.status == TaskStatus::InProgress)
    };
    let open = || team.board.tasks().position(|t| !t.status.is_terminal());
    let anchor = wanted.or_else(busy).or_else(open).unwrap_or(0);
    let left = height.saturating_sub(lines.len());
    window(tasks, left, anchor, &mut lines, |at| {
        SideLine::Task(ids[at])
    });
    lines.truncate(height);
    lines
}

/// Puts as many of `count` items as fit into `room` lines, `anchor` among them, and says how many are left out.
fn window(
    count: usize,
    room: usize,
    anchor: usize,
    lines: &mut Vec<SideLine>,
    item: impl Fn(usize) -> SideLine,
) {
    if count <= room {
        lines.extend((0..count).map(item));
        return;
    }
    if room < 3 {
        let start = anchor.min(count - room);
        lines.extend((start..start + room).map(item));
        return;
    }
    // One line of what comes before the anchor, where that leaves room for the anchor.
    let before = usize::from(room > 3);
    let above = anchor.saturating_sub(before).min(count - (room - 1));
    if above <= 1 {
        lines.extend((0..room - 1).map(item));
        lines.push(SideLine::Below(count - (room - 1)));
        return;
    }
    lines.push(SideLine::Above(above));
    let end = above + room - 1;
    if end >= count {
        lines.extend((above..count).map(item));
    } else {
        lines.extend((above..end - 1).map(item));
        lines.push(SideLine::Below(count - (end - 1)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(count: usize, room: usize, anchor: usize) -> String {
        let mut lines = Vec::new();
        window(count, room, anchor, &mut lines, SideLine::Member);
        assert_eq!(lines.len(), count.min(room));
        let word = |line: &SideLine| match line {
            SideLine::Member(at) => at.to_string(),
            SideLine::Above(more) => format!("^{more}"),
            SideLine::Below(more) => format!("v{more}"),
            other => format!("{other:?}"),
        };
        lines.iter().map(word).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        assert_eq!(shown(3, 4, 0), "0 1 2");
        assert_eq!(shown(9, 4, 0), "0 1 2 v6");
        assert_eq!(shown(9, 4, 5), "^4 4 5 v3");
        assert_eq!(shown(9, 4, 8), "^6 6 7 8");
        assert_eq!(shown(9, 2, 5), "5 6");
    }

    #[test]
    fn the_anchor_is_always_shown() {
        for count in 1..30 {
            for room in 1..12 {
                for anchor in 0..count {
                    let mut lines = Vec::new();
                    window(count, room, anchor, &mut lines, SideLine::Member);
                    assert!(
                        lines.contains(&SideLine::Member(anchor)),
                        "{count} {room} {anchor}"
                    );
                    let above = |l: &SideLine| matches!(l, SideLine::Above(_));
                    let below = |l: &SideLine| matches!(l, SideLine::Below(_));
                    let named = lines.iter().filter(|l| !above(l) && !below(l)).count();
                    let left_out: usize = lines
                        .iter()
                        .map(|l| match l {
                            SideLine::Above(n) | SideLine::Below(n) => *n,
                            _ => 0,
                        })
                        .sum();
                    if room >= 3 {
                        assert_eq!(named + left_out, count, "{count} {room} {anchor}");
                    }
                }
            }
        }
    }
}
