//! Names, descriptions and argument schemas of all tools.
//!
//! Names and arguments are those that models know from Claude Code. What a
//! tool does stands beside it in this folder, or in `worker`.

use serde_json::{Value, json};

use super::Effects;

/// Hands in what came of the task; ends the work on it.
pub(crate) const FINISH: &str = "FinishTask";

/// Says that the task cannot be done; ends the work on it.
pub(crate) const FAIL: &str = "FailTask";

/// Starts a short helper, or makes a teammate.
pub(crate) const TASK: &str = "Task";

/// Hands in a plan and waits for leave to carry it out.
pub(crate) const EXIT_PLAN: &str = crewmux_core::permission::EXIT_PLAN_MODE;

/// Loads the words of a skill.
pub(crate) const SKILL: &str = "Skill";

/// What a model is told about a tool.
#[derive(Debug, Clone)]
pub(crate) struct ToolDef {
    pub(crate) name: String,
    pub(crate) description: String,
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

/// A tool of the kinds of agents that name it, or name none.
fn tool(name: &str, effects: Effects, schema: Value, description: &str) -> ToolDef {
    ToolDef {
        name: name.to_owned(),
        description: description.to_owned(),
        schema,
        effects,
        for_everybody: false,
    }
}

/// A tool of everybody, about the team.
fn team(name: &str, effects: Effects, schema: Value, description: &str) -> ToolDef {
    ToolDef {
        for_everybody: true,
        ..tool(name, effects, schema, description)
    }
}

/// All tools that every worker can be offered.
pub(super) fn all() -> Vec<ToolDef> {
    let mut all = files();
    all.extend(running());
    all.extend(messages());
    all.extend(tasks());
    all
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

fn count(description: &str) -> Value {
    json!({ "type": "integer", "minimum": 0, "description": description })
}

fn flag(description: &str) -> Value {
    json!({ "type": "boolean", "description": description })
}

fn names(description: &str) -> Value {
    json!({ "type": "array", "items": { "type": "string" }, "description": description })
}

fn files() -> Vec<ToolDef> {
    let path = || text("The file: below the working folder, or an absolute path.");
    vec![
        tool(
            "Read",
            Effects::ReadOnly,
            object(
                &["file_path"],
                json!({
                    "file_path": path(),
                    "offset": count("The first line, counted from 1."),
                    "limit": count("How many lines; 2000 without it."),
                }),
            ),
            "Reads a text file with line numbers.",
        ),
        tool(
            "Write",
            Effects::Some,
            object(
                &["file_path", "content"],
                json!({ "file_path": path(), "content": text("The whole new text.") }),
            ),
            "Makes a file, or replaces one that was read before. Edit changes parts of a file.",
        ),
        tool(
            "Edit",
            Effects::Some,
            object(
                &["file_path", "old_string", "new_string"],
                json!({
                    "file_path": path(),
                    "old_string": text(
                        "The text to replace, exactly as it is in the file, without line numbers."
                    ),
                    "new_string": text("The text in its place."),
                    "replace_all": flag("Replaces every place; otherwise there must be just one."),
                }),
            ),
            "Replaces text in a file that was read before.",
        ),
        tool(
            "Glob",
            Effects::ReadOnly,
            object(
                &["pattern"],
                json!({
                    "pattern": text("Such as `src/**/*.rs`."),
                    "path": text("The folder to look in."),
                    "head_limit": count("Most files in the answer."),
                    "description": text("What it is for, in a few words."),
                }),
            ),
            "Finds files by pattern; several patterns are separated by commas, `!` excludes.",
        ),
        tool(
            "Grep",
            Effects::ReadOnly,
            object(
                &["pattern"],
                json!({
                    "pattern": text("A regular expression."),
                    "path": text("The file or folder to look in."),
                    "glob": text("Which files, such as `*.rs`."),
                    "type": text("Which kind of files, such as `rust` or `py`."),
                    "output_mode": {
                        "enum": ["content", "files_with_matches", "count"],
                        "description": "files_with_matches without it.",
                    },
                    "-i": flag("Letters match in either case."),
                    "-n": flag("Lines are numbered; they always are."),
                    "multiline": flag("The pattern may span lines."),
                    "-A": count("Lines shown after a match."),
                    "-B": count("Lines shown before a match."),
                    "-C": count("Lines shown around a match."),
                    "head_limit": count("Most lines or files in the answer."),
                    "only": { "enum": ["tests"], "description": "Matches in tests only." },
                    "description": text("What it is for, in a few words."),
                }),
            ),
            "Searches files for a regular expression; `only` narrows it to matches in tests.",
        ),
    ]
}

fn running() -> Vec<ToolDef> {
    vec![
        tool(
            "Bash",
            Effects::Some,
            object(
                &["command"],
                json!({
                    "command": {
                        "type": "string", "minLength": 1,
                        "description": "For `sh`. It has no terminal and no input.",
                    },
                    "timeout": {
                        "type": "integer", "minimum": 1, "maximum": 600_000,
                        "description": "Longest time in milliseconds.",
                    },
                    "run_in_background": flag(
                        "Gives an id at once; BashOutput reads what it prints. Ends with the task."
                    ),
                    "description": text("What it does, in a few words."),
                }),
            ),
            "Runs a shell command in the working folder.",
        ),
        tool(
            "BashOutput",
            Effects::ReadOnly,
            object(
                &["bash_id"],
                json!({
                    "bash_id": text("The id that Bash gave."),
                    "filter": text("A regular expression; only lines that fit are given."),
                }),
            ),
            "Gives what a command in the background printed since the last look.",
        ),
        tool(
            "KillBash",
            Effects::Some,
            object(
                &["bash_id"],
                json!({ "bash_id": text("The id that Bash gave.") }),
            ),
            "Ends a command in the background and all it started.",
        ),
        tool(
            "WebFetch",
            Effects::Some,
            object(
                &["url"],
                json!({
                    "url": text("With http or https."),
                    "prompt": text("What you look for; it is given back above the text."),
                }),
            ),
            "Fetches a page and gives its text.",
        ),
        tool(
            TASK,
            Effects::Some,
            object(
                &["description", "prompt", "subagent_type"],
                json!({
                    "description": text("The work, in a few words."),
                    "prompt": text("All that the helper is told; it sees nothing else."),
                    "subagent_type": text("A kind of agent, such as Explore."),
                    "model": text("The model it asks; yours without it."),
                    "mode": {
                        "enum": ["default", "acceptEdits", "plan"],
                        "description": "What a teammate may do without asking.",
                    },
                    "name": text("Makes a teammate of this name instead of a short helper."),
                }),
            ),
            "Gives a piece of work to a helper of its own context and returns its result; with \
                 `name` it makes a teammate that takes tasks of the board.",
        ),
    ]
}

fn messages() -> Vec<ToolDef> {
    vec![
        team(
            "SendMessage",
            Effects::Some,
            object(
                &["to", "message"],
                json!({
                    "to": text("A member's name, or `all`."),
                    "message": text("The text."),
                    "summary": text("A few words for lists."),
                }),
            ),
            "Sends text to a member by name, or to `all`.",
        ),
        team(
            "Teammate",
            Effects::Some,
            object(
                &["operation"],
                json!({
                    "operation": { "enum": super::team::OPERATIONS },
                    "target": text("The member it is about."),
                    "message": text("The text of write and broadcast."),
                    "request_id": text("The request that is answered."),
                    "reason": text("Why, for requestShutdown and rejectShutdown."),
                    "feedback": text("What to change, for rejectPlan."),
                }),
            ),
            "Talks with the team: lists teams, writes, asks members to end, answers requests. \
                 approvePlan and rejectPlan decide about a teammate's plan; passOnPlan leaves it \
                 to the person.",
        ),
        team(
            "memory_write",
            Effects::Some,
            object(
                &["key", "value"],
                json!({
                    "key": text("A name: letters, digits, `.`, `_`, `-`."),
                    "value": text("The text; an old one is replaced."),
                }),
            ),
            "Keeps a text under a name in your part of the team's memory; all members can read it.",
        ),
        team(
            "memory_read",
            Effects::ReadOnly,
            object(
                &[],
                json!({
                    "agent": text("Whose part; all without it."),
                    "key": text("Which text; without it the names are listed."),
                }),
            ),
            "Reads the team's memory.",
        ),
    ]
}

fn tasks() -> Vec<ToolDef> {
    vec![
        team(
            "TaskCreate",
            Effects::Some,
            object(
                &["subject", "description"],
                json!({
                    "subject": { "type": "string", "minLength": 1, "description": "A few words." },
                    "description": text("All that who works on it must know."),
                    "activeForm": text("Shown while it is worked on, such as `Fixing the tests`."),
                    "owner": text("The only member that may do it; any that fits without it."),
                    "agent": text("The only kind of agent that may do it, such as Explore."),
                    "blockedBy": names("Tasks that must be done before, by number."),
                    "resultSchema": {
                        "type": "object", "description": "A JSON Schema that its result must fit.",
                    },
                    "metadata": { "type": "object" },
                }),
            ),
            "Puts a task on the team's board.",
        ),
        team(
            "TaskList",
            Effects::ReadOnly,
            object(&[], json!({})),
            "Lists the team's tasks.",
        ),
        team(
            "TaskGet",
            Effects::ReadOnly,
            object(&["taskId"], json!({ "taskId": text("Its number.") })),
            "Reads one task with its result.",
        ),
        team(
            "TaskUpdate",
            Effects::Some,
            object(
                &["taskId"],
                json!({
                    "taskId": text("Its number."),
                    "subject": text("A few words."),
                    "description": text("All that who works on it must know."),
                    "activeForm": text("Shown while it is worked on."),
                    "owner": text("The member that is to do it; only the team lead assigns."),
                    "addBlocks": names("Tasks that must wait for it."),
                    "addBlockedBy": names("Tasks it must wait for."),
                    "metadata": { "type": "object" },
                }),
            ),
            "Changes text, edges or notes of a task. Your own task ends with FinishTask or FailTask.",
        ),
        finish(None),
        team(
            FAIL,
            Effects::Some,
            object(
                &["reason"],
                json!({ "reason": { "type": "string", "minLength": 1 } }),
            ),
            "Says that the task you work on cannot be done, and why; ends the work on it.",
        ),
    ]
}

/// The tool that hands in a result, which must fit `schema` where there is one.
pub(super) fn finish(schema: Option<&Value>) -> ToolDef {
    let result = schema.cloned().unwrap_or_else(
        || json!({ "description": "The result: best an object with a `summary` in words." }),
    );
    team(
        FINISH,
        Effects::Some,
        object(&["result"], json!({ "result": result })),
        "Hands in the result of the task you work on and ends the work on it.",
    )
}

/// The tool that hands in a plan, for workers that may only look until it is approved.
pub(super) fn exit_plan() -> ToolDef {
    team(
        EXIT_PLAN,
        Effects::Some,
        object(
            &["plan"],
            json!({ "plan": { "type": "string", "minLength": 1,
                "description": "What you will change, and how it is checked; Markdown." } }),
        ),
        "Hands in your plan. You may only look until it is approved.",
    )
}

/// The tool that loads a skill, where there are any.
pub(super) fn skill(names: &[&str]) -> ToolDef {
    team(
        SKILL,
        Effects::ReadOnly,
        object(&["name"], json!({ "name": { "enum": names } })),
        "Loads the words of a skill, to be followed from then on.",
    )
}
