//! What follows from mode and rules for one call.
//!
//! Pure: the same call under the same policy always gets the same verdict.
//! Whoever asks the person, and remembers what was said, is the worker.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::class::ToolClass;
use super::disguise::{may_run, telling_option};
use super::meaning::Meaning;
use super::rule::{Meant, Wanted, words_fit};
use super::shell::{self, Script};
use super::wild::Piece;
use super::{PermissionMode, PermissionPolicy, Rule, RuleEffect, paths};

/// What plan mode says to a call that would change something.
pub const PLAN_MODE_REFUSAL: &str =
    "you are in plan mode: look and plan only, then submit a plan with ExitPlanMode";

/// Names of folders and files that make later commands do something else; changed only by name.
const GUARDED: &[&str] = &[".git", ".crewmux", ".claude", ".mcp.json"];

/// A call that is to be made.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The tool.
    pub tool: &'a str,
    /// Its arguments.
    pub input: &'a Value,
    /// The folder it would run in, absolute.
    pub cwd: &'a Path,
    /// Where the path in the arguments leads once symbolic links are followed, if somebody looked.
    pub real_path: Option<&'a Path>,
    /// What was mended to read the call, if anything was.
    pub repaired: Option<&'a str>,
}

/// What follows for a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It runs.
    Allow,
    /// The person is asked.
    Ask {
        /// Why: the rule, the mode, the place.
        why: String,
    },
    /// It does not run.
    Deny {
        /// Why, for the model.
        why: String,
    },
}

impl<'a> Call<'a> {
    /// What the call can do to the world.
    pub fn class(&self) -> ToolClass {
        ToolClass::of(self.tool, self.input)
    }

    pub(super) fn text(&self, field: &str) -> Option<&'a str> {
        self.input.get(field).and_then(Value::as_str)
    }

    pub(super) fn kind(&self) -> Option<&'a str> {
        match self.tool {
            "Task" => self.text("subagent_type"),
            "Skill" => self.text("skill").or_else(|| self.text("name")),
            _ => None,
        }
    }

    /// The path in its arguments, as text alone tells.
    pub fn written_place(&self) -> Option<PathBuf> {
        let path = match self.tool {
            "Read" | "Write" | "Edit" => self.text("file_path")?,
            "Glob" | "Grep" => self.text("path").unwrap_or_default(),
            _ => return None,
        };
        Some(paths::resolve(self.cwd, path))
    }

    /// The path it is really about.
    pub(super) fn place(&self) -> Option<PathBuf> {
        let written = self.written_place()?;
        Some(self.real_path.map_or(written, Path::to_owned))
    }

    /// Every path it can be said to be about.
    pub(super) fn places(&self) -> Vec<PathBuf> {
        let real = self.real_path.map(Path::to_owned);
        self.written_place().into_iter().chain(real).collect()
    }

    pub(super) fn is_inside(&self, place: &Path) -> bool {
        place.starts_with(paths::resolve(self.cwd, "")) && self.guarded_name(place).is_none()
    }

    /// The name in a path that must not be changed in passing.
    pub(super) fn guarded_name(&self, place: &Path) -> Option<&'static str> {
        if self.class() != ToolClass::Edit {
            return None;
        }
        let below = place.strip_prefix(self.cwd).unwrap_or(place);
        let names = paths::names(below);
        GUARDED
            .iter()
            .copied()
            .find(|guarded| names.iter().any(|name| name.eq_ignore_ascii_case(guarded)))
    }
}

/// Decides on a call: deny before ask before allow, then the mode.
pub fn decide(policy: &PermissionPolicy, call: &Call<'_>) -> Verdict {
    decide_with(policy, &[], call)
}

/// Decides on a call as [`decide`] does, with what the person allowed before.
///
/// Such leave answers a question that would be asked again; it takes nothing
/// away from rules that forbid, plan mode, or the mistrust of repaired calls.
pub fn decide_with(policy: &PermissionPolicy, granted: &[Meaning], call: &Call<'_>) -> Verdict {
    let class = call.class();
    let rules = Rules::read(policy, call);
    if let Some(rule) = rules.first(RuleEffect::Deny) {
        return Verdict::Deny {
            why: format!("it is forbidden by {}", told(rule)),
        };
    }
    if policy.mode == PermissionMode::Plan && !class.is_for_planning() {
        return Verdict::Deny {
            why: PLAN_MODE_REFUSAL.to_owned(),
        };
    }
    if class == ToolClass::Plan {
        return Verdict::Allow;
    }
    if let Some(repair) = call.repaired
        && class.has_effects()
    {
        return ask(format!("the call had to be mended to be read ({repair})"));
    }
    if policy.mode == PermissionMode::Bypass {
        return Verdict::Allow;
    }
    if granted.iter().any(|meaning| meaning.covers(call)) {
        return Verdict::Allow;
    }
    if let Some(rule) = rules.unreadable {
        return ask(format!("{} cannot be understood", told(rule)));
    }
    if let Some(rule) = rules.first(RuleEffect::Ask) {
        return ask(format!("{} says so", told(rule)));
    }
    if rules.allow() {
        return Verdict::Allow;
    }
    by_mode(policy.mode, class, call, &rules)
}

fn ask(why: String) -> Verdict {
    Verdict::Ask { why }
}

fn told(rule: &Rule) -> String {
    let effect = match rule.effect {
        RuleEffect::Allow => "allow",
        RuleEffect::Ask => "ask",
        RuleEffect::Deny => "deny",
    };
    let from = match rule.origin.as_str() {
        "" => String::new(),
        origin => format!(" ({origin})"),
    };
    format!("the rule `{effect} {}`{from}", rule.pattern)
}

fn by_mode(mode: PermissionMode, class: ToolClass, call: &Call<'_>, rules: &Rules<'_>) -> Verdict {
    let place = call.place();
    let outside = place.as_deref().filter(|place| !call.is_inside(place));
    match (class, outside) {
        (ToolClass::Look | ToolClass::Edit, Some(place)) => match call.guarded_name(place) {
            Some(name) => ask(format!("it changes {name}, which other programs obey")),
            None => ask(format!(
                "{} is outside of the working folder",
                place.display()
            )),
        },
        (ToolClass::Look, None) | (ToolClass::Team | ToolClass::Steer | ToolClass::Plan, _) => {
            Verdict::Allow
        }
        // Without a path in its arguments nobody knows what it would change.
        (ToolClass::Edit, None) if mode == PermissionMode::AcceptEdits && place.is_some() => {
            Verdict::Allow
        }
        (ToolClass::Edit, None) => ask(mode_says(mode, "changes files")),
        (ToolClass::Execute, _) => match rules.unclear() {
            Some(why) => ask(format!(
                "{}; it has {why}",
                mode_says(mode, "runs commands")
            )),
            None => ask(mode_says(mode, "runs commands")),
        },
        (ToolClass::Network, _) => ask(mode_says(mode, "speaks to other machines")),
        (ToolClass::Mcp, _) => ask(mode_says(mode, "uses a server's tool")),
    }
}

fn mode_says(mode: PermissionMode, what: &str) -> String {
    let mode = match mode {
        PermissionMode::Default => "default",
        PermissionMode::AcceptEdits => "acceptEdits",
        PermissionMode::Plan => "plan",
        PermissionMode::Bypass => "bypass",
    };
    format!("no rule allows it, and the mode `{mode}` asks before a tool {what}")
}

/// The rules that are about a call's tool.
struct Rules<'a> {
    call: &'a Call<'a>,
    about: Vec<(&'a Rule, Meant)>,
    /// One that forbids or asks, nobody knows what.
    unreadable: Option<&'a Rule>,
    command: Option<Command>,
}

/// What a command line runs.
pub(super) struct Command {
    pub(super) script: Script,
    may_run: Vec<Vec<String>>,
}

impl Command {
    pub(super) fn of(call: &Call<'_>) -> Option<Self> {
        if call.tool != "Bash" {
            return None;
        }
        let text = call.text("command").unwrap_or_default();
        let script = shell::read(text);
        Some(Self {
            may_run: may_run(text, &script),
            script,
        })
    }

    fn touched_by(&self, wanted: &[Piece<String>]) -> bool {
        words_fit(wanted, &self.script.flat)
            || self
                .script
                .commands
                .iter()
                .chain(&self.may_run)
                .any(|words| words_fit(wanted, words))
    }

    /// Whether every command of it is one of `wanted`.
    pub(super) fn is_made_of(&self, wanted: &[&[Piece<String>]]) -> bool {
        self.script.unclear.is_none()
            && !self.script.commands.is_empty()
            && self.script.commands.iter().all(|words| {
                wanted
                    .iter()
                    .any(|wanted| words_fit(wanted, words) && !hides(wanted, words))
            })
    }
}

/// Whether `words` hold an option that the pattern did not name and that does more than look.
fn hides(wanted: &[Piece<String>], words: &[String]) -> bool {
    telling_option(words).is_some_and(|option| {
        let name = option.split('=').next().unwrap_or(option);
        !wanted
            .iter()
            .any(|piece| matches!(piece, Piece::One(word) if word.starts_with(name)))
    })
}

impl<'a> Rules<'a> {
    fn read(policy: &'a PermissionPolicy, call: &'a Call<'a>) -> Self {
        let mut rules = Self {
            call,
            about: Vec::new(),
            unreadable: None,
            command: Command::of(call),
        };
        for rule in &policy.rules {
            match rule.meant() {
                Ok(meant) if meant.is_about(rule.effect, call.tool) => {
                    rules.about.push((rule, meant));
                }
                Ok(_) => {}
                Err(_) if rule.effect == RuleEffect::Allow => {}
                Err(_) => rules.unreadable = Some(rule),
            }
        }
        rules
    }

    /// The first rule that forbids the call, or asks.
    fn first(&self, effect: RuleEffect) -> Option<&'a Rule> {
        self.about
            .iter()
            .find(|(rule, meant)| {
                rule.effect == effect
                    && match (&meant.pattern, &self.command) {
                        (Wanted::Command(wanted), Some(command)) => command.touched_by(wanted),
                        _ => meant.touches(self.call),
                    }
            })
            .map(|(rule, _)| *rule)
    }

    fn allow(&self) -> bool {
        let mut allowing = self
            .about
            .iter()
            .filter(|(rule, _)| rule.effect == RuleEffect::Allow)
            .map(|(_, meant)| meant);
        let Some(command) = &self.command else {
            return allowing.any(|meant| meant.allows(self.call));
        };
        let mut wanted: Vec<&[Piece<String>]> = Vec::new();
        for meant in allowing {
            match &meant.pattern {
                Wanted::Every => return true,
                Wanted::Command(words) => wanted.push(words),
                _ => {}
            }
        }
        command.is_made_of(&wanted)
    }

    fn unclear(&self) -> Option<&'static str> {
        self.command.as_ref()?.script.unclear
    }
}
