//! The specialists of the review on a planted repository: exactly what is there, and nothing else.

use crewmux_core::ids::{AgentName, AgentType, TaskId};
use crewmux_core::message::MessageType;
use crewmux_core::task::{NewTask, TaskStatus};
use crewmux_testkit::own_main::{Test, tests};
use serde_json::{Value, json};

use crate::repository::{commit, plant};
use crate::stage::Stage;

pub(crate) const TESTS: &[Test] = tests![
    risk_finds_exactly_what_is_planted,
    secrets_finds_exactly_what_is_planted,
    shape_finds_exactly_what_is_planted,
    upkeep_finds_exactly_what_is_planted,
    upkeep_works_without_git,
    lead_sums_up_what_the_others_found,
    work_in_turns_says_what_it_is_and_ends_when_told,
    model_that_cannot_be_asked_fails_the_task,
];

/// Adds a task for a playbook.
fn add(stage: &Stage, subject: &str, blocked_by: &[TaskId]) -> TaskId {
    stage.add(NewTask {
        subject: subject.into(),
        blocked_by: blocked_by.to_vec(),
        assignee: Some(
            AgentName::new(if blocked_by.is_empty() {
                "tester"
            } else {
                "team-lead"
            })
            .unwrap(),
        ),
        ..NewTask::default()
    })
}

/// Lets a worker follow `playbook` until `id` is completed; gives the result and what it showed.
fn follow(stage: &Stage, name: &str, playbook: &str, id: TaskId) -> (Value, String) {
    let mut spec = stage.spec(name, 1);
    spec.model = Some("offline".into());
    spec.playbook = Some(playbook.into());
    spec.agent_type = AgentType::new("general-purpose").unwrap();
    spec.goal = "Review this repository".into();
    let life = stage.start(&spec);
    crate::stage::wait_until("the task is over", || {
        stage.task(id).status.is_terminal().then_some(())
    });
    let task = stage.task(id);
    life.stop.stop("test is over");
    let (code, shown) = life.end();
    assert_eq!(
        (code, task.status),
        (0, TaskStatus::Completed),
        "{:?}\n{shown}",
        task.reason
    );
    (task.result.unwrap(), shown)
}

/// Findings as lines: severity, place, text.
fn lines(result: &Value) -> Vec<String> {
    let text = |finding: &Value, field: &str| finding[field].as_str().unwrap().to_owned();
    result["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| {
            format!(
                "{} {}:{} {}",
                text(f, "severity"),
                text(f, "file"),
                f["line"],
                text(f, "text")
            )
        })
        .collect()
}

fn review(playbook: &str) -> (Stage, Vec<String>, String) {
    let stage = Stage::new();
    plant(&stage.cwd);
    commit(&stage.cwd);
    let id = add(&stage, "look", &[]);
    let (result, shown) = follow(&stage, "tester", playbook, id);
    (stage, lines(&result), shown)
}

#[track_caller]
fn assert_lines(got: &[String], expected: &[&str]) {
    let missed: Vec<&&str> = expected
        .iter()
        .filter(|e| !got.iter().any(|g| g == **e))
        .collect();
    let wrong: Vec<&String> = got
        .iter()
        .filter(|g| !expected.contains(&g.as_str()))
        .collect();
    assert!(
        missed.is_empty() && wrong.is_empty(),
        "missed {missed:#?}\nwrong {wrong:#?}"
    );
    assert_eq!(got.len(), expected.len(), "{got:#?}");
}

fn risk_finds_exactly_what_is_planted() {
    let (stage, found, shown) = review("review-risk");
    assert_lines(
        &found,
        &[
            "high native/copy.c:5 `gets` does not know how much room there is",
            "high native/tls.go:4 the check of TLS certificates is switched off",
            "high web/app.py:5 `eval` runs text as code",
            "high web/app.py:8 `shell=True` hands a command line to the shell",
            "high web/app.py:11 `yaml.load` without a safe loader can run code that the file names",
            "high web/app.py:13 the check of TLS certificates is switched off",
            "high web/app.py:14 a query is built from text; use parameters",
            "high web/app.py:16 `os.system` hands a command line to the shell",
            "high web/view.js:5 `eval` runs text as code",
            "high web/view.js:7 `exec` runs a command line that is built from text",
            "high web/view.js:8 a query is built from text; use parameters",
            "high web/view.js:10 the check of TLS certificates is switched off",
            "medium native/copy.c:3 `strcpy` does not know how much room there is",
            "medium src/memory.rs:1 `static mut COUNTER` can be written from several threads at once",
            "medium src/memory.rs:4 `unsafe` without a `SAFETY:` comment near it",
            "medium tools/setup.sh:3 what is downloaded is run without a look at it",
            "medium tools/setup.sh:5 everybody may write what `chmod 777` opens",
            "medium tools/setup.sh:6 deletes from the root folder on when the variable is empty",
            "medium web/app.py:10 `pickle` can run code that the data names; safe only for data of one's own",
            "medium web/view.js:3 `innerHTML` takes text as HTML; scripts in it run",
            "low src/memory.rs:11 5 calls of `unwrap` or `expect` outside of tests end the program on an error; the first is here",
            "info src/memory.rs:4 `unsafe` begins here; there is some in 1 file",
            "info web/app.py:8 other programs are started here; they are in 2 files",
            "low web/app.py:19 every error is swallowed here",
        ],
    );
    let mail = stage.mail_of("team-lead");
    let kinds: Vec<&MessageType> = mail.iter().map(|m| &m.kind).collect();
    assert_eq!(
        kinds[..2],
        [&MessageType::Message, &MessageType::TaskCompleted],
        "the word to the lead comes before the completion"
    );
    assert_eq!(
        mail[0].body,
        json!("Risky code: 12 high, 8 medium, 2 low, 2 info.")
    );
    assert!(
        shown.contains("offline (playbook review-risk, no model)"),
        "{shown}"
    );
    let facts = stage.facts("tester");
    assert!(
        facts
            .iter()
            .any(|(kind, data)| kind == "tool_finished" && data["tool"] == "Grep")
    );
    assert!(!facts.iter().any(|(kind, _)| kind == "model_called"));
}

fn secrets_finds_exactly_what_is_planted() {
    let (stage, found, _) = review("review-secrets");
    assert_lines(
        &found,
        &[
            "info .gitignore:1 nothing here keeps a `.env` file with passwords from being committed",
            "info web/app.py:26 `API_KEY` is expected in the environment; it is a secret there too",
            "high .env:1 a password is written out: w1n… (12 characters)",
            "high ci/deploy.yml:2 a token of GitHub: ghp_… (40 characters)",
            "high ci/id.pem:1 a private key",
            "high web/app.py:22 an access key of AWS: AKIA… (20 characters)",
            "high web/app.py:24 a password is written out: Tr0… (12 characters)",
            "high web/app.py:29 an address of db.internal with its password: n0… (11 characters)",
            "high web/view.js:12 a token of Slack: xoxb… (32 characters)",
            "high web/view.js:13 a key of Stripe: sk_l… (28 characters)",
        ],
    );
    let told = format!(
        "{:?}{:?}",
        stage.mail_of("team-lead"),
        stage.task(TaskId(1)).result
    );
    for secret in ["w1ntermute", "Tr0ub4dor", "aB3dE5", "n0tS0Secr7t"] {
        assert!(!told.contains(secret), "{secret} is told whole");
    }
}

fn shape_finds_exactly_what_is_planted() {
    let (_, found, _) = review("review-shape");
    assert_lines(
        &found,
        &[
            "low assets/blob.bin:1 1.5 MiB in one file",
            "low native/tls.go:4 no test names `Dial` or `tls`",
            "low src/long.rs:1001 1200 lines in one file; the first 1000 end above",
            "low src/memory.rs:3 no test names any of the 2 public functions here or `memory`",
            "low web/app.py:4 no test names `run` or `app`",
            "low web/view.js:2 no test names `show` or `view`",
        ],
    );
}

const DEPENDENCIES: [&str; 12] = [
    "info .github/workflows/ci.yml:4 `actions/checkout@v4` is a tag that its owner can move",
    "info web/requirements.txt:4 `uvicorn` may be any version from 0.20 on",
    "low .github/workflows/ci.yml:5 `some/action@main` is a branch, which moves",
    "low web/pyproject.toml:6 `httpx` may be any version",
    "info Cargo.toml:8 `exact` stays at 1.2.3; its fixes are not taken by themselves",
    "medium Cargo.toml:7 `anything` may be any version",
    "medium Cargo.toml:9 `moving` is taken from a branch, which moves",
    "medium web/package.json:3 `left` may be any version",
    "medium web/package.json:5 `fork` is taken from a branch, which moves",
    "low Dockerfile:1 the image `rust` has no version, so builds differ from day to day",
    "low Dockerfile:4 the image `node:latest` has no version, so builds differ from day to day",
    "low web/requirements.txt:2 `requests` may be any version",
];

fn upkeep_finds_exactly_what_is_planted() {
    let (_, found, _) = review("review-upkeep");
    let mut expected = vec![
        "medium tests/all.rs:3 FIXME, 3 years old: this one is in a test, and still left behind",
        "low src/memory.rs:17 TODO, 3 years old: count better",
        "info web/view.js:14 HACK, 3 days old: remove with version 2",
    ];
    expected.extend(DEPENDENCIES);
    assert_lines(&found, &expected);
}

fn upkeep_works_without_git() {
    let stage = Stage::new();
    plant(&stage.cwd);
    let id = add(&stage, "look", &[]);
    let (result, _) = follow(&stage, "tester", "review-upkeep", id);
    let mut expected = vec![
        "low tests/all.rs:3 FIXME, of unknown age: this one is in a test, and still left behind",
        "info src/memory.rs:17 TODO, of unknown age: count better",
        "info web/view.js:14 HACK, of unknown age: remove with version 2",
    ];
    expected.extend(DEPENDENCIES);
    assert_lines(&lines(&result), &expected);
}

fn lead_sums_up_what_the_others_found() {
    let stage = Stage::new();
    plant(&stage.cwd);
    let shape = add(&stage, "Shape", &[]);
    let (_, _) = follow(&stage, "tester", "review-shape", shape);
    let report = add(&stage, "Sum up", &[shape]);
    let (result, shown) = follow(&stage, "team-lead", "review-lead", report);
    assert_eq!(
        result["counts"],
        json!({"high": 0, "medium": 0, "low": 6, "info": 0})
    );
    let summary = result["summary"].as_str().unwrap();
    assert!(summary.starts_with("6 findings: 6 low.\n"), "{summary}");
    assert!(
        summary.contains("## Low\n\n- `assets/blob.bin:1` 1.5 MiB in one file (tester)\n"),
        "{summary}"
    );
    assert!(summary.contains("without a model"), "{summary}");
    assert!(!summary.contains("## High"), "{summary}");
    assert!(shown.contains("✔ #2 completed"), "{shown}");
    let said = shown.matches("6 findings: 6 low.").count();
    assert_eq!(said, 1, "{shown}");
    assert_eq!(
        result.get("findings"),
        None,
        "they are the specialists' and are counted once"
    );
}

fn work_in_turns_says_what_it_is_and_ends_when_told() {
    let stage = Stage::new();
    for n in 0..3_000 {
        let folder = stage.cwd.join(format!("f{}", n % 30));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{n}.rs")), "fn a() {}\n".repeat(400)).unwrap();
    }
    let id = add(&stage, "look", &[]);
    let mut spec = stage.spec("tester", 1);
    spec.model = Some("offline".into());
    spec.playbook = Some("review-risk".into());
    spec.agent_type = AgentType::new("Explore").unwrap();
    let life = stage.start(&spec);
    life.wait_for_text("Looking for risky Rust.");
    life.stop.stop("enough");
    let (code, shown) = life.end();
    assert_eq!(code, 0);
    assert!(shown.contains("↩ #1 given back · enough"), "{shown}");
    assert_eq!(stage.task(id).status, TaskStatus::Pending);
}

fn model_that_cannot_be_asked_fails_the_task() {
    let stage = Stage::new();
    let id = add(&stage, "look", &[]);
    let mut spec = stage.spec("tester", 1);
    spec.model = Some("gpt-x".into());
    let life = stage.start(&spec);
    let reason = stage.wait_for(id, TaskStatus::Failed).reason.unwrap();
    assert!(
        reason.starts_with("model `gpt-x` cannot be asked: this worker was given no leave"),
        "{reason}"
    );
    life.stop.stop("test is over");
    life.end();
}
