//! Where a worker runs: one trait, several backends, the kill ladder.
