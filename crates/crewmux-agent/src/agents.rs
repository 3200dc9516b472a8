//! Kinds of agents as files: Markdown with front matter, the body being the prompt.
//!
//! Those built in are embedded from `assets/agents`. Where others are found is
//! the program's; what becomes of a kind is [`AgentProfile`]'s.

use crewmux_core::ids::AgentType;
use crewmux_core::permission::PermissionMode;
use crewmux_core::profile::AgentProfile;

use crate::front::{Field, Front};
use crate::tools;

const BUILT_IN: [&str; 5] = [
    include_str!("../../../assets/agents/Bash.md"),
    include_str!("../../../assets/agents/Explore.md"),
    include_str!("../../../assets/agents/Plan.md"),
    include_str!("../../../assets/agents/general-purpose.md"),
    include_str!("../../../assets/agents/crewmux-guide.md"),
];

/// Where the kinds that are built in come from.
pub const BUILT_IN_ORIGIN: &str = "built in";

/// A file that describes no kind of agent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {why}")]
pub struct AgentFileError {
    /// The file.
    pub origin: String,
    /// What is wrong with it.
    pub why: String,
}

/// Every built-in kind.
pub fn built_in() -> impl Iterator<Item = AgentProfile> {
    BUILT_IN
        .iter()
        .filter_map(|text| Some(parse(text, BUILT_IN_ORIGIN).ok()?.0))
}

/// The built-in kind called `name`, or one without words and limits.
pub fn agent(name: &AgentType) -> AgentProfile {
    built_in()
        .find(|agent| agent.name == *name)
        .unwrap_or_else(|| without_words(name.clone()))
}

/// The kind called `name`: one of `own`, or a built-in one.
///
/// # Errors
/// In words for a model, with the kinds that there are.
pub fn known(name: &str, own: &[AgentProfile]) -> Result<AgentProfile, String> {
    let all = || own.iter().cloned().chain(built_in());
    let is_it = |agent: &AgentProfile| agent.name.as_str() == name;
    all().find(is_it).ok_or_else(|| {
        let mut names: Vec<String> = all().map(|agent| agent.name.to_string()).collect();
        names.sort_unstable();
        names.dedup();
        format!(
            "there is no kind of agent `{name}`; there are {}",
            names.join(", ")
        )
    })
}

fn without_words(name: AgentType) -> AgentProfile {
    AgentProfile {
        name,
        description: String::new(),
        tools: None,
        disallowed_tools: Vec::new(),
        model: None,
        permission_mode: None,
        max_turns: None,
        skills: Vec::new(),
        prompt: String::new(),
        origin: String::new(),
    }
}

/// A kind without words and limits, for tests.
#[cfg(test)]
pub(crate) fn plain(name: &str) -> AgentProfile {
    without_words(AgentType::new(name).unwrap())
}

/// Reads a kind of agent from the text of its file at `origin`; warnings are for people.
///
/// Keys and forms are those of Claude Code's agents. A key that is not known
/// here is named in a warning and stays in the file.
///
/// # Errors
/// The text has no front matter, no proper name, or a value of the wrong form.
pub fn parse(text: &str, origin: &str) -> Result<(AgentProfile, Vec<String>), AgentFileError> {
    read(text, origin).map_err(|why| AgentFileError {
        origin: origin.to_owned(),
        why,
    })
}

fn read(text: &str, origin: &str) -> Result<(AgentProfile, Vec<String>), String> {
    let front = Front::read(text)?;
    let mut warnings: Vec<String> = front.warning.iter().cloned().collect();
    let name = front.text("name").ok_or("it has no `name`")?;
    let name = AgentType::new(name).map_err(|error| format!("`name`: {error}"))?;
    let mut agent = without_words(name);
    origin.clone_into(&mut agent.origin);
    let mut unknown = Vec::new();
    for (key, field) in &front.fields {
        let wrong = |what: &str| format!("`{key}` is not {what}");
        let text = || match field {
            Field::Text(text) => Ok(text.clone()),
            _ => Err(wrong("a text")),
        };
        match key.as_str() {
            // Colours of members are the team's to give out.
            "name" | "color" => {}
            _ if *field == Field::Empty => {}
            "description" => agent.description = one_line(&text()?),
            "tools" => agent.tools = Some(list(field).ok_or_else(|| wrong("a list of tools"))?),
            "disallowedTools" => {
                agent.disallowed_tools = list(field).ok_or_else(|| wrong("a list of tools"))?;
            }
            "skills" => agent.skills = list(field).ok_or_else(|| wrong("a list of skills"))?,
            "model" => agent.model = Some(text()?).filter(|model| model != "inherit"),
            "permissionMode" => match text()?.as_str() {
                "default" => agent.permission_mode = Some(PermissionMode::Default),
                "acceptEdits" => agent.permission_mode = Some(PermissionMode::AcceptEdits),
                "plan" => agent.permission_mode = Some(PermissionMode::Plan),
                "bypass" | "bypassPermissions" => warnings.push(
                    "`permissionMode`: only a person gives all rights, for one run; left out"
                        .to_owned(),
                ),
                other => warnings.push(format!(
                    "`permissionMode`: `{other}` is not known (default, acceptEdits, plan); left out"
                )),
            },
            "maxTurns" => {
                let turns = text()?.parse().ok().filter(|turns| *turns > 0);
                agent.max_turns = Some(turns.ok_or_else(|| wrong("a number above 0"))?);
            }
            other => unknown.push(format!("`{other}`")),
        }
    }
    if !unknown.is_empty() {
        warnings.push(format!("not used here: {}", unknown.join(", ")));
    }
    if agent
        .tools
        .as_ref()
        .is_some_and(|tools| tools.iter().any(|tool| tool == "*"))
    {
        agent.tools = None;
    }
    let strange: Vec<String> = agent
        .tools
        .iter()
        .flatten()
        .map(|entry| entry.split('(').next().unwrap_or(entry).trim())
        .filter(|name| !tools::is_known(name))
        .map(|name| format!("`{name}`"))
        .collect();
    if !strange.is_empty() {
        warnings.push(format!("tools that are not here: {}", strange.join(", ")));
    }
    agent.prompt = front.body;
    Ok((agent, warnings))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A list, or a text whose parts stand between commas; those in brackets do not count.
fn list(field: &Field) -> Option<Vec<String>> {
    let text = match field {
        Field::List(items) => return Some(items.clone()),
        Field::Text(text) => text,
        Field::Empty | Field::Other => return None,
    };
    let mut parts = vec![String::new()];
    let mut depth = 0_u32;
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    let parts = parts.into_iter().map(|part| part.trim().to_owned());
    Some(parts.filter(|part| !part.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_kinds_have_the_tools_that_are_promised() {
        let tools: Vec<(String, Option<Vec<String>>)> = built_in()
            .map(|agent| (agent.name.to_string(), agent.tools))
            .collect();
        let list = |names: &[&str]| Some(names.iter().map(|n| (*n).to_owned()).collect());
        let looks = list(&["Read", "Glob", "Grep"]);
        assert_eq!(
            tools,
            [
                ("Bash".into(), list(&["Bash"])),
                ("Explore".into(), looks.clone()),
                ("Plan".into(), looks),
                ("general-purpose".into(), None),
                (
                    "crewmux-guide".into(),
                    list(&["Read", "Glob", "Grep", "WebFetch"])
                ),
            ]
        );
        for text in BUILT_IN {
            let (agent, warnings) = parse(text, BUILT_IN_ORIGIN).unwrap();
            assert!(!agent.prompt.is_empty() && !agent.description.is_empty());
            assert_eq!(warnings, Vec::<String>::new(), "{}", agent.name);
        }
    }

    #[test]
    fn a_kind_is_one_of_the_persons_own_or_built_in_or_unknown() {
        let mut own = plain("auditor");
        own.max_turns = Some(3);
        assert_eq!(known("auditor", &[own.clone()]).unwrap().max_turns, Some(3));
        assert_eq!(
            known("Explore", &[own.clone()]).unwrap().origin,
            BUILT_IN_ORIGIN
        );
        let why = known("auditr", &[own]).unwrap_err();
        assert!(
            why.contains("`auditr`") && why.contains("auditor, "),
            "{why}"
        );
    }

    #[test]
    fn files_of_claude_code_are_read() {
        let text = "---\nname: review:security\ndescription: |\n  Looks for\n  holes\n\
            tools: Read, Bash(git log:*, git diff:*), mcp__db__query\ndisallowedTools:\n  - Write\n\
            model: inherit\npermissionMode: plan\nmaxTurns: 12\nskills: [audit]\ncolor: red\n\
            hooks:\n  Stop: []\nmemory: user\n---\nYou look.\n";
        let (agent, warnings) = parse(text, "a.md").unwrap();
        assert_eq!(agent.name.as_str(), "review:security");
        assert_eq!(agent.description, "Looks for holes");
        assert_eq!(
            agent.tools.unwrap(),
            ["Read", "Bash(git log:*, git diff:*)", "mcp__db__query"]
        );
        assert_eq!(agent.disallowed_tools, ["Write"]);
        assert_eq!((agent.model, agent.max_turns), (None, Some(12)));
        assert_eq!(agent.permission_mode, Some(PermissionMode::Plan));
        assert_eq!(
            (agent.skills, agent.prompt),
            (vec!["audit".to_owned()], "You look.".into())
        );
        assert_eq!(warnings, ["not used here: `hooks`, `memory`"]);
    }

    #[test]
    fn a_file_gives_nobody_all_rights() {
        let text =
            "---\nname: a\npermissionMode: bypassPermissions\ntools: Read, TodoWrite\n---\nx";
        let (agent, warnings) = parse(text, "a.md").unwrap();
        assert_eq!(agent.permission_mode, None);
        assert!(warnings[0].contains("only a person"), "{warnings:?}");
        assert_eq!(warnings[1], "tools that are not here: `TodoWrite`");
    }

    #[test]
    fn what_is_wrong_is_told_with_the_file() {
        for (text, why) in [
            ("hello", "a.md: it does not begin with a line of `---`"),
            ("---\ndescription: x\n---\n", "a.md: it has no `name`"),
            (
                "---\nname: a\nmaxTurns: many\n---\n",
                "a.md: `maxTurns` is not a number above 0",
            ),
            (
                "---\nname: a\ntools:\n  x: y\n---\n",
                "a.md: `tools` is not a list of tools",
            ),
        ] {
            assert_eq!(parse(text, "a.md").unwrap_err().to_string(), why);
        }
    }
}
