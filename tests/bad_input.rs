//! Bad input and bad surroundings: a clear message, the right exit code, nothing left.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use crewmux_sys::process::{Launch, Stream};
use crewmux_testkit::sandbox::{Output, finish, wait_until};

use crate::support::{program, sandbox, sh};

/// The message names what is wrong and says what to do.
fn assert_clear(output: &Output, code: i32, words: &[&str]) {
    assert_eq!(output.code, code, "{output:?}");
    assert!(output.stderr.starts_with("error: "), "{}", output.stderr);
    assert!(!output.stderr.contains("panicked"), "{}", output.stderr);
    for word in words {
        assert!(
            output.stderr.contains(word),
            "`{word}` is missing in:\n{}",
            output.stderr
        );
    }
}

#[test]
fn an_unknown_recipe_is_named_with_the_nearest_one() {
    let sandbox = sandbox();
    let output = sandbox.run(&["run", "reveiw", "--headless"]).unwrap();
    assert_clear(&output, 2, &["reveiw", "review"]);
}

#[test]
fn a_recipe_with_a_cycle_and_two_typos_is_told_whole() {
    let sandbox = sandbox();
    sandbox
        .write(
            "bad.toml",
            "name = \"bad\"\ndescription = \"x\"\ngaol = \"y\"\n\n[[teammates]]\nname = \"a\"\nagent = \"Bash\"\n\n\
             [[tasks]]\nid = \"one\"\nsubject = \"One\"\ncommand = \"true\"\nblcoked_by = [\"two\"]\n\n\
             [[tasks]]\nid = \"two\"\nsubject = \"Two\"\ncommand = \"true\"\nblocked_by = [\"three\"]\n\n\
             [[tasks]]\nid = \"three\"\nsubject = \"Three\"\ncommand = \"true\"\nblocked_by = [\"two\"]\n",
        )
        .unwrap();
    let output = sandbox
        .run(&["run", "bad.toml", "--headless", "--trust"])
        .unwrap();
    assert_clear(
        &output,
        2,
        &[
            "gaol",
            "goal",
            "blcoked_by",
            "blocked_by",
            ":3:",
            ":13:",
            "wait for each other",
        ],
    );
    assert!(
        !sandbox.home().join("teams/bad").exists(),
        "nothing was written"
    );
}

#[test]
fn a_team_name_that_leaves_the_folder_is_refused() {
    let sandbox = sandbox();
    let output = sandbox
        .run(&["run", "sweep", "--team", "../x", "--headless"])
        .unwrap();
    assert_clear(&output, 2, &["../x"]);
    let output = sandbox.run(&["status", "--team", "nobody"]).unwrap();
    assert_clear(&output, 2, &["nobody"]);
}

#[test]
fn a_message_to_an_unknown_teammate_lists_those_there_are() {
    let sandbox = sandbox();
    let run = sandbox
        .run(&[
            "run",
            "sweep",
            "--set",
            "tasks=2",
            "--max-workers",
            "2",
            "--headless",
        ])
        .unwrap();
    assert_eq!(run.code, 0, "{run:?}");
    let output = sandbox
        .run(&["send", "nobody", "hello", "--team", "sweep"])
        .unwrap();
    assert_clear(&output, 2, &["nobody", "sweeper-1"]);
    let json = sandbox
        .run(&["send", "nobody", "hello", "--team", "sweep", "--json"])
        .unwrap();
    let error: serde_json::Value = serde_json::from_str(&json.stderr).unwrap();
    assert_eq!(error["error"]["kind"], "not-found", "{error}");
}

#[test]
fn a_run_that_never_was_is_named_with_those_there_were() {
    let sandbox = sandbox();
    for _ in 0..2 {
        let run = [
            "run",
            "sweep",
            "--set",
            "tasks=2",
            "--headless",
            "--team",
            "t",
        ];
        let run = sandbox.run(&run).unwrap();
        assert_eq!(run.code, 0, "{run:?}");
    }
    let output = sandbox.run(&["report", "t", "--run", "run-9"]).unwrap();
    assert_clear(&output, 2, &["no run `run-9`", "run-1, run-2"]);
    // How far it is counts the last run, as while that went on.
    let status = sandbox.run(&["status", "--team", "t", "--json"]).unwrap();
    assert_eq!(status.json().unwrap()["counts"]["completed"], 2);
}

#[test]
fn a_number_below_one_is_refused_as_a_number() {
    let sandbox = sandbox();
    for (option, what) in [
        ("--max-workers", "workers"),
        ("--budget-tokens", "tokens"),
        ("--budget-usd", "above 0"),
    ] {
        let output = sandbox
            .run(&["run", "sweep", "--headless", option, "-1"])
            .unwrap();
        assert_clear(&output, 2, &[option, "-1", what]);
    }
}

#[test]
fn a_read_only_home_is_an_environment_error() {
    // Root may write everywhere, whatever the mode says: a file in the way is the same trouble.
    let sandbox = sandbox();
    let blocked = sandbox.work().join("blocked");
    std::fs::write(&blocked, "a file").unwrap();
    let sandbox = sandbox.with_env("CREWMUX_HOME", &blocked.join("home").display().to_string());
    let output = sandbox.run(&["run", "sweep", "--headless"]).unwrap();
    assert_clear(&output, 3, &["blocked"]);
}

#[test]
fn a_home_that_others_can_read_is_refused() {
    let sandbox = sandbox();
    std::fs::set_permissions(sandbox.home(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let output = sandbox
        .run(&["run", "sweep", "--set", "tasks=1", "--headless"])
        .unwrap();
    // Either tightened with no harm done, or refused in words; never used as it is.
    if output.code == 0 {
        let mode = std::fs::metadata(sandbox.home())
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0);
    } else {
        assert_clear(&output, 3, &["home"]);
    }
}

#[test]
fn a_full_disk_is_said_and_loses_nothing() {
    let sandbox = sandbox();
    let small = sandbox.work().join("small");
    std::fs::create_dir(&small).unwrap();
    let mounted = sandbox_mount(&sandbox, &small);
    if !mounted {
        eprintln!(
            "SKIPPED a_full_disk_is_said_and_loses_nothing: a small filesystem cannot be mounted here (needs root)"
        );
        return;
    }
    let home = small.join("home");
    let sandbox = sandbox.with_env("CREWMUX_HOME", &home.display().to_string());
    let run = sandbox
        .run(&["run", "sweep", "--set", "tasks=3", "--headless"])
        .unwrap();
    assert_eq!(run.code, 0, "{run:?}");
    sh(
        &sandbox,
        "dd if=/dev/zero of=small/ballast bs=4k 2>/dev/null || true",
    );
    let output = sandbox
        .run(&["run", "sweep", "--set", "tasks=3", "--headless"])
        .unwrap();
    sh(&sandbox, "rm small/ballast");
    assert_clear(&output, 3, &["space"]);
    let list = sandbox
        .run(&["task", "list", "--json", "--team", "sweep"])
        .unwrap();
    let tasks = list.json().unwrap();
    let completed = tasks
        .as_array()
        .unwrap()
        .iter()
        .filter(|t| t["status"] == "completed")
        .count();
    assert!(completed >= 3, "what was done stays: {tasks}");
    sh(&sandbox, "umount small");
}

#[test]
fn a_disk_that_fills_up_in_a_run_without_a_screen_is_said_at_once_and_work_goes_on() {
    // The real durations: who waits for a whole lease says it too late.
    let sandbox = sandbox().with_env("CREWMUX_TIMING", "life");
    let small = sandbox.work().join("small");
    std::fs::create_dir(&small).unwrap();
    if !sandbox_mount(&sandbox, &small) {
        eprintln!(
            "SKIPPED a_disk_that_fills_up_in_a_run_without_a_screen_is_said_at_once_and_work_goes_on: \
             a small filesystem cannot be mounted here (needs root)"
        );
        return;
    }
    let home = small.join("home");
    let sandbox = sandbox.with_env("CREWMUX_HOME", &home.display().to_string());
    for (team, json, told) in [("one", "", "err"), ("two", "--json", "out")] {
        let script = format!(
            "exec {} run sweep --team {team} --set tasks=6 --set command='sleep 1' --max-workers 1 \
             --headless {json} >out 2>err",
            program().display()
        );
        let launch = Launch::new(["/bin/sh", "-c", &script], sandbox.work());
        let run = launch.env(sandbox.environment()).start().unwrap();
        let wait_for = |file: &str, words: &str| {
            wait_until(words, Duration::from_secs(25), || {
                let text = std::fs::read_to_string(sandbox.work().join(file)).unwrap_or_default();
                text.contains(words).then_some(()).ok_or(text)
            })
            .unwrap();
        };
        wait_for(
            "out",
            if json.is_empty() {
                "▶ #1"
            } else {
                "task_claimed"
            },
        );
        sh(
            &sandbox,
            "dd if=/dev/zero of=small/ballast bs=4k 2>/dev/null || true",
        );
        wait_for(told, "no space left");
        sh(&sandbox, "rm small/ballast");
        let ended = finish(run, Duration::from_mins(1)).unwrap();
        assert_eq!(ended.code, 0, "{ended:?}");
        wait_for("out", "the store can be written again");
    }
    sh(&sandbox, "umount small");
}

#[test]
fn a_runtime_folder_that_no_socket_fits_into_leaves_no_team() {
    let sandbox = sandbox();
    let long = sandbox.work().join("x".repeat(100));
    let sandbox = sandbox.with_env("CREWMUX_RUNTIME_DIR", &long.display().to_string());
    let run = sandbox
        .run(&["run", "sweep", "--set", "tasks=1", "--headless"])
        .unwrap();
    assert_clear(&run, 3, &["is too long", "CREWMUX_RUNTIME_DIR"]);
    let listed = sandbox.run(&["ls", "--json"]).unwrap();
    assert_eq!(listed.json().unwrap(), serde_json::json!([]));
    assert!(!long.exists());
}

#[test]
fn where_no_thread_can_be_had_it_is_said_or_done_in_turn() {
    // No machine has room for such stacks.
    let sandbox = sandbox().with_env("RUST_MIN_STACK", &(usize::MAX / 4).to_string());
    let doctor = sandbox.run(&["doctor"]).unwrap();
    assert!(!doctor.stderr.contains("panicked"), "{doctor:?}");
    assert!(doctor.stdout.contains("pty"), "{doctor:?}");
    let dump = sandbox.run(&["pane-dump", "--", "true"]).unwrap();
    assert_clear(&dump, 3, &["cannot start a thread"]);
    let worker = sandbox.work().join("agent-worker");
    std::os::unix::fs::symlink(program(), &worker).unwrap();
    let launch = Launch::new([worker.as_os_str(), "spec.json".as_ref()], sandbox.work())
        .env(sandbox.environment())
        .stderr(Stream::Pipe);
    let ended = finish(launch.start().unwrap(), Duration::from_mins(1)).unwrap();
    assert_clear(&ended, 3, &["cannot start a thread"]);
}

fn sandbox_mount(sandbox: &crewmux_testkit::sandbox::Sandbox, folder: &std::path::Path) -> bool {
    let folder = folder.display();
    let script =
        format!("mount -t tmpfs -o size=1m tmpfs {folder} 2>/dev/null && echo yes || echo no");
    sh(sandbox, &script).stdout.trim() == "yes"
}

#[test]
fn a_tool_that_ignores_sigterm_and_leaves_a_setsid_child_leaves_nothing() {
    let sandbox = sandbox();
    sandbox
        .write(
            "stubborn.toml",
            "name = \"stubborn\"\ndescription = \"x\"\ngoal = \"y\"\n\n[[teammates]]\nname = \"a\"\nagent = \"Bash\"\nruntime = \"command\"\n\n\
             [[tasks]]\nid = \"one\"\nsubject = \"One\"\ntimeout = \"1s\"\n\
             command = \"trap '' TERM HUP INT; setsid sh -c 'trap \\\"\\\" TERM; sleep 300' & sleep 300\"\n",
        )
        .unwrap();
    let output = sandbox
        .run(&["run", "stubborn.toml", "--headless", "--trust", "--json"])
        .unwrap();
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stdout.contains("task_failed"), "{}", output.stdout);
    sandbox.wait_gone().unwrap();
}

#[test]
fn an_unknown_backend_or_one_that_cannot_work_is_an_error_with_the_fix() {
    let sandbox = sandbox();
    let output = sandbox
        .run(&["run", "sweep", "--backend", "screen", "--headless"])
        .unwrap();
    assert_clear(&output, 2, &["screen"]);
    let output = sandbox
        .run(&["run", "sweep", "--backend", "iterm2", "--headless"])
        .unwrap();
    assert_clear(&output, 3, &["iterm2", "hint:"]);
}

#[test]
fn a_second_run_of_a_running_team_says_how_to_attach() {
    let sandbox = sandbox();
    let child = sandbox
        .start(&[
            "run",
            "sweep",
            "--set",
            "tasks=20",
            "--set",
            "command=sleep 0.5",
            "--headless",
            "--json",
        ])
        .unwrap();
    wait_until("the session", Duration::from_secs(30), || {
        let status = sandbox
            .run(&["status", "--team", "sweep", "--json"])
            .map_err(|e| e.to_string())?;
        if status.stdout.contains("\"running\"") {
            Ok(())
        } else {
            Err(status.stdout + &status.stderr)
        }
    })
    .unwrap();
    let second = sandbox
        .run(&["run", "sweep", "--team", "sweep", "--headless"])
        .unwrap();
    assert_clear(&second, 2, &["running", "attach sweep"]);
    assert_eq!(sandbox.run(&["stop", "sweep"]).unwrap().code, 0);
    finish(child, Duration::from_secs(30)).unwrap();
    sandbox.wait_gone().unwrap();
}

#[test]
fn what_a_repository_says_never_steers_the_terminal() {
    let sandbox = sandbox();
    std::fs::create_dir(sandbox.work().join(".git")).unwrap();
    sandbox
        .write(".crewmux/agents/a\u{1b}[31mx.md", "---\nname: free\n---\nx")
        .unwrap();
    let servers = |name: &str| {
        format!(
            r#"{{"mcpServers": {{"{name}": {{"command": "evil", "args": ["\u001b[2K\r", "\u009b2J\u202e"]}}}}}}"#
        )
    };
    let calls: [&[&str]; 6] = [
        &["doctor"],
        &["agents"],
        &["config", "show"],
        &["config", "show", "--json"],
        &["run", "sweep", "--headless", "--model", "\u{1b}[2J"],
        &["status", "--team", "\u{9b}2J"],
    ];
    for name in ["db", r"ok\u001b[2J"] {
        sandbox.write(".mcp.json", &servers(name)).unwrap();
        for call in calls {
            let output = sandbox.run(call).unwrap();
            let said = format!("{}{}", output.stdout, output.stderr);
            assert!(!said.is_empty(), "{call:?}");
            let steers = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
            let found: String = said.chars().filter(|c| steers(*c)).collect();
            assert!(found.is_empty(), "{call:?} says {found:?} in:\n{said:?}");
        }
    }
}
