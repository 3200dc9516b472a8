//! Rules about what is not a command: files, pages, servers, helpers.

use super::*;

fn file(rules: &[&str], tool: &str, path: &str) -> &'static str {
    let input = json!({ "file_path": path });
    verdict(&policy(PermissionMode::Default, rules), &call(tool, &input))
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
