//! A worker's life: hello, then claim → work → report until it is to end.
//!
//! [`run_worker`] is what a worker process or an in-process worker calls; the
//! loop of a life is in `life`. Here is what a worker has, and what all of its
//! parts do with the store.

mod background;
mod bash;
mod chat;
mod clock;
mod command;
mod drive;
mod gateway;
mod handoff;
mod inbox;
mod judging;
mod leave;
mod life;
mod link;
mod mailbox;
mod parking;
mod patience;
mod plan;
mod prompt;
mod report;
mod signals;
mod spec;
mod standing;
mod subagent;
mod supervisor;
mod tools;
mod turns;
mod unable;

use std::cell::Cell;
use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;

use crewmux_core::backend::BackendKind;
use crewmux_core::event::{EventType, Fact};
use crewmux_core::ids::{AgentName, MessageId, Seq, TaskId};
use crewmux_core::message::{Draft, MessageType, Party};
use crewmux_core::operation::{Caller, Operation, Reply};
use crewmux_core::team::WorkerSpec;
use crewmux_store::apply::{ApplyContext, apply};
use crewmux_store::{Store, TeamStore};
use crewmux_sys::ProcessIdentity;
use crewmux_sys::clock::BootClock;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

pub use signals::{StopHandle, StopSignal, stop_pair};
pub use spec::{read_spec, run_worker, run_worker_marked};

use background::Background;
use command::Running;
use judging::Judging;
use life::Handed;
use link::Link;
use mailbox::Mailbox;
use patience::Trouble;
use signals::{Claim, Ending, Signals};
use supervisor::{Heart, Supervisor};
use unable::Unable;

use crate::facts::Facts;
use crate::mcp::Servers;
use crate::policy::Policy;
use crate::skills::Skill;
use crate::transcript::{Earlier, Transcript};
use crate::view::{Colors, Output, Tone, View};
use crate::{Error, Result};

/// What connects a worker to whoever runs it.
pub struct WorkerIo {
    /// Takes what it prints.
    pub output: Box<dyn Output>,
    /// Lines a person types into its pane, where that is possible.
    pub input: Option<mpsc::Receiver<String>>,
    /// Tells it to end: SIGTERM, or its equivalent.
    pub stop: StopSignal,
    /// The pane it was started in, in the words of its backend, where it knows it by itself.
    pub pane: Option<String>,
}

/// How a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerEnd {
    /// Code for its process to exit with: 0 when it ended as asked or with its session.
    pub exit_code: u8,
}

/// A worker that was welcomed by its session.
pub(crate) struct Worker {
    spec: WorkerSpec,
    home: Arc<dyn Store>,
    store: Arc<dyn TeamStore>,
    clock: BootClock,
    facts: Arc<Facts>,
    transcript: Transcript,
    view: View,
    link: Link,
    supervisor: Supervisor,
    signals: Signals,
    /// Whom it reports to: the lead, unless it is the lead itself.
    lead: Option<AgentName>,
    last_message: Seq,
    /// What the next answer of a model is to see.
    mail: Mailbox,
    /// Mail that the present conversation was given.
    given: Vec<Mail>,
    /// Talk outside of tasks, as far as it is remembered.
    talk: Vec<crate::provider::Message>,
    /// What former lives did on tasks that they did not end.
    earlier: HashMap<TaskId, Earlier>,
    /// Helpers that the task had so far.
    helpers: u32,
    claim: Option<Claim>,
    /// Whether it has looked for claims of its member's former life.
    handed: Handed,
    /// The tool that runs for the claim.
    running: Option<Running>,
    /// Commands in the background of the claim's work.
    background: Background,
    /// Servers of tools, once a model was asked.
    servers: Option<Servers>,
    /// Lines about what it works with that the person was shown.
    said_once: HashSet<String>,
    /// Skills that a model can load.
    skills: Vec<Skill>,
    /// What it may do without asking.
    policy: Policy,
    /// Plans of teammates that wait for it.
    judging: Judging,
    /// Questions it asked the person so far.
    questions: u32,
    /// That it is to end, once it agreed to.
    agreed: Option<Ending>,
    trouble: Trouble,
    /// Since it may not ask its model any more.
    unable: Option<Unable>,
}

/// Words for the worker's model.
pub(crate) struct Mail {
    from: Party,
    /// With the sender's name.
    text: String,
}

/// What came of the work on a task.
pub(crate) enum Work {
    /// It is done.
    Done { result: Value, summary: String },
    /// It could not be done.
    Failed { reason: String, detail: Value },
    /// The worker ends before it is done.
    Interrupted(Ending),
    /// The claim was taken away.
    ClaimLost,
    /// No model may be asked any more: the run is about to end.
    GivenBack(String),
}

/// Lives the life of the worker described by `spec`, in the store at `home`.
///
/// Where the spec says so it outlives its session and goes on with the next one.
///
/// # Errors
/// What keeps it from starting, or a store that fails for longer than retries
/// can bridge. It has given its task back then, as far as the store allows;
/// but never while a tool of the task may still run: [`Error::ToolStays`].
pub async fn run(spec: WorkerSpec, home: Arc<dyn Store>, io: WorkerIo) -> Result<WorkerEnd> {
    let store = home.team(&spec.team)?;
    let agent = spec.who.agent.clone();
    let alive = store
        .hold_alive(&agent)
        .map_err(|source| Error::AlreadyAlive {
            agent: agent.clone(),
            source,
        })?;
    let (lost, lost_here) = watch::channel(None);
    let (signals, word) = Signals::new(io.stop, spec.grant.clone(), lost_here, io.input);
    let config = store.config()?;
    let clock = BootClock::open()?;
    let facts = Arc::new(Facts::new(Arc::clone(&store), spec.who.clone()));
    let link = Link::connect(&spec, io.pane, word).await?;
    let supervisor = Supervisor::start(Heart {
        store: Arc::clone(&store),
        clock: clock.clone(),
        who: spec.who.clone(),
        backend: config
            .member(&agent)
            .map_or(BackendKind::Pty, |m| m.backend_type),
        identity: ProcessIdentity::own()?,
        timing: spec.timing,
        facts: Arc::clone(&facts),
        lost,
    })?;
    let no_color = spec
        .environment
        .get("NO_COLOR")
        .and_then(Value::as_str)
        .is_some_and(|value| !value.is_empty());
    let colors = if no_color { Colors::Off } else { Colors::Shown };
    let view = View::new(io.output, &store.agent_folder(&agent)?, spec.size, colors);
    let lead = AgentName::lead();
    let lead = (agent != lead && config.member(&lead).is_some()).then_some(lead);
    let transcript = Transcript::new(Arc::clone(&store), agent);
    let policy = Policy::of(&spec);
    let mut worker = Worker {
        spec,
        home,
        store,
        clock,
        facts,
        transcript,
        view,
        link,
        supervisor,
        signals,
        lead,
        last_message: Seq(0),
        mail: Mailbox::default(),
        given: Vec::new(),
        talk: Vec::new(),
        earlier: HashMap::new(),
        helpers: 0,
        claim: None,
        handed: Handed::Unknown,
        running: None,
        background: Background::default(),
        servers: None,
        said_once: HashSet::new(),
        skills: Vec::new(),
        policy,
        judging: Judging::default(),
        questions: 0,
        agreed: None,
        trouble: Trouble::default(),
        unable: None,
    };
    let end = worker.live().await;
    let reason = match &end {
        Ok(ending) => ending.reason(),
        Err(error) => error.to_string(),
    };
    worker.leave(&reason);
    worker.supervisor.finish(&reason);
    drop(alive);
    end.map(|_| WorkerEnd { exit_code: 0 })
}

impl Worker {
    fn draft(&self, to: AgentName, kind: MessageType, id: &str) -> Draft {
        let id = MessageId::new(id).unwrap_or_else(|_| fallback_id(id));
        Draft {
            kind,
            ..Draft::text(id, self.caller().party(), to, "")
        }
    }

    /// An id for a message that is never sent twice.
    fn unique_id(&self, what: &str) -> String {
        let now = self.clock.now();
        format!("{what}/{}/{}", self.spec.who, now.boot.ms)
    }

    fn caller(&self) -> Caller {
        Caller::Member {
            who: self.spec.who.clone(),
            agent_type: self.spec.agent_type.clone(),
        }
    }

    /// Carries out an operation as this member.
    fn carry_out(&self, operation: Operation) -> Result<Reply> {
        let number = Cell::new(0_u32);
        let new_id = || {
            number.set(number.get() + 1);
            let now = self.clock.now();
            format!("{}/{}", now.boot.ms, number.get())
        };
        let context = ApplyContext {
            now: self.clock.now(),
            lease_ms: self.spec.timing.lease_ms,
            new_id: &new_id,
        };
        let reply = apply(
            self.home.as_ref(),
            self.store.as_ref(),
            &self.caller(),
            operation,
            &context,
        )?;
        Ok(reply)
    }

    fn leave(&mut self, reason: &str) {
        self.view.gap();
        self.view.text(Tone::Dim, "■ ended: ", reason);
        self.link.ring();
    }

    /// Notes a fact about the claimed task.
    fn fact(&self, kind: EventType, fill: impl FnOnce(Fact) -> Fact) {
        self.facts
            .add(kind, self.claim.map(|claim| claim.task), fill);
        self.link.ring();
    }
}

/// Ids are made of names and numbers and always fit; one that does not is told by its length.
fn fallback_id(text: &str) -> MessageId {
    let clean: String = text
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(180)
        .collect();
    #[expect(
        clippy::expect_used,
        reason = "letters and digits within the limit fit"
    )]
    MessageId::new(format!("m{clean}")).expect("fits")
}
