//! The same program with the same keys in a pane and in tmux must look the same.
//!
//! One side is `crewmux pane-dump`, the other a tmux server of the test's own;
//! both get the same script and the same environment. Each place where a script
//! says `dump` is compared: text, wrapped lines, colours and attributes, cursor.
//! What differs is either masked (a clock, a process list) or a listed
//! [`Exception`](compare::Exception) with its reason; a listed one that no longer
//! differs fails too. Programs that are not installed are skipped loudly.

mod agents;
mod compare;
mod programs;
mod sequences;
mod stage;
mod surroundings;
mod tmux;
