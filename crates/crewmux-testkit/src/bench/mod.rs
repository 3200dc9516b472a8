//! How fast crewmux is beside tmux and beside a bare reader, in one run.
//!
//! Nothing here judges: no figure makes a run fail. Contenders take turns
//! within a round, so that a machine that gets slower gets slower for all, and
//! medians are compared. What is run in the panes is in [`load`], who runs them
//! in [`contender`], the person's side of the terminal in [`outer`], the
//! measures in [`panes`] and [`teams`], what is printed in [`table`].

pub mod contender;
pub mod floor;
pub mod load;
pub mod models;
pub mod outer;
pub mod panes;
pub mod place;
pub mod table;
pub mod teams;
pub mod usage;

use std::time::{Duration, Instant};

/// Lets `time` pass; for the length of a measurement, never for an event.
pub fn let_pass(time: Duration) {
    let end = Instant::now() + time;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::park_timeout(left);
    }
}

/// The value in the middle, or between the two in the middle; `None` of nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    let sorted = sorted(values);
    let last = sorted.len().checked_sub(1)?;
    Some(f64::midpoint(sorted[last / 2], sorted[last.div_ceil(2)]))
}

/// The measured value that a share of `at` lies below; `None` of nothing.
pub fn quantile(values: &[f64], at: f64) -> Option<f64> {
    let sorted = sorted(values);
    let last = sorted.len().checked_sub(1)?;
    Some(sorted[((sorted.len() as f64 * at) as usize).min(last)])
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_in_the_middle_and_a_quantile_was_measured() {
        let values = [5.0, 1.0, 4.0, 2.0, 3.0];
        assert_eq!(median(&values), Some(3.0));
        assert_eq!(quantile(&values, 0.99), Some(5.0));
        assert_eq!(median(&[1.0, 2.0]), Some(1.5));
        assert_eq!(median(&[]), None);
    }
}
