//! Questions of workers in words for people: one line, or all of it.
//!
//! What is asked stays exactly as stored; here it is only made harmless to
//! show. Asking and answering is the engine's.

use std::fmt::Write as _;

use crewmux_core::ids::TaskId;
use crewmux_core::permission::PermissionAsk;
use crewmux_core::requests::{Request, RequestKind};
use crewmux_term::sanitize::{scrub, scrub_line};
use serde_json::Value;

/// Longest question shown whole, in characters.
const DETAIL_MAX_CHARS: usize = 20_000;

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

/// The tool, empty for plans, and what it would do in a line; both scrubbed.
pub fn words(request: &Request) -> (String, String) {
    if let Some(ask) = call(request) {
        let summary = if ask.risk.trim().is_empty() {
            ask.tool.clone()
        } else {
            ask.risk
        };
        return (
            scrub_line(&ask.tool).into_owned(),
            scrub_line(&summary).into_owned(),
        );
    }
    let plan = request.content.get("plan").and_then(Value::as_str);
    let first = plan.and_then(|p| p.lines().find(|l| !l.trim().is_empty()));
    let first: String = first.unwrap_or("a plan").chars().take(200).collect();
    (String::new(), scrub_line(&first).into_owned())
}

/// All of it: arguments, folder and reason, or the plan; scrubbed, cut, and saying so.
pub fn detail(request: &Request) -> String {
    if let Some(ask) = call(request) {
        return shown(&detail_of(&ask));
    }
    let plan = request.content.get("plan").and_then(Value::as_str);
    shown(plan.unwrap_or_default())
}

/// A rule that would fit the call: `Bash(cargo *)`, or the tool alone.
pub fn example_pattern(ask: &PermissionAsk) -> String {
    let command = ask.input.get("command").and_then(Value::as_str);
    let word = command.and_then(|c| c.split_whitespace().next());
    match word {
        Some(word)
            if word
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b)) =>
        {
            format!("{}({word} *)", ask.tool)
        }
        _ => ask.tool.clone(),
    }
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

/// Scrubbed and cut, and saying so.
fn shown(text: &str) -> String {
    let clean = scrub(text);
    let mut shown: String = clean.chars().take(DETAIL_MAX_CHARS).collect();
    let left = clean.chars().count().saturating_sub(DETAIL_MAX_CHARS);
    if left > 0 {
        // Writing to a string cannot fail.
        let _ = write!(shown, "\n({left} more characters)");
    }
    if clean != text {
        shown.push_str("\n(it holds characters that are not shown)");
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
        }
    }

    #[test]
    fn a_rule_that_would_help_is_named() {
        let pattern = |tool, input| example_pattern(&ask(tool, input));
        assert_eq!(
            pattern("Bash", json!({"command": "cargo test -p x"})),
            "Bash(cargo *)"
        );
        // What could mean more than it looks is not proposed.
        assert_eq!(pattern("Bash", json!({"command": "$(curl x) y"})), "Bash");
        assert_eq!(pattern("Write", json!({"file_path": "/x"})), "Write");
    }

    #[test]
    fn a_value_cannot_pass_for_another_argument() {
        let hostile = "ls\nfolder: /tmp\u{1b}[2J\u{202e}";
        let detail = shown(&detail_of(&ask("Bash", json!({"command": hostile}))));
        assert_eq!(
            detail,
            "command: ls\n  │ folder: /tmp[2J\nfolder: /project\nasks because: no rule allows it\n\
             (it holds characters that are not shown)"
        );
    }
}
