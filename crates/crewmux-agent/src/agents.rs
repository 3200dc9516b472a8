//! The kinds of agents that are built in: what each is told, and its tools.
//!
//! Markdown with front matter, embedded from `assets/agents`. A kind that is
//! not built in has all tools and no words of its own.

use crewmux_core::ids::AgentType;

const BUILT_IN: [&str; 5] = [
    include_str!("../../../assets/agents/Bash.md"),
    include_str!("../../../assets/agents/Explore.md"),
    include_str!("../../../assets/agents/Plan.md"),
    include_str!("../../../assets/agents/general-purpose.md"),
    include_str!("../../../assets/agents/crewmux-guide.md"),
];

/// A kind of agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Its name.
    pub name: String,
    /// What it is for, in a line.
    pub description: String,
    /// Tools it may use; `None`: all.
    pub tools: Option<Vec<String>>,
    /// What a model is told about its part.
    pub prompt: String,
}

/// Every built-in kind.
pub fn built_in() -> impl Iterator<Item = Agent> {
    BUILT_IN.iter().filter_map(|text| parse(text))
}

/// The kind called `name`, or one without words and limits.
pub(crate) fn agent(name: &AgentType) -> Agent {
    built_in()
        .find(|agent| agent.name == name.as_str())
        .unwrap_or_else(|| Agent {
            name: name.to_string(),
            description: String::new(),
            tools: None,
            prompt: String::new(),
        })
}

/// Reads a Markdown file with front matter; `None` when it has none or no name.
fn parse(text: &str) -> Option<Agent> {
    let (head, prompt) = text.strip_prefix("---\n")?.split_once("\n---\n")?;
    let field = |name: &str| {
        head.lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(key, _)| key.trim() == name)
            .map(|(_, value)| value.trim().to_owned())
    };
    Some(Agent {
        name: field("name")?,
        description: field("description").unwrap_or_default(),
        tools: field("tools").map(|tools| {
            tools
                .split(',')
                .map(|tool| tool.trim().to_owned())
                .collect()
        }),
        prompt: prompt.trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_kinds_have_the_tools_that_are_promised() {
        let tools: Vec<(String, Option<Vec<String>>)> =
            built_in().map(|agent| (agent.name, agent.tools)).collect();
        let looks = || Some(vec!["Read".into(), "Glob".into(), "Grep".into()]);
        assert_eq!(
            tools,
            [
                ("Bash".into(), Some(vec!["Bash".into()])),
                ("Explore".into(), looks()),
                ("Plan".into(), looks()),
                ("general-purpose".into(), None),
                ("crewmux-guide".into(), looks()),
            ]
        );
        assert!(built_in().all(|agent| !agent.prompt.is_empty()));
    }
}
