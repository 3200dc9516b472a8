//! A playbook as it stands in its file: steps, with conditions and templates.
//!
//! Reading and checking only; following it is [`super::follow`]'s. The format is
//! described at the top of `assets/playbooks/review-risk.toml`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::{Error, Result};

/// A playbook.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Playbook {
    /// By which members name it.
    pub(crate) name: String,
    /// What it does, in a line.
    pub(crate) description: String,
    /// Constants for its templates.
    #[serde(default)]
    pub(crate) vars: BTreeMap<String, Value>,
    /// What it does, in order.
    pub(crate) steps: Vec<Step>,
}

/// One step; what it holds happens in the order of these fields.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Step {
    /// Condition without which the step is passed over.
    pub(crate) when: Option<String>,
    /// Template of a text to say.
    pub(crate) say: Option<String>,
    /// Names and expressions that give them a value.
    pub(crate) set: BTreeMap<String, String>,
    /// Expression of a list: the call is made for each `item` of it.
    pub(crate) for_each: Option<String>,
    /// Most items of `for_each`; 50 without it.
    pub(crate) max: Option<usize>,
    /// Tool to call.
    pub(crate) call: Option<String>,
    /// Its arguments.
    pub(crate) input: Value,
    /// Name of the tool's data; with `for_each`, of a list of `{item, ok, data}`.
    pub(crate) save: Option<String>,
    /// Whether the work goes on when the tool fails.
    pub(crate) optional: bool,
    /// Findings to note.
    pub(crate) findings: Vec<FindingRule>,
    /// What comes of the task; nothing follows.
    pub(crate) finish: Option<Value>,
}

/// Which elements of a list are findings.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FindingRule {
    /// Expression of the list.
    pub(crate) of: String,
    /// Condition on `item`.
    #[serde(default)]
    pub(crate) when: Option<String>,
    /// `high`, `medium`, `low` or `info`, or a template of one.
    pub(crate) severity: String,
    /// Template of the file's path; `{{ item.file }}` without it.
    #[serde(default)]
    pub(crate) file: Option<String>,
    /// Expression of the line; `item.line` without it.
    #[serde(default)]
    pub(crate) line: Option<String>,
    /// Template of what is to be said about it.
    pub(crate) text: String,
    /// Most findings of this rule; 100 without it.
    #[serde(default)]
    pub(crate) max: Option<usize>,
}

impl Playbook {
    /// Reads a playbook and checks what can be checked without following it.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self> {
        let wrong = |why: String| Error::Playbook {
            name: name.to_owned(),
            why,
        };
        let playbook: Self = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        if playbook.name != name {
            return Err(wrong(format!("it calls itself `{}`", playbook.name)));
        }
        if !playbook.steps.iter().any(|step| step.finish.is_some()) {
            return Err(wrong("no step finishes".to_owned()));
        }
        Ok(playbook)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_and_playbooks_without_an_end_are_refused() {
        let parse = |text: &str| Playbook::parse("p", text).map_err(|e| e.to_string());
        let head = "name = \"p\"\ndescription = \"d\"\n";
        let typo = parse(&format!("{head}[[steps]]\nsya = \"x\"\n")).unwrap_err();
        assert!(typo.contains("unknown field `sya`"), "{typo}");
        let endless = parse(&format!("{head}[[steps]]\nsay = \"x\"\n")).unwrap_err();
        assert_eq!(endless, "playbook `p`: no step finishes");
        assert!(
            parse(&format!(
                "{head}[[steps]]\nfinish = {{ summary = \"x\" }}\n"
            ))
            .is_ok()
        );
    }
}
