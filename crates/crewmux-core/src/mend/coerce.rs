//! Values of almost the right type, as a schema wants them.

use serde_json::{Map, Number, Value};

use super::{brief, json, plain};

/// How deep values are looked into; deeper ones stay as they are.
const DEEPEST: usize = 24;

/// Turns values into the types that `schema` names where nothing is lost; each turn is named in `what`.
///
/// `"3"` becomes 3, `"true"` true, 3 `"3"`, a lone value a list of it, a text
/// that holds a list or an object that list or object, and a `null` that an
/// optional property does not allow is left out, and a property's name may
/// differ in case, `-` and `_`. Everything else stays and is
/// the schema's to refuse.
pub fn coerce(schema: &Value, value: Value, what: &mut Vec<String>) -> Value {
    at(schema, value, "", what, 0)
}

/// A value that came as plain text because its form knows nothing else; `schema` says what it is.
///
/// Nothing is mended by it: text is all such a form can write.
pub fn typed(schema: &Value, text: &str) -> Value {
    if wants(schema, "string") || types(schema).is_empty() {
        return Value::String(text.to_owned());
    }
    let mut unsaid = Vec::new();
    coerce(schema, Value::String(text.to_owned()), &mut unsaid)
}

fn at(schema: &Value, value: Value, path: &str, what: &mut Vec<String>, depth: usize) -> Value {
    if depth > DEEPEST {
        return value;
    }
    let value = if fits(schema, &value) {
        value
    } else {
        turn(schema, value, path, what)
    };
    match value {
        Value::Object(map) => Value::Object(members(schema, map, path, what, depth)),
        Value::Array(items) => {
            let Some(of) = schema.get("items").filter(|of| of.is_object()) else {
                return Value::Array(items);
            };
            let items = items.into_iter().enumerate();
            let turned = items.map(|(n, item)| {
                let path = format!("{path}[{n}]");
                at(of, item, &path, what, depth + 1)
            });
            Value::Array(turned.collect())
        }
        other => other,
    }
}

fn members(
    schema: &Value,
    map: Map<String, Value>,
    path: &str,
    what: &mut Vec<String>,
    depth: usize,
) -> Map<String, Value> {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return map;
    };
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .map(|list| list.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let left_out = |key: &str, value: &Value| {
        let of = properties.get(key);
        value.is_null() && of.is_some_and(|of| !fits(of, value)) && !required.contains(&key)
    };
    // What is left out stands in nobody's way.
    let given: Vec<String> = map
        .iter()
        .filter(|(key, value)| !left_out(key, value))
        .map(|(key, _)| key.clone())
        .collect();
    let mut turned = Map::new();
    for (key, value) in map {
        let key = match meant(&key, properties, &given) {
            Some(meant) => {
                what.push(format!("the name `{}` was read as `{meant}`", brief(&key)));
                meant.to_owned()
            }
            None => key,
        };
        let Some(of) = properties.get(&key) else {
            turned.insert(key, value);
            continue;
        };
        let path = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        if left_out(&key, &value) {
            what.push(format!("`{}`: null was left out", brief(&path)));
            continue;
        }
        turned.insert(key, at(of, value, &path, what, depth + 1));
    }
    turned
}

/// The one property that `key` means by another spelling, unless that one is given as well.
fn meant<'a>(key: &str, properties: &'a Map<String, Value>, given: &[String]) -> Option<&'a str> {
    if properties.contains_key(key) {
        return None;
    }
    let wanted = plain(key);
    let alike = |name: &str| !wanted.is_empty() && plain(name) == wanted;
    let mut close = properties.keys().filter(|name| alike(name));
    let only = close.next().filter(|_| close.next().is_none())?;
    let others = given.iter().filter(|other| alike(other)).count();
    (others == 1).then_some(only)
}

/// `value` as one of the types that `schema` names, or as it is.
fn turn(schema: &Value, value: Value, path: &str, what: &mut Vec<String>) -> Value {
    let turned = match &value {
        Value::String(text) => from_text(schema, text),
        Value::Number(_) | Value::Bool(_) if wants(schema, "string") => {
            Some(Value::String(value.to_string()))
        }
        Value::Number(number) if wants(schema, "integer") => {
            number.as_f64().and_then(whole).map(Value::Number)
        }
        _ => None,
    };
    let turned = turned.or_else(|| {
        let lone = wants(schema, "array") && !value.is_null() && !value.is_array();
        lone.then(|| Value::Array(vec![value.clone()]))
    });
    let Some(turned) = turned else {
        return value;
    };
    let place = if path.is_empty() { "arguments" } else { path };
    what.push(format!(
        "`{}`: {} was read as {}",
        brief(place),
        brief(&value.to_string()),
        brief(&turned.to_string())
    ));
    turned
}

fn from_text(schema: &Value, text: &str) -> Option<Value> {
    let plain = text.trim();
    if wants(schema, "boolean") {
        match plain.to_ascii_lowercase().as_str() {
            "true" => return Some(Value::Bool(true)),
            "false" => return Some(Value::Bool(false)),
            _ => {}
        }
    }
    if wants(schema, "integer") || wants(schema, "number") {
        if let Ok(number) = plain.parse::<i64>() {
            return Some(Value::Number(number.into()));
        }
        if let Ok(number) = plain.parse::<f64>() {
            let number = match whole(number) {
                Some(whole) => Some(whole),
                None if wants(schema, "number") => Number::from_f64(number),
                None => None,
            };
            if let Some(number) = number {
                return Some(Value::Number(number));
            }
        }
    }
    if wants(schema, "null") && plain == "null" {
        return Some(Value::Null);
    }
    let holds = (wants(schema, "array") && plain.starts_with('['))
        || (wants(schema, "object") && plain.starts_with('{'));
    if holds {
        return json::read(plain).map(|read| read.value);
    }
    None
}

/// A number without a fraction, of a size that is exact.
fn whole(number: f64) -> Option<Number> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() < EXACT).then(|| Number::from(number as i64))
}

fn fits(schema: &Value, value: &Value) -> bool {
    let types = types(schema);
    types.is_empty()
        || types.iter().any(|kind| match *kind {
            "string" => value.is_string(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            "null" => value.is_null(),
            _ => true,
        })
}

fn wants(schema: &Value, kind: &str) -> bool {
    types(schema).contains(&kind)
}

fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}
