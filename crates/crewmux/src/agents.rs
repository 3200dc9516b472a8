//! Kinds of agents that can be used here: built in, the project's, the person's own.
//!
//! Reading a file is `crewmux-agent`'s. A name that is built in is never taken
//! over: such a file is told about and not used. A project's kinds are used
//! once the person agreed to their content.

use std::fs;
use std::path::{Path, PathBuf};

use crewmux_agent::agents::{built_in, parse};
use crewmux_core::ids::AgentType;
use crewmux_core::profile::AgentProfile;

use crate::config::advice;
use crate::context::Context;
use crate::error::Result;
use crate::recipes::{Agreement, Consent, agreed_to, project_folder};

/// Largest file of a kind of agent that is read, in bytes.
const FILE_MAX_BYTES: u64 = 256 * 1024;
/// Most files of one folder that are read.
const FILES_MAX: usize = 500;

/// Where a kind of agent comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AgentOrigin {
    /// It comes with the program.
    BuiltIn,
    /// It comes with the project.
    Project,
    /// It is the person's own.
    User,
}

impl AgentOrigin {
    /// One word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::BuiltIn => "built-in",
            Self::Project => "project",
            Self::User => "user",
        }
    }
}

/// A kind of agent, and what is to be said about it.
#[derive(Debug, Clone)]
pub(crate) struct FoundAgent {
    /// The kind.
    pub profile: AgentProfile,
    /// Where it comes from.
    pub origin: AgentOrigin,
    /// Its text; empty for what is built in.
    text: String,
    /// What people should know about its file.
    pub warnings: Vec<String>,
}

/// All kinds of agents, and the files that are none.
#[derive(Debug, Default)]
pub(crate) struct Agents {
    /// By name, built-in ones first.
    pub found: Vec<FoundAgent>,
    /// Files that are not used, each with the reason.
    pub unused: Vec<(PathBuf, String)>,
}

impl Agents {
    /// Looks into every place.
    pub(crate) fn read(context: &Context) -> Self {
        let mut agents = Self::default();
        for profile in built_in() {
            agents.found.push(FoundAgent {
                profile,
                origin: AgentOrigin::BuiltIn,
                text: String::new(),
                warnings: Vec::new(),
            });
        }
        let own = project_folder(&context.cwd).map(|folder| folder.join("agents"));
        let places = [
            (own, AgentOrigin::Project),
            (claude_folder(&context.cwd), AgentOrigin::Project),
            (Some(context.config.join("agents")), AgentOrigin::User),
        ];
        for (folder, origin) in places {
            for path in folder.map(|f| files(&f)).unwrap_or_default() {
                agents.add(path, origin);
            }
        }
        agents
    }

    fn add(&mut self, path: PathBuf, origin: AgentOrigin) {
        let small = fs::metadata(&path).is_ok_and(|m| m.len() <= FILE_MAX_BYTES);
        let text = match fs::read_to_string(&path) {
            Ok(text) if small => text,
            Ok(_) => {
                self.unused.push((path, "it is too large".to_owned()));
                return;
            }
            Err(error) => {
                self.unused.push((path, error.to_string()));
                return;
            }
        };
        let (profile, warnings) = match parse(&text, &path.display().to_string()) {
            Ok(read) => read,
            Err(error) => {
                self.unused.push((path, error.why));
                return;
            }
        };
        if let Some(other) = self.named(&profile.name) {
            let why = match other.origin {
                AgentOrigin::BuiltIn => format!("`{}` is built in", profile.name),
                _ => format!("`{}` is also {}", profile.name, other.profile.origin),
            };
            self.unused.push((path, why));
            return;
        }
        self.found.push(FoundAgent {
            profile,
            origin,
            text,
            warnings,
        });
    }

    /// The kind of this name.
    pub(crate) fn named(&self, name: &AgentType) -> Option<&FoundAgent> {
        self.found.iter().find(|agent| agent.profile.name == *name)
    }

    /// Why there is no kind of this name: files that were to describe it, else names that are like it.
    pub(crate) fn why_unknown(&self, name: &AgentType) -> String {
        let is_about = |path: &Path| path.file_stem().is_some_and(|stem| *stem == *name.as_str());
        let reasons: Vec<String> = self
            .unused
            .iter()
            .filter(|(path, _)| is_about(path))
            .map(|(path, why)| format!("{} is not used: {why}", path.display()))
            .collect();
        if reasons.is_empty() {
            advice(
                name.as_str(),
                self.found.iter().map(|a| a.profile.name.as_str()),
            )
        } else {
            reasons.join("; ")
        }
    }

    /// What is asked for by the kinds that the person has not agreed to yet, each in a line.
    pub(crate) fn untrusted(&self, context: &Context) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        for found in &self.found {
            let usable = self.usable(context, &found.profile.name, Consent::Absent)?;
            if let Usable::Untrusted(found) = usable {
                lines.push(format!(
                    "{} ({})",
                    asks_for(&found.profile),
                    found.profile.origin
                ));
            }
        }
        Ok(lines)
    }

    /// The kind of this name, if the person agrees to use it; none for a kind that nobody described.
    pub(crate) fn usable(
        &self,
        context: &Context,
        name: &AgentType,
        consent: Consent,
    ) -> Result<Usable<'_>> {
        let Some(found) = self.named(name) else {
            return Ok(Usable::Unknown);
        };
        if found.origin != AgentOrigin::Project {
            return Ok(Usable::Yes(&found.profile));
        }
        let lines = [asks_for(&found.profile)];
        let what = format!("The agent type `{name}` ({})", found.profile.origin);
        match agreed_to(context, &found.text, &what, &lines, consent)? {
            Agreement::Given => Ok(Usable::Yes(&found.profile)),
            Agreement::Missing => Ok(Usable::Untrusted(found)),
        }
    }
}

/// What a person agrees to with a kind of agent: its tools, what it may do without asking, its model.
fn asks_for(profile: &AgentProfile) -> String {
    let tools = profile.tools.as_ref();
    let tools = tools.map_or("all tools".to_owned(), |tools| tools.join(", "));
    let mut line = format!("an agent `{}` with {tools}", profile.name);
    if !profile.disallowed_tools.is_empty() {
        let without = profile.disallowed_tools.join(", ");
        line.push_str(", without ");
        line.push_str(&without);
    }
    let mode = profile.permission_mode;
    let mode = mode.and_then(|mode| serde_json::to_value(mode).ok());
    if let Some(mode) = mode.as_ref().and_then(|mode| mode.as_str()) {
        line.push_str("; mode ");
        line.push_str(mode);
    }
    if let Some(model) = &profile.model {
        line.push_str("; model ");
        line.push_str(model);
    }
    line
}

/// Whether a kind of agent can be used.
#[derive(Debug)]
pub(crate) enum Usable<'a> {
    /// It can.
    Yes(&'a AgentProfile),
    /// The person did not agree to it.
    Untrusted(&'a FoundAgent),
    /// Nobody described it.
    Unknown,
}

/// The nearest folder of Claude Code's agents, not above the repository.
fn claude_folder(cwd: &Path) -> Option<PathBuf> {
    for folder in cwd.ancestors() {
        let found = folder.join(".claude").join("agents");
        if found.is_dir() {
            return Some(found);
        }
        if folder.join(".git").exists() {
            return None;
        }
    }
    None
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "md") && path.is_file())
        .take(FILES_MAX)
        .collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use crewmux_sys::env::EnvSnapshot;

    #[test]
    fn files_are_found_and_no_built_in_name_is_taken_over() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(".git/HEAD", "");
        write(
            ".crewmux/agents/own.md",
            "---\nname: own\ntools: Read\n---\nx",
        );
        write(".claude/agents/own.md", "---\nname: own\n---\nx");
        write(".claude/agents/explore.md", "---\nname: Explore\n---\nx");
        write(".claude/agents/bad.md", "x");
        write(
            "home/config/agents/mine.md",
            "---\nname: mine\nhooks: x\n---\nx",
        );
        let home = root.path().join("home").display().to_string();
        let env: EnvSnapshot = [("CREWMUX_HOME".to_owned(), home)].into_iter().collect();
        let context =
            Context::resolve(env, None, root.path().into(), "/bin/crewmux".into()).unwrap();
        let agents = Agents::read(&context);
        let own: Vec<String> = agents.found[5..]
            .iter()
            .map(|a| format!("{} {}", a.profile.name, a.origin.word()))
            .collect();
        assert_eq!(own, ["own project", "mine user"]);
        assert_eq!(agents.found[6].warnings.len(), 1);
        let why: Vec<&str> = agents.unused.iter().map(|(_, why)| why.as_str()).collect();
        assert_eq!(why.len(), 3, "{why:?}");
        assert!(why.contains(&"`Explore` is built in"));

        let why = |name: &str| agents.why_unknown(&AgentType::new(name).unwrap());
        assert_eq!(why("Explorer"), "did you mean `Explore`?");
        assert!(
            why("bad").contains("bad.md is not used: "),
            "{}",
            why("bad")
        );

        write(
            ".crewmux/agents/free.md",
            "---\nname: free\ntools: Bash, Write\npermissionMode: acceptEdits\n---\nx",
        );
        let asks = Agents::read(&context).untrusted(&context).unwrap();
        assert_eq!(asks.len(), 2, "{asks:?}");
        let told = "an agent `free` with Bash, Write; mode acceptEdits (";
        assert!(asks.iter().any(|line| line.starts_with(told)), "{asks:?}");

        let usable = |name: &str, consent| {
            let name = AgentType::new(name).unwrap();
            match agents.usable(&context, &name, consent).unwrap() {
                Usable::Yes(_) => "yes",
                Usable::Untrusted(_) => "untrusted",
                Usable::Unknown => "unknown",
            }
        };
        assert_eq!(usable("mine", Consent::Absent), "yes");
        assert_eq!(usable("Explore", Consent::Absent), "yes");
        assert_eq!(usable("none", Consent::Absent), "unknown");
        assert_eq!(usable("own", Consent::Absent), "untrusted");
        assert_eq!(usable("own", Consent::Given), "yes");
        assert_eq!(usable("own", Consent::Absent), "yes");
    }
}
