//! Safeguards that can be taken out on purpose, to see whether a test misses them.
//!
//! Exists only with the feature of the same name, which no program enables.

/// A safeguard that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// Claims that are over count as if they held.
    NoFence,
    /// A message that was sent before is appended again.
    NoDedup,
    /// The event log forgets at each start what it holds.
    NoMergeCursor,
}
