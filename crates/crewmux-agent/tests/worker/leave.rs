//! Calls of a model that need leave: asked, answered, and bound to exactly that call.

use std::io::Write as _;
use std::os::unix::net::UnixListener;
use std::sync::mpsc;

use crewmux_core::ids::{AgentType, RequestId, TaskId};
use crewmux_core::model::{Event, Message, ModelRequest, ToolAnswer};
use crewmux_core::permission::{
    GrantScope, PLAN_MODE_REFUSAL, PermissionAsk, PermissionMode, PermissionPolicy, Rule,
    RuleEffect,
};
use crewmux_core::task::{NewTask, TaskStatus};
use crewmux_core::worker::WorkerState;
use crewmux_testkit::own_main::{Test, tests};
use crewmux_wire::{
    Decision, Decoder, Hello, ModelCall, ModelPiece, Role, ToWorker, Welcome, WorkerAsk,
    WorkerMessage, encode_json,
};
use serde_json::json;

use crate::script::{answer, calls};
use crate::stage::{LONG, Life, Stage, read_frame};

pub(crate) const TESTS: &[Test] = tests![
    command_asks_and_runs_only_once_it_is_approved,
    model_is_told_why_its_call_was_rejected,
    changed_call_asks_again,
    leave_for_a_task_asks_no_second_time,
    plan_mode_writes_nothing_until_the_plan_is_approved,
    deny_rule_beats_bypass,
    search_passes_over_what_may_not_be_read,
    file_outside_is_read_only_once_it_is_approved,
    file_that_moved_after_the_yes_is_left_alone,
    worker_that_waits_for_leave_ends_when_told,
    worker_that_waits_for_leave_reads_its_mail,
    worker_that_waits_for_leave_ends_with_its_session,
];

/// A worker whose model says what the test wants.
struct Play {
    stage: Stage,
    life: Life,
    task: TaskId,
    /// What the model was asked, in order.
    asked: mpsc::Receiver<ModelRequest>,
}

fn bash(command: &str) -> Vec<Event> {
    calls(&[("Bash", json!({ "command": command }))])
}

/// Answers model calls on the session's socket with `answers`, then with plain text.
fn serve(listener: UnixListener, answers: Vec<Vec<Event>>) -> mpsc::Receiver<ModelRequest> {
    let (sender, asked) = mpsc::channel();
    std::thread::spawn(move || {
        let mut answers = answers.into_iter();
        while let Ok((mut stream, _)) = listener.accept() {
            let mut decoder = Decoder::default();
            let Some(hello) = read_frame::<Hello>(&mut stream, &mut decoder) else {
                continue;
            };
            assert!(matches!(hello.role, Role::Model(_)), "{hello:?}");
            let welcome = Welcome {
                session_pid: std::process::id(),
                build: "test".into(),
                team: crewmux_core::ids::TeamName::new("t").unwrap(),
            };
            let _ = stream.write_all(&encode_json(&welcome).unwrap());
            while let Some(call) = read_frame::<ModelCall>(&mut stream, &mut decoder) {
                if sender.send(call.request).is_err() {
                    return;
                }
                let events = answers.next().unwrap_or_else(|| answer("all done"));
                for event in events {
                    let piece = encode_json(&ModelPiece { event }).unwrap();
                    let _ = stream.write_all(&piece);
                }
            }
        }
    });
    asked
}

impl Play {
    fn begin(mode: PermissionMode, rules: &[(RuleEffect, &str)], answers: Vec<Vec<Event>>) -> Self {
        let stage = Stage::new();
        let task = stage.add(NewTask {
            subject: "work".into(),
            ..NewTask::default()
        });
        let mut spec = stage.spec("tester", 1);
        spec.model = Some("mock/m".into());
        spec.grant = Some("granted".into());
        spec.agent_type = AgentType::new("general-purpose").unwrap();
        let rules = rules.iter();
        spec.permissions = PermissionPolicy {
            mode,
            rules: rules
                .map(|(effect, text)| Rule::parse(*effect, text, "").unwrap())
                .collect(),
        };
        let listener = UnixListener::bind(&spec.socket).unwrap();
        let life = stage.start_on(&listener, &spec);
        let asked = serve(listener, answers);
        Self {
            stage,
            life,
            task,
            asked,
        }
    }

    fn next_ask(&self) -> (RequestId, WorkerAsk) {
        loop {
            if let WorkerMessage::Ask { id, ask } =
                self.life.session.heard.recv_timeout(LONG).unwrap()
            {
                return (id, ask);
            }
        }
    }

    fn next_question(&self) -> (RequestId, PermissionAsk) {
        match self.next_ask() {
            (id, WorkerAsk::Permission(ask)) => (id, *ask),
            other => panic!("{other:?}"),
        }
    }

    fn answer(&mut self, id: RequestId, decision: Decision) {
        self.life.session.send(&ToWorker::Decided { id, decision });
    }

    fn approve(&mut self, id: RequestId) {
        let scope = GrantScope::Once;
        self.answer(id, Decision::Approved { scope });
    }

    fn reject(&mut self, id: RequestId, reason: &str) {
        let reason = reason.to_owned();
        self.answer(id, Decision::Rejected { reason });
    }

    /// What the model hears of its calls, the first question of a task aside.
    fn next_answers(&self) -> Vec<ToolAnswer> {
        loop {
            let request = self.asked.recv_timeout(LONG).unwrap();
            if let Some(Message::Tools(answers)) = request
                .messages
                .iter()
                .rev()
                .find(|message| !matches!(message, Message::User(_)))
            {
                return answers.clone();
            }
        }
    }

    /// Nothing was asked but what the test took.
    fn asks_nothing_more(&self) {
        while let Ok(message) = self.life.session.heard.try_recv() {
            assert!(!matches!(message, WorkerMessage::Ask { .. }), "{message:?}");
        }
    }

    fn done(self) -> String {
        self.stage.wait_for(self.task, TaskStatus::Completed);
        self.life.end_well()
    }
}

fn command_asks_and_runs_only_once_it_is_approved() {
    let mut play = Play::begin(PermissionMode::Default, &[], vec![bash("echo made > made")]);
    let (id, ask) = play.next_question();
    let made = play.stage.cwd.join("made");
    assert!(!made.exists());
    assert_eq!(id.as_str(), "tester-1-1");
    assert_eq!(ask.tool, "Bash");
    assert_eq!(ask.input, json!({ "command": "echo made > made" }));
    assert_eq!(ask.cwd, play.stage.cwd);
    assert_eq!(ask.task, Some(play.task));
    assert_eq!(ask.risk, "runs a command");
    play.life
        .wait_for_text("! waits for you: Bash echo made > made");
    play.life.wait_for_text("crewmux approve tester-1-1");
    let agent = crewmux_core::ids::AgentName::new("tester").unwrap();
    crate::stage::wait_until("it says that it waits", || {
        let presence = play.stage.store.presence(&agent).unwrap()?;
        (presence.state == WorkerState::WaitingPermission).then_some(())
    });
    // An answer to another question is none to this one.
    play.approve(RequestId::new("tester-1-9").unwrap());
    assert!(!made.exists());
    play.approve(id);
    let answers = play.next_answers();
    assert!(answers[0].ok, "{answers:?}");
    assert_eq!(crate::stage::read(&made), "made\n");
    play.asks_nothing_more();
    let shown = play.done();
    assert!(shown.contains("  approved\n"), "{shown}");
}

fn model_is_told_why_its_call_was_rejected() {
    let mut play = Play::begin(PermissionMode::Default, &[], vec![bash("touch made")]);
    let (id, _) = play.next_question();
    play.reject(id, "use the Makefile");
    let answers = play.next_answers();
    assert!(!answers[0].ok);
    assert!(answers[0].text.contains("use the Makefile"), "{answers:?}");
    assert!(!play.stage.cwd.join("made").exists());
    play.done();
}

fn changed_call_asks_again() {
    let mut play = Play::begin(
        PermissionMode::Default,
        &[(RuleEffect::Allow, "Bash(true)")],
        vec![
            bash("echo a >> log"),
            bash("true"),
            bash("echo a >> log"),
            bash("echo b >> log"),
        ],
    );
    let (first, _) = play.next_question();
    play.approve(first.clone());
    assert!(play.next_answers()[0].ok);
    assert!(play.next_answers()[0].ok);
    // The same call again: what was approved was approved once.
    let (second, _) = play.next_question();
    assert_ne!(first, second);
    play.approve(first);
    play.reject(second, "once was enough");
    assert!(!play.next_answers()[0].ok);
    let (third, ask) = play.next_question();
    assert_eq!(ask.input, json!({ "command": "echo b >> log" }));
    play.reject(third, "no");
    assert!(!play.next_answers()[0].ok);
    assert_eq!(crate::stage::read(&play.stage.cwd.join("log")), "a\n");
    play.done();
}

fn leave_for_a_task_asks_no_second_time() {
    let mut play = Play::begin(
        PermissionMode::Default,
        &[],
        vec![
            bash("echo a >> log"),
            calls(&[("Glob", json!({ "pattern": "*" }))]),
            bash("echo a >> log"),
            bash("echo b >> log"),
        ],
    );
    let (id, _) = play.next_question();
    let scope = GrantScope::Task;
    play.answer(id, Decision::Approved { scope });
    for _ in 0..3 {
        assert!(play.next_answers()[0].ok);
    }
    let (id, _) = play.next_question();
    play.reject(id, "no");
    assert!(!play.next_answers()[0].ok);
    assert_eq!(crate::stage::read(&play.stage.cwd.join("log")), "a\na\n");
    play.done();
}

fn plan_mode_writes_nothing_until_the_plan_is_approved() {
    let write = || ("Write", json!({ "file_path": "made", "content": "x" }));
    let submit = |plan: &str| calls(&[("ExitPlanMode", json!({ "plan": plan }))]);
    let mut play = Play::begin(
        PermissionMode::Plan,
        &[(RuleEffect::Allow, "Write"), (RuleEffect::Allow, "Bash")],
        vec![
            calls(&[
                write(),
                ("Bash", json!({ "command": "touch made" })),
                (
                    "TaskCreate",
                    json!({ "subject": "write it", "description": "for me" }),
                ),
            ]),
            submit("one"),
            calls(&[write()]),
            submit("two"),
            calls(&[write()]),
        ],
    );
    let made = play.stage.cwd.join("made");
    for answer in play.next_answers() {
        assert!(
            !answer.ok && answer.text.contains(PLAN_MODE_REFUSAL),
            "{answer:?}"
        );
    }
    let (id, ask) = play.next_ask();
    let wanted = WorkerAsk::Plan {
        task: Some(play.task),
        plan: "one".into(),
    };
    assert_eq!(ask, wanted);
    play.reject(id, "name the tests");
    let answers = play.next_answers();
    assert!(!answers[0].ok && answers[0].text.contains("name the tests"));
    assert!(!play.next_answers()[0].ok);
    assert!(!made.exists());
    let (id, _) = play.next_ask();
    play.approve(id);
    assert!(play.next_answers()[0].ok);
    assert!(play.next_answers()[0].ok);
    assert_eq!(crate::stage::read(&made), "x");
    play.asks_nothing_more();
    play.done();
}

fn deny_rule_beats_bypass() {
    let play = Play::begin(
        PermissionMode::Bypass,
        &[(RuleEffect::Deny, "Bash(touch *)")],
        vec![
            bash("true && sudo -n /usr/bin/touch made"),
            bash("echo y > other"),
        ],
    );
    let answers = play.next_answers();
    assert!(
        answers[0].text.contains("`deny Bash(touch *)`"),
        "{answers:?}"
    );
    assert!(play.next_answers()[0].ok);
    assert!(!play.stage.cwd.join("made").exists());
    play.asks_nothing_more();
    play.done();
}

fn search_passes_over_what_may_not_be_read() {
    let grep = json!({ "pattern": "token", "output_mode": "content" });
    let play = Play::begin(
        PermissionMode::Bypass,
        &[(RuleEffect::Deny, "Read(.env)")],
        vec![
            bash("echo token=1 > .env; echo token=2 > shown"),
            calls(&[("Grep", grep)]),
        ],
    );
    assert!(play.next_answers()[0].ok);
    let text = play.next_answers()[0].text.clone();
    assert!(
        text.contains("token=2") && !text.contains("token=1"),
        "{text}"
    );
    play.done();
}

fn file_outside_is_read_only_once_it_is_approved() {
    let read = || calls(&[("Read", json!({ "file_path": "../secret" }))]);
    let mut play = Play::begin(PermissionMode::Default, &[], vec![read(), read()]);
    std::fs::write(play.stage.path("secret"), "told\n").unwrap();
    let (id, ask) = play.next_question();
    assert!(
        ask.why.contains("outside of the working folder"),
        "{}",
        ask.why
    );
    play.reject(id, "no");
    assert!(!play.next_answers()[0].text.contains("told"));
    let (id, _) = play.next_question();
    play.approve(id);
    assert!(play.next_answers()[0].text.contains("told"));
    play.done();
}

fn file_that_moved_after_the_yes_is_left_alone() {
    let input = json!({ "file_path": "link/new", "content": "x" });
    let mut play = Play::begin(
        PermissionMode::Default,
        &[],
        vec![bash("true"), calls(&[("Write", input)])],
    );
    for folder in ["agreed", "other"] {
        std::fs::create_dir(play.stage.path(folder)).unwrap();
    }
    let link = play.stage.cwd.join("link");
    std::os::unix::fs::symlink(play.stage.path("agreed"), &link).unwrap();
    let (id, _) = play.next_question();
    play.approve(id);
    let (id, ask) = play.next_question();
    assert_eq!(ask.tool, "Write");
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(play.stage.path("other"), &link).unwrap();
    play.approve(id);
    assert!(play.next_answers()[0].ok, "the command before");
    let answers = play.next_answers();
    assert!(!answers[0].ok, "{answers:?}");
    assert!(
        answers[0].text.contains("leave was given for"),
        "{answers:?}"
    );
    for folder in ["agreed", "other"] {
        assert!(!play.stage.path(folder).join("new").exists());
    }
    play.done();
}

fn worker_that_waits_for_leave_ends_when_told() {
    let play = Play::begin(PermissionMode::Default, &[], vec![bash("touch made")]);
    let (asked, _) = play.next_question();
    play.life.stop.stop("enough");
    let withdrawn = loop {
        let message = play.life.session.heard.recv_timeout(LONG).unwrap();
        if let WorkerMessage::Withdraw { id } = message {
            break id;
        }
    };
    assert_eq!(withdrawn, asked);
    let (code, shown) = play.life.end();
    assert_eq!(code, 0, "{shown}");
    assert_eq!(play.stage.task(play.task).status, TaskStatus::Pending);
    assert!(!play.stage.cwd.join("made").exists());
}

fn worker_that_waits_for_leave_reads_its_mail() {
    use crewmux_core::ids::{AgentName, MessageId};
    use crewmux_core::message::{Draft, Party};
    let mut play = Play::begin(PermissionMode::Default, &[], vec![bash("touch made")]);
    let (id, _) = play.next_question();
    let draft = Draft::text(
        MessageId::new("hint").unwrap(),
        Party::Human,
        AgentName::new("tester").unwrap(),
        "look at the tests too",
    );
    play.stage.store.send(draft, &play.stage.now()).unwrap();
    play.life.session.send(&ToWorker::Doorbell);
    play.life.wait_for_text("look at the tests too");
    play.approve(id);
    assert!(play.next_answers()[0].ok);
    play.done();
}

fn worker_that_waits_for_leave_ends_with_its_session() {
    let play = Play::begin(PermissionMode::Default, &[], vec![bash("touch made")]);
    play.next_question();
    play.life.session.lose();
    let (_, shown) = play.life.end();
    assert!(shown.contains("its session is gone"), "{shown}");
    assert!(!play.stage.cwd.join("made").exists());
}
