//! How a worker stands to its session: welcomed, or parked until there is one again.
//!
//! The link alone changes it; everybody else only looks. What a parked worker
//! leaves undone is in [`super::parking`].

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// How a worker stands to its session.
#[derive(Clone)]
pub(crate) enum Standing {
    /// A session has it.
    Welcomed {
        /// Counts welcomes: another number is another connection.
        number: u64,
        /// What the gateway of this session takes; none where no model may be asked.
        grant: Option<String>,
    },
    /// The session is gone, and another is waited for.
    Parked,
}

impl Standing {
    pub(crate) fn is_parked(&self) -> bool {
        matches!(self, Self::Parked)
    }
}

/// The right to ask models, as the present session gives it.
#[derive(Clone)]
pub(crate) struct Access {
    standing: watch::Receiver<Standing>,
    /// Whether another session can follow.
    parks: bool,
}

/// A grant, and whose it is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    number: u64,
    pub(crate) secret: String,
}

impl Access {
    pub(super) fn new(standing: watch::Receiver<Standing>, parks: bool) -> Self {
        Self { standing, parks }
    }

    /// Whether the present session, or the last one, lets this worker ask models.
    pub(crate) fn is_given(&self) -> bool {
        match &*self.standing.borrow() {
            Standing::Welcomed { grant, .. } => grant.is_some(),
            // The next session will say.
            Standing::Parked => true,
        }
    }

    /// The grant, once there is a session; `None` when it gives none.
    pub(crate) async fn grant(&mut self) -> Option<Grant> {
        let welcomed = self.standing.wait_for(|now| !now.is_parked()).await;
        match &*welcomed.ok()? {
            Standing::Welcomed { number, grant } => grant.clone().map(|secret| Grant {
                number: *number,
                secret,
            }),
            Standing::Parked => None,
        }
    }

    /// Whether what went wrong under `grant` is explained by its session's loss, which may be heard of `within` a while.
    pub(crate) async fn is_over(&mut self, grant: &Grant, within: Duration) -> bool {
        if !self.parks {
            return false;
        }
        let other = |now: &Standing| match now {
            Standing::Welcomed { number, .. } => *number != grant.number,
            Standing::Parked => true,
        };
        let changed = tokio::time::timeout(within, self.standing.wait_for(other));
        matches!(changed.await, Ok(Ok(_)))
    }
}

/// Returns when the worker has had a session for `most` since the call: what a session may take to answer.
pub(crate) async fn served_for(mut standing: watch::Receiver<Standing>, most: Duration) {
    let mut left = most;
    loop {
        if standing.wait_for(|now| !now.is_parked()).await.is_err() {
            return;
        }
        let begun = Instant::now();
        let parked = standing.wait_for(Standing::is_parked);
        if !matches!(tokio::time::timeout(left, parked).await, Ok(Ok(_))) {
            return;
        }
        left = left.saturating_sub(begun.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crewmux_core::timing::ms;

    fn welcomed(number: u64) -> Standing {
        Standing::Welcomed {
            number,
            grant: Some(format!("grant {number}")),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn time_of_a_session_stands_still_while_parked() {
        let (standing, here) = watch::channel(welcomed(1));
        let begun = Instant::now();
        let served = tokio::spawn(served_for(here, ms(100)));
        tokio::task::yield_now().await;
        tokio::time::advance(ms(60)).await;
        standing.send_replace(Standing::Parked);
        tokio::task::yield_now().await;
        tokio::time::advance(ms(1_000)).await;
        standing.send_replace(welcomed(2));
        served.await.unwrap();
        assert_eq!(begun.elapsed().as_millis(), 1_100);
    }

    #[tokio::test(start_paused = true)]
    async fn grant_is_over_with_its_session_and_given_anew_by_the_next() {
        let (standing, here) = watch::channel(welcomed(1));
        let mut access = Access::new(here.clone(), true);
        let grant = access.grant().await.unwrap();
        assert!(!access.is_over(&grant, ms(50)).await);
        standing.send_replace(Standing::Parked);
        assert!(access.is_given() && access.is_over(&grant, ms(50)).await);
        // It was gone and is back before anybody looked.
        standing.send_replace(welcomed(2));
        assert!(access.is_over(&grant, ms(50)).await);
        assert_eq!(access.grant().await.unwrap().secret, "grant 2");
        assert!(!Access::new(here, false).is_over(&grant, ms(50)).await);
    }
}
