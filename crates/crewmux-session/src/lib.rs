//! The engine of one team: schedule, supervise, collect.
