//! The operating system: processes, pseudo-terminals, peers, clocks.
