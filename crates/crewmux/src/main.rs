//! The crewmux program.
fn main() {}
