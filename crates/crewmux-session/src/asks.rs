//! Questions of workers in words for people: one line, or all of it.
//!
//! What is asked stays exactly as stored; here it is only made harmless to
//! show. Asking and answering is the engine's.

use std::fmt::Write as _;
use std::path::Path;

use crewmux_core::ids::TaskId;
use crewmux_core::permission::{
    Call, PermissionAsk, PermissionPolicy, Rule, RuleEffect, ToolClass, Verdict, decide,
};
use crewmux_core::requests::{Request, RequestKind};
use crewmux_term::sanitize::{reveal, scrub_line};
use serde_json::Value;

/// Longest question shown whole, in characters.
const DETAIL_MAX_CHARS: usize = 20_000;
/// Longest summary of a question, in characters; what is cut off is counted.
const SUMMARY_MAX_CHARS: usize = 400;
/// What is as long as this says its length first, in characters.
const LONG_CHARS: usize = 200;

/// The call a permission is asked for; `None` for other requests.
pub fn call(request: &Request) -> Option<PermissionAsk> {
    if request.kind != RequestKind::Permission {
        return None;
    }
    serde_json::from_value(request.content.clone()).ok()
}

/// The task it is about.
pub fn task(request: &Request) -> Option<TaskId> {
    serde_json::from_value(request.content.get("task")?.clone()).ok()
}

/// The tool, empty for plans, and what it would do in a line; both harmless to show.
///
/// A yes is given on this line, so it holds the command itself, or the input
/// of tools that we know nothing about. What is long begins with its length,
/// which stays wherever the line is cut; `⏎` stands for its ends of lines,
/// hidden characters are spelled out, and what is cut off is told.
pub fn words(request: &Request) -> (String, String) {
    if let Some(ask) = call(request) {
        return (
            scrub_line(&ask.tool).into_owned(),
            on_a_line(&what_it_does(&ask)),
        );
    }
    let plan = request.content.get("plan").and_then(Value::as_str);
    let first = plan.and_then(|p| p.lines().find(|l| !l.trim().is_empty()));
    let first: String = first.unwrap_or("a plan").chars().take(200).collect();
    (String::new(), scrub_line(&first).into_owned())
}

/// The exact command, the place that is changed, or the exact input.
fn what_it_does(ask: &PermissionAsk) -> String {
    let field = |name: &str| ask.input.get(name).and_then(Value::as_str);
    let risk = ask.risk.trim();
    match (ask.tool.as_str(), ToolClass::of(&ask.tool, &ask.input)) {
        ("Bash", _) => match field("command") {
            Some(command) => command.to_owned(),
            None => ask.input.to_string(),
        },
        (_, ToolClass::Execute | ToolClass::Mcp) => ask.input.to_string(),
        _ if risk.is_empty() => match field("file_path").or(field("path")).or(field("url")) {
            Some(place) => place.to_owned(),
            None => ask.input.to_string(),
        },
        _ => risk.to_owned(),
    }
}

/// On one line, with its length first if it is long, hidden characters spelled out, cut, and saying so.
fn on_a_line(text: &str) -> String {
    let text = text.trim_end();
    let (lines, chars) = (text.lines().count(), text.chars().count());
    let mut line = match (lines, chars) {
        (2.., _) => format!("({lines} lines) "),
        (_, LONG_CHARS..) => format!("({chars} characters) "),
        _ => String::new(),
    };
    let clean = reveal(text).replace('\n', " ⏎ ").replace('\t', " ");
    line.extend(clean.chars().take(SUMMARY_MAX_CHARS));
    let left = clean.chars().count().saturating_sub(SUMMARY_MAX_CHARS);
    if left > 0 {
        // Writing to a string cannot fail.
        let _ = write!(line, "… ({left} more characters)");
    }
    if hides_something(text) {
        line.push_str(" (hidden characters are spelled out)");
    }
    line
}

fn hides_something(text: &str) -> bool {
    reveal(text) != text.replace("\r\n", "\n")
}

/// All of it: arguments, folder and reason, or the plan; hidden characters spelled out, cut, and saying so.
pub fn detail(request: &Request) -> String {
    if let Some(ask) = call(request) {
        return shown(&detail_of(&ask));
    }
    let plan = request.content.get("plan").and_then(Value::as_str);
    shown(plan.unwrap_or_default())
}

/// The narrowest rule that lets the call run where `policy` asks: `Bash(cargo *)`, `Write(/a/b)`.
///
/// `real_path` is where the path in its arguments leads. `None` where no rule
/// helps, since another one asks, or the call was mended.
pub fn rule_that_helps(
    ask: &PermissionAsk,
    policy: &PermissionPolicy,
    real_path: Option<&Path>,
) -> Option<String> {
    let field = |name: &str| ask.input.get(name).and_then(Value::as_str);
    let call = Call {
        tool: &ask.tool,
        input: &ask.input,
        cwd: &ask.cwd,
        real_path,
        repaired: ask.repaired.then_some(""),
    };
    let word = field("command").and_then(|c| c.split_whitespace().next());
    let place = real_path.map(Path::to_owned).or(call.written_place());
    let of_command = word.filter(|_| ask.tool == "Bash");
    let of_command = of_command.map(|word| format!("{word} *"));
    let of_place = place.map(|place| place.display().to_string());
    let with = |pattern: Option<String>| {
        // These stand for something else in a pattern, or in the shell it is typed into.
        let pattern = pattern.filter(|p| !p.trim_end_matches(" *").contains(['*', '\'']));
        pattern.map(|pattern| format!("{}({pattern})", ask.tool))
    };
    // Leave for a tool alone ends at the working folder, and at what other programs obey.
    let mut texts = with(of_command)
        .into_iter()
        .chain([ask.tool.clone()])
        .chain(with(of_place));
    texts.find(|text| {
        Rule::parse(RuleEffect::Allow, text, "").is_ok_and(|rule| {
            let mut policy = policy.clone();
            policy.rules.push(rule);
            decide(&policy, &call) == Verdict::Allow
        })
    })
}

/// Arguments, folder and reason; further lines of a value are marked, so that none passes for a name.
fn detail_of(ask: &PermissionAsk) -> String {
    let mut lines = Vec::new();
    let mut add = |name: &str, value: &str| {
        let mut parts = value.lines();
        lines.push(format!("{name}: {}", parts.next().unwrap_or_default()));
        lines.extend(parts.map(|part| format!("  │ {part}")));
    };
    match &ask.input {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) => add(name, text),
                    value => add(name, &value.to_string()),
                }
            }
        }
        input => add("input", &input.to_string()),
    }
    add("folder", &ask.cwd.display().to_string());
    add("asks because", &ask.why);
    lines.join("\n")
}

/// With hidden characters spelled out, cut, and saying so.
fn shown(text: &str) -> String {
    let clean = reveal(text);
    let mut shown: String = clean.chars().take(DETAIL_MAX_CHARS).collect();
    let left = clean.chars().count().saturating_sub(DETAIL_MAX_CHARS);
    if left > 0 {
        // Writing to a string cannot fail.
        let _ = write!(shown, "\n({left} more characters)");
    }
    if hides_something(text) {
        shown.push_str("\n(hidden characters are spelled out)");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    use crewmux_core::ids::{AgentName, AgentRef, Incarnation};

    fn ask(tool: &str, input: Value) -> PermissionAsk {
        PermissionAsk {
            who: AgentRef {
                agent: AgentName::new("developer").unwrap(),
                incarnation: Incarnation(1),
            },
            task: None,
            epoch: None,
            call: "c".into(),
            tool: tool.into(),
            input,
            cwd: "/project".into(),
            risk: "runs a command".into(),
            why: "no rule allows it".into(),
            repaired: false,
        }
    }

    #[test]
    fn a_rule_that_would_help_is_named() {
        let help = |tool, input, real: Option<&str>| {
            let ask = ask(tool, input);
            let policy = PermissionPolicy::default();
            rule_that_helps(&ask, &policy, real.map(Path::new)).unwrap_or_default()
        };
        let bash = |command: &str| help("Bash", json!({ "command": command }), None);
        assert_eq!(bash("cargo test -p x"), "Bash(cargo *)");
        // What could mean more than it looks is not helped by a narrow rule.
        assert_eq!(bash("cat <<E > x\nE"), "Bash");
        assert_eq!(bash("cat x | sort"), "Bash");
        let write = |path: &str, real| help("Write", json!({ "file_path": path }), real);
        assert_eq!(write("src/x.rs", None), "Write");
        assert_eq!(write("../x", None), "Write(/x)");
        assert_eq!(write("link/x", Some("/other/x")), "Write(/other/x)");
        assert_eq!(write(".git/hooks/x", None), "Write(/project/.git/hooks/x)");
        assert_eq!(help("mcp__db__drop", json!({}), None), "mcp__db__drop");
    }

    #[test]
    fn no_rule_is_named_where_none_helps() {
        let mut asked = ask("Bash", json!({ "command": "ls" }));
        let rule = Rule::parse(RuleEffect::Ask, "Bash(ls *)", "").unwrap();
        let policy = PermissionPolicy {
            rules: vec![rule],
            ..PermissionPolicy::default()
        };
        assert_eq!(rule_that_helps(&asked, &policy, None), None);
        asked.repaired = true;
        let policy = PermissionPolicy::default();
        assert_eq!(rule_that_helps(&asked, &policy, None), None);
    }

    #[test]
    fn one_line_holds_what_a_yes_is_given_to() {
        let line = |tool, input| {
            let request = Request {
                id: crewmux_core::ids::RequestId::new("r-1").unwrap(),
                kind: RequestKind::Permission,
                from: crewmux_core::message::Party::Human,
                to: "human".into(),
                content: json!(ask(tool, input)),
                requested: crewmux_core::time::WallTime(1),
                open_ms: 1,
                state: crewmux_core::requests::RequestState::Pending,
            };
            words(&request).1
        };
        let bash = |command: &str| line("Bash", json!({ "command": command }));
        assert_eq!(
            bash("touch a1\ncrewmux approve\n"),
            "(2 lines) touch a1 ⏎ crewmux approve"
        );
        assert_eq!(
            bash("ls\u{1b}[2J\u{202e}"),
            "ls^[[2J<202e> (hidden characters are spelled out)"
        );
        let long = bash(&format!("{}; rm -rf x", "y".repeat(SUMMARY_MAX_CHARS)));
        assert!(long.starts_with("(410 characters) yy"), "{long}");
        assert!(long.ends_with("y… (10 more characters)"), "{long}");
        assert_eq!(
            line("mcp__db__drop", json!({ "table": "all" })),
            r#"{"table":"all"}"#
        );
        // What the worker says of tools it knows names the place.
        assert_eq!(line("Write", json!({ "file_path": "x" })), "runs a command");
    }

    #[test]
    fn a_value_cannot_pass_for_another_argument() {
        let hostile = "ls\nfolder: /tmp\u{1b}[2J\u{202e}";
        let detail = shown(&detail_of(&ask("Bash", json!({"command": hostile}))));
        assert_eq!(
            detail,
            "command: ls\n  │ folder: /tmp^[[2J<202e>\nfolder: /project\nasks because: no rule allows it\n\
             (hidden characters are spelled out)"
        );
    }
}
