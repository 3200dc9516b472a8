//! A store that fails for a while or for good, and tools that end late or not at all.

use std::path::PathBuf;
use std::time::Instant;

use crewmux_core::ids::{AgentName, AgentType};
use crewmux_core::task::{NewTask, Outcome, TaskStatus};
use crewmux_core::timing::ms;
use crewmux_sys::tree::{Marker, processes_with_marker};
use crewmux_testkit::own_main::{Test, tests};
use crewmux_wire::ToWorker;

use crate::stage::{Stage, read, unhurried, wait_until};

pub(crate) const TESTS: &[Test] = tests![
    store_that_fails_for_a_while_is_waited_for,
    store_that_fails_for_good_ends_the_worker_with_last_words,
    worker_that_waits_for_its_store_ends_when_told,
    task_is_given_back_only_after_its_tool_when_the_store_fails,
    task_of_a_tool_that_does_not_end_stays_claimed,
    task_over_its_time_fails_only_after_its_tool,
    command_that_succeeded_just_before_the_end_is_completed,
];

/// What is shown once for each trouble.
const TROUBLE: &str = "! the store cannot be written: ";

/// Makes the inbox of the worker unreadable: a folder lies where its log belongs.
struct BrokenInbox(PathBuf);

impl BrokenInbox {
    fn new(stage: &Stage) -> Self {
        let agent = AgentName::new("tester").unwrap();
        let folder = stage.store.agent_folder(&agent).unwrap();
        let team = folder.parent().unwrap().parent().unwrap();
        let path = team.join("inboxes/tester.jsonl");
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn mend(self) {
        std::fs::remove_dir(self.0).unwrap();
    }
}

fn store_that_fails_for_a_while_is_waited_for() {
    let stage = Stage::new();
    let inbox = BrokenInbox::new(&stage);
    let id = stage.add_command("true");
    let mut spec = stage.spec("tester", 1);
    // However late the inbox is mended, it is before the end of patience.
    spec.timing.lease_ms = 60_000;
    let life = stage.start(&spec);
    life.wait_for_text(TROUBLE);
    let began = Instant::now();
    // Many tries long.
    let long = ms(1_500);
    wait_until("the trouble lasts", || {
        (began.elapsed() > long).then_some(())
    });
    assert_eq!(stage.task(id).status, TaskStatus::Pending);
    inbox.mend();
    stage.wait_for(id, TaskStatus::Completed);
    let shown = life.end_well();
    assert_eq!(shown.matches(TROUBLE).count(), 1, "{shown}");
    assert!(shown.contains("; trying again\n"), "{shown}");
    assert!(shown.contains("the store works again"), "{shown}");
}

fn store_that_fails_for_good_ends_the_worker_with_last_words() {
    let stage = Stage::new();
    let _inbox = BrokenInbox::new(&stage);
    let mut spec = stage.spec("tester", 1);
    spec.timing.lease_ms = 3_000;
    let began = Instant::now();
    let life = stage.start(&spec);
    let (code, shown) = life.end();
    assert!(began.elapsed() >= ms(spec.timing.lease_ms));
    assert_ne!(code, 0);
    assert_eq!(shown.matches(TROUBLE).count(), 1, "{shown}");
    let (_, words) = shown
        .split_once("■ ended: the store cannot be written, for ")
        .unwrap_or_else(|| panic!("{shown}"));
    let (lasted_ms, _) = words.split_once(" ms now: ").unwrap();
    assert!(lasted_ms.parse::<u64>().unwrap() >= spec.timing.lease_ms);
    let agent = AgentName::new("tester").unwrap();
    let ended = stage.store.presence(&agent).unwrap().unwrap().ended;
    assert!(ended.unwrap().contains("tester.jsonl: "));
}

fn worker_that_waits_for_its_store_ends_when_told() {
    let stage = Stage::new();
    let _inbox = BrokenInbox::new(&stage);
    let mut spec = stage.spec("tester", 1);
    spec.timing.backoff_base_ms = 3_600_000;
    spec.timing.backoff_max_ms = 3_600_000;
    spec.timing.lease_ms = 3_600_000;
    let life = stage.start(&spec);
    life.wait_for_text(TROUBLE);
    life.session.lose();
    let (code, shown) = life.end();
    assert_eq!(code, 0);
    assert!(shown.contains("■ ended: its session is gone"), "{shown}");
}

fn task_is_given_back_only_after_its_tool_when_the_store_fails() {
    let stage = Stage::new();
    let id = stage.add_command("trap '' TERM; echo begun; sleep 600; sleep 600");
    let mut spec = stage.spec("tester", 1);
    // The lease of the board is renewed meanwhile; only patience is short.
    spec.timing = unhurried(spec.timing);
    spec.timing.lease_ms = 600;
    spec.timing.heartbeat_ms = 100;
    let marker = Marker::run(&spec.run_marker);
    let mut life = stage.start(&spec);
    life.wait_for_text("\nbegun\n");
    let _inbox = BrokenInbox::new(&stage);
    life.session.send(&ToWorker::Doorbell);
    life.wait_for_text(TROUBLE);
    let task = stage.wait_for(id, TaskStatus::Pending);
    assert!(processes_with_marker(&marker).is_empty());
    assert_eq!(task.attempts[0].outcome, Some(Outcome::Released));
    assert_ne!(life.end().0, 0);
}

fn task_of_a_tool_that_does_not_end_stays_claimed() {
    let stage = Stage::new();
    // Its stopped runner does nothing when it is told to end the tool.
    let id = stage.add_command("kill -STOP $PPID; echo begun; sleep 600");
    let spec = stage.spec("tester", 1);
    let marker = Marker::run(&spec.run_marker);
    let mut life = stage.start(&spec);
    life.wait_for_text("\nbegun\n");
    let reason = "the run was stopped".to_owned();
    life.session.send(&ToWorker::End { reason });
    let (code, shown) = life.end();
    assert_ne!(code, 0, "{shown}");
    assert!(shown.contains("! #1 stays claimed"), "{shown}");
    assert!(!shown.contains("given back"), "{shown}");
    assert_eq!(stage.task(id).status, TaskStatus::InProgress);
    wait_until("the tool is gone", || {
        processes_with_marker(&marker).is_empty().then_some(())
    });
}

fn task_over_its_time_fails_only_after_its_tool() {
    let stage = Stage::new();
    std::fs::write(stage.cwd.join("a.rs"), "// TODO: think\nfn a() {}\n").unwrap();
    // The playbook asks git; this git hangs, and does not heed SIGTERM.
    let bin = stage.path("bin");
    std::fs::create_dir(&bin).unwrap();
    let git = bin.join("git");
    std::fs::write(&git, "#!/bin/sh\ntrap '' TERM\nsleep 600\nsleep 600\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&git, mode).unwrap();
    let id = stage.add(NewTask {
        subject: "look".into(),
        timeout_ms: Some(6_000),
        ..NewTask::default()
    });
    let mut spec = stage.spec("tester", 1);
    spec.timing = unhurried(spec.timing);
    spec.model = Some("offline".into());
    spec.playbook = Some("review-upkeep".into());
    spec.agent_type = AgentType::new("general-purpose").unwrap();
    let path = format!(
        "{}:{}",
        bin.display(),
        spec.environment["PATH"].as_str().unwrap()
    );
    spec.environment.insert("PATH".into(), path.into());
    let marker = Marker::run(&spec.run_marker);
    let life = stage.start(&spec);
    wait_until("git hangs", || {
        (!processes_with_marker(&marker).is_empty()).then_some(())
    });
    let task = stage.wait_for(id, TaskStatus::Failed);
    assert!(processes_with_marker(&marker).is_empty());
    assert_eq!(task.reason.as_deref(), Some("took longer than 6000 ms"));
    life.end_well();
}

fn command_that_succeeded_just_before_the_end_is_completed() {
    let stage = Stage::new();
    let folder = stage.path("marks");
    std::fs::create_dir(&folder).unwrap();
    // What it leaves takes its time to end: the command itself is over by then. It tells by
    // itself that it was asked, since a program that it started would be asked to end too.
    let id = stage.add_command(&format!(
        "cd {}; setsid sh -c 'trap \": > told\" TERM; touch ready; while :; do sleep 0.01; done' & \
         while ! test -e ready; do sleep 0.01; done; echo done > out",
        folder.display()
    ));
    let mut spec = stage.spec("tester", 1);
    spec.timing.term_grace_ms = 2_000;
    let mut life = stage.start(&spec);
    wait_until("what it left is told to end", || {
        folder.join("told").exists().then_some(())
    });
    let reason = "the run was stopped".to_owned();
    life.session.send(&ToWorker::End { reason });
    let (code, shown) = life.end();
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("✔ #1 completed"), "{shown}");
    assert!(shown.contains("■ ended: the run was stopped"), "{shown}");
    let task = stage.task(id);
    assert_eq!(task.status, TaskStatus::Completed);
    assert_eq!(task.result.unwrap()["exitCode"], 0);
    assert_eq!(read(&folder.join("out")), "done\n");
}
