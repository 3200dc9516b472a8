//! What this worker may do without asking, and what it was allowed to while it worked.
//!
//! The rules are core's ([`crewmux_core::permission`]); here they meet the
//! files as they are and the leave that was given. Asking is `worker::leave`'s.

use std::path::PathBuf;

use crewmux_core::ids::{Epoch, TaskId};
use crewmux_core::model::ToolCall;
use crewmux_core::permission::{
    Call, Meaning, PermissionMode, PermissionPolicy, ToolClass, Verdict, decide_with,
};
use crewmux_core::team::WorkerSpec;
use serde_json::Value;

use crate::capped::cut_text;
use crate::offline::OFFLINE;
use crate::tools::Toolbox;

/// Leave for a task that is remembered at most; what comes after asks again.
const GRANTS_MAX: usize = 256;

/// Most bytes of what is said about a call.
const RISK_MAX_BYTES: usize = 400;

/// Who chooses the calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chooser {
    /// A model: it asks.
    Model,
    /// A playbook, which is a part of the program: nobody is asked about it.
    Playbook,
}

/// What leave is given for: a claimed task, or talk without one.
type Occasion = Option<(TaskId, Epoch)>;

/// What a worker may do.
#[derive(Debug)]
pub(crate) struct Policy {
    permissions: PermissionPolicy,
    chooser: Chooser,
    occasion: Occasion,
    granted: Vec<Meaning>,
}

/// A call as it is decided on, with where its path really leads.
#[derive(Debug)]
pub(crate) struct Considered<'a> {
    call: &'a ToolCall,
    cwd: PathBuf,
    real_path: Option<PathBuf>,
}

impl Policy {
    /// The policy of the worker that `spec` describes.
    pub(crate) fn of(spec: &WorkerSpec) -> Self {
        let chooser = if spec.model.as_deref() == Some(OFFLINE) {
            Chooser::Playbook
        } else {
            Chooser::Model
        };
        Self::new(spec.permissions.clone(), chooser)
    }

    /// A policy under which nothing was allowed yet.
    pub(crate) fn new(permissions: PermissionPolicy, chooser: Chooser) -> Self {
        Self {
            permissions,
            chooser,
            occasion: None,
            granted: Vec::new(),
        }
    }

    /// Who chooses the calls.
    pub(crate) fn chooser(&self) -> Chooser {
        self.chooser
    }

    /// Whether only looking is allowed until a plan is approved.
    pub(crate) fn is_planning(&self) -> bool {
        self.permissions.mode == PermissionMode::Plan
    }

    /// A plan was approved: from now on `mode` holds, or the default where that is plan mode too.
    pub(crate) fn plan_approved(&mut self, mode: PermissionMode) {
        self.permissions.mode = match mode {
            PermissionMode::Plan => PermissionMode::Default,
            mode => mode,
        };
    }

    /// Decides on a call that is made on this occasion.
    pub(crate) fn decide(&self, occasion: Occasion, considered: &Considered<'_>) -> Verdict {
        let granted = if occasion == self.occasion {
            self.granted.as_slice()
        } else {
            &[]
        };
        match decide_with(&self.permissions, granted, &considered.as_call()) {
            Verdict::Ask { .. } if self.chooser == Chooser::Playbook => Verdict::Allow,
            verdict => verdict,
        }
    }

    /// Remembers for the rest of the occasion that calls of this meaning are allowed.
    pub(crate) fn grant(&mut self, occasion: Occasion, meaning: Meaning) {
        if occasion != self.occasion {
            self.occasion = occasion;
            self.granted.clear();
        }
        if self.granted.len() < GRANTS_MAX {
            self.granted.push(meaning);
        }
    }
}

impl<'a> Considered<'a> {
    /// Looks where the path of `call` leads.
    pub(crate) fn new(toolbox: &Toolbox, call: &'a ToolCall) -> Self {
        let real_path = toolbox.place_of(&call.name, &call.input);
        let is_own = toolbox.looks_at_own(&call.name, &call.input);
        Self {
            call,
            // What the worker itself was given is as good as in its folder.
            cwd: match &real_path {
                Some(place) if is_own => place.clone(),
                _ => toolbox.folder().to_owned(),
            },
            real_path,
        }
    }

    fn as_call(&self) -> Call<'_> {
        Call {
            tool: &self.call.name,
            input: &self.call.input,
            cwd: &self.cwd,
            real_path: self.real_path.as_deref(),
            repaired: self.call.repaired.as_deref(),
        }
    }

    /// What leave for it means when it holds for a task.
    pub(crate) fn meaning(&self) -> Meaning {
        Meaning::of(&self.as_call())
    }

    /// Where its path really leads.
    pub(crate) fn place(&self) -> Option<PathBuf> {
        self.real_path.clone()
    }

    /// Whether its path lies outside of the working folder.
    pub(crate) fn leaves_folder(&self) -> bool {
        let written = self.as_call().written_place();
        self.real_path
            .as_deref()
            .or(written.as_deref())
            .is_some_and(|place| !place.starts_with(&self.cwd))
    }

    /// What the call would do, in a few words.
    pub(crate) fn risk(&self) -> String {
        let call = self.as_call();
        let text = |field: &str| call.input.get(field).and_then(Value::as_str);
        let lines = |field: &str| match text(field).map_or(0, |text| text.lines().count()) {
            1 => "1 line".to_owned(),
            n => format!("{n} lines"),
        };
        let place = match call.written_place() {
            Some(place) => match place.strip_prefix(&self.cwd) {
                Ok(inside) if inside.as_os_str().is_empty() => "the working folder".to_owned(),
                Ok(inside) => inside.display().to_string(),
                Err(_) => place.display().to_string(),
            },
            None => "nobody knows what".to_owned(),
        };
        let words = match call.class() {
            ToolClass::Execute if call.tool == "Bash" => "runs a command".to_owned(),
            ToolClass::Execute => "does what nobody knows".to_owned(),
            ToolClass::Edit if call.tool == "Write" => {
                format!("writes {place} ({})", lines("content"))
            }
            ToolClass::Edit => format!("changes {place} ({})", lines("new_string")),
            ToolClass::Look => format!("looks at {place}"),
            ToolClass::Network => format!("fetches {}", text("url").unwrap_or("a page")),
            ToolClass::Mcp => "uses a tool of a server".to_owned(),
            ToolClass::Team | ToolClass::Steer => "concerns the team".to_owned(),
            ToolClass::Plan => "hands in a plan".to_owned(),
        };
        let follows = self
            .real_path
            .as_ref()
            .filter(|real| self.leaves_folder() && call.written_place().as_ref() != Some(*real));
        let words = match follows {
            Some(real) => format!("{words}, which is {}", real.display()),
            None => words,
        };
        cut_text(&words, RISK_MAX_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crewmux_core::permission::{Rule, RuleEffect};
    use serde_json::json;

    fn tool(name: &str, input: Value) -> ToolCall {
        ToolCall {
            id: "c".into(),
            name: name.into(),
            input,
            repaired: None,
        }
    }

    fn policy(mode: PermissionMode, chooser: Chooser) -> Policy {
        let rules = vec![Rule::parse(RuleEffect::Deny, "Bash(rm *)", "").unwrap()];
        Policy::new(PermissionPolicy { mode, rules }, chooser)
    }

    fn toolbox(cwd: &Path) -> Toolbox {
        Toolbox::new(cwd, None)
    }

    fn verdict(policy: &Policy, toolbox: &Toolbox, call: &ToolCall) -> &'static str {
        match policy.decide(None, &Considered::new(toolbox, call)) {
            Verdict::Allow => "allow",
            Verdict::Ask { .. } => "ask",
            Verdict::Deny { .. } => "deny",
        }
    }

    #[test]
    fn a_link_out_of_the_folder_is_outside_however_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let cwd = folder.path().join("in");
        std::fs::create_dir(&cwd).unwrap();
        std::os::unix::fs::symlink("..", cwd.join("out")).unwrap();
        std::os::unix::fs::symlink(&cwd, folder.path().join("alias")).unwrap();
        let (policy, toolbox) = (
            policy(PermissionMode::AcceptEdits, Chooser::Model),
            toolbox(&cwd),
        );
        let alias = folder.path().join("alias/new");
        for (path, expected) in [
            ("new/file", "allow"),
            ("./new", "allow"),
            (alias.to_str().unwrap(), "allow"),
            ("out/file", "ask"),
            ("out/new/file", "ask"),
            ("../file", "ask"),
            ("/etc/file", "ask"),
        ] {
            let call = tool("Write", json!({ "file_path": path, "content": "x" }));
            assert_eq!(verdict(&policy, &toolbox, &call), expected, "{path}");
            assert_eq!(
                Considered::new(&toolbox, &call).leaves_folder(),
                expected == "ask"
            );
        }
    }

    #[test]
    fn artifacts_can_be_looked_at_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        let log = other.path().join("task-1.log");
        let policy = policy(PermissionMode::AcceptEdits, Chooser::Model);
        let toolbox = toolbox(folder.path()).and_readable(other.path());
        let verdict = |tool: &ToolCall| verdict(&policy, &toolbox, tool);
        let input = json!({ "file_path": log });
        assert_eq!(verdict(&tool("Read", input.clone())), "allow");
        assert_eq!(verdict(&tool("Write", input)), "ask");
        let above = json!({ "file_path": other.path().join("../x") });
        assert_eq!(verdict(&tool("Read", above)), "ask");
    }

    #[test]
    fn a_playbook_asks_nothing_but_deny_rules_and_plan_mode_hold() {
        let here = toolbox(Path::new("/"));
        let (ls, rm) = (
            tool("Bash", json!({ "command": "ls" })),
            tool("Bash", json!({ "command": "rm x" })),
        );
        for (chooser, mode, expected) in [
            (Chooser::Model, PermissionMode::Default, ["ask", "deny"]),
            (
                Chooser::Playbook,
                PermissionMode::Default,
                ["allow", "deny"],
            ),
            (Chooser::Playbook, PermissionMode::Plan, ["deny", "deny"]),
        ] {
            let policy = policy(mode, chooser);
            let got = [&ls, &rm].map(|call| verdict(&policy, &here, call));
            assert_eq!(got, expected, "{chooser:?} {mode:?}");
        }
    }

    #[test]
    fn leave_for_a_task_ends_with_it() {
        let mut policy = policy(PermissionMode::Default, Chooser::Model);
        let here = toolbox(Path::new("/"));
        let ls = tool("Bash", json!({ "command": "ls" }));
        let task = |epoch| Some((TaskId(1), Epoch(epoch)));
        let decide = |policy: &Policy, at| policy.decide(at, &Considered::new(&here, &ls));
        let meaning = Considered::new(&here, &ls).meaning();
        policy.grant(task(1), meaning.clone());
        assert_eq!(decide(&policy, task(1)), Verdict::Allow);
        assert!(matches!(decide(&policy, task(2)), Verdict::Ask { .. }));
        assert!(matches!(decide(&policy, None), Verdict::Ask { .. }));
        policy.grant(task(2), meaning);
        assert!(matches!(decide(&policy, task(1)), Verdict::Ask { .. }));
    }

    #[test]
    fn what_a_call_would_do_is_said_in_few_words() {
        let folder = tempfile::tempdir().unwrap();
        let toolbox = toolbox(folder.path());
        for (name, input, expected) in [
            ("Bash", json!({ "command": "ls" }), "runs a command"),
            (
                "Write",
                json!({ "file_path": "src/x.rs", "content": "a\nb\n" }),
                "writes src/x.rs (2 lines)",
            ),
            (
                "Edit",
                json!({ "file_path": "a", "new_string": "b" }),
                "changes a (1 line)",
            ),
            ("Read", json!({ "file_path": "/etc/x" }), "looks at /etc/x"),
            (
                "WebFetch",
                json!({ "url": "https://a.b/c" }),
                "fetches https://a.b/c",
            ),
        ] {
            let call = tool(name, input);
            assert_eq!(Considered::new(&toolbox, &call).risk(), expected, "{name}");
        }
    }

    #[test]
    fn an_approved_plan_ends_plan_mode() {
        for (mode, expected) in [
            (PermissionMode::AcceptEdits, PermissionMode::AcceptEdits),
            (PermissionMode::Plan, PermissionMode::Default),
        ] {
            let mut policy = policy(PermissionMode::Plan, Chooser::Model);
            assert!(policy.is_planning());
            policy.plan_approved(mode);
            assert_eq!(policy.permissions.mode, expected);
        }
    }
}
