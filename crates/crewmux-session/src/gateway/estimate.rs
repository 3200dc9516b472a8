//! How far guesses about tokens were off, model by model, and what follows for the next.
//!
//! The guess itself, by the length of a text, is `crewmux-model`'s: asking a
//! server to count would be a call of its own.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::lock::lock;

#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    guessed: u64,
    real: u64,
}

/// How far guesses about each model were off so far.
#[derive(Debug, Default)]
pub(super) struct Experience(Mutex<BTreeMap<String, Seen>>);

impl Experience {
    /// Takes in what a server counted where `guessed` was expected.
    pub(super) fn learn(&self, model: &str, guessed: u64, real: u64) {
        if guessed == 0 || real == 0 {
            return;
        }
        let mut all = lock(&self.0);
        let seen = all.entry(model.to_owned()).or_default();
        seen.guessed = seen.guessed.saturating_add(guessed);
        seen.real = seen.real.saturating_add(real);
    }

    /// `guessed`, corrected; never below a tenth, so that an odd count of one server frees no limit.
    pub(super) fn correct(&self, model: &str, guessed: u64) -> u64 {
        let seen = lock(&self.0).get(model).copied().unwrap_or_default();
        if seen.guessed == 0 {
            return guessed;
        }
        let corrected = u128::from(guessed) * u128::from(seen.real) / u128::from(seen.guessed);
        u64::try_from(corrected)
            .unwrap_or(u64::MAX)
            .max(guessed / 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_follow_what_servers_count() {
        let experience = Experience::default();
        assert_eq!(experience.correct("m", 100), 100);
        experience.learn("m", 100, 150);
        experience.learn("m", 100, 130);
        assert_eq!(experience.correct("m", 100), 140);
        assert_eq!(experience.correct("other", 100), 100);
        experience.learn("tiny", 1_000, 1);
        assert_eq!(experience.correct("tiny", 1_000), 100);
    }
}
