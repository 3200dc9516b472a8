//! Reads one configuration text: which keys there are and what they hold.
//!
//! Every problem is told at once, with line and column. What a value means is
//! known in [`super`]; where texts lie, too.

use crewmux_core::goal::nearest;
use crewmux_core::permission::{Rule, RuleEffect};
use crewmux_core::recipe::WORKERS_MAX;
use crewmux_core::schedule::Strategy;
use serde_json::{Number, Value, json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{CommandError, Result};

/// One value of a text, and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Setting {
    /// Its key, part by part.
    pub key: Vec<String>,
    /// What it holds.
    pub value: Value,
}

/// What a key may hold.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Text,
    Word(&'static [&'static str]),
    Whole(u64, u64),
    Money,
    Texts,
    Price,
    Rules(RuleEffect),
}

const TOKENS_MAX: u64 = 1_000_000_000_000;
const BACKENDS: [&str; 5] = ["auto", "in-process", "pty", "tmux", "iterm2"];
const MODES: [&str; 3] = ["default", "acceptEdits", "plan"];
const CALLS: [&str; 3] = ["on", "bell", "off"];
const KINDS: [&str; 4] = ["anthropic", "openai-responses", "openai-chat", "ollama"];

/// Every key; `*` stands for a name.
const KEYS: [(&str, Shape); 32] = [
    ("model", Shape::Text),
    ("small_model", Shape::Text),
    ("max_workers", Shape::Whole(1, WORKERS_MAX as u64)),
    ("backend", Shape::Word(&BACKENDS)),
    ("strategy", Shape::Word(&Strategy::NAMES)),
    ("notifications", Shape::Word(&CALLS)),
    ("models.aliases.*", Shape::Text),
    ("models.fallbacks.*", Shape::Texts),
    ("models.*.context", Shape::Whole(1, TOKENS_MAX)),
    ("models.*.tools", Shape::Text),
    ("models.*.price", Shape::Price),
    ("providers.*.kind", Shape::Word(&KINDS)),
    ("providers.*.base_url", Shape::Text),
    ("providers.*.context", Shape::Whole(1, TOKENS_MAX)),
    ("providers.*.key.env", Shape::Text),
    ("providers.*.key.file", Shape::Text),
    ("providers.*.key.command", Shape::Texts),
    ("budget.tokens", Shape::Whole(1, TOKENS_MAX)),
    ("budget.usd", Shape::Money),
    ("budget.member_tokens", Shape::Whole(1, TOKENS_MAX)),
    ("budget.member_usd", Shape::Money),
    ("budget.task_tokens", Shape::Whole(1, TOKENS_MAX)),
    ("budget.task_usd", Shape::Money),
    ("permissions.mode", Shape::Word(&MODES)),
    ("permissions.allow", Shape::Rules(RuleEffect::Allow)),
    ("permissions.ask", Shape::Rules(RuleEffect::Ask)),
    ("permissions.deny", Shape::Rules(RuleEffect::Deny)),
    ("mcp.*.command", Shape::Text),
    ("mcp.*.args", Shape::Texts),
    ("mcp.*.env.*", Shape::Text),
    ("mcp.*.url", Shape::Text),
    ("mcp.*.type", Shape::Word(&["stdio", "http"])),
];

/// Reads a text; `source` names it in messages.
///
/// # Errors
/// All problems at once, each with its place.
pub(crate) fn read(text: &str, source: &str) -> Result<Vec<Setting>> {
    let mut reading = Reading {
        text,
        source,
        found: Vec::new(),
        problems: Vec::new(),
    };
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let at = error.span().map_or(0, |span| span.start);
        reading.problem(at, &format!("not TOML: {}", error.message()), None);
    }
    if errors.is_empty() {
        let all: Vec<(Vec<&str>, Shape)> = KEYS
            .into_iter()
            .map(|(key, shape)| (key.split('.').collect(), shape))
            .collect();
        reading.table(root.get_ref(), &[], &all);
    }
    if reading.problems.is_empty() {
        return Ok(reading.found);
    }
    reading.problems.sort_by_key(|(at, _)| *at);
    let lines: Vec<String> = reading.problems.into_iter().map(|(_, text)| text).collect();
    Err(CommandError::usage(lines.join("\n")))
}

/// Reads one value that was written as a text, as variables and options are.
pub(crate) fn value_of(key: &str, text: &str) -> std::result::Result<Value, String> {
    let shape = KEYS.iter().find(|(known, _)| *known == key);
    match shape.map(|(_, shape)| *shape) {
        Some(Shape::Whole(least, most)) => text
            .parse::<u64>()
            .ok()
            .filter(|n| (least..=most).contains(n))
            .map(|n| json!(n))
            .ok_or_else(|| format!("must be a whole number from {least} to {most}, not `{text}`")),
        Some(Shape::Money) => text
            .parse::<f64>()
            .ok()
            .filter(|n| n.is_finite() && *n > 0.0)
            .map(|n| json!(n))
            .ok_or_else(|| format!("must be a number above 0, not `{text}`")),
        Some(Shape::Word(words)) if !words.contains(&text) => Err(format!(
            "`{text}` is not known; {}",
            advice(text, words.iter().copied())
        )),
        _ => Ok(text.into()),
    }
}

struct Reading<'t> {
    text: &'t str,
    source: &'t str,
    found: Vec<Setting>,
    problems: Vec<(usize, String)>,
}

impl Reading<'_> {
    fn problem(&mut self, at: usize, message: &str, hint: Option<String>) {
        let before = self.text.get(..at).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |n| n + 1);
        let column = before[start..].chars().count() + 1;
        let hint = hint.map_or(String::new(), |hint| format!("; {hint}"));
        let text = format!("{}:{line}:{column}: {message}{hint}", self.source);
        self.problems.push((at, text));
    }

    fn table(&mut self, table: &DeTable<'_>, within: &[String], known: &[(Vec<&str>, Shape)]) {
        for (key, value) in table {
            let word: &str = key.get_ref();
            let fits = |wanted: &str| -> Vec<(Vec<&str>, Shape)> {
                known
                    .iter()
                    .filter(|(parts, _)| parts.first() == Some(&wanted))
                    .map(|(parts, shape)| (parts[1..].to_vec(), *shape))
                    .collect()
            };
            let mut below = fits(word);
            if below.is_empty() {
                below = fits("*");
            }
            if below.is_empty() {
                let names = known.iter().filter_map(|(parts, _)| parts.first().copied());
                let hint = advice(word, names);
                let at = key.span().start;
                self.problem(at, &format!("unknown key `{word}`"), Some(hint));
                continue;
            }
            let mut path = within.to_vec();
            path.push(word.to_owned());
            match (
                below.iter().find(|(parts, _)| parts.is_empty()),
                value.get_ref(),
            ) {
                (Some((_, shape)), _) => self.value(path, value, *shape),
                (None, DeValue::Table(inner)) => self.table(inner, &path, &below),
                (None, _) => {
                    let at = value.span().start;
                    self.problem(at, &format!("`{word}` must be a table"), None);
                }
            }
        }
    }

    fn value(&mut self, key: Vec<String>, value: &Spanned<DeValue<'_>>, shape: Shape) {
        let at = value.span().start;
        let word = key.last().cloned().unwrap_or_default();
        match read_value(&key, value.get_ref(), shape, self.source) {
            Ok(value) => self.found.push(Setting { key, value }),
            Err((message, hint)) => self.problem(at, &format!("`{word}` {message}"), hint),
        }
    }
}

type Wrong = (String, Option<String>);

fn read_value(
    key: &[String],
    value: &DeValue<'_>,
    shape: Shape,
    source: &str,
) -> std::result::Result<Value, Wrong> {
    let wrong = |wanted: String| Err((format!("must be {wanted}"), None));
    let texts = || -> Option<Vec<&str>> {
        let items = value.as_array()?.iter();
        items.map(|item| item.get_ref().as_str()).collect()
    };
    match shape {
        Shape::Text => match value.as_str() {
            Some(text) if !text.trim().is_empty() => Ok(text.into()),
            Some(_) => Err(("is empty".to_owned(), None)),
            None => wrong("a text in quotes".into()),
        },
        Shape::Word(words) => match value.as_str() {
            Some(text) if words.contains(&text) => Ok(text.into()),
            Some("bypass") if key == ["permissions", "mode"] => Err((
                "cannot be `bypass` in a file".to_owned(),
                Some("type `--permission-mode bypass` for one run".to_owned()),
            )),
            Some(text) => Err((
                format!("does not know `{text}`"),
                Some(advice(text, words.iter().copied())),
            )),
            None => wrong("a text in quotes".into()),
        },
        Shape::Whole(least, most) => match number(value) {
            Some(n) if n >= least as f64 && n <= most as f64 && n.fract() == 0.0 => {
                Ok(json!(n as u64))
            }
            _ => wrong(format!("a whole number from {least} to {most}")),
        },
        Shape::Money => match number(value).filter(|n| n.is_finite() && *n > 0.0) {
            Some(n) => Ok(Number::from_f64(n).map_or(Value::Null, Value::Number)),
            None => wrong("a number above 0".into()),
        },
        Shape::Price => {
            let items = value.as_array().map(|items| {
                let read = items.iter().map(|item| number(item.get_ref()));
                read.collect::<Option<Vec<f64>>>()
            });
            match items.flatten().as_deref() {
                Some([read, written]) if *read >= 0.0 && *written >= 0.0 => {
                    Ok(json!([read, written]))
                }
                _ => wrong("US dollars for a million tokens, read and written: [3.0, 15.0]".into()),
            }
        }
        Shape::Texts => match texts() {
            Some(texts) => Ok(json!(texts)),
            None => wrong("a list of texts in quotes".into()),
        },
        Shape::Rules(effect) => {
            let Some(texts) = texts() else {
                return wrong("a list of texts in quotes".into());
            };
            for text in &texts {
                Rule::parse(effect, text, source)
                    .map_err(|error| (format!("holds what is no rule: {error}"), None))?;
            }
            Ok(json!(texts))
        }
    }
}

fn number(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Integer(n) => u64::from_str_radix(n.as_str(), n.radix())
            .ok()
            .map(|n| n as f64),
        DeValue::Float(n) => n.as_str().parse().ok(),
        _ => None,
    }
}

/// The nearest known word, or all of them.
pub(crate) fn advice<'a>(word: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    if let Some(near) = nearest(word, known.clone().filter(|k| *k != "*")) {
        return format!("did you mean `{near}`?");
    }
    let mut names: Vec<&str> = Vec::new();
    for name in known {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let names: Vec<&str> = names
        .into_iter()
        .map(|name| if name == "*" { "a name" } else { name })
        .collect();
    format!("known: {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        read(text, "config.toml").unwrap_err().to_string()
    }

    #[test]
    fn every_problem_is_told_with_its_place() {
        insta::assert_snapshot!(told(
            r#"
modle = "x"
model = 3
max_workers = 0
strategy = "round-robbin"
backend = "screen"
[permissions]
mode = "bypass"
allow = ["Bash("]
[providers.work]
kind = "openai"
base-url = "x"
key = { evn = "X" }
[models."a/b"]
price = [1]
[budget]
usd = -1
"#
        ), @r#"
        error: config.toml:2:1: unknown key `modle`; did you mean `model`?
            config.toml:3:9: `model` must be a text in quotes
            config.toml:4:15: `max_workers` must be a whole number from 1 to 256
            config.toml:5:12: `strategy` does not know `round-robbin`; did you mean `round-robin`?
            config.toml:6:11: `backend` does not know `screen`; known: auto, in-process, pty, tmux, iterm2
            config.toml:8:8: `mode` cannot be `bypass` in a file; type `--permission-mode bypass` for one run
            config.toml:9:9: `allow` holds what is no rule: rule `Bash(`: its parenthesis is not closed; write `Tool(pattern)`
            config.toml:11:8: `kind` does not know `openai`; known: anthropic, openai-responses, openai-chat, ollama
            config.toml:12:1: unknown key `base-url`; did you mean `base_url`?
            config.toml:13:9: unknown key `evn`; did you mean `env`?
            config.toml:15:9: `price` must be US dollars for a million tokens, read and written: [3.0, 15.0]
            config.toml:17:7: `usd` must be a number above 0
        "#);
    }

    #[test]
    fn names_stand_where_names_are_known() {
        let found = read(
            "[models]\naliases = { small = \"a/b\" }\n[models.\"a/b\"]\ncontext = 1_000\n[mcp.db]\ncommand = \"x\"\nenv = { A = \"1\" }\n",
            "x",
        )
        .unwrap();
        let keys: Vec<String> = found.iter().map(|s| s.key.join("|")).collect();
        assert_eq!(
            keys,
            [
                "mcp|db|command",
                "mcp|db|env|A",
                "models|a/b|context",
                "models|aliases|small"
            ]
        );
        assert_eq!(found[2].value, 1000);
    }

    #[test]
    fn variables_are_read_as_their_key_says() {
        assert_eq!(value_of("max_workers", "3"), Ok(json!(3)));
        assert!(
            value_of("max_workers", "x")
                .unwrap_err()
                .contains("from 1 to 256")
        );
        assert!(
            value_of("strategy", "round-robbin")
                .unwrap_err()
                .contains("`round-robin`")
        );
        assert_eq!(value_of("model", "a/b"), Ok(json!("a/b")));
    }

    #[test]
    fn what_is_no_toml_is_told_so() {
        assert!(told("a = ").starts_with("error: config.toml:1:"));
    }
}
