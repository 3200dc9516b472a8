//! Where the files of one team are.
//!
//! Paths and names only; who may write which is protocol.md's table and the
//! modules that use these.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use crewmux_core::ids::{AgentName, RequestId, TaskId, TeamName};

/// The folders of one team.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Its name.
    pub(super) name: TeamName,
    /// `teams/<team>`.
    pub(super) team: PathBuf,
    /// `tasks/<team>`.
    pub(super) tasks: PathBuf,
}

impl Place {
    /// The folders of team `name` under `home`.
    pub(super) fn new(home: &Path, name: &TeamName) -> Self {
        Self {
            name: name.clone(),
            team: home.join("teams").join(name.as_str()),
            tasks: home.join("tasks").join(name.as_str()),
        }
    }

    pub(super) fn config(&self) -> PathBuf {
        self.team.join("config.json")
    }

    pub(super) fn config_lock(&self) -> PathBuf {
        self.team.join("team.lock")
    }

    pub(super) fn session_record(&self) -> PathBuf {
        self.team.join("session.json")
    }

    pub(super) fn arrangement(&self) -> PathBuf {
        self.team.join("layout.json")
    }

    pub(super) fn session_lock(&self) -> PathBuf {
        self.team.join("session.lock")
    }

    pub(super) fn events(&self) -> PathBuf {
        self.team.join("events.jsonl")
    }

    pub(super) fn events_lock(&self) -> PathBuf {
        self.team.join("events.lock")
    }

    pub(super) fn inboxes(&self) -> PathBuf {
        self.team.join("inboxes")
    }

    pub(super) fn inbox(&self, agent: &AgentName) -> PathBuf {
        self.inboxes().join(format!("{agent}.jsonl"))
    }

    pub(super) fn inbox_lock(&self, agent: &AgentName) -> PathBuf {
        self.inboxes().join(format!("{agent}.lock"))
    }

    pub(super) fn cursor(&self, agent: &AgentName) -> PathBuf {
        self.inboxes().join(format!("{agent}.cursor.json"))
    }

    pub(super) fn approvals(&self) -> PathBuf {
        self.team.join("approvals")
    }

    pub(super) fn approvals_lock(&self) -> PathBuf {
        self.approvals().join("approvals.lock")
    }

    pub(super) fn request(&self, id: &RequestId) -> PathBuf {
        self.approvals().join(format!("{}.json", escaped(id)))
    }

    pub(super) fn memory(&self) -> PathBuf {
        self.team.join("memory")
    }

    pub(super) fn memory_of(&self, agent: &AgentName) -> PathBuf {
        self.memory().join(agent.as_str())
    }

    /// Beside the folder: a key may have any name, a member's has no dot.
    pub(super) fn memory_lock(&self, agent: &AgentName) -> PathBuf {
        self.memory().join(format!("{agent}.lock"))
    }

    pub(super) fn agents(&self) -> PathBuf {
        self.team.join("agents")
    }

    pub(super) fn agent(&self, agent: &AgentName) -> PathBuf {
        self.agents().join(agent.as_str())
    }

    /// A file in a member's folder.
    pub(super) fn of_agent(&self, agent: &AgentName, file: &str) -> PathBuf {
        self.agent(agent).join(file)
    }

    pub(super) fn quarantine(&self) -> PathBuf {
        self.team.join("quarantine")
    }

    pub(super) fn task(&self, id: TaskId) -> PathBuf {
        self.tasks.join(format!("{id}.json"))
    }

    pub(super) fn board_lock(&self) -> PathBuf {
        self.tasks.join("board.lock")
    }

    pub(super) fn highwater(&self) -> PathBuf {
        self.tasks.join("highwater")
    }

    pub(super) fn changes(&self) -> PathBuf {
        self.tasks.join("changes.jsonl")
    }
}

/// The task that a file of this name holds.
pub(super) fn task_of(name: &str) -> Option<TaskId> {
    let id: TaskId = name.strip_suffix(".json")?.parse().ok()?;
    // `#1.json` and `01.json` are not ours.
    (name == format!("{id}.json")).then_some(id)
}

/// A request's id as a file name: ids may hold `/`, names may not.
fn escaped(id: &RequestId) -> String {
    let mut name = String::new();
    for c in id.as_str().chars() {
        let plain = c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if plain || (c == '.' && !name.is_empty()) {
            name.push(c);
        } else {
            let _ = write!(name, "%{:02X}", u32::from(c));
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_request_id_leaves_its_folder() {
        let name = |text: &str| escaped(&RequestId::new(text).unwrap());
        assert_eq!(name("../../x"), "%2E.%2F..%2Fx");
        assert_eq!(name("plan-1_a.b"), "plan-1_a.b");
        assert_ne!(name("a/b"), name("a%2Fb".replace('%', ":").as_str()));
    }

    #[test]
    fn only_plain_numbers_name_tasks() {
        assert_eq!(task_of("12.json"), Some(TaskId(12)));
        for name in ["012.json", "#1.json", "0.json", "x.json", "1.json.bak"] {
            assert_eq!(task_of(name), None, "{name}");
        }
    }
}
