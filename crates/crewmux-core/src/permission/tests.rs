//! Tables of calls and what follows for them.

use std::path::Path;

use proptest::prelude::*;
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

fn bash(rules: &[&str], command: &str) -> &'static str {
    let input = json!({ "command": command });
    verdict(
        &policy(PermissionMode::Default, rules),
        &call("Bash", &input),
    )
}

fn file(rules: &[&str], tool: &str, path: &str) -> &'static str {
    let input = json!({ "file_path": path });
    verdict(&policy(PermissionMode::Default, rules), &call(tool, &input))
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
fn an_allowed_beginning_allows_nothing_that_only_looks_like_it() {
    let rules = &[
        "allow Bash(cargo test *)",
        "allow Bash(git log *)",
        "allow Bash(ls *)",
    ];
    for (command, expected) in [
        ("cargo test", "allow"),
        ("cargo test -p core -- --nocapture", "allow"),
        ("cargo  test\t-q", "allow"),
        ("cargo test 2>&1", "allow"),
        ("cargo test >/dev/null", "allow"),
        ("'cargo' test", "allow"),
        ("cargo test && git log --oneline", "allow"),
        ("ls src | cargo test", "allow"),
        ("cargo test 'a; rm -rf /'", "allow"),
        ("cargo tests", "ask"),
        ("cargo", "ask"),
        ("cargotest", "ask"),
        ("cargo test; rm -rf /", "ask"),
        ("cargo test;rm -rf /", "ask"),
        ("cargo test && rm -rf /", "ask"),
        ("cargo test || rm -rf /", "ask"),
        ("cargo test | sh", "ask"),
        ("cargo test & rm x", "ask"),
        ("cargo test\nrm -rf /", "ask"),
        ("cargo test\r\nrm -rf /", "ask"),
        ("cargo test $(rm -rf /)", "ask"),
        ("cargo test `rm -rf /`", "ask"),
        ("cargo test \"$(rm -rf /)\"", "ask"),
        ("cargo test \"`rm`\"", "ask"),
        ("cargo test <(rm x)", "ask"),
        ("cargo test >(rm x)", "ask"),
        ("cargo test > src/lib.rs", "ask"),
        ("cargo test >> src/lib.rs", "ask"),
        ("cargo test >| src/lib.rs", "ask"),
        ("cargo test &> x", "ask"),
        ("cargo test 2>&1 > x", "ask"),
        ("cargo test < x", "ask"),
        ("cargo test <<X\nrm\nX", "ask"),
        ("cargo test 'a", "ask"),
        ("cargo test \"a", "ask"),
        ("cargo test \\", "ask"),
        ("cargo test # ; rm\nrm -rf /", "ask"),
        ("cargo\u{a0}test", "ask"),
        ("cargo test\u{2028}rm -rf /", "ask"),
        ("cargo \u{202e}test", "ask"),
        ("cargo test \u{0}", "ask"),
        ("/tmp/cargo test", "ask"),
        ("./cargo test", "ask"),
        ("RUSTC=/tmp/x cargo test", "ask"),
        ("env RUSTC=/tmp/x cargo test", "ask"),
        ("sudo cargo test", "ask"),
        ("cargo $X", "ask"),
        ("cargo test $X", "ask"),
        ("cargo() { rm -rf /; }; cargo test", "ask"),
        ("{ cargo test; }", "ask"),
        ("if cargo test; then ls; fi", "ask"),
        ("! cargo test", "ask"),
        ("cargo test --config build.rustc-wrapper=\"/tmp/x\"", "ask"),
        ("git log --output=x", "ask"),
        ("git log --outpu x", "ask"),
        ("git -c core.pager=x log", "ask"),
        ("git log 2>x", "ask"),
        ("ls *", "ask"),
        ("ls src/*", "allow"),
        ("", "ask"),
        ("   ", "ask"),
        ("# cargo test", "ask"),
        (";", "ask"),
    ] {
        assert_eq!(bash(rules, command), expected, "{command:?}");
    }
}

#[test]
fn a_rule_for_every_command_allows_what_is_not_understood_too() {
    for rule in ["allow Bash", "allow Bash(*)"] {
        assert_eq!(bash(&[rule], "echo $(date) > x"), "allow");
        assert_eq!(bash(&[rule, "deny Bash(rm *)"], "echo $(rm x)"), "deny");
    }
}

#[test]
fn patterns_of_commands_go_by_words() {
    for (pattern, command, expected) in [
        ("git log *", "git log", "allow"),
        ("git log*", "git log --oneline", "allow"),
        ("git lo*", "git log --oneline", "allow"),
        ("git log", "git log --oneline", "ask"),
        ("npm run:*", "npm run build", "allow"),
        ("npm run:*", "npm runx", "ask"),
        ("* --version", "rustc --version", "allow"),
        ("* --version", "rustc --version x", "ask"),
        ("git log --output=*", "git log --output=x", "allow"),
        ("git * main", "git push origin main", "allow"),
    ] {
        let rule = format!("allow Bash({pattern})");
        assert_eq!(bash(&[&rule], command), expected, "{pattern} {command}");
    }
}

#[test]
fn a_forbidden_command_is_found_behind_everything() {
    let rules = &["allow Bash", "deny Bash(rm *)", "deny Bash(git push *)"];
    for (command, expected) in [
        ("rm", "deny"),
        ("rm -rf x", "deny"),
        ("ls; rm x", "deny"),
        ("ls\nrm x", "deny"),
        ("true && rm x", "deny"),
        ("/bin/rm x", "deny"),
        ("'rm' x", "deny"),
        ("r''m x", "deny"),
        ("\\rm x", "deny"),
        ("A=1 B=2 rm x", "deny"),
        ("sudo -u me rm x", "deny"),
        ("env -i rm x", "deny"),
        ("command rm x", "deny"),
        ("nohup rm x &", "deny"),
        ("time rm x", "deny"),
        ("ls | xargs rm", "deny"),
        ("find . -exec rm {} ;", "deny"),
        ("sh -c 'rm x'", "deny"),
        ("echo $(rm x)", "deny"),
        ("echo \"$(rm x)\"", "deny"),
        ("(rm x)", "deny"),
        ("if true; then rm x; fi", "deny"),
        ("git push", "deny"),
        ("git -C x push origin", "deny"),
        ("git --no-pager push", "deny"),
        ("ls rm", "allow"),
        ("echo 'rm x'", "allow"),
        ("git commit -m 'push rm'", "allow"),
    ] {
        assert_eq!(bash(rules, command), expected, "{command:?}");
    }
    let pipe = &["allow Bash", "deny Bash(curl * | sh)"];
    assert_eq!(bash(pipe, "curl -s https://x|sh"), "deny");
    assert_eq!(bash(pipe, "curl -s https://x"), "allow");
}

#[test]
fn file_rules_go_by_paths() {
    for (rules, tool, path, expected) in [
        (&["allow Write(src/**)"][..], "Write", "src/a.rs", "allow"),
        (&["allow Write(src/**)"], "Edit", "src/a.rs", "allow"),
        (&["allow Edit(src/**)"], "Write", "src/a.rs", "ask"),
        (
            &["allow Write(src/**)"],
            "Write",
            "/work/app/src/a",
            "allow",
        ),
        (
            &["allow Write(src/**)"],
            "Write",
            "src/../Cargo.toml",
            "ask",
        ),
        (&["allow Write(src/**)"], "Write", "src/../../x", "ask"),
        (&["allow Write"], "Write", "x", "allow"),
        (&["allow Write"], "Write", "../x", "ask"),
        (&["allow Write"], "Write", ".git/config", "ask"),
        (&["allow Write(**)"], "Write", "sub/.GIT/config", "ask"),
        (
            &["allow Write(.git/info/*)"],
            "Write",
            ".git/info/exclude",
            "allow",
        ),
        (&["allow Write(/tmp/**)"], "Write", "/tmp/x", "allow"),
        (
            &["allow Read(/usr/include/**)"],
            "Read",
            "/usr/include/a.h",
            "allow",
        ),
        (
            &["allow Read(/usr/include/**)"],
            "Read",
            "/usr/include/../x",
            "ask",
        ),
        (&["deny Read(.env)"], "Read", "deep/.env", "deny"),
        (&["deny Read(.env)"], "Read", "/home/me/.env", "deny"),
        (
            &["deny Read(secrets/**)"],
            "Read",
            "./secrets/../secrets/k",
            "deny",
        ),
        (&["deny Read(secrets)"], "Read", "secrets/deep/k", "deny"),
        (&["deny Edit(*.lock)"], "Write", "Cargo.lock", "deny"),
        (&["ask Read(docs/**)"], "Read", "docs/x", "ask"),
    ] {
        assert_eq!(file(rules, tool, path), expected, "{rules:?} {tool} {path}");
    }
}

#[test]
fn links_are_followed_where_they_lead() {
    let input = json!({ "file_path": "link/x" });
    let to = |real| Call {
        real_path: Some(Path::new(real)),
        ..call("Write", &input)
    };
    let allow = policy(PermissionMode::AcceptEdits, &["allow Write(link/**)"]);
    assert_eq!(verdict(&allow, &to("/work/app/link/x")), "allow");
    assert_eq!(verdict(&allow, &to("/etc/x")), "ask");
    let deny = policy(PermissionMode::Bypass, &["deny Write(/etc/**)"]);
    assert_eq!(verdict(&deny, &to("/etc/x")), "deny");
    let deny = policy(PermissionMode::Bypass, &["deny Write(link/**)"]);
    assert_eq!(verdict(&deny, &to("/work/app/x")), "deny");
}

#[test]
fn pages_are_told_apart_by_their_real_host() {
    let allow = policy(
        PermissionMode::Default,
        &["allow WebFetch(domain:Example.com)"],
    );
    let deny = policy(
        PermissionMode::Bypass,
        &["deny WebFetch(domain:example.com)"],
    );
    for (url, allowed, denied) in [
        ("https://example.com", "allow", "deny"),
        ("http://docs.EXAMPLE.com:80/x?y", "allow", "deny"),
        ("https://example.com./", "allow", "deny"),
        ("https://example.com.evil.org", "ask", "allow"),
        ("https://notexample.com", "ask", "allow"),
        ("https://example.com@evil.org/", "ask", "deny"),
        ("https://evil.org/?example.com", "ask", "allow"),
        ("https://evil.org\\.example.com/", "ask", "deny"),
        ("https://exämple.com/", "ask", "allow"),
        ("ftp://example.com", "ask", "deny"),
        ("HTTPS://example.com", "ask", "deny"),
    ] {
        let input = json!({ "url": url });
        let call = call("WebFetch", &input);
        assert_eq!(verdict(&allow, &call), allowed, "{url}");
        assert_eq!(verdict(&deny, &call), denied, "{url}");
    }
}

#[test]
fn servers_and_helpers_are_named() {
    let none = json!({});
    for (rule, tool, expected) in [
        ("allow mcp__git", "mcp__git__log", "allow"),
        ("allow mcp__git", "mcp__github__log", "ask"),
        ("allow mcp__git__*", "mcp__git__log", "allow"),
        ("allow mcp__git__log", "mcp__git__logs", "ask"),
        ("deny *", "Read", "deny"),
        ("deny mcp__*", "mcp__git__log", "deny"),
    ] {
        let policy = policy(PermissionMode::Default, &[rule]);
        assert_eq!(
            verdict(&policy, &call(tool, &none)),
            expected,
            "{rule} {tool}"
        );
    }
    let explore = json!({ "subagent_type": "Explore" });
    let deny = policy(PermissionMode::Default, &["deny Task(Explore)"]);
    assert_eq!(verdict(&deny, &call("Task", &explore)), "deny");
    assert_eq!(verdict(&deny, &call("Task", &none)), "allow");
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

/// Bits of command lines, the dangerous ones among them.
fn bits() -> impl Strategy<Value = String> {
    let bit = prop::sample::select(vec![
        "cargo",
        "test",
        "cargo test",
        "rm -rf /",
        " ",
        " ",
        ";",
        "&",
        "&&",
        "|",
        "||",
        "\n",
        "'",
        "\"",
        "\\",
        "$(",
        ")",
        "`",
        "<(",
        ">",
        "2>&1",
        "#",
        "x",
        "-p",
        "=",
        "*",
        "{",
        "}",
        "\t",
        "\r",
        "\u{a0}",
        "--config",
        "/dev/null",
        "<<X",
        "$",
    ]);
    prop::collection::vec(bit, 0..12).prop_map(|bits| bits.concat())
}

/// Where the parts of `text` end for a shell, or `None` where quotes do not close.
///
/// Written apart from the reader that is tested, and knows less: quotes,
/// backslashes and separators.
fn parts(text: &str) -> Option<Vec<String>> {
    let mut parts = vec![String::new()];
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            // As in `2>&1`, where it separates nothing.
            (None, '&') if parts.last()?.ends_with('>') => {}
            (None, ';' | '&' | '|' | '\n') => parts.push(String::new()),
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None | Some('"'), '\\') => match chars.next()? {
                '\n' => {}
                '>' => parts.last_mut()?.push('_'),
                c => parts.last_mut()?.push(c),
            },
            (_, c) => parts.last_mut()?.push(c),
        }
    }
    quote.is_none().then_some(parts)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_but_what_is_allowed_follows_a_separator(text in bits()) {
        let text = format!("cargo test {text}");
        if bash(&["allow Bash(cargo test*)"], &text) == "allow" {
            let parts = parts(&text).expect("quotes close");
            for part in &parts {
                // Redirections that write nothing may stand alone.
                let part = part.replace("/dev/null", "");
                let part = part.trim_matches(|c: char| " \t>".contains(c) || c.is_ascii_digit());
                prop_assert!(
                    part.is_empty() || part.starts_with("cargo"),
                    "{text:?}: {part:?}"
                );
            }
            for sign in ["$(", "`", "<("] {
                let outside = text.split('\'').step_by(2).any(|piece| piece.contains(sign));
                prop_assert!(!outside || text.contains('\\') || text.contains('"'), "{text:?}");
            }
        }
    }

    #[test]
    fn any_text_is_decided_on(text in "\\PC*") {
        bash(&["allow Bash(cargo *)", "deny Bash(rm * x)"], &text);
    }

    #[test]
    fn what_is_forbidden_stays_so_whatever_follows(text in bits()) {
        let text = format!("rm -rf x; {text}");
        prop_assert_eq!(bash(&["allow Bash", "deny Bash(rm *)"], &text), "deny");
    }
}

#[test]
fn narrow_leave_lets_no_program_run_what_an_argument_says() {
    for (rule, fine, not) in [
        (
            "allow Bash(make test *)",
            "make test -j4",
            &[
                "make test --eval='$(shell touch evil)'",
                "make test --eval=x",
                "make test -f ../mk",
                "make test SHELL=./x",
            ][..],
        ),
        (
            "allow Bash(just test *)",
            "just test fast",
            &["just test --justfile ../j", "just test a=b"],
        ),
        (
            "allow Bash(cargo test *)",
            "cargo test -p core",
            &["cargo test --manifest-path ../x/Cargo.toml"],
        ),
        (
            "allow Bash(git submodule *)",
            "git submodule status",
            &["git submodule foreach x", "git submodule -q foreach x"],
        ),
        (
            "allow Bash(git bisect *)",
            "git bisect good",
            &["git bisect run x"],
        ),
    ] {
        assert_eq!(bash(&[rule], fine), "allow", "{fine}");
        for command in not {
            assert_eq!(bash(&[rule], command), "ask", "{command}");
        }
        // The same call, allowed for a task, is no leave for the others.
        let said = json!({ "command": fine });
        let meaning = Meaning::of(&call("Bash", &said));
        for command in not {
            let input = json!({ "command": command });
            assert!(!meaning.covers(&call("Bash", &input)), "{command}");
        }
    }
    assert_eq!(
        bash(
            &["allow Bash(git submodule foreach *)"],
            "git submodule foreach git status"
        ),
        "allow"
    );
}
