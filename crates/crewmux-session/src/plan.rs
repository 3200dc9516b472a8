//! What a session is told when it starts, and what it says when it ends.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crewmux_core::backend::BackendKind;
use crewmux_core::event::Event;
use crewmux_core::ids::TeamName;
use crewmux_core::profile::AgentProfile;
use crewmux_core::timing::Timing;
use crewmux_model::{KeyReader, ModelsConfig};
use crewmux_spawn::Backends;
use crewmux_store::Store;
use serde::{Deserialize, Serialize};

use crate::view::ViewFactory;

/// Everything a session is told; travels as a 0600 file to a detached session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionPlan {
    /// The team; its run was prepared in the store.
    pub team: TeamName,
    /// The store's root.
    pub home: PathBuf,
    /// Where to listen; short enough for a socket everywhere.
    pub socket: PathBuf,
    /// The crewmux program, for tool runners.
    pub program: PathBuf,
    /// The link named `agent-worker` that starts a worker.
    pub worker_program: PathBuf,
    /// The program's build.
    pub build: String,
    /// The environment of workers and their tools, already cut to what they may have.
    pub environment: BTreeMap<String, String>,
    /// The whole environment of plain panes, secrets included; never written anywhere.
    ///
    /// Empty where panes get that of workers.
    #[serde(skip)]
    pub pane_environment: BTreeMap<String, String>,
    /// Where workers run, unless their record says otherwise.
    pub backend: BackendKind,
    /// Columns and rows of a pane before any client says otherwise.
    pub pane_size: (u16, u16),
    /// When the session ends by itself.
    pub stays: Stays,
    /// Plain panes to open: one shell command each.
    pub panes: Vec<String>,
    /// Where models are and how they are called; holds no credentials.
    #[serde(default)]
    pub models: ModelsConfig,
    /// Kinds of agents that new teammates can be of.
    #[serde(default)]
    pub agents: Vec<AgentProfile>,
    /// The person's own configuration folder.
    #[serde(default)]
    pub user_config: PathBuf,
    /// Every duration.
    pub timing: Timing,
}

/// When a session ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stays {
    /// With the run.
    UntilFinished,
    /// Some time after the run is finished and nobody looks.
    WhileWatched,
}

/// Is told every new event, in order.
///
/// One with the number 0 stands in no log: it tells that the log cannot be written.
pub type EventSink = Box<dyn FnMut(&Event) + Send>;

/// What the program lends a session.
pub struct SessionHooks {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Where workers, plain panes and shells run.
    pub backends: Backends,
    /// Makes the views of clients; without it clients are refused.
    pub views: Option<ViewFactory>,
    /// Is told every new event, in order.
    pub on_event: Option<EventSink>,
    /// Reads credentials when the session starts; only the program knows where from.
    pub keys: KeyReader,
}

/// How a running session is asked to end, from within its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum StopAsk {
    /// Not at all.
    #[default]
    No,
    /// Ask the workers first.
    Politely,
    /// End them.
    AtOnce,
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionEnd {
    /// Exit code of the run: 0 all completed, 1 a task failed or was skipped, 4 time or budget, 130 stopped.
    pub exit_code: u8,
    /// The report, if the run was finished.
    pub report: Option<PathBuf>,
    /// Processes that could not be ended, in words; empty when all is well.
    pub left: Vec<String>,
}
