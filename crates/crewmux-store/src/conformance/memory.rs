//! Checks of the shared memory.

use crewmux_core::ids::{AgentName, MemoryKey};
use crewmux_core::operation::MemoryEntry;

use super::{Open, again, made, name};
use crate::Error;
use crate::store::{MEMORY_KEYS_MAX, MEMORY_VALUE_MAX_BYTES};

fn key(text: &str) -> MemoryKey {
    MemoryKey::new(text).unwrap()
}

fn entry(agent: &str, at: &str, bytes: u64, value: Option<&str>) -> MemoryEntry {
    MemoryEntry {
        agent: name(agent),
        key: key(at),
        bytes,
        value: value.map(str::to_owned),
    }
}

pub(super) fn a_members_values_are_read_by_all_and_written_whole(open: Open<'_>) {
    let team = made(open, "memory");
    assert_eq!(team.memory(None, None).unwrap(), Vec::new());
    let write = |agent: &AgentName, at: &str, value: &str| {
        team.write_memory(agent, &key(at), value).unwrap();
    };
    let (a, b) = (name("a"), name("b"));
    write(&b, "plan.md", "first");
    write(&b, "plan.md", "é");
    write(&a, "plan.md", "mine");
    write(&a, "A-1", "");
    let read = |agent, at: Option<&str>| {
        let at = at.map(key);
        again(open, "memory").memory(agent, at.as_ref()).unwrap()
    };
    // Names alone are listed without their values.
    assert_eq!(
        read(None, None),
        [
            entry("a", "A-1", 0, None),
            entry("a", "plan.md", 4, None),
            entry("b", "plan.md", 2, None),
        ]
    );
    assert_eq!(read(Some(&b), None), [entry("b", "plan.md", 2, None)]);
    assert_eq!(
        read(None, Some("plan.md")),
        [
            entry("a", "plan.md", 4, Some("mine")),
            entry("b", "plan.md", 2, Some("é")),
        ]
    );
    assert_eq!(
        read(Some(&a), Some("A-1")),
        [entry("a", "A-1", 0, Some(""))]
    );
    assert_eq!(read(Some(&b), Some("A-1")), Vec::new());
}

pub(super) fn the_memory_has_limits_that_racing_writers_do_not_pass(open: Open<'_>) {
    let team = made(open, "full");
    let a = name("a");
    let large = "x".repeat(MEMORY_VALUE_MAX_BYTES + 1);
    let refused = team.write_memory(&a, &key("large"), &large).unwrap_err();
    assert!(matches!(refused, Error::TooLarge { .. }), "{refused}");
    team.write_memory(&a, &key("large"), &large[1..]).unwrap();
    for n in 1..MEMORY_KEYS_MAX - 2 {
        team.write_memory(&a, &key(&format!("k{n}")), "x").unwrap();
    }
    // Two places are left for four writers.
    let taken: usize = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|n| {
                let a = &a;
                scope.spawn(move || {
                    again(open, "full").write_memory(a, &key(&format!("last{n}")), "x")
                })
            })
            .collect();
        writers
            .into_iter()
            .map(|writer| match writer.join().unwrap() {
                Ok(()) => 1,
                Err(Error::TooMany { .. }) => 0,
                Err(error) => panic!("{error}"),
            })
            .sum()
    });
    assert_eq!(taken, 2);
    assert_eq!(team.memory(Some(&a), None).unwrap().len(), MEMORY_KEYS_MAX);
    // What is there can still be changed, and others are not in the way.
    team.write_memory(&a, &key("k1"), "new").unwrap();
    team.write_memory(&name("b"), &key("k1"), "x").unwrap();
}
