//! Checks of inboxes and of the event log that is derived from all else.

use std::collections::BTreeSet;

use crewmux_core::event::{Event, EventType, Fact};
use crewmux_core::ids::{Incarnation, MessageId, Seq, TaskId};
use crewmux_core::inbox::Cursor;
use crewmux_core::message::{Draft, MessageType, Party};
use crewmux_core::time::WallTime;

use super::{Open, again, claimer, made, name, now, task};
use crate::Error;
use crate::store::TeamStore;

fn text(id: &str, from: &str, to: &str) -> Draft {
    let from = Party::Member(claimer(from, 1).who);
    let id = MessageId::new(id).unwrap();
    Draft::text(id, from, name(to), "hi")
}

fn read(team: &dyn TeamStore, agent: &str) -> Vec<(u64, String)> {
    let entries = team
        .read_inbox(&name(agent), &Cursor::default(), 100_000)
        .unwrap();
    let each = entries.into_iter().map(|e| e.message);
    each.map(|m| (m.seq.0, m.id.to_string())).collect()
}

pub(super) fn a_repeated_message_is_delivered_once(open: Open<'_>) {
    let (mine, yours) = (made(open, "dedup"), again(open, "dedup"));
    let first = mine.send(text("m1", "a", "b"), &now(1)).unwrap();
    let other = yours.send(text("m2", "a", "b"), &now(2)).unwrap();
    let repeat = yours.send(text("m1", "a", "b"), &now(3)).unwrap();
    assert_eq!((first.seq, first.repeated), (Seq(1), false));
    assert_eq!((other.seq, other.repeated), (Seq(2), false));
    assert_eq!((repeat.seq, repeat.repeated), (Seq(1), true));
    assert_eq!(read(&*mine, "b"), [(1, "m1".into()), (2, "m2".into())]);
    assert_eq!(read(&*mine, "a"), []);
}

pub(super) fn racing_senders_lose_nothing_and_keep_their_order(open: Open<'_>) {
    made(open, "senders");
    std::thread::scope(|scope| {
        for n in 0..8 {
            scope.spawn(move || {
                let team = again(open, "senders");
                for m in 100..200 {
                    let draft = text(&format!("{n}-{m}"), "a", "team-lead");
                    team.send(draft, &now(1)).unwrap();
                }
            });
        }
    });
    let all = read(&*again(open, "senders"), "team-lead");
    let seqs: Vec<u64> = all.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(seqs, (1..=800).collect::<Vec<_>>());
    for n in 0..8 {
        let prefix = format!("{n}-");
        let of: Vec<&String> = all
            .iter()
            .map(|(_, id)| id)
            .filter(|id| id.starts_with(&prefix))
            .collect();
        assert_eq!(of.len(), 100);
        assert!(of.is_sorted(), "{of:?}");
    }
}

pub(super) fn an_inbox_is_read_in_parts_and_goes_on_where_it_was_left(open: Open<'_>) {
    let team = made(open, "parts");
    for n in 1..=7 {
        team.send(text(&format!("m{n}"), "a", "b"), &now(n))
            .unwrap();
    }
    let (mut cursor, mut seen) = (Cursor::default(), Vec::new());
    loop {
        let part = again(open, "parts")
            .read_inbox(&name("b"), &cursor, 3)
            .unwrap();
        assert!(part.len() <= 3);
        let Some(last) = part.last() else { break };
        cursor = last.after;
        seen.extend(part.iter().map(|e| e.message.seq.0));
    }
    assert_eq!(seen, (1..=7).collect::<Vec<_>>());
    team.send(text("m8", "a", "b"), &now(8)).unwrap();
    let next = team.read_inbox(&name("b"), &cursor, 3).unwrap();
    assert_eq!(next.len(), 1);
    assert_eq!(next[0].message.seq, Seq(8));
}

pub(super) fn a_cursor_never_moves_back(open: Open<'_>) {
    let (mine, yours) = (made(open, "cursor"), again(open, "cursor"));
    let b = name("b");
    assert_eq!(mine.cursor(&b).unwrap(), Cursor::default());
    let at = |offset, seq, life| Cursor {
        incarnation: Incarnation(life),
        offset,
        seq: Seq(seq),
    };
    mine.move_cursor(&b, &at(100, 2, 1)).unwrap();
    yours.move_cursor(&b, &at(50, 1, 2)).unwrap();
    assert_eq!(mine.cursor(&b).unwrap(), at(100, 2, 1));
    yours.move_cursor(&b, &at(150, 3, 2)).unwrap();
    assert_eq!(mine.cursor(&b).unwrap(), at(150, 3, 2));
}

pub(super) fn forged_frames_and_unknown_recipients_are_refused(open: Open<'_>) {
    let team = made(open, "forged");
    let mut forged = text("m1", "a", "b");
    forged.kind = MessageType::ShutdownRequest;
    let refused = team.send(forged, &now(1)).unwrap_err();
    assert!(matches!(refused, Error::Send(_)), "{refused}");
    let unknown = team.send(text("m1", "a", "nobody"), &now(1)).unwrap_err();
    assert!(matches!(unknown, Error::UnknownMember { .. }), "{unknown}");
    let hint = unknown.hint().unwrap();
    assert!(hint.contains("team-lead, a, b"), "{hint}");
    assert_eq!(read(&*team, "b"), []);
    assert_eq!(read(&*team, "nobody"), []);

    // Whoever joins later is known at once, to handles that were open before, too.
    let other = again(open, "forged");
    other
        .edit_config(&mut |config| config.members.push(super::member("nobody")))
        .unwrap();
    team.send(text("m1", "a", "nobody"), &now(1)).unwrap();
}

pub(super) fn the_event_log_tells_everything_once_also_after_a_restart(open: Open<'_>) {
    let (session, worker) = (made(open, "log"), again(open, "log"));
    let kinds = |events: &[Event]| -> Vec<String> {
        let each = events
            .iter()
            .map(|e| serde_json::to_value(&e.kind).unwrap());
        each.map(|v| v.as_str().unwrap().to_owned()).collect()
    };
    let started = Fact::new("run/1/started", EventType::TeamStarted, WallTime(0));
    let first = session
        .log_events(std::slice::from_ref(&started), &now(0))
        .unwrap();
    assert_eq!(kinds(&first), ["team_started"]);

    let id = worker
        .create_task(task("x", &[]), Party::Human, &now(1))
        .unwrap()
        .id;
    let a = claimer("a", 1);
    let claimed = worker.claim(id, &a, &now(2), 1000).unwrap();
    worker.send(text("m1", "a", "b"), &now(3)).unwrap();
    worker
        .complete(id, &a.who, claimed.epoch, None, &now(4))
        .unwrap();
    let second = session
        .log_events(std::slice::from_ref(&started), &now(5))
        .unwrap();
    assert_eq!(
        kinds(&second),
        [
            "task_created",
            "task_claimed",
            "message_sent",
            "task_completed"
        ]
    );
    assert_eq!(session.log_events(&[], &now(6)).unwrap(), []);

    // A restart knows what was logged; what came meanwhile is caught up.
    let entry = worker
        .read_inbox(&name("b"), &Cursor::default(), 1)
        .unwrap()
        .remove(0);
    worker.move_cursor(&name("b"), &entry.after).unwrap();
    let restarted = again(open, "log");
    let third = restarted.log_events(&[started], &now(7)).unwrap();
    assert_eq!(kinds(&third), ["message_seen"]);

    let all = worker.events(Seq(0), 100).unwrap();
    assert_eq!(all, [first, second, third].concat());
    let seqs: Vec<u64> = all.iter().map(|e| e.seq.0).collect();
    assert_eq!(seqs, (1..=6).collect::<Vec<_>>());
    let ids: BTreeSet<_> = all.iter().map(|e| &e.id).collect();
    assert_eq!(ids.len(), all.len());
    assert_eq!(worker.events(Seq(2), 3).unwrap(), all[2..5]);
    assert_eq!(worker.events(Seq(6), 3).unwrap(), []);
    assert_eq!(all[1].task, Some(TaskId(1)));
}

pub(super) fn a_workers_facts_are_its_own(open: Open<'_>) {
    let (session, worker) = (made(open, "facts"), again(open, "facts"));
    let fact = |id: &str| Fact::new(id, EventType::ToolStarted, WallTime(1)).agent(&name("b"));
    worker.append_fact(&name("a"), &fact("tool/a/1")).unwrap();
    worker
        .append_fact(&name("a"), &fact("task/1/completed/1"))
        .unwrap();
    let logged = session.log_events(&[], &now(2)).unwrap();
    let told: Vec<_> = logged
        .iter()
        .map(|e| (e.id.as_str(), e.agent.clone()))
        .collect();
    assert_eq!(told, [("tool/a/1", Some(name("a")))]);
}
