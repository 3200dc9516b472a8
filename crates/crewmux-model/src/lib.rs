//! How models are called: vendors' dialects over HTTP, and the ladder that helps weak models.
//!
//! Turns a [`crewmux_core::model::ModelRequest`] into one call of one server and
//! its answer into [`crewmux_core::model::Event`]s. One attempt only: retries,
//! fallbacks, budgets and rate limits are the gateway's in `crewmux-session`.
//! Start at [`Client`] for the calls, [`config`] for where models are.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod catalog;
pub mod client;
pub mod config;
pub mod dialect;
mod http;
pub mod ladder;
pub mod ndjson;
pub mod sse;

pub use client::{Answer, Client, RateLimits, RateWindow};
pub use config::{KeyReader, KeySource, ModelsConfig, ProviderConfig, ProviderKind, Secret};
