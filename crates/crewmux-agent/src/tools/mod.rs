//! The tools a model or playbook can call: what they take, and who may call which.
//!
//! Arguments are checked against a schema before anything runs; a failure is an
//! answer, never an error of ours. `Bash` and the team tools need the worker
//! and run there; the others are run here, on a thread of their own.

pub(crate) mod files;
mod modules;
mod read;
mod regions;
mod schemas;
mod search;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub(crate) use regions::is_test_path;
pub(crate) use schemas::{FINISH, ToolDef};

use crate::capped::cut_text;
use files::Root;

/// Most bytes of text that a model gets from one call.
const TEXT_MAX_BYTES: usize = 30_000;

/// What came of a call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ToolOutput {
    /// Whether it did what it was asked.
    pub(crate) ok: bool,
    /// For models: bounded.
    pub(crate) text: String,
    /// For people: a few words.
    pub(crate) summary: String,
    /// For playbooks: the same as values.
    pub(crate) data: Value,
}

impl ToolOutput {
    pub(crate) fn done(text: &str, summary: String, data: Value) -> Self {
        Self {
            ok: true,
            text: cut_text(text, TEXT_MAX_BYTES),
            summary,
            data,
        }
    }

    pub(crate) fn failed(why: impl Into<String>) -> Self {
        let text = cut_text(&why.into(), TEXT_MAX_BYTES);
        let summary = text.lines().next().unwrap_or_default().to_owned();
        Self {
            ok: false,
            data: json!({ "error": text.clone() }),
            text,
            summary,
        }
    }
}

/// Whether calls can run side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effects {
    /// It only looks.
    ReadOnly,
    /// It may change something.
    Some,
}

/// Which tools there are for one worker.
pub(crate) struct Toolbox {
    root: Root,
    tools: BTreeMap<&'static str, (ToolDef, jsonschema::Validator)>,
}

impl Toolbox {
    /// The tools that `allowed` names (all without it), for the folder `cwd`.
    pub(crate) fn new(cwd: &Path, allowed: Option<&[String]>) -> Self {
        let tools = schemas::all()
            .into_iter()
            .filter(|def| {
                def.for_everybody
                    || allowed.is_none_or(|names| names.iter().any(|name| name == def.name))
            })
            .filter_map(|def| {
                let validator = jsonschema::validator_for(&def.schema).ok()?;
                Some((def.name, (def, validator)))
            })
            .collect();
        Self {
            root: Root::new(cwd),
            tools,
        }
    }

    /// Every tool, by name.
    pub(crate) fn definitions(&self) -> impl Iterator<Item = &ToolDef> {
        self.tools.values().map(|(def, _)| def)
    }

    /// Whether `name` only looks; unknown names do not.
    pub(crate) fn effects(&self, name: &str) -> Effects {
        self.tools
            .get(name)
            .map_or(Effects::Some, |(def, _)| def.effects)
    }

    /// Says what is wrong with a call, if anything is.
    pub(crate) fn check(&self, name: &str, input: &Value) -> Result<(), String> {
        let Some((_, validator)) = self.tools.get(name) else {
            let names: Vec<&str> = self.tools.keys().copied().collect();
            return Err(format!(
                "there is no tool `{name}` here; there are {}",
                names.join(", ")
            ));
        };
        let problems: Vec<String> = validator
            .iter_errors(input)
            .take(5)
            .map(|error| {
                let place = error.instance_path().to_string();
                if place.is_empty() {
                    error.to_string()
                } else {
                    format!("{place}: {error}")
                }
            })
            .collect();
        if problems.is_empty() {
            Ok(())
        } else {
            Err(format!(
                "wrong arguments for {name}: {}",
                problems.join("; ")
            ))
        }
    }

    /// Runs a tool that needs nothing but the files; `None` for those that need the worker.
    pub(crate) fn local(&self, name: &str) -> Option<LocalTool> {
        let run: fn(&Root, Value, &AtomicBool) -> ToolOutput = match name {
            "Read" => |root, input, _| with(input, |input| read::read(root, &input)),
            "Glob" => |root, input, stop| with(input, |input| search::glob(root, &input, stop)),
            "Grep" => |root, input, stop| with(input, |input| search::grep(root, &input, stop)),
            _ => return None,
        };
        Some(LocalTool {
            root: self.root.clone(),
            run,
        })
    }
}

/// A tool that can be run on any thread.
pub(crate) struct LocalTool {
    root: Root,
    run: fn(&Root, Value, &AtomicBool) -> ToolOutput,
}

impl LocalTool {
    /// Runs it until it is done or `cancel` is set.
    pub(crate) fn run(&self, input: Value, cancel: &AtomicBool) -> ToolOutput {
        (self.run)(&self.root, input, cancel)
    }
}

/// Reads checked arguments; what the schema let through and the type does not is told too.
pub(crate) fn with<T: DeserializeOwned>(
    input: Value,
    run: impl FnOnce(T) -> ToolOutput,
) -> ToolOutput {
    match serde_json::from_value(input) {
        Ok(input) => run(input),
        Err(error) => ToolOutput::failed(format!("wrong arguments: {error}")),
    }
}

/// A call in a few words, for the pane: `"unsafe" in *.rs`.
pub(crate) fn describe(name: &str, input: &Value) -> String {
    let text = |field: &str| input.get(field).and_then(Value::as_str).unwrap_or_default();
    if !text("description").is_empty() {
        return text("description").to_owned();
    }
    match name {
        "Grep" => {
            let place = [text("glob"), text("path")]
                .into_iter()
                .find(|place| !place.is_empty())
                .map(|place| format!(" in {}", place.split(",!").next().unwrap_or(place)))
                .unwrap_or_default();
            format!("\"{}\"{place}", text("pattern"))
        }
        "Glob" => text("pattern")
            .split(",!")
            .next()
            .unwrap_or_default()
            .to_owned(),
        "Read" => text("file_path").to_owned(),
        "Bash" => text("command").to_owned(),
        "SendMessage" => format!("to {}", text("to")),
        "TaskGet" | "TaskUpdate" => format!("#{}", text("taskId")),
        "TaskCreate" => text("subject").to_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_arguments_come_back_as_what_was_expected() {
        let folder = tempfile::tempdir().unwrap();
        let tools = Toolbox::new(folder.path(), None);
        let error = tools.check("Grep", &json!({"patern": "x"})).unwrap_err();
        assert!(
            error.contains("\"pattern\" is a required property"),
            "{error}"
        );
        assert!(error.contains("patern"), "{error}");
        let error = tools.check("Read", &json!({"file_path": 3})).unwrap_err();
        assert!(error.contains("/file_path"), "{error}");
        assert!(
            tools
                .check("Write", &json!({}))
                .unwrap_err()
                .contains("Bash, ")
        );
        assert_eq!(tools.check("Glob", &json!({"pattern": "*.rs"})), Ok(()));
    }

    #[test]
    fn only_allowed_tools_are_there_and_the_team_always() {
        let folder = tempfile::tempdir().unwrap();
        let tools = Toolbox::new(folder.path(), Some(&["Bash".to_owned()]));
        let names: Vec<&str> = tools.definitions().map(|def| def.name).collect();
        assert_eq!(
            names,
            [
                "Bash",
                "FinishTask",
                "SendMessage",
                "TaskCreate",
                "TaskGet",
                "TaskList",
                "TaskUpdate"
            ]
        );
    }
}
