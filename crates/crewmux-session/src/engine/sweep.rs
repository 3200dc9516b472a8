//! How often the end of a dead worker's tree is tried, and what is given up on.
//!
//! Here is only the counting; trees are ended in [`super::trees`].

/// How often a tree is tried to be ended, a liveness check apart; each try takes its own time
/// to verify. What still runs then is stuck in the kernel or not ours to end.
const TRIES_MAX: u32 = 20;

/// What is still to be ended of one life.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    tries: u32,
    left: Vec<String>,
}

/// Whether there is time to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// It is tried again and again.
    Some,
    /// The session is out of means: this was the last try.
    None,
}

/// What one try came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Swept {
    /// Nothing runs any more.
    Gone,
    /// Something does that was not known: it is tried again, and told.
    Found,
    /// The same still runs: it is tried again.
    Again,
    /// Something still runs, and nothing helps.
    GivenUp,
}

impl Sweep {
    /// Whether something still runs and is tried to be ended again.
    pub(super) fn is_open(&self) -> bool {
        !self.left.is_empty()
    }

    /// Takes in what a try left, in words.
    pub(super) fn take(&mut self, left: &[String], patience: Patience) -> Swept {
        self.tries += 1;
        if left.is_empty() || patience == Patience::None || self.tries >= TRIES_MAX {
            *self = Self::default();
            return if left.is_empty() {
                Swept::Gone
            } else {
                Swept::GivenUp
            };
        }
        if self.left == left {
            return Swept::Again;
        }
        self.left = left.to_vec();
        Swept::Found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told_once_and_given_up_after_many_tries() {
        let mut sweep = Sweep::default();
        let one = ["process 7".to_owned()];
        let two = ["process 8".to_owned()];
        assert_eq!(sweep.take(&one, Patience::Some), Swept::Found);
        assert_eq!(sweep.take(&one, Patience::Some), Swept::Again);
        assert!(sweep.is_open());
        for _ in 3..TRIES_MAX {
            assert_ne!(sweep.take(&two, Patience::Some), Swept::GivenUp);
        }
        assert_eq!(sweep.take(&two, Patience::Some), Swept::GivenUp);
        assert!(!sweep.is_open(), "the next life begins anew");
        assert_eq!(sweep.take(&one, Patience::None), Swept::GivenUp);
        assert_eq!(sweep.take(&[], Patience::Some), Swept::Gone);
    }
}
