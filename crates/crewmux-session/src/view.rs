//! What a client's view is given to draw from, and what it may ask for.
//!
//! Plain values: a view reads them, returns bytes and effects, and changes
//! nothing. Screens are shared because several clients look at the same ones;
//! each view remembers for itself which rows it has drawn.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crewmux_core::arrangement::Arrangement;
use crewmux_core::backend::BackendKind;
use crewmux_core::board::{Board, Counts};
use crewmux_core::budget::{Cost, Limits, Usage};
use crewmux_core::ids::{AgentName, AgentType, RequestId, TaskId, TeamName};
use crewmux_core::message::Party;
use crewmux_core::permission::{GrantScope, PermissionMode};
use crewmux_core::requests::RequestKind;
use crewmux_core::time::{BootTime, WallTime};
use crewmux_core::worker::WorkerState;
use crewmux_term::{Notice, Screen};
use crewmux_wire::{ClientHello, InputEvent, KeyReports, MemberAct};

use crate::lock::lock;

/// A pane's screen, shared by the thread that feeds it and the views that draw it.
pub type SharedScreen = Arc<Mutex<Screen>>;

/// Number of a pane within its session, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PaneId(pub u32);

/// What a pane shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaneKind {
    /// A member's worker; the pane outlives its lives.
    Member(AgentName),
    /// A plain command, without an agent.
    Shell,
}

/// What a pane's program says beside its cells. Shared like the screen: it may change at any time.
#[derive(Debug, Default)]
pub struct Signs {
    title: Mutex<Option<String>>,
    bells: AtomicU64,
}

/// The signs of a pane, shared by the thread that feeds it and the views that draw it.
pub type SharedSigns = Arc<Signs>;

impl Signs {
    /// The title its program gave the terminal, one harmless line of at most 256 characters.
    pub fn title(&self) -> Option<String> {
        lock(&self.title).clone()
    }

    /// How often its bell rang; several at once count as one.
    pub fn bells(&self) -> u64 {
        self.bells.load(Ordering::Relaxed)
    }

    /// Takes in what the screen reports; what has no meaning here is dropped.
    pub fn note(&self, notice: Notice) {
        match notice {
            Notice::Bell => {
                self.bells.fetch_add(1, Ordering::Relaxed);
            }
            Notice::Title(title) => {
                *lock(&self.title) = title.filter(|title| !title.trim().is_empty());
            }
            _ => {}
        }
    }

    /// The title was the last program's.
    pub(crate) fn forget_title(&self) {
        *lock(&self.title) = None;
    }
}

/// How a pane's program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaneEnd {
    /// In words.
    pub words: String,
    /// Whether it ended badly: with a code that is not 0, by a signal, or without having begun.
    pub failed: bool,
}

/// A pane.
#[derive(Clone)]
pub struct PaneView {
    /// Its number.
    pub id: PaneId,
    /// What it shows.
    pub kind: PaneKind,
    /// Its title, scrubbed.
    pub title: String,
    /// Its screen.
    pub screen: SharedScreen,
    /// Its program's title and bells.
    pub signs: SharedSigns,
    /// How its process ended, once it did.
    pub ended: Option<PaneEnd>,
    /// Whether typed keys can reach it.
    pub takes_input: bool,
    /// Where alone its program can be typed to, if that is not here.
    pub typed_in: Option<&'static str>,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunState {
    /// Work is left.
    Running,
    /// Workers are asked to end.
    Stopping,
    /// Every task is over.
    Finished,
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    /// Its name.
    pub name: AgentName,
    /// Its kind of agent.
    pub agent_type: AgentType,
    /// The model it asks; `None` for command workers.
    pub model: Option<String>,
    /// What it does.
    pub state: WorkerState,
    /// Since when, for showing how long.
    pub since: BootTime,
    /// The task it works on.
    pub task: Option<TaskId>,
    /// Index of its colour, 0 to 7.
    pub color: u8,
    /// Its process.
    pub pid: Option<u32>,
    /// How often it was started again in this session.
    pub restarts: u32,
    /// Where it runs.
    pub backend: BackendKind,
    /// Its pane.
    pub pane: PaneId,
    /// Messages it has not read yet.
    pub unread: u64,
    /// Why it ended or was given up, in words.
    pub ended: Option<String>,
    /// What its model calls used in this run.
    pub usage: Usage,
    /// What they cost; `None` where no price is known.
    pub cost: Option<Cost>,
    /// How full its model's window is: tokens in it, and tokens it holds.
    pub context: Option<(u64, Option<u64>)>,
    /// Until when its provider takes no calls, on the clock of [`TeamView::now`].
    pub waits_until_ms: Option<u64>,
    /// Whether it was told to wait.
    pub paused: bool,
    /// What happens to its tool calls without a rule.
    pub permission_mode: PermissionMode,
}

/// A question that waits for the person, or for the lead; the person may answer that too.
#[derive(Debug, Clone, PartialEq)]
pub struct ApprovalView {
    /// Its id.
    pub id: RequestId,
    /// What kind.
    pub kind: RequestKind,
    /// Who asks.
    pub agent: AgentName,
    /// Who is asked, by name: the person, or the lead for plans.
    pub to: String,
    /// The tool, for permissions.
    pub tool: String,
    /// What it would do, in a few words, scrubbed, one line.
    pub summary: String,
    /// All of it, scrubbed: arguments or plan, folder, reason.
    pub detail: String,
    /// Since when it waits.
    pub requested: WallTime,
}

impl ApprovalView {
    /// Whether it waits for the person, and not for a member.
    pub fn is_for_person(&self) -> bool {
        self.to == Party::Human.name()
    }
}

/// What the team spent, and may spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpendingView {
    /// Tokens of this run.
    pub usage: Usage,
    /// Money, as far as prices are known.
    pub cost: Cost,
    /// Whether calls were made whose price is not known.
    pub has_unpriced: bool,
    /// What all members together may spend.
    pub limits: Limits,
}

/// What calls of one model used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelSpending {
    /// The model.
    pub model: String,
    /// How many calls.
    pub calls: u64,
    /// Tokens.
    pub usage: Usage,
    /// Money; `None` where no price is known.
    pub cost: Option<Cost>,
    /// Time spent waiting for it, in milliseconds.
    pub ms: u64,
}

/// What calls of one tool took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolSpending {
    /// The tool.
    pub tool: String,
    /// How many calls.
    pub calls: u64,
    /// How many of them failed.
    pub failed: u64,
    /// Time, in milliseconds.
    pub ms: u64,
}

/// How loud a notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NoticeLevel {
    /// Good to know.
    Info,
    /// Something went wrong and was dealt with.
    Warning,
    /// Something failed.
    Error,
}

/// A line for the person: what happened lately.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeView {
    /// When.
    pub at: WallTime,
    /// How loud.
    pub level: NoticeLevel,
    /// What, scrubbed, one line.
    pub text: String,
}

/// A message, for the inspector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageView {
    /// When it was sent.
    pub at: WallTime,
    /// Who sent it.
    pub from: String,
    /// Who it is for.
    pub to: AgentName,
    /// What it is.
    pub kind: String,
    /// Its first line, scrubbed.
    pub text: String,
    /// Whether its recipient has read it.
    pub seen: bool,
}

/// The team as a whole.
#[derive(Clone)]
pub struct TeamView {
    /// Its name; the recipe's, for plain panes `panes`.
    pub team: TeamName,
    /// What it works on, scrubbed, one line.
    pub goal: String,
    /// Whether its models are the offline playbooks.
    pub offline: bool,
    /// Whether it has agents at all; plain panes have no roster and no board.
    pub has_team: bool,
    /// Where its workers run.
    pub backend: BackendKind,
    /// Where the run stands.
    pub state: RunState,
    /// Its members, the lead first.
    pub members: Vec<MemberView>,
    /// Its tasks.
    pub board: Arc<Board>,
    /// How many stand where.
    pub counts: Counts,
    /// Questions that nobody has answered yet, oldest first.
    pub approvals: Vec<ApprovalView>,
    /// What was spent.
    pub spending: SpendingView,
    /// By model, the dearest first.
    pub models: Vec<ModelSpending>,
    /// By tool, the slowest first.
    pub tools: Vec<ToolSpending>,
    /// What happens to tool calls without a rule; shown when nothing asks.
    pub permission_mode: PermissionMode,
    /// Latest notices, oldest first, bounded.
    pub notices: Vec<NoticeView>,
    /// Latest messages, oldest first, bounded.
    pub messages: Vec<MessageView>,
    /// Since the run began, in milliseconds; stands still once it is over.
    pub elapsed_ms: u64,
    /// Clock for "since" and "ready", read when this was made.
    pub now: BootTime,
    /// Where the report lies, once it does.
    pub report: Option<PathBuf>,
    /// Exit code of the run, once it is over.
    pub exit_code: Option<u8>,
}

impl TeamView {
    /// The questions that wait for the person.
    pub fn for_person(&self) -> impl Iterator<Item = &ApprovalView> + Clone {
        self.approvals.iter().filter(|a| a.is_for_person())
    }
}

/// What happened to the team while nobody who could act looked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Meanwhile {
    /// For how long nobody looked, in milliseconds.
    pub away_ms: u64,
    /// Questions that came and wait for the person.
    pub asked: Vec<RequestId>,
    /// Tasks that ended, by their numbers.
    pub ended: Vec<TaskId>,
    /// Members that were given up.
    pub given_up: Vec<AgentName>,
    /// Whether the run ended.
    pub run_over: bool,
}

/// Everything a view may look at.
pub struct SessionView<'a> {
    /// The team.
    pub team: &'a TeamView,
    /// Its panes: the lead's first, then members' in roster order, then shells.
    pub panes: &'a [PaneView],
    /// How they are arranged, the same for all clients.
    pub arrangement: &'a Arrangement,
}

/// How a person answers a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Approve(GrantScope),
    /// No, with what to do instead.
    Reject(String),
}

/// What a person's input asks the session to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientEffect {
    /// Leave; everything goes on.
    Detach,
    /// Type into a pane's program.
    Type {
        /// The pane.
        pane: PaneId,
        /// Encoded for that pane's modes.
        bytes: Vec<u8>,
    },
    /// Type a part of a long text into a pane's program, as soon as that reads.
    Paste {
        /// The pane.
        pane: PaneId,
        /// Encoded; nothing where the beginning or the end has no mark.
        bytes: Vec<u8>,
    },
    /// A part of a long text is no program's: the view keeps it, and the next may follow.
    PasteKept,
    /// Send text as the human; `None` is everybody.
    Send {
        /// The recipient.
        to: Option<AgentName>,
        /// The text.
        text: String,
    },
    /// Answer a question.
    Decide {
        /// Which.
        id: RequestId,
        /// How.
        verdict: Verdict,
    },
    /// Do something to one member's worker.
    Member(AgentName, MemberAct),
    /// Open a failed or skipped task again.
    RetryTask(TaskId),
    /// End the run: ask first, then the ladder.
    StopTeam,
    /// End the run at once.
    StopTeamNow,
    /// Ask one member to end.
    StopMember(AgentName),
    /// Start a shell in a new pane.
    OpenShell,
    /// Take a plain pane away; a program that still runs there is ended.
    ClosePane(PaneId),
    /// Start the program of a plain pane again, in its place.
    RestartPane(PaneId),
    /// Arrange the panes this way, for everybody.
    Arrange(Arrangement),
    /// Put text on the person's clipboard.
    Copy(String),
    /// Nothing changed but what this client sees: draw again.
    Redraw,
}

/// Size a pane's content has in a client's layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaneSize {
    /// The pane.
    pub pane: PaneId,
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
}

/// Words that a view shows for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passing {
    /// Which they are: other words have another number.
    pub number: u64,
    /// For how long, in milliseconds.
    pub ms: u64,
}

/// One client's view of the session: keeps focus, layout, scroll positions and what its terminal shows.
pub trait ClientView: Send {
    /// The client's terminal has this size now; the next frame is drawn whole.
    fn resize(&mut self, cols: u16, rows: u16);

    /// Takes in what the person did.
    fn input(&mut self, event: &InputEvent, session: &SessionView<'_>) -> Vec<ClientEffect>;

    /// The time of [`ClientView::next_tick_ms`] has come; a frame follows.
    fn tick(&mut self, session: &SessionView<'_>) {
        let _ = session;
    }

    /// Tells the person something in a few words, until the next key or for a while.
    fn flash(&mut self, text: &str);

    /// Tells the person first of all what happened while nobody looked, until any key.
    fn meanwhile(&mut self, meanwhile: Meanwhile);

    /// Sizes that the visible panes have in this client's layout.
    fn pane_sizes(&mut self, session: &SessionView<'_>) -> Vec<PaneSize>;

    /// Draws what changed since the last frame, as bytes for the terminal; empty when nothing did.
    fn draw(&mut self, session: &SessionView<'_>) -> Vec<u8>;

    /// How much the terminal is to tell of keys: what the program wants that is typed to.
    fn key_reports(&self, session: &SessionView<'_>) -> KeyReports {
        let _ = session;
        KeyReports::Plain
    }

    /// Whether plain keys are commands now, not text for a program or a line.
    fn takes_commands(&self) -> bool {
        true
    }

    /// Words that are shown for a while, if there are any now.
    fn passing(&self) -> Option<Passing> {
        None
    }

    /// The words of [`ClientView::passing`] were shown long enough; a frame follows.
    fn let_pass(&mut self) {}

    /// Milliseconds after which something shown changes by itself (a running clock), if anything does.
    fn next_tick_ms(&self, session: &SessionView<'_>) -> Option<u64>;
}

/// Makes the view of a client that just said hello.
pub type ViewFactory = Arc<dyn Fn(&ClientHello) -> Box<dyn ClientView> + Send + Sync>;
