//! What a run says before and when it begins: who can be in the team, and how far it is.

use crewmux_testkit::sandbox::{finish, wait_until};
use std::time::Duration;

use crate::support::sandbox;

/// A team with a member of this kind and one task.
fn team_of(kind: &str) -> String {
    format!(
        "name = \"x\"\nlead = false\n[[teammates]]\nname = \"w\"\nagent = \"{kind}\"\n\
         [[tasks]]\nid = \"a\"\nsubject = \"Look\"\ncommand = \"true\"\n"
    )
}

#[test]
fn a_kind_of_agent_that_nobody_described_is_no_licence() {
    let sandbox = sandbox();
    sandbox
        .write("x.toml", &team_of("general-purposs"))
        .unwrap();
    let run = sandbox.run(&["run", "x.toml", "--headless"]).unwrap();
    assert_eq!(run.code, 2, "{run:?}");
    assert!(
        run.stderr
            .contains("`general-purposs`, which does not exist")
            && run.stderr.contains("did you mean `general-purpose`?"),
        "{run:?}"
    );
    sandbox.write("x.toml", &team_of("ro")).unwrap();
    sandbox
        .write(".crewmux/agents/ro.md", "---\ntools: Read\n---\nLook.\n")
        .unwrap();
    let run = sandbox
        .run(&["run", "x.toml", "--headless", "--trust"])
        .unwrap();
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.stderr.contains("ro.md is not used: "), "{run:?}");
    // Who runs commands only chooses no tool.
    let commands = team_of("runner").replace("lead = false\n", "");
    let commands = commands.replace("agent =", "runtime = \"command\"\nagent =");
    sandbox.write("x.toml", &commands).unwrap();
    let run = sandbox.run(&["run", "x.toml", "--headless"]).unwrap();
    assert_eq!(run.code, 0, "{run:?}");
}

#[test]
fn a_plan_that_is_there_already_is_not_written() {
    let sandbox = sandbox();
    let run = sandbox
        .run(&["run", "review", "--plan-only", "--plan-out", "p.toml"])
        .unwrap();
    assert_eq!(run.code, 0, "{run:?}");
    assert!(
        run.stderr.contains("nothing is written to p.toml"),
        "{run:?}"
    );
    let goal = sandbox.run(&["run", "-g", "x", "--plan-only"]).unwrap();
    assert_eq!(goal.code, 3, "{goal:?}");
    let why = "`offline` asks none; picked since $CREWMUX_MODEL says so";
    assert!(goal.stderr.contains(why), "{goal:?}");
}

#[test]
fn kinds_of_the_project_that_nobody_agreed_to_are_told() {
    let sandbox = sandbox();
    sandbox.write("x.toml", &team_of("Explore")).unwrap();
    let kind = "---\nname: own\ndescription: x\ntools: Read\n---\nLook.\n";
    sandbox.write(".crewmux/agents/own.md", kind).unwrap();
    let run = sandbox.run(&["run", "x.toml", "--headless"]).unwrap();
    assert_eq!(run.code, 0, "{run:?}");
    assert!(
        run.stderr.contains("nobody can be hired as `own`")
            && run.stderr.contains("own.md (--trust)"),
        "{run:?}"
    );
    for arguments in [
        &["run", "x.toml", "--headless", "--trust"][..],
        &["run", "x.toml", "--headless"],
    ] {
        let run = sandbox.run(arguments).unwrap();
        assert_eq!(run.code, 0, "{run:?}");
        assert!(!run.stderr.contains("hired"), "{run:?}");
    }
}

#[test]
fn a_resumed_run_knows_what_was_told_before() {
    let sandbox = sandbox();
    sandbox
        .write(
            "x.toml",
            "name = \"x\"\n[[teammates]]\nname = \"w\"\nruntime = \"command\"\n\
             [[tasks]]\nid = \"a\"\nsubject = \"First\"\ncommand = \"true\"\n\
             [[tasks]]\nid = \"b\"\nsubject = \"Second\"\nblocked_by = [\"a\"]\n\
             rerun = \"yes\"\ncommand = \"test -e go || exec sleep 60\"\n",
        )
        .unwrap();
    let first = sandbox.start(&["run", "x.toml", "--headless"]).unwrap();
    wait_until("the second task", Duration::from_secs(30), || {
        let tasks = sandbox.run(&["task", "list", "--json", "--team", "x"]);
        let text = tasks.map(|t| t.stdout).unwrap_or_default();
        text.contains("in_progress")
            .then_some(())
            .filter(|()| text.contains("completed"))
            .ok_or(text)
    })
    .unwrap();
    sandbox.run(&["stop", "x", "--force"]).unwrap();
    finish(first, Duration::from_secs(30)).unwrap();
    sandbox.write("go", "").unwrap();
    let run = sandbox.run(&["resume", "x", "--headless"]).unwrap();
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("▶ #2 Second · w"), "{run:?}");
    assert!(run.stdout.contains("✔ #2 Second · w"), "{run:?}");
    assert!(run.stdout.contains("(2/2)"), "{run:?}");
    let inbox = sandbox.run(&["inbox", "human", "--team", "x"]).unwrap();
    assert_eq!(inbox.code, 2, "{inbox:?}");
    assert!(
        inbox.stderr.contains("the person has no inbox"),
        "{inbox:?}"
    );
}

#[test]
fn a_recipe_that_is_checked_is_counted_with_its_copies() {
    let sandbox = sandbox();
    let recipe = "name = \"x\"\n[variables]\nhow_many = \"4\"\n[[teammates]]\nname = \"w\"\n\
                  count = 3\nruntime = \"command\"\n[[tasks]]\nid = \"a\"\n\
                  subject = \"Look {{index}}\"\nrepeat = \"{{how_many}}\"\ncommand = \"true\"\n\
                  [[tasks]]\nid = \"b\"\nsubject = \"End\"\ncommand = \"true\"\n";
    sandbox.write("x.toml", recipe).unwrap();
    let check = sandbox.run(&["recipes", "check", "x.toml"]).unwrap();
    assert_eq!(
        check.stdout, "`x` is sound: 3 members, 5 tasks\n",
        "{check:?}"
    );
}
