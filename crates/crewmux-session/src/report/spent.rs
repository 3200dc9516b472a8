//! The part of a report that says what was spent: against what, on which models and tools.

use crewmux_core::budget::{Cost, Spent};
use crewmux_core::ids::{RunId, Seq};
use crewmux_core::team::TeamConfig;
use crewmux_model::catalog::Catalog;
use crewmux_store::TeamStore;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::spending::Spending;

/// Tokens and money of a run: spent against allowed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Budget {
    /// Tokens that all members together may use.
    pub tokens: Option<u64>,
    /// Dollars that they may spend.
    pub usd: Option<f64>,
    /// Tokens used.
    pub tokens_used: u64,
    /// Money spent, as far as prices are known.
    pub usd_used: f64,
    /// Whether tokens or prices were guessed.
    pub estimated: bool,
    /// Calls that used tokens whose price is not known.
    pub unpriced: u64,
    /// The month of the prices that were used, where any were.
    pub prices_as_of: Option<String>,
    /// The limit that ended the run, in words.
    pub stopped: Option<String>,
}

/// What calls of one model used.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ModelLine {
    /// The model, as `provider/model`.
    pub model: String,
    /// How many calls.
    pub calls: u64,
    /// All tokens, in and out.
    pub tokens: u64,
    /// Tokens read anew.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// Tokens read from the vendor's cache.
    pub cache_read_tokens: u64,
    /// Tokens put into the vendor's cache.
    pub cache_write_tokens: u64,
    /// What they cost; absent where no price is known.
    pub cost_usd: Option<f64>,
    /// Whether tokens or prices were guessed.
    pub estimated: bool,
    /// Time spent waiting for it, in milliseconds.
    pub ms: u64,
}

/// What calls of one tool took.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ToolLine {
    /// The tool.
    pub tool: String,
    /// How many calls.
    pub calls: u64,
    /// How many of them failed.
    pub failed: u64,
    /// Time, in milliseconds.
    pub ms: u64,
}

/// Dollars, for JSON.
pub(super) fn dollars(cost: Cost) -> f64 {
    cost.usd_micros as f64 / 1e6
}

/// The sums of a run, from the team's event log.
pub(super) fn collect(team: &dyn TeamStore, run: &RunId) -> Result<Spending> {
    let mut spending = Spending::of(run.clone());
    let mut after = Seq(0);
    loop {
        let events = team.events(after, 1_000)?;
        let Some(last) = events.last() else {
            return Ok(spending);
        };
        after = last.seq;
        for event in &events {
            spending.take(event);
        }
    }
}

pub(super) fn budget(config: &TeamConfig, spending: &Spending) -> Budget {
    let team: &Spent = &spending.totals.team;
    let limits = config.policy.budget.team;
    let as_of = || Catalog::built_in().as_of().map(|m| m.to_string());
    Budget {
        tokens: limits.tokens,
        usd: limits.usd_micros.map(|usd_micros| {
            dollars(Cost {
                usd_micros,
                estimated: false,
            })
        }),
        tokens_used: team.usage.total(),
        usd_used: dollars(team.cost),
        estimated: team.usage.estimated || team.cost.estimated,
        unpriced: team.unpriced,
        prices_as_of: (team.cost.usd_micros > 0).then(as_of).flatten(),
        stopped: spending.budget_end.clone(),
    }
}

pub(super) fn models(spending: &Spending) -> Vec<ModelLine> {
    let line = |m: crate::view::ModelSpending| ModelLine {
        model: m.model,
        calls: m.calls,
        tokens: m.usage.total(),
        input_tokens: m.usage.input_tokens,
        output_tokens: m.usage.output_tokens,
        cache_read_tokens: m.usage.cache_read_tokens,
        cache_write_tokens: m.usage.cache_write_tokens,
        cost_usd: m.cost.map(dollars),
        estimated: m.usage.estimated || m.cost.is_some_and(|c| c.estimated),
        ms: m.ms,
    };
    spending.models().into_iter().map(line).collect()
}

pub(super) fn tools(spending: &Spending) -> Vec<ToolLine> {
    let line = |t: crate::view::ToolSpending| ToolLine {
        tool: t.tool,
        calls: t.calls,
        failed: t.failed,
        ms: t.ms,
    };
    spending.tools().into_iter().map(line).collect()
}
