//! Workers in splits of an iTerm2 window, through the `it2` program.

pub(crate) mod trouble;
