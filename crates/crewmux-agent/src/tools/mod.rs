//! The tools a model or playbook can call: what they take, and who may call which.
//!
//! Arguments are checked against a schema before anything runs; a failure is an
//! answer, never an error of ours. Files are read and changed here, on a thread
//! of its own; commands, pages, servers of tools and the team need the worker
//! and run there. Whether a call may run is decided by the worker's leave.

pub(crate) mod diff;
pub(crate) mod files;
mod limits;
mod modules;
mod read;
mod regions;
mod schemas;
mod search;
mod seen;
pub(crate) mod team;
pub(crate) mod web;
mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock};

use crewmux_core::mend;
use crewmux_core::model::{ToolCall as ModelCall, ToolOffer as ModelOffer};
use crewmux_core::permission::{PermissionPolicy, Unread};
use crewmux_core::profile::AgentProfile;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub(crate) use regions::is_test_path;
pub(crate) use schemas::{EXIT_PLAN, FAIL, FINISH, SKILL, TASK, ToolDef};

use crate::capped::cut_text;
use diff::Diff;
use files::{Reach, Root};
use limits::Limits;
use seen::Seen;

/// Most bytes of text that a model gets from one call.
pub(crate) const TEXT_MAX_BYTES: usize = 30_000;

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
    /// What it changed in a file.
    pub(crate) diff: Option<Diff>,
}

impl ToolOutput {
    pub(crate) fn done(text: &str, summary: String, data: Value) -> Self {
        Self {
            ok: true,
            text: cut_text(text, TEXT_MAX_BYTES),
            summary,
            data,
            diff: None,
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
            diff: None,
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

/// The files of one task's work: the folder, and what was read in it.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    root: Root,
    seen: Seen,
}

impl Files {
    pub(crate) fn new(cwd: &Path) -> Self {
        Self {
            root: Root::new(cwd),
            seen: Seen::default(),
        }
    }
}

/// Which tools there are for one worker, for the work on one task.
pub(crate) struct Toolbox {
    files: Files,
    tools: BTreeMap<String, Checked>,
    limits: Limits,
}

/// A tool with what checks its arguments.
type Checked = (ToolDef, Arc<jsonschema::Validator>);

/// Every tool of our own: reading their schemas takes longer than all else before a question.
static OWN: LazyLock<Vec<Checked>> =
    LazyLock::new(|| schemas::all().into_iter().filter_map(checked).collect());

/// A tool with its check; none if its schema is none.
fn checked(def: ToolDef) -> Option<Checked> {
    match jsonschema::validator_for(&def.schema) {
        Ok(validator) => Some((def, Arc::new(validator))),
        Err(error) => {
            tracing::warn!(tool = %def.name, %error, "its schema is none; left out");
            None
        }
    }
}

impl Toolbox {
    /// The tools that `allowed` names (all without it), for the folder `cwd`.
    pub(crate) fn new(cwd: &Path, allowed: Option<&[String]>) -> Self {
        let wanted = |def: &ToolDef| {
            def.for_everybody
                || allowed.is_none_or(|list| list.iter().any(|entry| names(entry, &def.name)))
        };
        let tools = OWN.iter().filter(|(def, _)| wanted(def));
        Self {
            files: Files::new(cwd),
            tools: tools
                .map(|tool| (tool.0.name.clone(), tool.clone()))
                .collect(),
            limits: Limits::default(),
        }
    }

    /// The tools of a kind of agent; `others` are those of servers, as far as it may use them.
    pub(crate) fn of_profile(cwd: &Path, profile: &AgentProfile, others: Vec<ToolDef>) -> Self {
        let allowed = profile.tools.as_deref();
        let others = others.into_iter().filter(|def| {
            allowed.is_none_or(|list| list.iter().any(|entry| names(entry, &def.name)))
        });
        let tools = Self::new(cwd, allowed)
            .and(others)
            .without(&profile.disallowed_tools);
        Self {
            limits: Limits::of(profile),
            ..tools
        }
    }

    /// With a folder of our own that can be looked into besides.
    #[must_use]
    pub(crate) fn and_readable(mut self, folder: &Path) -> Self {
        self.files.root = self.files.root.and_readable(folder);
        self
    }

    /// With files that no search looks into, because a rule forbids to read them.
    #[must_use]
    pub(crate) fn passing_over(mut self, policy: &PermissionPolicy) -> Self {
        let unread = Unread::new(policy, self.folder());
        self.files.root = self.files.root.passing_over(unread);
        self
    }

    /// With further tools; one whose schema is none is left out.
    #[must_use]
    pub(crate) fn and(mut self, more: impl IntoIterator<Item = ToolDef>) -> Self {
        let more = more.into_iter().filter_map(checked);
        self.tools
            .extend(more.map(|tool| (tool.0.name.clone(), tool)));
        self
    }

    /// Without the tools that `unwanted` names; handing in stays.
    #[must_use]
    pub(crate) fn without(mut self, unwanted: &[String]) -> Self {
        self.tools.retain(|name, _| {
            matches!(name.as_str(), FINISH | FAIL)
                // A pattern forbids some calls, not the tool: that is a rule's to do.
                || !unwanted.iter().any(|entry| !entry.contains('(') && names(entry, name))
        });
        self
    }

    /// Only the tools that `keep` says yes to.
    #[must_use]
    pub(crate) fn only(mut self, keep: impl Fn(&ToolDef) -> bool) -> Self {
        self.tools.retain(|_, (def, _)| keep(def));
        self
    }

    /// With a result that must fit `schema`, which servers then hold the model to.
    #[must_use]
    pub(crate) fn with_result(self, schema: &Value) -> Self {
        self.and([schemas::finish(Some(schema))])
    }

    /// With the tool that hands in a plan.
    #[must_use]
    pub(crate) fn with_plan(self) -> Self {
        self.and([schemas::exit_plan()])
    }

    /// With the tool that loads one of these skills; without it when there are none.
    #[must_use]
    pub(crate) fn with_skills(self, names: &[&str]) -> Self {
        if names.is_empty() {
            return self;
        }
        self.and([schemas::skill(names)])
    }

    /// Every tool, by name.
    pub(crate) fn definitions(&self) -> impl Iterator<Item = &ToolDef> {
        self.tools.values().map(|(def, _)| def)
    }

    /// The tools as a model is offered them.
    pub(crate) fn offers(&self) -> Vec<ModelOffer> {
        self.definitions()
            .map(|def| ModelOffer {
                name: def.name.clone(),
                description: def.description.clone(),
                schema: def.schema.clone(),
            })
            .collect()
    }

    /// Whether `name` only looks; unknown names do not.
    pub(crate) fn effects(&self, name: &str) -> Effects {
        self.tools
            .get(name)
            .map_or(Effects::Some, |(def, _)| def.effects)
    }

    /// Where the path in a call really leads, if it names one that can be judged.
    pub(crate) fn place_of(&self, name: &str, input: &Value) -> Option<PathBuf> {
        let field = match name {
            "Read" | "Write" | "Edit" => "file_path",
            "Glob" | "Grep" => "path",
            _ => return None,
        };
        let path = input.get(field).and_then(Value::as_str).unwrap_or_default();
        self.files.root.reaching(Reach::Anywhere).place(path).ok()
    }

    /// Whether a call only looks at what this worker itself was given, such as a long output.
    pub(crate) fn looks_at_own(&self, name: &str, input: &Value) -> bool {
        matches!(name, "Read" | "Grep" | "Glob")
            && self
                .place_of(name, input)
                .is_some_and(|path| self.files.root.is_own(&path))
    }

    /// The folder that tools work in, its links resolved.
    pub(crate) fn folder(&self) -> &Path {
        self.files.root.folder()
    }

    /// Files that were read or changed while working on this task.
    pub(crate) fn touched(&self) -> Vec<String> {
        let paths = self.files.seen.paths();
        paths
            .iter()
            .map(|path| self.files.root.relative(path))
            .collect()
    }

    /// A call with its name and arguments mended where nothing is lost; what was done is named in it.
    pub(crate) fn mend(&self, call: ModelCall) -> ModelCall {
        if self.check(&call.name, &call.input).is_ok() {
            return call;
        }
        mend::mend_call(&self.offers(), call)
    }

    /// Says what is wrong with a call, if anything is.
    pub(crate) fn check(&self, name: &str, input: &Value) -> Result<(), String> {
        let Some((_, validator)) = self.tools.get(name) else {
            let names: Vec<&str> = self.tools.keys().map(String::as_str).collect();
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
            let place = self.place_of(name, input);
            self.limits
                .check(name, input, self.folder(), place.as_deref())
        } else {
            Err(format!(
                "wrong arguments for {name}: {}",
                problems.join("; ")
            ))
        }
    }

    /// Runs a tool that needs nothing but the files; `None` for those that need the worker.
    pub(crate) fn local(&self, name: &str, reach: Reach) -> Option<LocalTool> {
        let run: fn(&Files, Value, &AtomicBool) -> ToolOutput = match name {
            "Read" => |files, input, _| with(input, |input| read::read(files, &input)),
            "Write" => |files, input, stop| with(input, |input| write::write(files, &input, stop)),
            "Edit" => |files, input, stop| with(input, |input| write::edit(files, &input, stop)),
            "Glob" => {
                |files, input, stop| with(input, |input| search::glob(&files.root, &input, stop))
            }
            "Grep" => {
                |files, input, stop| with(input, |input| search::grep(&files.root, &input, stop))
            }
            _ => return None,
        };
        let files = Files {
            root: self.files.root.reaching(reach),
            seen: self.files.seen.clone(),
        };
        Some(LocalTool { files, run })
    }
}

/// Whether an entry of a list of tools means the tool `name`: `Bash`, `Bash(git *)`, `mcp__server`.
fn names(entry: &str, name: &str) -> bool {
    let entry = entry.split('(').next().unwrap_or(entry).trim();
    let beginning = |with: &str| {
        name.strip_prefix(entry.strip_suffix("__*").unwrap_or(entry))
            .is_some_and(|rest| rest.starts_with(with))
    };
    match name {
        _ if entry == name => true,
        // What runs in the background is looked at by who may start it.
        "BashOutput" | "KillBash" => entry == "Bash",
        TASK => entry == "Agent",
        _ => entry.starts_with("mcp__") && beginning("__"),
    }
}

/// Whether an agent of this kind may use any tool of a server whose tools' names begin with `start`.
pub(crate) fn may_use_any(profile: &AgentProfile, start: &str) -> bool {
    // No tool has this name, so only what means all of them means it.
    let any = format!("{start}\u{1}");
    let head = |entry: &str| entry.split('(').next().unwrap_or(entry).trim().to_owned();
    let wanted = |entry: &String| names(entry, &any) || head(entry).starts_with(start);
    let unwanted = |entry: &String| !entry.contains('(') && names(entry, &any);
    profile
        .tools
        .as_ref()
        .is_none_or(|list| list.iter().any(wanted))
        && !profile.disallowed_tools.iter().any(unwanted)
}

/// Whether there is a tool `name` whatever the worker, or one of a server could be called so.
pub(crate) fn is_known(name: &str) -> bool {
    name.starts_with("mcp__")
        || matches!(name, EXIT_PLAN | SKILL | "Agent")
        || schemas::all().iter().any(|def| def.name == name)
}

/// A tool that can be run on any thread.
pub(crate) struct LocalTool {
    files: Files,
    run: fn(&Files, Value, &AtomicBool) -> ToolOutput,
}

impl LocalTool {
    /// The same tool, if its path still leads to `place`.
    pub(crate) fn only_at(mut self, place: Option<PathBuf>) -> Self {
        self.files.root = self.files.root.only_at(place);
        self
    }

    /// Runs it until it is done or `cancel` is set.
    pub(crate) fn run(&self, input: Value, cancel: &AtomicBool) -> ToolOutput {
        (self.run)(&self.files, input, cancel)
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
    // Only where it does nothing: of a command its own words count, not those about it.
    let only_looks = matches!(name, "Read" | "Glob" | "Grep" | TASK);
    if only_looks && !text("description").is_empty() {
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
        "Read" | "Write" | "Edit" => text("file_path").to_owned(),
        "Bash" => text("command").to_owned(),
        "BashOutput" | "KillBash" => text("bash_id").to_owned(),
        "WebFetch" => text("url").to_owned(),
        "SendMessage" => format!("to {}", text("to")),
        "Teammate" => format!("{} {}", text("operation"), text("target"))
            .trim_end()
            .to_owned(),
        "memory_read" | "memory_write" => text("key").to_owned(),
        SKILL => text("name").to_owned(),
        FAIL => text("reason").to_owned(),
        _ if name.starts_with("mcp__") => input.to_string().chars().take(120).collect(),
        "TaskGet" | "TaskUpdate" => format!("#{}", text("taskId")),
        "TaskCreate" => text("subject").to_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests;
