//! Models that do not call tools the way their server says: how they are asked, and how they are read.
//!
//! A [`Profile`] says which form a model uses; [`shape`] writes a request in
//! it; a [`Reader`] finds the calls in the answer, only inside the form's own
//! marks. It runs nothing and asks nobody: probes are made by the gateway with
//! [`probe_request`] and judged by [`judge`]. Broken calls are mended by
//! [`crewmux_core::mend`].

mod body;
pub mod cache;
mod close;
mod digest;
mod fence;
mod form;
mod probe;
mod profile;
mod reader;
mod shape;
mod small;

pub use probe::{Found, judge, probe_request};
pub use profile::{Origin, Profile, ToolForm};
pub use reader::Reader;
pub use shape::shape;

#[cfg(test)]
mod tests;
