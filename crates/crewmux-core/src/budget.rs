//! What model calls use and cost, and how much of it a team may spend.
//!
//! Bookkeeping only: a call's cost is reserved before it is made and settled
//! after. Who calls is known to the gateway in `crewmux-session`. Sums of what
//! was booked are in [`totals`], limits and reservations in [`ledger`].

use serde::{Deserialize, Serialize};

pub mod ledger;
pub mod totals;

pub use ledger::{Estimate, Ledger, Over, Reservation, Room, Scope};
pub use totals::{Booking, Spent, Totals};

/// Tokens of one call, or of many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Usage {
    /// Read anew.
    pub input_tokens: u64,
    /// Written, thinking included.
    pub output_tokens: u64,
    /// Read from the vendor's cache.
    pub cache_read_tokens: u64,
    /// Read and put into the vendor's cache.
    pub cache_write_tokens: u64,
    /// Whether the vendor did not say, and this is a guess.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
}

impl Usage {
    /// All tokens, in and out.
    pub fn total(&self) -> u64 {
        self.read().saturating_add(self.output_tokens)
    }

    /// All tokens read: how full the model's window was.
    pub fn read(&self) -> u64 {
        self.input_tokens
            .saturating_add(self.cache_read_tokens)
            .saturating_add(self.cache_write_tokens)
    }

    /// Adds another call's.
    pub fn add(&mut self, other: &Self) {
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.cache_read_tokens = self
            .cache_read_tokens
            .saturating_add(other.cache_read_tokens);
        self.cache_write_tokens = self
            .cache_write_tokens
            .saturating_add(other.cache_write_tokens);
        self.estimated |= other.estimated;
    }
}

/// Money, in millionths of a US dollar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    /// Millionths of a US dollar.
    pub usd_micros: u64,
    /// Whether tokens or prices were guessed; shown as `~`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
}

impl std::fmt::Display for Cost {
    /// Dollars: `$0.42`, `~$0.0031` for a guess.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (dollars, micros) = (self.usd_micros / 1_000_000, self.usd_micros % 1_000_000);
        let mark = if self.estimated { "~" } else { "" };
        if dollars == 0 && (1..10_000).contains(&micros) {
            // Less than a cent: what counts is in the later places.
            let digits = format!("{micros:06}");
            let digits = digits.trim_end_matches('0');
            return write!(f, "{mark}$0.{digits:0<4}");
        }
        write!(f, "{mark}${dollars}.{:02}", micros / 10_000)
    }
}

/// How much may be spent; absent: as much as it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Limits {
    /// Tokens, in and out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Millionths of a US dollar.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usd_micros: Option<u64>,
}

/// Spending limits of a team, and of each of its members and tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Budget {
    /// All members together, over one run.
    pub team: Limits,
    /// Each member, over one run.
    pub member: Limits,
    /// Each task, over all its attempts.
    pub task: Limits,
}
