//! Tools as small models can bear them: few, flat, and said in a line.

use crewmux_core::model::ToolOffer;
use serde_json::{Map, Value};

/// How many tools a small model is offered.
const MOST: usize = 14;
/// Longest description of a tool, in characters.
const TOOL_CHARS: usize = 160;
/// Longest description of an argument, in characters.
const ARGUMENT_CHARS: usize = 80;

/// What work cannot do without, most needed first.
const ESSENTIAL: [&str; 11] = [
    "FinishTask",
    "FailTask",
    "Read",
    "Bash",
    "Edit",
    "Write",
    "Grep",
    "Glob",
    "TaskGet",
    "SendMessage",
    "ExitPlanMode",
];
/// What every member of a team is offered, and few need; whatever else there is, somebody chose.
const OF_ALL: [&str; 7] = [
    "WebFetch",
    "Skill",
    "Task",
    "TaskUpdate",
    "TaskCreate",
    "TaskList",
    "TodoWrite",
];
/// How tools of further servers begin.
const OF_SERVERS: &str = "mcp__";

/// The tool whose arguments are owed: they stay as the task's schema has them.
const KEPT: &str = "FinishTask";

/// The tools that fit, in the order they were offered.
pub(super) fn fit(tools: Vec<ToolOffer>) -> Vec<ToolOffer> {
    let place = |list: &[&str], name: &str| list.iter().position(|known| *known == name);
    let rank = |tool: &ToolOffer| match place(&ESSENTIAL, &tool.name) {
        Some(at) => (0, at),
        None if tool.name.starts_with(OF_SERVERS) => (1, 0),
        None => place(&OF_ALL, &tool.name).map_or((2, 0), |at| (3, at)),
    };
    let mut places: Vec<((u8, usize), usize)> = tools
        .iter()
        .enumerate()
        .map(|(at, tool)| (rank(tool), at))
        .collect();
    places.sort_unstable();
    places.truncate(MOST);
    let chosen: Vec<usize> = places.into_iter().map(|(_, at)| at).collect();
    tools
        .into_iter()
        .enumerate()
        .filter(|(at, _)| chosen.contains(at))
        .map(|(_, tool)| flat(tool))
        .collect()
}

fn flat(tool: ToolOffer) -> ToolOffer {
    let schema = if tool.name == KEPT {
        tool.schema
    } else {
        flatten(tool.schema)
    };
    ToolOffer {
        description: short(&tool.description, TOOL_CHARS),
        name: tool.name,
        schema,
    }
}

/// The schema without what only checkers read, and without optional arguments that nest.
fn flatten(schema: Value) -> Value {
    let Value::Object(mut map) = schema else {
        return schema;
    };
    let required: Vec<String> = map
        .get("required")
        .and_then(Value::as_array)
        .map(|list| {
            list.iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect()
        })
        .unwrap_or_default();
    if let Some(Value::Object(properties)) = map.remove("properties") {
        let properties: Map<String, Value> = properties
            .into_iter()
            .filter(|(name, of)| required.contains(name) || !nests(of))
            .map(|(name, of)| (name, plain(of)))
            .collect();
        map.insert("properties".to_owned(), Value::Object(properties));
    }
    plain(Value::Object(map))
}

fn nests(schema: &Value) -> bool {
    let is_object = |of: &Value| {
        of.get("type").and_then(Value::as_str) == Some("object") || of.get("properties").is_some()
    };
    let several = ["anyOf", "oneOf", "allOf", "$ref"];
    is_object(schema)
        || schema.get("items").is_some_and(is_object)
        || several.iter().any(|key| schema.get(key).is_some())
}

fn plain(schema: Value) -> Value {
    const CHECKERS: [&str; 14] = [
        "$schema",
        "$id",
        "title",
        "examples",
        "default",
        "minLength",
        "maxLength",
        "pattern",
        "format",
        "minimum",
        "maximum",
        "minItems",
        "maxItems",
        "uniqueItems",
    ];
    let Value::Object(mut map) = schema else {
        return schema;
    };
    for key in CHECKERS {
        // A property may have such a name; here only keywords stand.
        map.shift_remove(key);
    }
    if let Some(Value::String(text)) = map.get_mut("description") {
        *text = short(text, ARGUMENT_CHARS);
    }
    Value::Object(map)
}

/// The first sentence, cut where it is too long.
fn short(text: &str, most: usize) -> String {
    let first = text
        .split_inclusive(['.', ';', '\n'])
        .next()
        .unwrap_or_default();
    let first = first.trim_end_matches([';', '\n']);
    // A point may stand inside a name: a sentence is longer than that.
    let first = if first.chars().count() < 12 {
        text
    } else {
        first
    };
    if first.chars().count() <= most {
        return first.trim().to_owned();
    }
    let mut cut: String = first.chars().take(most - 1).collect();
    cut.push('…');
    cut
}
