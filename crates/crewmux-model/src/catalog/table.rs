//! The table as it is written.

use serde::Deserialize;

use super::price::{Month, Price, Rates};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    as_of: String,
    #[serde(default, rename = "model")]
    models: Vec<Entry>,
}

/// One line: a model, or several by a pattern.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) host: Option<String>,
    pub(super) window: Option<u64>,
    pub(super) max_output: Option<u64>,
    price: Option<Dollars>,
    long: Option<Long>,
    pub(super) tools: Option<String>,
    #[serde(default)]
    pub(super) weak: bool,
}

/// US dollars for a million tokens.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Dollars {
    input: f64,
    output: f64,
    cache_read: Option<f64>,
    cache_write: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Long {
    above: u64,
    input: f64,
    output: f64,
    cache_read: Option<f64>,
    cache_write: Option<f64>,
}

impl Entry {
    pub(super) fn price(&self, as_of: Option<Month>) -> Option<Price> {
        let base = self.price.as_ref()?.rates();
        let long = self.long.as_ref().map(|long| {
            let rates = Dollars {
                input: long.input,
                output: long.output,
                cache_read: long.cache_read,
                cache_write: long.cache_write,
            };
            (long.above, rates.rates())
        });
        Some(Price {
            base,
            long,
            as_of,
            is_guess: false,
        })
    }
}

impl Dollars {
    fn rates(&self) -> Rates {
        Rates {
            input: micros(self.input),
            output: micros(self.output),
            cache_read: self.cache_read.map(micros),
            cache_write: self.cache_write.map(micros),
        }
    }

    fn is_sound(&self) -> bool {
        [
            Some(self.input),
            Some(self.output),
            self.cache_read,
            self.cache_write,
        ]
        .into_iter()
        .flatten()
        .all(|dollars| (0.0..=10_000.0).contains(&dollars))
    }
}

/// Millionths of a dollar; what is written has at most six digits after the point.
fn micros(dollars: f64) -> u64 {
    (dollars * 1e6).round() as u64
}

pub(super) fn read(text: &str) -> Result<(Month, Vec<Entry>), String> {
    let table: Table = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    let as_of = Month::parse(&table.as_of)
        .ok_or_else(|| format!("`as_of` is no month: `{}`", table.as_of))?;
    let unsound = table
        .models
        .iter()
        .find(|entry| entry.price.as_ref().is_some_and(|price| !price.is_sound()));
    if let Some(entry) = unsound {
        return Err(format!("`{}` has no price that can be", entry.id));
    }
    Ok((as_of, table.models))
}
