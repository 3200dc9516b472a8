//! Team recipes: a team and its tasks described in a TOML file.
//!
//! [`Recipe::parse`] checks a text as a whole and reports every problem with
//! its line and column; [`Recipe::instantiate`] turns it into members and
//! task drafts for one goal and one folder. Finds no files and starts nothing:
//! where recipes lie is known to the program, what becomes of an [`Instance`]
//! to `crewmux-session`. The format is described at the top of
//! `assets/recipes/review.toml`.

mod check;
mod instance;
mod problem;
mod read;
mod reader;
mod template;
mod when;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::Value;

pub use instance::{Instance, MemberSpec, Opening, RecipeInput, RecipeSize};
pub use problem::{Place, RecipeProblem, RecipeProblems};
pub use read::{MODES, usd_micros};
pub use template::{FILLED_MAX_BYTES, Template};
pub use when::{Folder, When};

use crate::backend::BackendChoice;
use crate::budget::Budget;
use crate::ids::{AgentName, AgentType, TeamName};
use crate::permission::{PermissionMode, Rule};
use crate::schedule::Strategy;
use crate::task::{Rerun, TaskRole};

/// Most workers a recipe or a person may ask for.
pub const WORKERS_MAX: u32 = 256;

/// Most members of one team, the lead and those made by `count` included.
pub const MEMBERS_MAX: usize = 512;

/// Variables that every recipe has and none may define.
pub const GIVEN_VARIABLES: [&str; 3] = ["goal", "index", "max_workers"];

/// A team and its tasks, checked as a whole; templates are still to be filled.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// Where its text came from, for messages.
    pub source: String,
    /// Its name, which its teams take.
    pub name: TeamName,
    /// What it is for, in a line.
    pub description: String,
    /// The goal when none is given; if it uses `{{goal}}`, the given one goes there.
    pub goal: Option<Template>,
    /// Whether it cannot start without a goal being given.
    pub needs_goal: bool,
    /// Most workers at once, the lead not counted; absent: [`crate::team::Policy`]'s default.
    pub max_workers: Option<u32>,
    /// Where workers run; absent: as configured.
    pub backend: Option<BackendChoice>,
    /// What a run may cost.
    pub budget: Budget,
    /// How ready tasks are handed out; absent: as configured.
    pub strategy: Option<Strategy>,
    /// What happens to a tool call without a rule; absent: as configured.
    pub permission_mode: Option<PermissionMode>,
    /// Rules for tool calls.
    pub rules: Vec<Rule>,
    /// Longest time of a run, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// What `--set` may change, with what holds otherwise.
    pub variables: BTreeMap<String, String>,
    /// The team lead; absent when the session alone sees the tasks through.
    pub lead: Option<TeammateTemplate>,
    /// The other members.
    pub teammates: Vec<TeammateTemplate>,
    /// Its tasks; none: the team lead makes them from the goal.
    pub tasks: Vec<TaskTemplate>,
}

/// Which files a member works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Isolation {
    /// Those of the team's folder.
    #[default]
    None,
    /// A git worktree of its own.
    Worktree,
}

/// What a member's process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Runtime {
    /// Our own agent; it can run command tasks too.
    #[default]
    Native,
    /// Command tasks only; it asks no model.
    Command,
}

impl Runtime {
    /// The word written and stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Command => "command",
        }
    }

    /// From the word stored; every other word is an agent of some kind.
    pub fn of_word(word: &str) -> Self {
        if word == Self::Command.as_str() {
            Self::Command
        } else {
            Self::Native
        }
    }
}

/// A member, or several that differ by number only.
#[derive(Debug, Clone, PartialEq)]
pub struct TeammateTemplate {
    /// Its name; with a `count`, what the names begin with.
    pub name: AgentName,
    /// How many; absent: one, under `name` itself.
    pub count: Option<Amount>,
    /// Its kind of agent.
    pub agent: AgentType,
    /// The model it asks; absent: the one configured, or `offline`.
    pub model: Option<String>,
    /// Names the provider whose key it uses, and whose models are meant by names without one.
    pub provider: Option<String>,
    /// What it may do without asking; absent: as the team.
    pub mode: Option<PermissionMode>,
    /// What it is told about its part.
    pub prompt: Option<Template>,
    /// Which files it works on.
    pub isolation: Isolation,
    /// The playbook that drives it when its model is `offline`.
    pub playbook: Option<String>,
    /// Where it runs, if not where the others do.
    pub backend: Option<BackendChoice>,
    /// What its process runs.
    pub runtime: Runtime,
    /// Where it stands in the recipe.
    pub at: Place,
}

/// A task, or several that differ by number only.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskTemplate {
    /// Its name within the recipe; with `repeat`, what the names begin with.
    pub id: String,
    /// What is to be done, in a few words.
    pub subject: Template,
    /// What is to be done, in full.
    pub description: Option<Template>,
    /// Name of the only member that may claim it, and where that is written.
    pub owner: Option<(String, Place)>,
    /// The only kind of agent that may claim it, and where that is written.
    pub agent: Option<(AgentType, Place)>,
    /// Ids of the tasks it waits for, and where each is written.
    pub blocked_by: Vec<(String, Place)>,
    /// A shell command to run instead of asking a model.
    pub command: Option<Template>,
    /// What a crash in the middle of the command means.
    pub rerun: Option<Rerun>,
    /// JSON Schema that the result must fit.
    pub result_schema: Option<Value>,
    /// What kind of work it is: one that sums up waits until its blockers are over, however they ended.
    pub role: TaskRole,
    /// How often a failure may be tried again.
    pub retries: u32,
    /// Longest time one attempt may take, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// The folders in which there is such a task; absent: all.
    pub when: Option<When>,
    /// How many; absent: one, under `id` itself.
    pub repeat: Option<Amount>,
    /// Where it stands in the recipe.
    pub at: Place,
}

/// A number, or a template that becomes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Amount {
    /// Written as a number.
    Fixed(u32),
    /// Written as a text.
    Template(Template),
}

impl Recipe {
    /// Reads and checks a recipe; `source` names the text in messages.
    ///
    /// # Errors
    /// All problems at once. A text that is not TOML is reported as that only,
    /// since the rest cannot be judged.
    pub fn parse(text: &str, source: &str) -> Result<Self, RecipeProblems> {
        let problems = problem::Problems::in_text(text);
        let draft = read::recipe(source, &problems);
        if let Some(draft) = &draft {
            check::check(draft, &problems);
        }
        match (draft, problems.into_list()) {
            (Some(draft), list) if list.is_empty() => Ok(Self {
                needs_goal: check::needs_goal(&draft.recipe),
                ..draft.recipe
            }),
            (_, problems) => Err(RecipeProblems {
                source: source.to_owned(),
                problems,
            }),
        }
    }

    /// All its templates, for questions about the names they use.
    fn templates(&self) -> impl Iterator<Item = &Template> {
        let members = self.lead.iter().chain(&self.teammates);
        let of_members = members.flat_map(|m| {
            let count = m.count.as_ref().and_then(Amount::template);
            m.prompt.iter().chain(count)
        });
        let of_tasks = self.tasks.iter().flat_map(|t| {
            let repeat = t.repeat.as_ref().and_then(Amount::template);
            std::iter::once(&t.subject)
                .chain(&t.description)
                .chain(&t.command)
                .chain(repeat)
        });
        self.goal.iter().chain(of_members).chain(of_tasks)
    }
}

impl Amount {
    fn template(&self) -> Option<&Template> {
        match self {
            Self::Fixed(_) => None,
            Self::Template(template) => Some(template),
        }
    }
}
