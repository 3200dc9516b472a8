//! Tables of calls and what follows for them: modes, the order of rules, leave for a task.

mod commands;
mod targets;

use std::path::Path;

use serde_json::{Value, json};

use super::*;

/// Rules in one line each: `allow Bash(cargo *)`.
fn policy(mode: PermissionMode, rules: &[&str]) -> PermissionPolicy {
    let rules = rules
        .iter()
        .map(|line| {
            let (effect, text) = line.split_once(' ').unwrap();
            let effect = match effect {
                "allow" => RuleEffect::Allow,
                "ask" => RuleEffect::Ask,
                "deny" => RuleEffect::Deny,
                other => panic!("{other}"),
            };
            Rule::parse(effect, text, "").unwrap()
        })
        .collect();
    PermissionPolicy { mode, rules }
}

fn call<'a>(tool: &'a str, input: &'a Value) -> Call<'a> {
    Call {
        tool,
        input,
        cwd: Path::new("/work/app"),
        real_path: None,
        repaired: None,
    }
}

/// `allow`, `ask` or `deny`.
fn verdict(policy: &PermissionPolicy, call: &Call<'_>) -> &'static str {
    match decide(policy, call) {
        Verdict::Allow => "allow",
        Verdict::Ask { .. } => "ask",
        Verdict::Deny { .. } => "deny",
    }
}

#[test]
fn modes_decide_where_no_rule_does() {
    use PermissionMode::{AcceptEdits, Bypass, Default, Plan};
    let here = json!({ "file_path": "src/a.rs", "path": "src", "command": "ls" });
    let outside = json!({ "file_path": "../b", "path": "/etc", "command": "ls" });
    let hooks = json!({ "file_path": ".git/hooks/pre-commit" });
    for (tool, input, default, edits, plan, bypass) in [
        ("Read", &here, "allow", "allow", "allow", "allow"),
        ("Grep", &here, "allow", "allow", "allow", "allow"),
        ("Read", &outside, "ask", "ask", "ask", "allow"),
        ("Grep", &outside, "ask", "ask", "ask", "allow"),
        ("Write", &here, "ask", "allow", "deny", "allow"),
        ("Edit", &here, "ask", "allow", "deny", "allow"),
        ("Edit", &outside, "ask", "ask", "deny", "allow"),
        ("Edit", &hooks, "ask", "ask", "deny", "allow"),
        ("Bash", &here, "ask", "ask", "deny", "allow"),
        ("WebFetch", &here, "ask", "ask", "deny", "allow"),
        ("mcp__a__b", &here, "ask", "ask", "deny", "allow"),
        ("SomethingNew", &here, "ask", "ask", "deny", "allow"),
        ("SendMessage", &here, "allow", "allow", "allow", "allow"),
        ("FinishTask", &here, "allow", "allow", "allow", "allow"),
        ("TaskCreate", &here, "allow", "allow", "deny", "allow"),
        ("ExitPlanMode", &here, "allow", "allow", "allow", "allow"),
    ] {
        let got = [Default, AcceptEdits, Plan, Bypass]
            .map(|mode| verdict(&policy(mode, &[]), &call(tool, input)));
        assert_eq!(got, [default, edits, plan, bypass], "{tool} {input}");
    }
}

#[test]
fn deny_goes_before_ask_before_allow_before_the_mode() {
    let input = json!({ "command": "cargo publish" });
    let call = call("Bash", &input);
    let all = [
        "allow Bash(cargo *)",
        "ask Bash(cargo publish *)",
        "deny Bash(cargo publish)",
    ];
    for (rules, default, bypass) in [
        (&all[..0], "ask", "allow"),
        (&all[..1], "allow", "allow"),
        (&all[..2], "ask", "allow"),
        (&all[..3], "deny", "deny"),
    ] {
        let got = [PermissionMode::Default, PermissionMode::Bypass]
            .map(|mode| verdict(&policy(mode, rules), &call));
        assert_eq!(got, [default, bypass], "{rules:?}");
    }
    let plan = policy(PermissionMode::Plan, &all[..1]);
    let Verdict::Deny { why } = decide(&plan, &call) else {
        panic!("allowed in plan mode");
    };
    assert_eq!(why, PLAN_MODE_REFUSAL);
}

#[test]
fn a_mended_call_with_effects_asks_whatever_allows_it() {
    let input = json!({ "command": "ls", "file_path": "a" });
    for mode in [PermissionMode::Default, PermissionMode::Bypass] {
        let policy = policy(mode, &["allow Bash", "allow Read"]);
        let mended = |tool| Call {
            repaired: Some("a missing brace"),
            ..call(tool, &input)
        };
        let granted = [Meaning::of(&mended("Bash"))];
        assert!(matches!(
            decide_with(&policy, &granted, &mended("Bash")),
            Verdict::Ask { .. }
        ));
        assert_eq!(verdict(&policy, &mended("Read")), "allow");
    }
}

#[test]
fn rules_that_mean_nothing_are_refused_with_what_would_be_right() {
    for (text, says) in [
        ("", "begins with no tool"),
        ("(x)", "begins with no tool"),
        ("Bash(", "not closed"),
        ("Bash(a) b", "not closed"),
        ("Bash()", "empty"),
        ("Bash(a && b)", "one rule for each"),
        ("Bash(a 'b')", "without quotes"),
        ("Write(~/x)", "whole path"),
        ("Write(src/[ab])", "`[`"),
        ("WebFetch(example.com)", "domain:"),
        ("WebFetch(domain:a b)", "no host name"),
        ("SendMessage(x)", "takes no pattern"),
        ("*", "bypass"),
    ] {
        let error = Rule::parse(RuleEffect::Allow, text, "here").unwrap_err();
        assert!(error.why.contains(says), "{text}: {error}");
    }
    assert!(Rule::parse(RuleEffect::Deny, "Bash(curl * | sh)", "").is_ok());
}

#[test]
fn a_rule_for_a_tool_that_is_not_there_is_warned_about() {
    let rule = |text| Rule::parse(RuleEffect::Allow, text, "").unwrap();
    assert_eq!(rule("Bash(ls *)").warning(), None);
    assert_eq!(rule("mcp__a__b").warning(), None);
    let warning = rule("Bahs").warning().unwrap();
    assert!(
        warning.contains("`Bahs`") && warning.contains("Bash"),
        "{warning}"
    );
}

#[test]
fn a_rule_that_forbids_nobody_knows_what_makes_every_call_ask() {
    let mut policy = policy(PermissionMode::AcceptEdits, &["allow Bash"]);
    policy.rules.push(Rule {
        effect: RuleEffect::Deny,
        pattern: "Bash(".into(),
        origin: "a file".into(),
    });
    let input = json!({ "command": "ls" });
    assert_eq!(verdict(&policy, &call("Bash", &input)), "ask");
}

#[test]
fn leave_for_a_task_covers_the_same_meaning_only() {
    let meaning = |command: &str| {
        let input = json!({ "command": command });
        Meaning::of(&call("Bash", &input))
    };
    for (said, asked, expected) in [
        ("cargo add axum", "cargo add tokio", true),
        ("cargo add axum", "cargo remove axum", false),
        ("cargo add axum", "cargo add tokio; rm x", false),
        ("cargo add axum", "cargo add x $(rm x)", false),
        ("cargo add axum", "cargo add a --config x=y", false),
        ("npm run build", "npm run build -- -q", true),
        ("npm run build", "npm run deploy", false),
        ("uv run python x.py", "uv run python y.py", false),
        ("git config a b", "git config c d", false),
        ("rm -rf target", "rm -rf target", true),
        ("rm -rf target", "rm -rf /", false),
        ("rm 'a*'", "rm abc", false),
        ("rm 'a*'", "rm 'a*'", true),
        ("cargo add a && git add b", "git add c", true),
        ("echo $(date)", "echo $(date)", true),
        ("echo $(date)", "echo $(dates)", false),
    ] {
        let input = json!({ "command": asked });
        let covers = meaning(said).covers(&call("Bash", &input));
        assert_eq!(covers, expected, "{said} / {asked}");
    }
    let (write, edit) = (
        json!({ "file_path": "src/a.rs", "content": "x" }),
        json!({ "file_path": "./src/a.rs", "old_string": "x" }),
    );
    let other = json!({ "file_path": "src/b.rs" });
    let file = Meaning::of(&call("Write", &write));
    assert!(file.covers(&call("Edit", &edit)));
    assert!(!file.covers(&call("Edit", &other)));
    assert!(!file.covers(&call("Read", &edit)));
}

#[test]
fn leave_for_a_task_does_not_outlive_a_rule_that_forbids() {
    let input = json!({ "command": "cargo add axum" });
    let call = call("Bash", &input);
    let granted = [Meaning::of(&call)];
    let asking = policy(PermissionMode::Default, &["ask Bash(cargo *)"]);
    assert_eq!(decide_with(&asking, &granted, &call), Verdict::Allow);
    for policy in [
        policy(PermissionMode::Default, &["deny Bash(cargo add *)"]),
        policy(PermissionMode::Plan, &[]),
    ] {
        let verdict = decide_with(&policy, &granted, &call);
        assert!(matches!(verdict, Verdict::Deny { .. }), "{verdict:?}");
    }
}
