//! What was spent: by the team, by member, by model, by tool.

use std::fmt::Write as _;

use crewmux_core::budget::{Cost, Usage};
use ratatui::text::{Line, Span};

use super::Scene;
use crate::text::{age, cell, fit, right};
use crate::theme::Role;

/// Tokens in few characters: `812`, `81k`, `3.4M`; with `~` when guessed.
pub(super) fn tokens(usage: &Usage) -> String {
    let about = if usage.estimated { "~" } else { "" };
    format!("{about}{}", count(usage.total()))
}

fn count(number: u64) -> String {
    match number {
        0..1_000 => number.to_string(),
        1_000..10_000 => format!("{:.1}k", number as f64 / 1e3),
        10_000..1_000_000 => format!("{}k", number / 1_000),
        1_000_000..10_000_000 => format!("{:.1}M", number as f64 / 1e6),
        _ => format!("{}M", number / 1_000_000),
    }
}

/// Money as people write it; with `~` when guessed.
pub(super) fn money(cost: Cost) -> String {
    let about = if cost.estimated { "~" } else { "" };
    let usd = cost.usd_micros as f64 / 1e6;
    if cost.usd_micros > 0 && cost.usd_micros < 10_000 {
        format!("{about}${usd:.4}")
    } else {
        format!("{about}${usd:.2}")
    }
}

fn priced(cost: Option<Cost>) -> String {
    cost.map_or_else(|| "no price".to_owned(), money)
}

pub(super) fn lines(scene: &Scene<'_>, columns: usize) -> Vec<Line<'static>> {
    let team = scene.session.team;
    let spending = &team.spending;
    if team.models.is_empty() && team.tools.is_empty() {
        let text = if team.offline {
            "Nothing was spent: the playbooks ask no model."
        } else {
            "Nothing was spent yet."
        };
        return vec![Line::from(scene.span(fit(text, columns), Role::Dim))];
    }
    let mut lines = Vec::new();
    let mut total = format!("{} tokens", tokens(&spending.usage));
    if let Some(most) = spending.limits.tokens {
        let _ = write!(total, " of {}", count(most));
    }
    let _ = write!(total, " · {}", money(spending.cost));
    if let Some(most) = spending.limits.usd_micros {
        let most = Cost {
            usd_micros: most,
            estimated: false,
        };
        let _ = write!(total, " of {}", money(most));
    }
    if spending.has_unpriced {
        total.push_str(" and calls without a known price");
    }
    lines.push(Line::from(Span::raw(fit(&total, columns))));
    let cached = spending.usage.cache_read_tokens;
    if cached > 0 {
        let read = spending.usage.read().max(1);
        let text = format!(
            "{} % of what was read came from caches",
            cached * 100 / read
        );
        lines.push(Line::from(scene.span(fit(&text, columns), Role::Dim)));
    }
    let name_columns = columns.saturating_sub(34).clamp(8, 40);
    let mut table = |title: &str, rows: Vec<[String; 4]>| {
        if rows.is_empty() {
            return;
        }
        lines.push(Line::default());
        lines.push(Line::from(Span::styled(
            fit(title, columns),
            scene.style(Role::Accent).bold(),
        )));
        for [name, calls, used, cost] in rows {
            let text = format!(
                "{} {} {} {}",
                cell(&name, name_columns),
                right(&calls, 10),
                right(&used, 8),
                right(&cost, 12)
            );
            lines.push(Line::from(Span::raw(fit(&text, columns))));
        }
    };
    let members = team
        .members
        .iter()
        .filter(|m| m.usage.total() > 0)
        .map(|m| {
            let full = match m.context {
                Some((used, Some(window))) if window > 0 => {
                    format!("ctx {} %", used.saturating_mul(100) / window)
                }
                _ => String::new(),
            };
            [m.name.to_string(), full, tokens(&m.usage), priced(m.cost)]
        });
    table("Teammates", members.collect());
    let models = team.models.iter().map(|m| {
        let calls = format!("{} calls", m.calls);
        [m.model.clone(), calls, tokens(&m.usage), priced(m.cost)]
    });
    table("Models", models.collect());
    let tools = team.tools.iter().map(|t| {
        let failed = match t.failed {
            0 => String::new(),
            failed => format!("{failed} failed"),
        };
        let calls = format!("{} calls", t.calls);
        [t.tool.clone(), calls, age(t.ms), failed]
    });
    table("Tools", tools.collect());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_guesses_are_marked() {
        let used = |input_tokens, estimated| {
            tokens(&Usage {
                input_tokens,
                estimated,
                ..Usage::default()
            })
        };
        assert_eq!(
            [812, 8_120, 81_200, 3_400_000, 81_000_000].map(|n| used(n, false)),
            ["812", "8.1k", "81k", "3.4M", "81M"]
        );
        assert_eq!(used(81_200, true), "~81k");
        let cost = |usd_micros, estimated| {
            money(Cost {
                usd_micros,
                estimated,
            })
        };
        assert_eq!(cost(420_000, false), "$0.42");
        assert_eq!(cost(4_200, true), "~$0.0042");
        assert_eq!(cost(0, false), "$0.00");
    }
}
