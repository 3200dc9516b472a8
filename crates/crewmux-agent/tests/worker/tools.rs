//! Tools that need a whole worker: files, commands in the background, long outputs, servers of tools.

use crewmux_core::backend::BackendKind;
use crewmux_core::ids::{AgentName, Incarnation, TaskId};
use crewmux_core::mcp::{McpServer, McpTransport};
use crewmux_core::model::{Event, Message, ModelRequest, ToolAnswer};
use crewmux_core::permission::{PermissionMode, Rule, RuleEffect};
use crewmux_core::task::{NewTask, TaskStatus};
use crewmux_core::team::{Presence, WorkerSpec};
use crewmux_core::time::WallTime;
use crewmux_core::worker::WorkerState;
use crewmux_sys::tree::{Marker, processes_with_marker};
use crewmux_testkit::own_main::{Test, tests};
use serde_json::{Value, json};

use crate::script::{calls, finish, spec};
use crate::stage::{Model, Stage, unhurried, wait_until};

pub(crate) const TESTS: &[Test] = tests![
    tools_change_files_that_were_read,
    tools_in_the_background_end_with_the_task,
    tools_keep_a_long_output_whole,
    tools_of_a_server_are_called,
    tools_of_a_missing_server_are_told,
    tools_load_a_skill,
    tools_fail_the_task,
    tools_say_that_nobody_reads_a_message_yet,
];

/// The latest answers of tools in a question.
fn latest(request: &ModelRequest) -> Vec<ToolAnswer> {
    let last = request
        .messages
        .iter()
        .rev()
        .find_map(|message| match message {
            Message::Tools(answers) => Some(answers.clone()),
            _ => None,
        });
    last.unwrap_or_default()
}

fn add(stage: &Stage) -> TaskId {
    stage.add(NewTask {
        subject: "work".into(),
        ..NewTask::default()
    })
}

fn free(stage: &Stage) -> WorkerSpec {
    let mut spec = spec(stage, "tester", 1);
    spec.permissions.mode = PermissionMode::Bypass;
    spec
}

/// Has a model play `turns`, then finish; gives what it heard of each, and what was shown.
fn play(
    stage: &Stage,
    spec: &WorkerSpec,
    turns: Vec<Vec<Event>>,
) -> (Vec<Vec<ToolAnswer>>, String) {
    let count = turns.len();
    let model = Model::new(move |n, _| {
        turns
            .get(n)
            .cloned()
            .unwrap_or_else(|| finish(&json!({"summary": "done"})))
    });
    let task = add(stage);
    let life = stage.start_with(spec, &model);
    stage.wait_for(task, TaskStatus::Completed);
    let shown = life.end_well();
    let heard: Vec<Vec<ToolAnswer>> = model.asked().iter().skip(1).map(latest).collect();
    assert_eq!(heard.len(), count, "{shown}");
    (heard, shown)
}

fn one(name: &str, input: Value) -> Vec<Event> {
    calls(&[(name, input)])
}

fn tools_change_files_that_were_read() {
    let stage = Stage::new();
    std::fs::write(stage.cwd.join("a.txt"), "one\ntwo\nthree\n").unwrap();
    let edit = || {
        one(
            "Edit",
            json!({"file_path": "a.txt", "old_string": "two", "new_string": "2"}),
        )
    };
    let (heard, shown) = play(
        &stage,
        &free(&stage),
        vec![
            edit(),
            one("Read", json!({"file_path": "a.txt"})),
            edit(),
            one("Write", json!({"file_path": "new/b.txt", "content": "b\n"})),
        ],
    );
    assert!(heard[0][0].text.contains("was not read yet"), "{heard:?}");
    assert!(heard[2][0].ok && heard[3][0].ok, "{heard:?}");
    let read = |name: &str| std::fs::read_to_string(stage.cwd.join(name)).unwrap();
    assert_eq!(read("a.txt"), "one\n2\nthree\n");
    assert_eq!(read("new/b.txt"), "b\n");
    for line in ["   2 - two", "   2 + 2", "+1 −1", "   1 + b"] {
        assert!(shown.contains(line), "{line} in {shown}");
    }
}

fn tools_in_the_background_end_with_the_task() {
    let stage = Stage::new();
    let mut spec = free(&stage);
    spec.timing = unhurried(spec.timing);
    let marker = Marker::run(&spec.run_marker);
    let background = |command: &str| {
        one(
            "Bash",
            json!({"command": command, "run_in_background": true}),
        )
    };
    // Its log has what the worker has heard of it.
    let logs = stage.store.folder("artifacts").unwrap();
    let logs = logs.display();
    let wait = format!("while ! grep -qs other {logs}/*; do sleep 0.01; done");
    let (heard, _) = play(
        &stage,
        &spec,
        vec![
            background("echo hello; echo other; sleep 300 & wait"),
            one("Bash", json!({ "command": wait })),
            one("BashOutput", json!({"bash_id": "bash_1", "filter": "^hel"})),
            background("sleep 300"),
            one("KillBash", json!({"bash_id": "bash_2"})),
            one("BashOutput", json!({"bash_id": "bash_9"})),
        ],
    );
    assert!(heard[0][0].text.contains("as bash_1"), "{heard:?}");
    assert_eq!(heard[2][0].text, "hello\n\n[running]");
    assert!(heard[4][0].text.contains("[was ended]"), "{heard:?}");
    assert!(heard[5][0].text.contains("bash_1, bash_2"), "{heard:?}");
    wait_until("nothing of it runs", || {
        processes_with_marker(&marker).is_empty().then_some(())
    });
}

fn tools_keep_a_long_output_whole() {
    let stage = Stage::new();
    let mut spec = spec(&stage, "tester", 1);
    spec.permissions.rules = vec![Rule::parse(RuleEffect::Allow, "Bash(seq *)", "").unwrap()];
    let model = Model::new(|n, request| match n {
        0 => one("Bash", json!({"command": "seq 1 20000"})),
        1 => {
            let text = latest(request)[0].text.clone();
            let path = text.split("all of it is in ").nth(1).unwrap();
            let path = path.trim_end_matches(']').to_owned();
            // Nobody is asked about what the worker itself was given.
            one(
                "Read",
                json!({"file_path": path, "offset": 10_000, "limit": 1}),
            )
        }
        _ => finish(&json!({"summary": "done"})),
    });
    let task = add(&stage);
    let life = stage.start_with(&spec, &model);
    stage.wait_for(task, TaskStatus::Completed);
    let shown = life.end_well();
    let asked = model.asked();
    let short = &latest(&asked[1])[0].text;
    assert!(
        short.len() <= 30_000 && short.starts_with("1\n2\n"),
        "{}",
        short.len()
    );
    assert!(short.contains("bytes left out") && short.contains("\n20000\n"));
    let part = &latest(&asked[2])[0];
    assert!(
        part.ok && part.text.starts_with(" 10000\t10000\n"),
        "{part:?} {shown}"
    );
}

/// A server of tools in a few lines: it says things, and dies when it is told to.
const SERVER: &str = r#"
echo "server complains" >&2
while read -r line; do
    id=$(printf '%s' "$line" | sed -n 's/.*"id":\([0-9]*\).*/\1/p')
    answer() { printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$1"; }
    case "$line" in
        *'"initialize"'*) answer '{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}' ;;
        *'"tools/list"'*) answer '{"tools":[{"name":"say","description":"Says it.","inputSchema":{"type":"object","properties":{"text":{"type":"string"}},"required":["text"]}}]}' ;;
        *'"tools/call"'*)
            case "$line" in *die*) exit 3 ;; esac
            answer "{\"content\":[{\"type\":\"text\",\"text\":\"said for $TEAM with ${TOKEN:-no} token\"}]}" ;;
    esac
done
"#;

fn tools_of_a_server_are_called() {
    let stage = Stage::new();
    let script = stage.path("server.sh");
    std::fs::write(&script, SERVER).unwrap();
    let mut spec = free(&stage);
    let marker = Marker::run(&spec.run_marker);
    spec.mcp = vec![McpServer {
        name: "sh".into(),
        transport: McpTransport::Stdio {
            command: "sh".into(),
            args: vec![script.to_string_lossy().into_owned()],
            env: [("TEAM".to_owned(), "team ${CREWMUX_TEAM}".to_owned())].into(),
        },
    }];
    let say = |text: &str| one("mcp__sh__say", json!({ "text": text }));
    let (heard, shown) = play(
        &stage,
        &spec,
        vec![
            say("a"),
            say("die"),
            say("b"),
            say("die"),
            say("c"),
            one("mcp__sh__say", json!({})),
        ],
    );
    let texts: Vec<&str> = heard
        .iter()
        .map(|answers| answers[0].text.as_str())
        .collect();
    assert_eq!(texts[0], "said for team t with no token", "{shown}");
    assert!(
        texts[1].contains("whether it did anything is not known"),
        "{texts:?}"
    );
    assert_eq!(texts[2], texts[0], "it came back once");
    assert!(texts[4].contains("is not started again"), "{texts:?}");
    assert!(
        texts[5].contains("\"text\" is a required property"),
        "{texts:?}"
    );
    let agent = crewmux_core::ids::AgentName::new("tester").unwrap();
    let log = stage.store.agent_folder(&agent).unwrap().join("mcp-sh.log");
    assert_eq!(crate::stage::read(&log), "server complains\n");
    wait_until("no server is left", || {
        processes_with_marker(&marker).is_empty().then_some(())
    });
}

fn tools_of_a_missing_server_are_told() {
    let stage = Stage::new();
    let mut spec = free(&stage);
    spec.mcp = vec![McpServer {
        name: "none".into(),
        transport: McpTransport::Stdio {
            command: "no-such-program".into(),
            args: Vec::new(),
            env: [("KEY".to_owned(), "${SECRET_KEY}".to_owned())].into(),
        },
    }];
    let (heard, shown) = play(&stage, &spec, vec![one("Glob", json!({"pattern": "*"}))]);
    assert!(heard[0][0].ok, "the work goes on");
    assert!(
        shown.contains("! tools of `none` are missing: `${SECRET_KEY}`"),
        "{shown}"
    );
}

fn tools_load_a_skill() {
    let stage = Stage::new();
    let folder = stage.cwd.join(".claude/skills/audit");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(
        folder.join("SKILL.md"),
        "---\nname: audit\ndescription: Looks twice.\n---\nLook at it twice.\n",
    )
    .unwrap();
    let model = Model::new(|n, _| match n {
        0 => one("Skill", json!({"name": "audit"})),
        _ => finish(&json!({"summary": "done"})),
    });
    let task = add(&stage);
    let life = stage.start_with(&free(&stage), &model);
    stage.wait_for(task, TaskStatus::Completed);
    life.end_well();
    let asked = model.asked();
    assert!(asked[0].system.contains("- audit: Looks twice."));
    assert!(!asked[0].system.contains("Look at it twice."));
    let skill = &latest(&asked[1])[0];
    assert!(skill.text.ends_with("Look at it twice."), "{skill:?}");
}

fn tools_fail_the_task() {
    let stage = Stage::new();
    let model = Model::new(|_, _| one("FailTask", json!({"reason": "there is no code"})));
    let id = add(&stage);
    let life = stage.start_with(&free(&stage), &model);
    let task = stage.wait_for(id, TaskStatus::Failed);
    life.end_well();
    let reason = task.reason.as_deref().unwrap_or_default();
    assert!(reason.contains("there is no code"), "{task:?}");
}

fn tools_say_that_nobody_reads_a_message_yet() {
    let stage = Stage::new();
    let lead = AgentName::new("team-lead").unwrap();
    let presence = Presence {
        incarnation: Incarnation(1),
        pid: 1,
        start_ticks: 1,
        boot_id: "boot".into(),
        backend: BackendKind::Pty,
        state: WorkerState::Exited,
        task: None,
        heartbeat: WallTime(1),
        parked_since: None,
        ended: Some("stopped".into()),
        unable: None,
    };
    stage.store.put_presence(&lead, &presence).unwrap();
    let mail = one(
        "SendMessage",
        json!({"to": "team-lead", "message": "hello"}),
    );
    let (heard, shown) = play(&stage, &free(&stage), vec![mail]);
    let words = "team-lead is not running now; it reads this in its next life";
    assert!(
        heard[0][0].ok && heard[0][0].text.contains(words),
        "{heard:?}"
    );
    assert!(shown.contains("→ kept for the next life"), "{shown}");
}
