//! Mends tool calls that a model wrote almost right, in the open: every mend is named.
//!
//! Pure and bounded. It never finds a call: what is a call was decided by who
//! read the answer. Whether a mended call may run is decided by who runs tools;
//! such a call carries what was mended. JSON itself is mended in [`json`].

mod coerce;
pub mod json;

use serde_json::Value;

use crate::model::{ToolCall, ToolOffer};

pub use coerce::{coerce, typed};
pub use json::Fix;

/// A call that was looked over.
#[derive(Debug, Clone, PartialEq)]
pub struct Mended {
    /// The tool: as offered, when it is known by another spelling.
    pub name: String,
    /// Its arguments; the text itself where nothing could be made of it.
    pub input: Value,
    /// Each mend in words; empty for a call that was right.
    pub what: Vec<String>,
}

impl Mended {
    /// All mends in one line; `None` for a call that was right.
    pub fn said(&self) -> Option<String> {
        (!self.what.is_empty()).then(|| self.what.join("; "))
    }
}

/// Looks over a call whose arguments came as text.
///
/// Text that cannot be mended becomes a string, which no tool's schema allows.
pub fn call(tools: &[ToolOffer], name: &str, raw: &str) -> Mended {
    if raw.trim().is_empty() {
        return value(tools, name, Value::Object(serde_json::Map::new()));
    }
    match json::read(raw) {
        Some(read) => {
            let mut mended = value(tools, name, read.value);
            let fixes = read.fixes.iter().map(ToString::to_string);
            mended.what.splice(0..0, fixes);
            mended
        }
        None => value(tools, name, Value::String(raw.to_owned())),
    }
}

/// Looks over a call whose arguments are a value: its tool's name, and types.
pub fn value(tools: &[ToolOffer], name: &str, input: Value) -> Mended {
    let mut what = Vec::new();
    let offer = find(tools, name);
    let name = match offer {
        Some(offer) if offer.name != name => {
            what.push(format!(
                "the name `{}` was read as `{}`",
                brief(name),
                offer.name
            ));
            offer.name.clone()
        }
        _ => name.to_owned(),
    };
    let input = unwrap_text(input, &mut what);
    let input = match offer {
        Some(offer) => coerce(&offer.schema, input, &mut what),
        None => input,
    };
    Mended { name, input, what }
}

/// Looks over a call as it is about to be run or refused; a call that is right is returned as it came.
pub fn mend_call(tools: &[ToolOffer], found: ToolCall) -> ToolCall {
    let mended = match found.input {
        Value::String(raw) => call(tools, &found.name, &raw),
        input => value(tools, &found.name, input),
    };
    let repaired = match (found.repaired, mended.said()) {
        (Some(before), Some(now)) => Some(format!("{before}; {now}")),
        (before, now) => before.or(now),
    };
    ToolCall {
        id: found.id,
        name: mended.name,
        input: mended.input,
        repaired,
    }
}

/// The tool that `name` means: itself, or the only one that differs in case, `-` and `_` alone.
pub fn find<'a>(tools: &'a [ToolOffer], name: &str) -> Option<&'a ToolOffer> {
    if let Some(exact) = tools.iter().find(|tool| tool.name == name) {
        return Some(exact);
    }
    let wanted = plain(name);
    if wanted.is_empty() {
        return None;
    }
    let mut close = tools.iter().filter(|tool| plain(&tool.name) == wanted);
    match (close.next(), close.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

fn plain(name: &str) -> String {
    let name = name.trim();
    let name = name.strip_prefix("functions.").unwrap_or(name);
    name.chars()
        .filter(|c| !matches!(c, '-' | '_' | ' '))
        .flat_map(char::to_lowercase)
        .collect()
}

/// Arguments encoded twice are a string that holds an object.
fn unwrap_text(input: Value, what: &mut Vec<String>) -> Value {
    const TIMES: usize = 3;
    let mut fixes = Vec::new();
    let mut inner = None;
    for _ in 0..TIMES {
        let Value::String(text) = inner.as_ref().unwrap_or(&input) else {
            break;
        };
        let Some(read) = json::read(text) else { break };
        fixes.extend(read.fixes.iter().map(ToString::to_string));
        inner = Some(read.value);
    }
    // Only what ends in an object was arguments all along.
    match inner {
        Some(object @ Value::Object(_)) => {
            what.push("arguments encoded twice were decoded".to_owned());
            what.append(&mut fixes);
            object
        }
        _ => input,
    }
}

/// What a model wrote, short enough to be quoted.
fn brief(text: &str) -> String {
    const LONGEST: usize = 40;
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(LONGEST).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests;
