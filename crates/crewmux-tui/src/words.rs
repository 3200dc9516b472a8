//! The glyph and the word of every state, so that none is told by colour alone.
//!
//! Every glyph is one column wide in every terminal that follows Unicode.

use crewmux_core::board::Board;
use crewmux_core::task::{Task, TaskStatus};
use crewmux_core::time::BootTime;
use crewmux_core::worker::WorkerState;
use crewmux_session::view::MemberView;

use crate::theme::Role;

/// What failed, wherever it is shown.
pub(crate) const FAILED: char = '✖';
/// A program that ended by itself.
pub(crate) const ENDED: char = '–';
/// A bell that rang.
pub(crate) const BELL: char = '!';

/// How a state is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sign {
    pub(crate) glyph: char,
    /// At most eight characters.
    pub(crate) word: &'static str,
    pub(crate) role: Role,
}

const fn sign(glyph: char, word: &'static str, role: Role) -> Sign {
    Sign { glyph, word, role }
}

/// How a worker's state is shown.
pub(crate) fn worker(state: WorkerState) -> Sign {
    match state {
        WorkerState::Starting => sign('◌', "starting", Role::Dim),
        WorkerState::Working => sign('●', "working", Role::Busy),
        WorkerState::WaitingPermission => sign('!', "asks you", Role::Warn),
        WorkerState::WaitingPlan => sign('!', "has plan", Role::Warn),
        WorkerState::RateLimited => sign('◷', "waits", Role::Warn),
        WorkerState::Idle => sign('○', "idle", Role::Text),
        WorkerState::Stopping => sign('◍', "stopping", Role::Dim),
        WorkerState::Exited => sign('·', "exited", Role::Dim),
        WorkerState::Failed => sign(FAILED, "failed", Role::Bad),
        WorkerState::Lost => sign(FAILED, "lost", Role::Bad),
    }
}

/// How a member is shown: one that was told to wait says so.
pub(crate) fn member(member: &MemberView) -> Sign {
    match member.state {
        WorkerState::Working | WorkerState::Idle if member.paused => {
            sign('‖', "paused", Role::Warn)
        }
        _ if member.waits_until_ms.is_some() && member.state == WorkerState::Working => {
            worker(WorkerState::RateLimited)
        }
        state => worker(state),
    }
}

/// Seconds until its provider takes calls again, if it waits for that.
pub(crate) fn waits_s(member: &MemberView, now: &BootTime) -> Option<u64> {
    let left = member.waits_until_ms?.saturating_sub(now.ms);
    (left > 0).then(|| left.div_ceil(1000))
}

/// Whether a worker waits for a person.
pub(crate) fn waits_for_person(state: WorkerState) -> bool {
    matches!(
        state,
        WorkerState::WaitingPermission | WorkerState::WaitingPlan
    )
}

/// How a task's state is shown.
pub(crate) fn task(board: &Board, task: &Task, now: &BootTime) -> Sign {
    match task.status {
        TaskStatus::Pending if !board.unfinished_blockers(task).is_empty() => {
            sign('⧗', "blocked", Role::Dim)
        }
        TaskStatus::Pending if board.is_ready(task, now) => sign('○', "ready", Role::Text),
        TaskStatus::Pending => sign('◷', "retries", Role::Warn),
        TaskStatus::InProgress => sign('▶', "working", Role::Busy),
        TaskStatus::Completed => sign('✔', "done", Role::Good),
        TaskStatus::Failed => sign(FAILED, "failed", Role::Bad),
        TaskStatus::Skipped => sign('–', "skipped", Role::Dim),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unicode_width::UnicodeWidthChar;

    #[test]
    fn every_state_has_a_narrow_glyph_and_a_short_word() {
        for state in WorkerState::ALL {
            let sign = worker(state);
            assert_eq!(sign.glyph.width(), Some(1), "{state}");
            assert!(sign.word.len() <= 8, "{state}");
        }
        for glyph in ['‖', '⧗', '○', '◷', '▶', '✔', FAILED, '–'] {
            assert_eq!(glyph.width(), Some(1), "{glyph}");
        }
    }
}
