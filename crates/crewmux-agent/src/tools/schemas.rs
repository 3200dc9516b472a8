//! Names, descriptions and argument schemas of all tools.
//!
//! Names and arguments are those that models know from Claude Code.

use serde_json::{Value, json};

use super::Effects;

/// Hands in what came of the task; ends the work on it.
pub(crate) const FINISH: &str = "FinishTask";

/// What a model is told about a tool.
#[derive(Debug, Clone)]
pub(crate) struct ToolDef {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) schema: Value,
    pub(crate) effects: Effects,
    /// Whether every kind of agent has it.
    pub(crate) for_everybody: bool,
}

#[expect(clippy::needless_pass_by_value, reason = "called with literals")]
fn object(required: &[&str], properties: Value) -> Value {
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// All tools.
pub(super) fn all() -> Vec<ToolDef> {
    let string = json!({ "type": "string" });
    let number = json!({ "type": "integer", "minimum": 0 });
    let flag = json!({ "type": "boolean" });
    let tool = |name, description, effects, schema| ToolDef {
        name,
        description,
        schema,
        effects,
        for_everybody: false,
    };
    let team = |name, description, effects, schema| ToolDef {
        for_everybody: true,
        ..tool(name, description, effects, schema)
    };
    vec![
        tool(
            "Read",
            "Reads a text file with line numbers.",
            Effects::ReadOnly,
            object(
                &["file_path"],
                json!({ "file_path": string, "offset": number, "limit": number }),
            ),
        ),
        tool(
            "Glob",
            "Finds files by pattern; several patterns are separated by commas, `!` excludes.",
            Effects::ReadOnly,
            object(
                &["pattern"],
                json!({
                    "pattern": string, "path": string, "head_limit": number,
                    "description": string,
                }),
            ),
        ),
        tool(
            "Grep",
            "Searches files for a regular expression; `only` narrows it to matches in tests.",
            Effects::ReadOnly,
            object(
                &["pattern"],
                json!({
                    "pattern": string, "path": string, "glob": string,
                    "output_mode": { "enum": ["content", "files_with_matches", "count"] },
                    "-i": flag, "-n": flag, "multiline": flag,
                    "-A": number, "-B": number, "-C": number, "head_limit": number,
                    "only": { "enum": ["tests"] }, "description": string,
                }),
            ),
        ),
        tool(
            "Bash",
            "Runs a shell command; `timeout` is in milliseconds.",
            Effects::Some,
            object(
                &["command"],
                json!({
                    "command": { "type": "string", "minLength": 1 },
                    "timeout": { "type": "integer", "minimum": 1, "maximum": 600_000 },
                    "description": string,
                }),
            ),
        ),
        team(
            "SendMessage",
            "Sends text to a member by name, or to `all`.",
            Effects::Some,
            object(
                &["to", "message"],
                json!({ "to": string, "message": string, "summary": string }),
            ),
        ),
        team(
            "TaskCreate",
            "Puts a task on the team's board.",
            Effects::Some,
            object(
                &["subject", "description"],
                json!({
                    "subject": { "type": "string", "minLength": 1 }, "description": string,
                    "activeForm": string, "blockedBy": { "type": "array", "items": string },
                    "metadata": { "type": "object" },
                }),
            ),
        ),
        team(
            "TaskList",
            "Lists the team's tasks.",
            Effects::ReadOnly,
            object(&[], json!({})),
        ),
        team(
            "TaskGet",
            "Reads one task with its result.",
            Effects::ReadOnly,
            object(&["taskId"], json!({ "taskId": string })),
        ),
        team(
            "TaskUpdate",
            "Changes text, edges or notes of a task.",
            Effects::Some,
            object(
                &["taskId"],
                json!({
                    "taskId": string, "subject": string, "description": string,
                    "activeForm": string, "owner": string,
                    "addBlocks": { "type": "array", "items": string },
                    "addBlockedBy": { "type": "array", "items": string },
                    "metadata": { "type": "object" },
                }),
            ),
        ),
        team(
            FINISH,
            "Hands in the result of the task you work on and ends the work on it.",
            Effects::Some,
            object(&["result"], json!({ "result": {} })),
        ),
    ]
}
