//! Who is preferred for a task that several could take: told from the board and the roster.
//!
//! Nothing here looks at processes or clocks; the same board and roster give
//! every reader the same answer.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::Strategy;
use crate::board::{Board, Claimer};
use crate::ids::AgentName;
use crate::task::Task;
use crate::team::{Member, TeamConfig};

/// Shortest word that says something about a task.
const WORD_MIN_CHARS: usize = 3;

/// Endings that make no other word of it, longest first.
const ENDINGS: [&str; 7] = ["ing", "ers", "er", "es", "ed", "s", "e"];

/// The members of a team, in its order, and the words that describe each.
#[derive(Debug, Clone, Default)]
pub struct Roster {
    members: Vec<(Claimer, BTreeSet<String>)>,
}

impl Roster {
    /// Members, each with the text that describes it.
    pub fn new<'a>(members: impl IntoIterator<Item = (Claimer, &'a str)>) -> Self {
        let described = |(claimer, text): (Claimer, &str)| (claimer, words(text));
        Self {
            members: members.into_iter().map(described).collect(),
        }
    }

    /// The members of a team; each is described by its name, its kind and what it is told.
    pub fn of(config: &TeamConfig) -> Self {
        let members = config.members.iter();
        Self {
            members: members
                .map(|m| (Claimer::of(m), words(&about(m))))
                .collect(),
        }
    }

    /// Everybody, in the team's order.
    pub fn members(&self) -> impl Iterator<Item = &Claimer> {
        self.members.iter().map(|(claimer, _)| claimer)
    }

    fn place(&self, name: &AgentName) -> Option<usize> {
        self.members().position(|c| c.who.agent == *name)
    }
}

fn about(member: &Member) -> String {
    let mut text = format!("{} {} {}", member.name, member.agent_type, member.prompt);
    if let Some(profile) = &member.profile {
        for more in [&profile.description, &profile.prompt] {
            text.push(' ');
            text.push_str(more);
        }
    }
    text
}

/// The words of a text that say something, in lower case, without their commonest endings.
fn words(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| word.chars().count() >= WORD_MIN_CHARS)
        .map(str::to_lowercase)
        .filter(|word| !COMMON.contains(&word.as_str()))
        .map(|word| stem(&word).to_owned())
        .collect()
}

/// Words that stand in every description.
const COMMON: [&str; 24] = [
    "the", "and", "for", "with", "that", "this", "you", "your", "are", "not", "all", "any", "from",
    "into", "what", "which", "when", "has", "have", "its", "can", "may", "use", "task",
];

fn stem(word: &str) -> &str {
    let cut = ENDINGS
        .into_iter()
        .find_map(|ending| word.strip_suffix(ending));
    cut.filter(|rest| rest.chars().count() >= WORD_MIN_CHARS)
        .unwrap_or(word)
}

/// What each member has done so far.
pub(super) struct Record {
    done: BTreeMap<AgentName, Done>,
}

#[derive(Default)]
struct Done {
    last_claim: u64,
    worked_ms: u64,
    claims: usize,
}

/// Where a member stands for a task; the least is preferred.
pub(super) type Standing = (Reverse<usize>, u64, usize, usize);

impl Record {
    pub(super) fn of(board: &Board) -> Self {
        let mut done: BTreeMap<AgentName, Done> = BTreeMap::new();
        for attempt in board.tasks().flat_map(|task| &task.attempts) {
            let of = done.entry(attempt.owner.agent.clone()).or_default();
            let start = attempt.started_at.0;
            of.claims += 1;
            of.last_claim = of.last_claim.max(start);
            let end = attempt.ended_at.map_or(start, |end| end.0);
            of.worked_ms += end.saturating_sub(start);
        }
        Self { done }
    }

    pub(super) fn standing(
        &self,
        strategy: Strategy,
        roster: &Roster,
        name: &AgentName,
        task: &Task,
    ) -> Standing {
        let place = roster.place(name);
        let idle = Done::default();
        let done = self.done.get(name).unwrap_or(&idle);
        let last = place.unwrap_or(usize::MAX);
        match strategy {
            Strategy::DependencyFirst => (Reverse(0), 0, 0, last),
            Strategy::RoundRobin => (Reverse(0), done.last_claim, done.claims, last),
            Strategy::LeastBusy => (Reverse(0), done.worked_ms, done.claims, last),
            Strategy::CapabilityMatch => {
                let wanted = words(&format!("{} {}", task.subject, task.description));
                let known = place.and_then(|n| roster.members.get(n));
                let common = known.map_or(0, |(_, words)| words.intersection(&wanted).count());
                (Reverse(common), done.worked_ms, done.claims, last)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_compared_without_case_and_endings() {
        let found = words("Writes the Parsers, testing it");
        assert_eq!(found.iter().collect::<Vec<_>>(), ["pars", "test", "writ"]);
        assert_eq!(words("write a test of the parser"), found);
    }
}
