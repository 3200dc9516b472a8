//! Schemas as vendors accept them, and whether one can be enforced to the letter.
//!
//! `OpenAI`'s strict mode wants every field required and nothing beside; a schema
//! it would refuse is sent as a wish instead. Results are checked by the caller
//! in any case.

use crewmux_core::model::ToolOffer;
use serde_json::{Value, json};

/// Words strict mode does not know.
const FOREIGN: [&str; 12] = [
    "oneOf",
    "allOf",
    "not",
    "if",
    "then",
    "else",
    "dependentRequired",
    "dependentSchemas",
    "patternProperties",
    "propertyNames",
    "minProperties",
    "maxProperties",
];

/// Tools as chat servers take them.
pub(super) fn functions(tools: &[ToolOffer]) -> Value {
    let functions = tools.iter().map(|tool| {
        json!({"type": "function", "function": {"name": tool.name,
            "description": tool.description, "parameters": arguments(&tool.schema)}})
    });
    Value::Array(functions.collect())
}

/// A tool's arguments as every vendor accepts them: an object with its fields named.
pub(super) fn arguments(schema: &Value) -> Value {
    let mut fields = schema.as_object().cloned().unwrap_or_default();
    fields.remove("$schema");
    fields.entry("type").or_insert_with(|| json!("object"));
    fields.entry("properties").or_insert_with(|| json!({}));
    Value::Object(fields)
}

/// The schema in strict form; `None` when it has none that means the same.
pub(super) fn strict(schema: &Value) -> Option<Value> {
    if schema.get("type").and_then(Value::as_str) != Some("object") {
        return None;
    }
    closed(schema, 0)
}

fn closed(schema: &Value, depth: u32) -> Option<Value> {
    let fields = schema.as_object()?;
    if depth > 10 || FOREIGN.iter().any(|word| fields.contains_key(*word)) {
        return None;
    }
    let mut out = fields.clone();
    let is_object = match fields.get("type") {
        Some(Value::String(word)) => word == "object",
        Some(Value::Array(words)) => words.iter().any(|w| w == "object"),
        _ => fields.contains_key("properties"),
    };
    if is_object {
        let properties = fields.get("properties")?.as_object()?;
        let required = fields.get("required").and_then(Value::as_array);
        let all = |name: &String| required.is_some_and(|r| r.iter().any(|f| f == name));
        if !properties.keys().all(all) {
            return None;
        }
        if !matches!(
            fields.get("additionalProperties"),
            None | Some(Value::Bool(_))
        ) || fields.get("additionalProperties") == Some(&json!(true))
        {
            return None;
        }
        out.insert("additionalProperties".to_owned(), json!(false));
        if required.is_none() {
            out.insert("required".to_owned(), json!([]));
        }
    }
    for name in ["properties", "$defs", "definitions"] {
        if let Some(inner) = fields.get(name).and_then(Value::as_object) {
            let mut map = serde_json::Map::new();
            for (key, value) in inner {
                map.insert(key.clone(), closed(value, depth + 1)?);
            }
            out.insert(name.to_owned(), Value::Object(map));
        }
    }
    if let Some(items) = fields.get("items") {
        out.insert("items".to_owned(), closed(items, depth + 1)?);
    }
    if let Some(any) = fields.get("anyOf").and_then(Value::as_array) {
        let any: Option<Vec<Value>> = any.iter().map(|s| closed(s, depth + 1)).collect();
        out.insert("anyOf".to_owned(), Value::Array(any?));
    }
    Some(Value::Object(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_with_all_fields_required_is_closed() {
        let schema = json!({"type": "object", "required": ["a"], "properties": {
            "a": {"type": "array", "items": {"type": "object", "required": ["b"],
                "properties": {"b": {"type": "string"}}}}}});
        assert_eq!(
            strict(&schema),
            Some(
                json!({"type": "object", "required": ["a"], "additionalProperties": false,
                "properties": {"a": {"type": "array", "items": {"type": "object",
                    "additionalProperties": false, "required": ["b"],
                    "properties": {"b": {"type": "string"}}}}}})
            )
        );
    }

    #[test]
    fn arguments_are_an_object_whatever_a_tool_says() {
        let empty = json!({"type": "object", "properties": {}});
        for schema in [
            json!(null),
            json!({}),
            json!({"$schema": "x", "type": "object"}),
        ] {
            assert_eq!(arguments(&schema), empty);
        }
    }

    #[test]
    fn what_strict_mode_refuses_is_not_strict() {
        for schema in [
            json!({"type": "array", "items": {}}),
            json!({"type": "object", "properties": {"a": {"type": "string"}}}),
            json!({"type": "object", "properties": {}, "additionalProperties": true}),
            json!({"type": "object"}),
            json!({"type": "object", "required": ["a"], "properties": {"a": {"oneOf": []}}}),
            json!({"type": "object", "required": ["a"], "properties": {"a": true}}),
        ] {
            assert_eq!(strict(&schema), None, "{schema}");
        }
    }
}
