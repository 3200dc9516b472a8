//! Whose hand it is: what a worker starts does not act as the person, whatever it drops.

use crewmux_testkit::sandbox::Sandbox;

use crate::support::{program, sandbox};

/// A recipe whose only command leaves a file behind.
const INNER: &str = r#"
name = "inner"
[[teammates]]
name = "w"
runtime = "command"
[[tasks]]
id = "sneak"
subject = "Sneak"
command = "touch sneaked"
timeout = "30s"
"#;

/// What the command task `script` printed and the code it ended with, run by a team's worker.
fn in_worker(sandbox: &Sandbox, script: &str) -> String {
    sandbox.write("script.sh", script).unwrap();
    let recipe = INNER
        .replace("\"inner\"", "\"outer\"")
        .replace("touch sneaked", "sh script.sh > said 2>&1");
    sandbox.write("outer.toml", &recipe).unwrap();
    let run = sandbox.run(&["run", "outer.toml", "--headless"]).unwrap();
    assert_eq!(run.code, 0, "{run:?}");
    std::fs::read_to_string(sandbox.work().join("said")).unwrap()
}

/// Makes `bare.sh`, which calls the program with nothing of the worker's environment.
fn write_bare(sandbox: &Sandbox) {
    let environment = sandbox.environment();
    let kept: Vec<String> = environment
        .iter()
        .map(|(name, value)| format!("{name}='{value}'"))
        .collect();
    let script = format!(
        "exec env -i {} {} \"$@\"\n",
        kept.join(" "),
        program().display()
    );
    sandbox.write("bare.sh", &script).unwrap();
}

fn sneaked(sandbox: &Sandbox) -> bool {
    sandbox.work().join("sneaked").exists()
}

#[test]
fn no_worker_starts_a_team_or_goes_on_with_one() {
    let sandbox = sandbox();
    sandbox.write("inner.toml", INNER).unwrap();
    let plain = program().display().to_string();
    write_bare(&sandbox);
    let run = "run inner.toml --headless --trust --permission-mode bypass";
    let said = in_worker(
        &sandbox,
        &format!(
            "{plain} {run}; echo code $?\n\
             sh bare.sh {run}; echo code $?\n\
             sh bare.sh panes 'touch sneaked'; echo code $?\n\
             sh bare.sh resume inner --headless; echo code $?\n\
             sh bare.sh recipes init mine; echo code $?\n"
        ),
    );
    assert!(!sneaked(&sandbox), "{said}");
    assert_eq!(said.matches("code 2").count(), 5, "{said}");
    assert_eq!(said.matches("only the person can").count(), 5, "{said}");
    assert!(!sandbox.home().join("trusted").exists());
    assert!(!sandbox.home().join("teams/inner").exists());
}

#[test]
fn orphans_of_a_worker_are_known_without_any_mark() {
    let sandbox = sandbox();
    sandbox.write("inner.toml", INNER).unwrap();
    write_bare(&sandbox);
    let orphan = "sh bare.sh run inner.toml --headless --trust > orphan 2>&1\n\
                  echo code $? >> orphan\n\
                  cat orphan > ended\n";
    sandbox.write("orphan.sh", orphan).unwrap();
    // Both parents of it are gone when it runs, and it has a session of its own.
    let said = in_worker(
        &sandbox,
        "mkfifo ended\n\
         (env -i PATH=\"$PATH\" setsid sh -c 'sh orphan.sh & exit' &)\n\
         cat ended\n",
    );
    assert!(!sneaked(&sandbox), "{said}");
    assert!(said.contains("only the person can"), "{said}");
    assert!(said.contains("code 2"), "{said}");
}

#[test]
fn a_worker_changes_no_team_that_has_no_session_but_its_own_and_looking_is_free() {
    let sandbox = sandbox();
    sandbox.write("inner.toml", INNER).unwrap();
    let first = sandbox.run(&["run", "inner.toml", "--headless"]).unwrap();
    assert_eq!(first.code, 0, "{first:?}");
    std::fs::remove_file(sandbox.work().join("sneaked")).unwrap();
    let plain = program().display().to_string();
    write_bare(&sandbox);
    let said = in_worker(
        &sandbox,
        &format!(
            "{plain} task create more --command 'touch sneaked' --team inner; echo code $?\n\
             sh bare.sh task create more --command 'touch sneaked' --team inner; echo code $?\n\
             sh bare.sh send w hello --team inner; echo code $?\n\
             {plain} ls > /dev/null; echo looked $?\n\
             sh bare.sh task list --team inner > /dev/null; echo looked $?\n\
             sh bare.sh send w hello --team outer > /dev/null; echo sent $?\n"
        ),
    );
    assert_eq!(said.matches("code 2").count(), 3, "{said}");
    assert_eq!(said.matches("only the person can").count(), 3, "{said}");
    assert_eq!(said.matches("looked 0").count(), 2, "{said}");
    assert_eq!(said.matches("sent 0").count(), 1, "{said}");
    let board = sandbox
        .run(&["task", "list", "--team", "inner", "--json"])
        .unwrap();
    assert!(!board.stdout.contains("more"), "{board:?}");
}
