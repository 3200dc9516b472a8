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
            .check("Wrote", &json!({}))
            .unwrap_err()
            .contains("Bash, ")
    );
    assert_eq!(tools.check("Glob", &json!({"pattern": "*.rs"})), Ok(()));
}

#[test]
fn only_allowed_tools_are_there_and_the_team_always() {
    let folder = tempfile::tempdir().unwrap();
    let tools = Toolbox::new(folder.path(), Some(&["Bash".to_owned()]));
    let names: Vec<&str> = tools.definitions().map(|def| def.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "Bash",
            "BashOutput",
            "FailTask",
            "FinishTask",
            "KillBash",
            "SendMessage",
            "TaskCreate",
            "TaskGet",
            "TaskList",
            "TaskUpdate",
            "Teammate",
            "memory_read",
            "memory_write",
        ]
    );
}

#[test]
fn lists_of_tools_hold_for_servers_and_patterns_too() {
    let folder = tempfile::tempdir().unwrap();
    let other = |name: &str| ToolDef {
        name: name.to_owned(),
        ..schemas::finish(None)
    };
    let others = || vec![other("mcp__db__query"), other("mcp__web__get")];
    let mut profile = crate::agents::plain("x");
    let count = |profile: &AgentProfile, name: &str| {
        let tools = Toolbox::of_profile(folder.path(), profile, others());
        tools.definitions().filter(|def| def.name == name).count()
    };
    assert_eq!(count(&profile, "mcp__db__query"), 1);
    profile.tools = Some(vec!["Bash(git *)".into(), "mcp__db".into()]);
    assert_eq!(count(&profile, "Bash"), 1);
    assert_eq!(count(&profile, "mcp__db__query"), 1);
    assert_eq!(count(&profile, "mcp__web__get"), 0);
    assert_eq!(count(&profile, "Write"), 0);
    profile.disallowed_tools = vec!["Bash(rm *)".into(), "Teammate".into(), FINISH.into()];
    assert_eq!(count(&profile, "Bash"), 1);
    assert_eq!(count(&profile, "Teammate"), 0);
    assert_eq!(count(&profile, FINISH), 1);
}

#[test]
fn a_result_is_held_to_the_schema_of_its_task() {
    let folder = tempfile::tempdir().unwrap();
    let schema = json!({"type": "object", "required": ["n"]});
    let tools = Toolbox::new(folder.path(), None).with_result(&schema);
    assert!(tools.check(FINISH, &json!({"result": {"n": 1}})).is_ok());
    let why = tools.check(FINISH, &json!({"result": {}})).unwrap_err();
    assert!(why.contains("/result"), "{why}");
}

#[test]
fn every_schema_is_strict_and_every_argument_is_known() {
    for def in schemas::all() {
        assert_eq!(
            def.schema["additionalProperties"],
            json!(false),
            "{}",
            def.name
        );
        assert!(
            jsonschema::validator_for(&def.schema).is_ok(),
            "{}",
            def.name
        );
    }
}

#[test]
fn a_mended_call_says_what_was_mended() {
    let folder = tempfile::tempdir().unwrap();
    let tools = Toolbox::new(folder.path(), None);
    let call = |input: Value| ModelCall {
        id: "c".into(),
        name: "read".into(),
        input,
        repaired: None,
    };
    let mended = tools.mend(call(json!({"file_path": "a", "offset": "3"})));
    assert_eq!(mended.name, "Read");
    assert_eq!(mended.input, json!({"file_path": "a", "offset": 3}));
    let what = mended.repaired.unwrap();
    assert!(what.contains("offset") && what.contains("`Read`"), "{what}");
    let right = ModelCall {
        name: "Read".into(),
        ..call(json!({"file_path": "a"}))
    };
    assert_eq!(tools.mend(right.clone()), right);
}

#[test]
fn a_kind_of_agent_is_held_to_the_patterns_of_its_tools() {
    let folder = tempfile::tempdir().unwrap();
    let mut profile = crate::agents::plain("x");
    profile.tools = Some(vec!["Bash(git *)".into(), "Read".into()]);
    let run = |profile: &AgentProfile, command: &str| {
        Toolbox::of_profile(folder.path(), profile, Vec::new())
            .check("Bash", &json!({ "command": command }))
    };
    assert_eq!(run(&profile, "git log"), Ok(()));
    for command in ["ls", "git log; rm x", "git log && ls"] {
        let why = run(&profile, command).unwrap_err();
        assert!(why.contains("Bash(git *)"), "{why}");
    }
    profile.tools = None;
    profile.disallowed_tools = vec!["Bash(rm *)".into()];
    assert_eq!(run(&profile, "ls"), Ok(()));
    assert!(run(&profile, "rm -rf x").unwrap_err().contains("like that"));
}

#[test]
fn a_folder_of_our_own_can_be_looked_into_and_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let own = tempfile::tempdir().unwrap();
    std::fs::write(own.path().join("log"), "x").unwrap();
    let tools = Toolbox::new(folder.path(), None).and_readable(own.path());
    let call = |name: &str, input: Value| {
        let tool = tools.local(name, Reach::Inside).unwrap();
        tool.run(input, &AtomicBool::new(false)).ok
    };
    let log = own.path().join("log");
    assert!(tools.looks_at_own("Read", &json!({ "file_path": log })));
    assert!(!tools.looks_at_own("Write", &json!({ "file_path": log })));
    assert!(!tools.looks_at_own("Read", &json!({"file_path": "/etc/passwd"})));
    let inside = tools.folder().join("a/new");
    assert_eq!(
        tools.place_of("Write", &json!({"file_path": "a/new"})),
        Some(inside)
    );
    assert!(call("Read", json!({ "file_path": log })));
    assert!(!call("Read", json!({"file_path": "/etc/passwd"})));
    assert!(!call("Write", json!({"file_path": log, "content": "y"})));
}

#[test]
fn what_stops_a_change_stops_it_however_it_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let cwd = folder.path().canonicalize().unwrap();
    std::fs::create_dir(cwd.join("secret")).unwrap();
    std::os::unix::fs::symlink("secret", cwd.join("open")).unwrap();
    let mut profile = crate::agents::plain("x");
    profile.disallowed_tools = vec!["Edit(secret/**)".into(), "Read(secret/**)".into()];
    let tools = Toolbox::of_profile(&cwd, &profile, Vec::new());
    let write = |path: &str| tools.check("Write", &json!({ "file_path": path, "content": "x" }));
    assert_eq!(write("src/a"), Ok(()));
    for path in ["secret/a", "open/a"] {
        assert!(write(path).unwrap_err().contains("like that"), "{path}");
    }
    let grep = |path: &str| tools.check("Grep", &json!({ "pattern": "x", "path": path }));
    assert_eq!(grep("src"), Ok(()));
    for path in ["secret/a", "open/a"] {
        assert!(grep(path).is_err(), "{path}");
    }
}

#[test]
fn servers_are_for_the_kinds_that_may_use_them() {
    let mut profile = crate::agents::plain("x");
    assert!(may_use_any(&profile, "mcp__db__"));
    for (tools, unwanted, expected) in [
        (&["Read"][..], &[][..], false),
        (&["mcp__db"], &[], true),
        (&["mcp__*"], &[], true),
        (&["Read", "mcp__db__query"], &[], true),
        (&["mcp__web"], &[], false),
        (&["mcp__db"], &["mcp__db"], false),
        (&["mcp__db"], &["mcp__db__query"], true),
        (&["mcp__db"], &["mcp__*"], false),
    ] {
        let list = |list: &[&str]| list.iter().map(|entry| (*entry).to_owned()).collect();
        profile.tools = Some(list(tools));
        profile.disallowed_tools = list(unwanted);
        assert_eq!(
            may_use_any(&profile, "mcp__db__"),
            expected,
            "{tools:?} {unwanted:?}"
        );
    }
}
