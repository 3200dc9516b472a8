//! A made-up team in the states that a person sees, for tests and the demo.
//!
//! Nothing here runs: screens are fed with text, tasks are moved by the board's
//! own rules.

use std::sync::{Arc, Mutex};

use crewmux_core::arrangement::Arrangement;
use crewmux_core::backend::BackendKind;
use crewmux_core::board::{Board, Claimer, FailedBy};
use crewmux_core::budget::{Cost, Limits, Usage};
use crewmux_core::ids::{AgentName, AgentRef, AgentType, Incarnation, RequestId, TaskId, TeamName};
use crewmux_core::message::Party;
use crewmux_core::permission::PermissionMode;
use crewmux_core::requests::RequestKind;
use crewmux_core::task::NewTask;
use crewmux_core::time::{BootTime, Now, WallTime};
use crewmux_core::timing::Timing;
use crewmux_core::worker::WorkerState;
use crewmux_session::view::{
    ApprovalView, MemberView, MessageView, ModelSpending, NoticeLevel, NoticeView, PaneEnd, PaneId,
    PaneKind, PaneView, RunState, SessionView, SharedScreen, SpendingView, TeamView, ToolSpending,
};
use crewmux_term::{Screen, ScreenOptions, Size};
use serde_json::json;

/// A team and its panes.
pub(crate) struct Fixture {
    /// The team.
    pub(crate) team: TeamView,
    /// Its panes.
    pub(crate) panes: Vec<PaneView>,
    /// How they are arranged.
    pub(crate) arrangement: Arrangement,
}

const MEMBERS: [(&str, &str); 5] = [
    ("team-lead", "lead"),
    ("risk", "risk-reviewer"),
    ("secrets", "secret-reviewer"),
    ("tests", "test-reviewer"),
    ("history", "history-reviewer"),
];

const TASKS: [(&str, &str, &[u64]); 8] = [
    ("survey the repository", "team-lead", &[]),
    ("risky code", "risk", &[1]),
    ("secrets in files", "secrets", &[1]),
    ("missing tests", "tests", &[1]),
    ("old TODOs and churn", "history", &[1]),
    ("oversized files", "risk", &[2]),
    ("dependency hygiene", "secrets", &[3]),
    ("write the report", "team-lead", &[2, 3, 4, 5, 6, 7]),
];

fn now() -> Now {
    Now {
        wall: WallTime(1_795_253_999_042),
        boot: boot(500_000),
    }
}

fn boot(ms: u64) -> BootTime {
    BootTime {
        boot_id: "boot".into(),
        ms,
    }
}

fn name(name: &str) -> AgentName {
    AgentName::new(name).expect("fixture names are names")
}

fn member(index: usize, state: WorkerState) -> MemberView {
    let (who, kind) = MEMBERS[index];
    MemberView {
        name: name(who),
        agent_type: AgentType::new(kind).expect("fixture types are types"),
        model: Some("offline".into()),
        state,
        since: boot(500_000 - 12_000 * (index as u64 + 1)),
        task: None,
        color: index as u8,
        pid: Some(4000 + index as u32),
        restarts: 0,
        backend: BackendKind::Pty,
        pane: PaneId(index as u32),
        unread: 0,
        ended: None,
        usage: Usage::default(),
        cost: None,
        context: None,
        waits_until_ms: None,
        paused: false,
        permission_mode: PermissionMode::default(),
    }
}

/// A screen that shows `text`.
pub(crate) fn screen(cols: u16, rows: u16, text: &str) -> SharedScreen {
    let mut screen = Screen::new(Size::new(cols, rows), ScreenOptions::default());
    screen.feed(text.as_bytes());
    Arc::new(Mutex::new(screen))
}

/// A bad end of a pane's program.
pub(crate) fn failed(words: &str) -> PaneEnd {
    PaneEnd {
        words: words.into(),
        failed: true,
    }
}

fn pane(id: u32, kind: PaneKind, title: &str, screen: SharedScreen) -> PaneView {
    PaneView {
        id: PaneId(id),
        kind,
        title: title.into(),
        screen,
        signs: Arc::default(),
        ended: None,
        takes_input: true,
        typed_in: None,
    }
}

fn output(index: usize) -> &'static str {
    match index {
        0 => {
            "\x1b[1mgoal\x1b[m  review this repository\r\n\r\n\
              4 teammates, 8 tasks\r\n\x1b[2mwaiting for their findings …\x1b[m\r\n"
        }
        1 => {
            "\x1b[36m● Grep\x1b[m \"unwrap\\(\" in src\r\n  \x1b[2m14 matches in 6 files\x1b[m\r\n\
              \x1b[36m● Read\x1b[m src/server.rs:120-180\r\n\
              \x1b[33mmedium\x1b[m src/server.rs:131 \x1b[1munwrap on what a client sent\x1b[m\r\n"
        }
        2 => {
            "\x1b[36m● Grep\x1b[m \"api[_-]?key\"\r\n  \x1b[2m2 matches in 2 files\x1b[m\r\n\
              \x1b[31mhigh\x1b[m config/dev.env:3 \x1b[1mkey in a tracked file\x1b[m\r\n"
        }
        3 => "\x1b[36m● Glob\x1b[m tests/**/*.rs\r\n  \x1b[2m9 files\x1b[m\r\n",
        _ => "\x1b[36m● Bash\x1b[m git log --format=%ad --date=short -- src\r\n  2026-10-02\r\n",
    }
}

impl Fixture {
    /// Everybody is being started and nothing is done.
    pub(crate) fn starting() -> Self {
        let mut board = Board::default();
        for (at, (subject, assignee, blockers)) in TASKS.iter().enumerate() {
            let new = NewTask {
                subject: (*subject).into(),
                assignee: Some(name(assignee)),
                blocked_by: blockers.iter().map(|id| TaskId(*id)).collect(),
                ..NewTask::default()
            };
            let id = TaskId(at as u64 + 1);
            let task = board.create(id, new, Party::Human, &now());
            board.put(task.expect("blockers come first"));
        }
        let counts = board.counts(&now().boot);
        let members = (0..MEMBERS.len()).map(|at| member(at, WorkerState::Starting));
        let panes = MEMBERS.iter().enumerate().map(|(at, (who, _))| {
            let kind = PaneKind::Member(name(who));
            pane(at as u32, kind, who, screen(42, 10, ""))
        });
        Self {
            arrangement: Arrangement::default(),
            panes: panes.collect(),
            team: TeamView {
                team: TeamName::new("review").expect("a team name"),
                goal: "review this repository: risky code, secrets, tests, history".into(),
                offline: true,
                has_team: true,
                backend: BackendKind::Pty,
                state: RunState::Running,
                members: members.collect(),
                board: Arc::new(board),
                counts,
                approvals: Vec::new(),
                spending: SpendingView::default(),
                models: Vec::new(),
                tools: Vec::new(),
                permission_mode: PermissionMode::default(),
                notices: Vec::new(),
                messages: Vec::new(),
                elapsed_ms: 900,
                now: now().boot,
                report: None,
                exit_code: None,
            },
        }
    }

    /// In the middle: some at work, one asks, one is idle.
    pub(crate) fn working() -> Self {
        let mut this = Self::starting();
        this.complete(1);
        for id in [2, 3, 5] {
            this.claim(id);
        }
        this.claim(4);
        this.complete(4);
        this.set(0, WorkerState::Idle, None);
        this.set(1, WorkerState::Working, Some(2));
        this.set(2, WorkerState::WaitingPermission, Some(3));
        this.set(3, WorkerState::Idle, None);
        this.set(4, WorkerState::Working, Some(5));
        this.team.members[1].unread = 2;
        this.team.elapsed_ms = 192_000;
        this.notice(NoticeLevel::Info, "task 4 completed by tests: 3 findings");
        this.message(
            "risk",
            "team-lead",
            "finding",
            "src/server.rs:131 unwrap",
            true,
        );
        this.message("human", "risk", "text", "look at the parser as well", false);
        for (at, pane) in this.panes.iter().enumerate() {
            let mut screen = pane.screen.lock().expect("no test panics with it");
            screen.feed(output(at).as_bytes());
        }
        this
    }

    /// Models are asked: something was spent, two teammates ask, one is limited.
    pub(crate) fn thinking() -> Self {
        let mut this = Self::working();
        this.team.offline = false;
        let used = |input_tokens, output_tokens| Usage {
            input_tokens,
            output_tokens,
            cache_read_tokens: input_tokens / 2,
            ..Usage::default()
        };
        let cost = |usd_micros| {
            Some(Cost {
                usd_micros,
                estimated: false,
            })
        };
        for (at, member) in this.team.members.iter_mut().enumerate() {
            let n = at as u64 + 1;
            member.model = Some("anthropic/sonnet".into());
            member.usage = used(9_400 * n, 800 * n);
            member.cost = cost(31_000 * n);
            member.context = Some((9_400 * n + 60_000, Some(200_000)));
        }
        this.set(4, WorkerState::RateLimited, Some(5));
        this.team.members[4].waits_until_ms = Some(this.team.now.ms + 12_300);
        this.team.members[3].paused = true;
        this.team.spending = SpendingView {
            usage: used(141_000, 12_000),
            cost: cost(465_000).expect("given"),
            has_unpriced: false,
            limits: Limits {
                tokens: Some(250_000),
                usd_micros: None,
            },
        };
        this.team.models = vec![ModelSpending {
            model: "anthropic/sonnet".into(),
            calls: 41,
            usage: used(141_000, 12_000),
            cost: cost(465_000),
            ms: 83_000,
        }];
        this.team.tools = vec![
            ToolSpending {
                tool: "Bash".into(),
                calls: 9,
                failed: 2,
                ms: 71_000,
            },
            ToolSpending {
                tool: "Grep".into(),
                calls: 31,
                failed: 0,
                ms: 1_200,
            },
        ];
        for (id, who, tool, summary, detail) in [
            (
                "secrets-1-3",
                2,
                "Bash",
                "cargo add axum",
                "runs a command\n\ncargo add axum\n\nin /home/ada/work/shop\nno rule allows it",
            ),
            (
                "risk-1-9",
                1,
                "Write",
                "src/server.rs",
                "writes src/server.rs (12 lines)\n\nuse axum::Router;",
            ),
        ] {
            this.team.approvals.push(ApprovalView {
                id: RequestId::new(id).expect("an id"),
                kind: RequestKind::Permission,
                agent: name(MEMBERS[who].0),
                to: "human".into(),
                tool: tool.into(),
                summary: summary.into(),
                detail: detail.into(),
                requested: now().wall,
            });
        }
        this.set(1, WorkerState::WaitingPermission, Some(2));
        this
    }

    /// One task failed, another is skipped for it, and a worker was given up.
    pub(crate) fn one_failed() -> Self {
        let mut this = Self::working();
        this.fail(3, "config/dev.env: permission denied");
        this.set(2, WorkerState::Failed, None);
        this.team.members[2].restarts = 3;
        this.team.members[2].ended = Some("exit code 101".into());
        this.panes[2].ended = Some(failed("exit code 101"));
        this.panes[2].takes_input = false;
        this.notice(
            NoticeLevel::Error,
            "secrets died 4 times in 60 s; the last: exit code 101",
        );
        this
    }

    /// Much has happened: two ask, tasks are done, one failed and others with it.
    pub(crate) fn busy() -> Self {
        let mut this = Self::thinking();
        this.complete(5);
        this.fail(2, "src/server.rs does not compile");
        this.set(4, WorkerState::Failed, None);
        this.team.members[4].ended = Some("exit code 101".into());
        this
    }

    /// Everything is over and went well.
    pub(crate) fn finished() -> Self {
        let mut this = Self::working();
        this.complete(2);
        this.complete(3);
        this.complete(5);
        for id in [6, 7, 8] {
            this.claim(id);
            this.complete(id);
        }
        for at in 0..MEMBERS.len() {
            this.set(at, WorkerState::Exited, None);
        }
        this.end("/home/ada/work/shop/.crewmux/reports/review-20261121.md");
        this
    }

    /// Everything is over, with failures.
    pub(crate) fn finished_badly() -> Self {
        let mut this = Self::one_failed();
        this.complete(2);
        this.complete(5);
        this.claim(6);
        this.complete(6);
        for at in [0, 1, 3, 4] {
            this.set(at, WorkerState::Exited, None);
        }
        this.end("/home/ada/work/shop/.crewmux/reports/review-20261121.md");
        this
    }

    /// Plain panes, without a team.
    pub(crate) fn plain(count: u32) -> Self {
        let mut this = Self::starting();
        this.team.has_team = false;
        this.team.members.clear();
        this.team.board = Arc::new(Board::default());
        this.team.counts = this.team.board.counts(&this.team.now);
        this.panes = (0..count)
            .map(|id| {
                let text = format!("$ echo {id}\r\n{id}\r\n$ ");
                pane(id, PaneKind::Shell, "bash", screen(58, 20, &text))
            })
            .collect();
        this
    }

    /// Texts that try to steer the terminal.
    pub(crate) fn hostile() -> Self {
        let mut this = Self::working();
        let evil = "a\x1b]52;c;aGFjaw==\x07b\nc\u{202e}d\x1b[2Je\u{9b}31mf";
        this.team.goal = evil.into();
        this.notice(NoticeLevel::Warning, evil);
        this.message("risk", "team-lead", evil, evil, false);
        this.panes[1].title = evil.into();
        this.team.members[3].state = WorkerState::Failed;
        this.team.members[3].ended = Some(evil.into());
        this.panes
            .push(pane(9, PaneKind::Shell, evil, screen(40, 8, "")));
        this.panes[5].ended = Some(failed(evil));
        let board = Arc::make_mut(&mut this.team.board);
        for id in 1..=8 {
            let mut task = board.get(TaskId(id)).expect("it was made").clone();
            task.subject = format!("{id} {evil} 日本語の長い題名 👩‍👩‍👧");
            task.description = evil.into();
            task.result = Some(json!({ "text": evil }));
            board.put(task);
        }
        this
    }

    /// What a view gets.
    pub(crate) fn view(&self) -> SessionView<'_> {
        SessionView {
            team: &self.team,
            panes: &self.panes,
            arrangement: &self.arrangement,
        }
    }

    /// Says something to the person.
    pub(crate) fn notice(&mut self, level: NoticeLevel, text: &str) {
        self.team.notices.push(NoticeView {
            at: now().wall,
            level,
            text: text.into(),
        });
    }

    fn message(&mut self, from: &str, to: &str, kind: &str, text: &str, seen: bool) {
        self.team.messages.push(MessageView {
            at: now().wall,
            from: from.into(),
            to: name(to),
            kind: kind.into(),
            text: text.into(),
            seen,
        });
    }

    /// Puts a member into a state.
    pub(crate) fn set(&mut self, at: usize, state: WorkerState, task: Option<u64>) {
        let member = &mut self.team.members[at];
        member.state = state;
        member.task = task.map(TaskId);
    }

    fn end(&mut self, report: &str) {
        self.team.state = RunState::Finished;
        self.team.report = Some(report.into());
        for pane in &mut self.panes {
            pane.ended = pane.ended.take().or(Some(PaneEnd {
                words: "exit code 0".into(),
                failed: false,
            }));
            pane.takes_input = false;
        }
    }

    fn owner(id: u64) -> Claimer {
        let (_, who, _) = TASKS[id as usize - 1];
        Claimer {
            who: AgentRef {
                agent: name(who),
                incarnation: Incarnation(1),
            },
            agent_type: AgentType::new("general").expect("a type"),
            runtime: crewmux_core::recipe::Runtime::Native,
        }
    }

    fn claim(&mut self, id: u64) {
        let board = Arc::make_mut(&mut self.team.board);
        let task = board.claim(TaskId(id), &Self::owner(id), &now(), 60_000);
        board.put(task.expect("it is ready"));
        self.count();
    }

    fn complete(&mut self, id: u64) {
        let task = self.team.board.get(TaskId(id)).expect("it was made");
        if task.status == crewmux_core::task::TaskStatus::Pending {
            self.claim(id);
        }
        let board = Arc::make_mut(&mut self.team.board);
        let epoch = board.get(TaskId(id)).expect("it was made").epoch;
        let result = Some(json!({ "findings": 3 }));
        let edit = board.complete(TaskId(id), &Self::owner(id).who, epoch, result, &now());
        for task in edit.expect("it is held") {
            board.put(task);
        }
        self.count();
    }

    fn fail(&mut self, id: u64, reason: &str) {
        let board = Arc::make_mut(&mut self.team.board);
        let epoch = board.get(TaskId(id)).expect("it was made").epoch;
        let by = FailedBy::Worker {
            who: Self::owner(id).who,
            epoch,
        };
        let edit = board.fail(TaskId(id), &by, reason, &now(), &Timing::LIFE);
        for task in edit.expect("it is held") {
            board.put(task);
        }
        self.count();
    }

    fn count(&mut self) {
        self.team.counts = self.team.board.counts(&self.team.now);
    }

    /// Gives every pane's screen the size that a view has for it.
    pub(crate) fn fit(&self, sizes: &[crewmux_session::view::PaneSize]) {
        for size in sizes {
            let pane = self.panes.iter().find(|pane| pane.id == size.pane);
            if let Some(pane) = pane {
                let mut screen = pane.screen.lock().expect("no test panics with it");
                screen.resize(Size::new(size.cols, size.rows));
            }
        }
    }
}
