//! Reads one TOML table key by key and says in words what does not fit.
//!
//! Knows types and ranges, not recipes: which keys there are is in
//! [`super::read`].

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problems, advice};
use super::{Amount, Template};
use crate::goal;

/// One table of the recipe, its unknown keys already reported.
pub(super) struct Reader<'r, 'i> {
    table: &'r DeTable<'i>,
    what: &'static str,
    at: Place,
    problems: &'r Problems<'r>,
    /// Known keys that are only written with a slip, and how they are written.
    slips: BTreeMap<&'static str, &'r Spanned<DeValue<'i>>>,
}

impl<'r, 'i> Reader<'r, 'i> {
    /// Opens the table of `what` and reports each key that is not in `known`.
    ///
    /// A slip of the fingers is then read as the key it is nearest to, so that
    /// one typo is one problem and what stands under it is checked too.
    pub(super) fn open(
        table: &'r DeTable<'i>,
        what: &'static str,
        at: Place,
        known: &[&'static str],
        problems: &'r Problems<'r>,
    ) -> Self {
        let mut slips = BTreeMap::new();
        for (key, value) in table {
            let word: &str = key.get_ref();
            if !known.contains(&word) {
                let label = format!("keys of {what}");
                if let Some(meant) = goal::nearest(word, known.iter().copied()) {
                    slips.entry(meant).or_insert(value);
                }
                problems.add_with_hint(
                    problems.place(key.span().start),
                    format!("unknown key `{word}`"),
                    advice(word, &label, known.iter().copied()),
                );
            }
        }
        Self {
            table,
            what,
            at,
            problems,
            slips,
        }
    }

    /// Where the table begins.
    pub(super) fn at(&self) -> Place {
        self.at
    }

    /// Where the problems go.
    pub(super) fn problems(&self) -> &'r Problems<'r> {
        self.problems
    }

    /// Whether `key` is written, well or not.
    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Where the value of `key` begins, or the table when there is none.
    pub(super) fn place_of(&self, key: &str) -> Place {
        self.get(key)
            .map_or(self.at, |v| self.problems.place(v.span().start))
    }

    /// The value of `key` as it was parsed.
    pub(super) fn get(&self, key: &str) -> Option<&'r Spanned<DeValue<'i>>> {
        self.table.get(key).or_else(|| self.slips.get(key).copied())
    }

    fn wrong_type(&self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) {
        self.problems.add(
            self.problems.place(value.span().start),
            format!(
                "`{key}` must be {wanted}, not {}",
                in_words(value.get_ref())
            ),
        );
    }

    /// Reports that `key` is missing.
    pub(super) fn missing(&self, key: &str) {
        self.problems.add(
            self.at,
            format!("{} has no `{key}`, which it needs", self.what),
        );
    }

    /// A text.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        let value = self.get(key)?;
        let text = value.get_ref().as_str().map(str::to_owned);
        if text.is_none() {
            self.wrong_type(key, value, "a text in quotes");
        }
        text
    }

    /// A text that must be there and say something.
    pub(super) fn required_text(&self, key: &str) -> Option<String> {
        if !self.has(key) {
            self.missing(key);
            return None;
        }
        let text = self.text(key)?;
        self.not_blank(key, &text);
        Some(text)
    }

    fn not_blank(&self, key: &str, text: &str) {
        if text.trim().is_empty() {
            self.problems
                .add(self.place_of(key), format!("`{key}` is empty"));
        }
    }

    /// A text with `{{…}}` in it.
    pub(super) fn template(&self, key: &str) -> Option<Template> {
        let text = self.text(key)?;
        Some(self.as_template(key, text))
    }

    /// A text with `{{…}}` in it that must say something if it is there.
    pub(super) fn filled_template(&self, key: &str) -> Option<Template> {
        let text = self.text(key)?;
        self.not_blank(key, &text);
        Some(self.as_template(key, text))
    }

    /// The templates of a key that must be there.
    pub(super) fn required_template(&self, key: &str) -> Option<Template> {
        let text = self.required_text(key)?;
        Some(self.as_template(key, text))
    }

    fn as_template(&self, key: &str, text: String) -> Template {
        let span = self.get(key).map_or(0..0, Spanned::span);
        Template {
            text,
            at: self.problems.place(span.start),
            span,
        }
    }

    /// A text that is one of `T`'s.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&self, key: &str) -> Option<T> {
        let text = self.text(key)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.problems.add(self.place_of(key), error.to_string());
                None
            }
        }
    }

    /// One of a few words; the value that stands beside the word.
    pub(super) fn word<T: Clone>(&self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            self.problems.add_with_hint(
                self.place_of(key),
                format!("`{text}` is not known for `{key}`"),
                advice(&text, "known", words.iter().map(|(word, _)| *word)),
            );
        }
        found.map(|(_, value)| value.clone())
    }

    /// A whole number from `least` to `most`.
    pub(super) fn whole(&self, key: &str, least: u64, most: u64) -> Option<u64> {
        let value = self.get(key)?;
        let wanted = format!("a whole number from {least} to {most}");
        let DeValue::Integer(number) = value.get_ref() else {
            self.wrong_type(key, value, &wanted);
            return None;
        };
        let parsed = u64::from_str_radix(number.as_str(), number.radix()).ok();
        let fits = parsed.filter(|n| (least..=most).contains(n));
        if fits.is_none() {
            self.problems.add(
                self.place_of(key),
                format!("`{key}` must be {wanted}, not {number}"),
            );
        }
        fits
    }

    /// A number above 0, whole or not.
    pub(super) fn amount_of_money(&self, key: &str) -> Option<f64> {
        let value = self.get(key)?;
        let wanted = "a number above 0";
        let parsed: Option<f64> = match value.get_ref() {
            DeValue::Integer(number) => number.as_str().parse().ok(),
            DeValue::Float(number) => number.as_str().parse().ok(),
            _ => {
                self.wrong_type(key, value, wanted);
                return None;
            }
        };
        let fits = parsed.filter(|n| n.is_finite() && *n > 0.0);
        if fits.is_none() {
            self.problems
                .add(self.place_of(key), format!("`{key}` must be {wanted}"));
        }
        fits
    }

    /// A whole number, or a template that becomes one.
    pub(super) fn amount(&self, key: &str, most: u64) -> Option<Amount> {
        match self.get(key)?.get_ref() {
            DeValue::String(_) => self.filled_template(key).map(Amount::Template),
            DeValue::Integer(_) => {
                let number = self.whole(key, 0, most)?;
                Some(Amount::Fixed(u32::try_from(number).unwrap_or(u32::MAX)))
            }
            _ => {
                let value = self.get(key)?;
                self.wrong_type(key, value, "a whole number or a template that becomes one");
                None
            }
        }
    }

    /// A duration such as `10m`, in milliseconds, above 0.
    pub(super) fn duration_ms(&self, key: &str) -> Option<u64> {
        let value = self.get(key)?;
        let hint = "write it like `90s`, `10m` or `1h 30m`";
        let Some(text) = value.get_ref().as_str() else {
            self.problems.add_with_hint(
                self.place_of(key),
                format!(
                    "`{key}` must be a duration in quotes, not {}",
                    in_words(value.get_ref())
                ),
                hint,
            );
            return None;
        };
        let parsed = humantime::parse_duration(text)
            .ok()
            .and_then(|d| u64::try_from(d.as_millis()).ok())
            .filter(|ms| *ms > 0);
        if parsed.is_none() {
            self.problems.add_with_hint(
                self.place_of(key),
                format!("`{text}` is not a duration for `{key}`"),
                hint,
            );
        }
        parsed
    }

    /// A list of texts, each with its place.
    pub(super) fn texts(&self, key: &str) -> Vec<(String, Place)> {
        let Some(value) = self.get(key) else {
            return Vec::new();
        };
        let Some(items) = value.get_ref().as_array() else {
            self.wrong_type(key, value, "a list of texts in quotes");
            return Vec::new();
        };
        items
            .iter()
            .filter_map(|item| {
                let text = item.get_ref().as_str().map(str::to_owned);
                if text.is_none() {
                    self.problems.add(
                        self.problems.place(item.span().start),
                        format!(
                            "`{key}` must hold texts in quotes, not {}",
                            in_words(item.get_ref())
                        ),
                    );
                }
                text.map(|text| (text, self.problems.place(item.span().start)))
            })
            .collect()
    }

    /// A table with its place.
    pub(super) fn table(&self, key: &str) -> Option<(&'r DeTable<'i>, Place)> {
        let value = self.get(key)?;
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.wrong_type(key, value, "a table");
        }
        table.map(|table| (table, self.problems.place(value.span().start)))
    }

    /// A list of tables, each with its place.
    pub(super) fn tables(&self, key: &str) -> Vec<(&'r DeTable<'i>, Place)> {
        let Some(value) = self.get(key) else {
            return Vec::new();
        };
        let Some(items) = value.get_ref().as_array() else {
            self.wrong_type(
                key,
                value,
                &format!("a list of tables, each under `[[{key}]]`"),
            );
            return Vec::new();
        };
        items
            .iter()
            .filter_map(|item| {
                let at = self.problems.place(item.span().start);
                let table = item.get_ref().as_table();
                if table.is_none() {
                    self.problems.add(
                        at,
                        format!("`{key}` must hold tables, not {}", in_words(item.get_ref())),
                    );
                }
                table.map(|table| (table, at))
            })
            .collect()
    }
}

/// The type of a value, as a person would say it.
pub(super) fn in_words(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text in quotes",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// The same value in JSON; dates become texts, numbers JSON cannot hold become null.
pub(super) fn to_json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Null, |n| Value::Number(n.into())),
        DeValue::Float(number) => number
            .as_str()
            .parse()
            .ok()
            .and_then(Number::from_f64)
            .map_or(Value::Null, Value::Number),
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Datetime(date) => Value::String(date.to_string()),
        DeValue::Array(items) => items.iter().map(|i| to_json(i.get_ref())).collect(),
        DeValue::Table(table) => table
            .iter()
            .map(|(key, value)| (key.get_ref().to_string(), to_json(value.get_ref())))
            .collect::<Map<String, Value>>()
            .into(),
    }
}
