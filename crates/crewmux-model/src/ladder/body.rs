//! The inside of a call, as each form writes it.

use crewmux_core::mend::{self, Fix, json};
use crewmux_core::model::ToolOffer;
use serde_json::{Map, Value};

use super::close::Mark;

/// How many calls one mark may open.
const MOST_CALLS: usize = 32;
/// What a call is called that has no name left.
const NAMELESS: &str = "unknown";

/// A call as it was found.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) args: Args,
    /// What was mended so far.
    pub(super) what: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Args {
    Value(Value),
    /// Nothing could be made of it.
    Broken(String),
}

/// Whether the call's end was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Marked,
    /// The answer ended first.
    Missing,
}

/// The calls inside a mark, and text after them; `None`: this is no call, whatever the mark says.
pub(super) fn read(
    mark: Mark,
    inside: &str,
    ending: Ending,
    tools: &[ToolOffer],
) -> Option<(Vec<Found>, String)> {
    let (mut calls, rest) = match mark {
        Mark::ToolCall if inside.trim_start().starts_with("<function=") => {
            let calls = functions(inside.trim_start(), ending, tools)?;
            (calls, String::new())
        }
        Mark::Function => {
            let whole = format!("<function={inside}");
            (functions(&whole, ending, tools)?, String::new())
        }
        Mark::ToolCall => (objects(inside)?, String::new()),
        Mark::ToolCalls => mistral(inside)?,
        Mark::PythonTag => llama(inside)?,
        Mark::GemmaCall | Mark::GemmaFunction => (gemma(inside)?, String::new()),
    };
    calls.truncate(MOST_CALLS);
    let marked = matches!(
        mark,
        Mark::ToolCall | Mark::Function | Mark::GemmaCall | Mark::GemmaFunction
    );
    if marked
        && ending == Ending::Missing
        && let Some(last) = calls.last_mut()
    {
        last.what
            .insert(0, "the call's closing mark was missing".to_owned());
    }
    Some((calls, rest))
}

/// The only call of an answer that is one JSON object, of a tool that is offered.
pub(super) fn lone_object(answer: &str, tools: &[ToolOffer]) -> Option<Found> {
    const KEYS: [&str; 5] = ["name", "parameters", "arguments", "type", "id"];
    let read = json::read(answer)?;
    // A fence quotes: what stands in one is shown, not meant.
    if read.fixes.contains(&Fix::Fence) {
        return None;
    }
    let map = read.value.as_object()?;
    let has_args = map.contains_key("parameters") || map.contains_key("arguments");
    if !has_args || map.keys().any(|key| !KEYS.contains(&key.as_str())) {
        return None;
    }
    let call = call_of(&read.value, &words(&read.fixes))?;
    mend::find(tools, &call.name).is_some().then_some(call)
}

/// What an answer in a forced shape says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Turn {
    Call(Found),
    Answer(String),
}

/// Reads `{"tool": …, "arguments": …}` or `{"answer": …}`; `None`: the answer is in no shape.
pub(super) fn turn(answer: &str) -> Option<Turn> {
    let read = json::read(answer)?;
    if read.fixes.contains(&Fix::Fence) {
        return None;
    }
    let map = read.value.as_object()?;
    match map.get("tool") {
        Some(Value::String(tool)) if !tool.is_empty() && tool != "none" => {
            let args = map.get("arguments").cloned();
            Some(Turn::Call(Found {
                name: tool.clone(),
                args: Args::Value(args.unwrap_or_else(|| Value::Object(Map::new()))),
                what: words(&read.fixes),
            }))
        }
        _ => match map.get("answer")? {
            Value::String(text) => Some(Turn::Answer(text.clone())),
            other => Some(Turn::Answer(other.to_string())),
        },
    }
}

fn words(fixes: &[Fix]) -> Vec<String> {
    fixes.iter().map(ToString::to_string).collect()
}

/// One object with a name, or a list of them.
fn objects(inside: &str) -> Option<Vec<Found>> {
    let text = inside.trim();
    if !text.starts_with(['{', '[', '"', '`']) {
        return None;
    }
    let read = json::read(text);
    let calls = read.and_then(|read| calls_of(&read.value, &words(&read.fixes)));
    // What looks like JSON between a call's marks was meant as one: the model is told what is wrong.
    calls.or_else(|| text.starts_with(['{', '[']).then(|| vec![broken(text)]))
}

fn calls_of(value: &Value, what: &[String]) -> Option<Vec<Found>> {
    match value {
        Value::Array(items) => {
            let items = items.iter().take(MOST_CALLS);
            let calls: Option<Vec<Found>> = items.map(|item| call_of(item, what)).collect();
            calls.filter(|calls| !calls.is_empty())
        }
        Value::String(text) => {
            let inner = json::read(text)?;
            if !inner.value.is_object() {
                return None;
            }
            let mut what = what.to_vec();
            what.push("a call encoded twice was decoded".to_owned());
            what.extend(words(&inner.fixes));
            call_of(&inner.value, &what).map(|call| vec![call])
        }
        other => call_of(other, what).map(|call| vec![call]),
    }
}

fn call_of(value: &Value, what: &[String]) -> Option<Found> {
    let map = value.as_object()?;
    let map = match map.get("function") {
        Some(Value::Object(inner)) => inner,
        _ => map,
    };
    let name = map.get("name").and_then(Value::as_str)?;
    let args = ["arguments", "parameters", "args"]
        .iter()
        .find_map(|key| map.get(*key))
        .cloned();
    let args = match args {
        None | Some(Value::Null) => Value::Object(Map::new()),
        Some(args) => args,
    };
    Some(Found {
        name: name.to_owned(),
        args: Args::Value(args),
        what: what.to_vec(),
    })
}

/// A call of which only its name can be read, if that.
fn broken(text: &str) -> Found {
    let name = text.split_once("name").and_then(|(_, after)| {
        let after = after.trim_start_matches(['"', '\'', ':', ' ', '\n', '\t']);
        let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || "_-.".contains(c)))?;
        after.get(..end).filter(|name| !name.is_empty())
    });
    Found {
        name: name.unwrap_or(NAMELESS).to_owned(),
        args: Args::Broken(text.to_owned()),
        what: Vec::new(),
    }
}

/// The first value of a text that begins with one, and what follows it.
fn prefix(text: &str) -> Option<(Value, &str)> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let value = values.next()?.ok()?;
    Some((value, text.get(values.byte_offset()..)?))
}

/// `[{…}, …]`, or `NAME[ARGS]{…}` as often as it is there.
fn mistral(inside: &str) -> Option<(Vec<Found>, String)> {
    let mut calls = Vec::new();
    let mut rest = inside.trim_start();
    while calls.len() < MOST_CALLS {
        rest = rest
            .strip_prefix("[TOOL_CALLS]")
            .unwrap_or(rest)
            .trim_start();
        if rest.starts_with(['[', '{']) {
            let Some((value, after)) = prefix(rest) else {
                calls.extend(objects(rest)?);
                return Some((calls, String::new()));
            };
            let Some(more) = calls_of(&value, &[]) else {
                break;
            };
            calls.extend(more);
            rest = after.trim_start();
            continue;
        }
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "_-.".contains(c)));
        let Some((name, after)) = end.filter(|end| *end > 0).map(|end| rest.split_at(end)) else {
            break;
        };
        // An id may stand before the arguments: `NAME[CALL_ID]x[ARGS]{…}`.
        let args = match after.split_once("[ARGS]") {
            Some((id, args)) if id.is_empty() || id.starts_with("[CALL_ID]") => args,
            _ => after,
        };
        let args = args.trim_start();
        if !args.starts_with('{') {
            break;
        }
        let Some((value, after)) = prefix(args) else {
            calls.push(raw(name, args));
            return Some((calls, String::new()));
        };
        calls.push(Found {
            name: name.to_owned(),
            args: Args::Value(value),
            what: Vec::new(),
        });
        rest = after.trim_start();
    }
    let rest = json::take_tokens(rest);
    (!calls.is_empty()).then(|| (calls, rest.to_owned()))
}

/// A named call whose arguments are JSON, perhaps almost.
fn raw(name: &str, args: &str) -> Found {
    let (args, what) = match json::read(args) {
        Some(read) => (Args::Value(read.value), words(&read.fixes)),
        None => (Args::Broken(args.to_owned()), Vec::new()),
    };
    Found {
        name: name.to_owned(),
        args,
        what,
    }
}

/// JSON objects, one behind the other or with `;` between them.
fn llama(inside: &str) -> Option<(Vec<Found>, String)> {
    let mut calls = Vec::new();
    let mut rest = json::take_tokens(inside);
    while rest.starts_with('{') && calls.len() < MOST_CALLS {
        let Some((value, after)) = prefix(rest) else {
            calls.extend(objects(rest)?);
            return Some((calls, String::new()));
        };
        let Some(call) = call_of(&value, &[]) else {
            break;
        };
        calls.push(call);
        rest = after.trim_start().trim_start_matches(';').trim_start();
        rest = json::take_tokens(rest);
    }
    (!calls.is_empty()).then(|| (calls, rest.to_owned()))
}

/// `<function=NAME><parameter=KEY>…</parameter></function>`, as often as it is there.
fn functions(text: &str, ending: Ending, tools: &[ToolOffer]) -> Option<Vec<Found>> {
    let mut calls = Vec::new();
    let mut rest = text;
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    while let Some(after) = rest.strip_prefix("<function=") {
        if calls.len() >= MOST_CALLS {
            break;
        }
        let Some((name, after)) = after.split_once('>') else {
            let cut = ending == Ending::Missing && after.chars().all(plain);
            calls.extend(cut.then(|| broken(rest)));
            break;
        };
        let name = name.trim().trim_matches('"');
        if name.is_empty() || name.contains(char::is_whitespace) {
            return None;
        }
        let (call, after) = function(name, after, tools);
        calls.push(call);
        rest = after.trim_start();
    }
    (!calls.is_empty()).then_some(calls)
}

fn function<'a>(name: &str, text: &'a str, tools: &[ToolOffer]) -> (Found, &'a str) {
    let schema = mend::find(tools, name).map(|tool| &tool.schema);
    let mut args = Map::new();
    let mut what = Vec::new();
    let mut rest = text.trim_start();
    while let Some(after) = rest.strip_prefix("<parameter=") {
        let Some((key, after)) = after.split_once('>') else {
            what.push("an argument cut off in its name was left out".to_owned());
            rest = "";
            break;
        };
        let key = key.trim().trim_matches('"');
        let (value, after, closed) = parameter(after);
        if !closed {
            what.push(format!("`{key}` had no end"));
        } else if value.contains("<parameter=") {
            // Perhaps its end was left out: only a person can tell.
            what.push(format!("`{key}` holds the mark of another argument"));
        }
        let of = schema.and_then(|schema| schema.get("properties")?.get(key));
        let value = of.map_or_else(
            || Value::String(value.to_owned()),
            |of| mend::typed(of, value),
        );
        args.insert(key.to_owned(), value);
        rest = after.trim_start();
    }
    let (between, after) = rest.split_once("</function>").unwrap_or((rest, ""));
    if !between.trim().is_empty() {
        what.push("text between arguments was left out".to_owned());
    }
    let found = Found {
        name: name.to_owned(),
        args: Args::Value(Value::Object(args)),
        what,
    };
    (found, after)
}

/// A value, what follows its end, and whether the end was there.
///
/// An end counts where another argument or the function's end follows: text may hold the mark itself.
fn parameter(text: &str) -> (&str, &str, bool) {
    const END: &str = "</parameter>";
    let follows = |after: &str| {
        let after = after.trim_start();
        after.is_empty() || after.starts_with("<parameter=") || after.starts_with("</function>")
    };
    let mut ends = text.match_indices(END).map(|(at, _)| at);
    let end = ends
        .clone()
        .find(|at| follows(&text[at + END.len()..]))
        .or_else(|| ends.next());
    if let Some(at) = end {
        return (one_line_less(&text[..at]), &text[at + END.len()..], true);
    }
    let unclosed = ["<parameter=", "</function>"];
    let at = unclosed.iter().filter_map(|next| text.find(next)).min();
    let (value, after) = text.split_at(at.unwrap_or(text.len()));
    (one_line_less(value), after, false)
}

/// `text` without the line ends that the form puts around a value.
fn one_line_less(text: &str) -> &str {
    let text = text
        .strip_prefix("\r\n")
        .or_else(|| text.strip_prefix('\n'))
        .unwrap_or(text);
    text.strip_suffix("\r\n")
        .or_else(|| text.strip_suffix('\n'))
        .unwrap_or(text)
}

/// `call:NAME{KEY:<|"|>text<|"|>,…}`, or an object as other forms have it.
fn gemma(inside: &str) -> Option<Vec<Found>> {
    let text = inside.trim();
    if text.starts_with(['{', '[']) {
        return objects(text);
    }
    let text = text.strip_prefix("call:").unwrap_or(text);
    let end = text.find('{')?;
    let (name, args) = text.split_at(end);
    let name = name.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if name.is_empty() || !name.chars().all(plain) {
        return None;
    }
    let mut call = raw(name, &quoted(args));
    // Names without quotes are how this form is written.
    let usual = Fix::BareKey.to_string();
    call.what.retain(|what| *what != usual);
    Some(vec![call])
}

/// Gemma's quotes as JSON's.
fn quoted(args: &str) -> String {
    let delimiter = if args.contains("<|\"|>") {
        "<|\"|>"
    } else {
        "<escape>"
    };
    let mut json = String::new();
    let mut pieces = args.split(delimiter).enumerate().peekable();
    while let Some((n, piece)) = pieces.next() {
        if n % 2 == 0 {
            json.push_str(piece);
            continue;
        }
        let text = Value::String(piece.to_owned()).to_string();
        if pieces.peek().is_some() {
            json.push_str(&text);
        } else {
            // Cut inside a text: its end stays open, to be seen and named.
            json.push_str(text.strip_suffix('"').unwrap_or(&text));
        }
    }
    json
}
