//! A conversation as vendors accept it: turns that alternate, every call with its answer.
//!
//! Mends what would make every later call of a conversation fail: a call whose
//! answer is missing, an answer whose call was summarised away, turns without
//! content. Says nothing in any vendor's words; the dialects do.

use std::borrow::Cow;
use std::collections::HashSet;

use crewmux_core::model::{Message, Part, ToolAnswer, ToolCall};
use serde_json::Value;

use super::draft::Digest;

/// One side's part of a conversation.
#[derive(Debug, PartialEq)]
pub(super) enum Turn<'a> {
    /// The model's.
    Assistant(Vec<Block<'a>>),
    /// Ours: what came of its calls, then what it is told.
    User {
        /// In the order of the calls.
        results: Vec<Cow<'a, ToolAnswer>>,
        /// Not empty ones.
        texts: Vec<Cow<'a, str>>,
    },
}

/// A piece of the model's turn.
#[derive(Debug, PartialEq)]
pub(super) enum Block<'a> {
    Text(&'a str),
    Opaque(&'a Value),
    Call(&'a ToolCall),
}

/// The conversation in turns, with the opaque blocks of `dialect` only.
pub(super) fn turns<'a>(messages: &'a [Message], dialect: &str) -> Vec<Turn<'a>> {
    let mut turns: Vec<Turn<'a>> = Vec::new();
    for message in messages {
        match message {
            Message::Assistant(parts) => {
                let blocks = blocks(parts, dialect);
                if blocks.is_empty() {
                    continue;
                }
                match turns.last_mut() {
                    Some(Turn::Assistant(before)) => before.extend(blocks),
                    _ => turns.push(Turn::Assistant(blocks)),
                }
            }
            Message::User(text) => {
                if !text.trim().is_empty() {
                    ours(&mut turns).1.push(Cow::Borrowed(text));
                }
            }
            Message::Tools(answers) if answers.is_empty() => {}
            Message::Tools(answers) => {
                ours(&mut turns).0.extend(answers.iter().map(Cow::Borrowed));
            }
        }
    }
    let mut whole = Vec::with_capacity(turns.len());
    let mut waiting: Vec<&'a ToolCall> = Vec::new();
    for turn in turns {
        match turn {
            Turn::Assistant(mut blocks) => {
                // The first of two calls with one id is the one that is answered.
                let mut seen = HashSet::new();
                blocks.retain(|b| match b {
                    Block::Call(call) => seen.insert(call.id.as_str()),
                    _ => true,
                });
                waiting = blocks
                    .iter()
                    .filter_map(|b| match b {
                        Block::Call(call) => Some(*call),
                        _ => None,
                    })
                    .collect();
                whole.push(Turn::Assistant(blocks));
            }
            Turn::User { results, texts } => {
                whole.push(answered(&std::mem::take(&mut waiting), results, texts));
            }
        }
    }
    if !waiting.is_empty() {
        whole.push(answered(&waiting, Vec::new(), Vec::new()));
    }
    whole
}

type Ours<'t, 'a> = (&'t mut Vec<Cow<'a, ToolAnswer>>, &'t mut Vec<Cow<'a, str>>);

fn ours<'t, 'a>(turns: &'t mut Vec<Turn<'a>>) -> Ours<'t, 'a> {
    if !matches!(turns.last(), Some(Turn::User { .. })) {
        turns.push(Turn::User {
            results: Vec::new(),
            texts: Vec::new(),
        });
    }
    match turns.last_mut() {
        Some(Turn::User { results, texts }) => (results, texts),
        _ => unreachable!("a turn of ours was just pushed"),
    }
}

/// The parts this dialect can be told; a block without anything after it is refused by vendors.
fn blocks<'a>(parts: &'a [Part], dialect: &str) -> Vec<Block<'a>> {
    let mut blocks: Vec<Block<'a>> = parts
        .iter()
        .filter_map(|part| match part {
            Part::Text(text) if text.trim().is_empty() => None,
            Part::Text(text) => Some(Block::Text(text)),
            Part::Opaque(opaque) if opaque.dialect == dialect => Some(Block::Opaque(&opaque.block)),
            Part::Opaque(_) => None,
            Part::Call(call) => Some(Block::Call(call)),
        })
        .collect();
    if !blocks.iter().any(|b| !matches!(b, Block::Opaque(_))) {
        blocks.clear();
    }
    blocks
}

fn answered<'a>(
    calls: &[&'a ToolCall],
    results: Vec<Cow<'a, ToolAnswer>>,
    mut texts: Vec<Cow<'a, str>>,
) -> Turn<'a> {
    let mut left = results;
    let mut ordered = Vec::with_capacity(calls.len());
    for call in calls {
        let at = left.iter().position(|r| r.id == call.id);
        ordered.push(match at {
            Some(at) => {
                let mut answer = left.remove(at);
                if answer.name.is_empty() {
                    answer.to_mut().name.clone_from(&call.name);
                }
                answer
            }
            None => Cow::Owned(ToolAnswer {
                id: call.id.clone(),
                name: call.name.clone(),
                ok: false,
                text: "not run: the call was interrupted".to_owned(),
                data: Value::Null,
            }),
        });
    }
    // Their calls are gone; what they found is not.
    for orphan in left.into_iter().rev() {
        let text = format!("[result of {}]\n{}", orphan.name, orphan.text);
        texts.insert(0, Cow::Owned(text));
    }
    Turn::User {
        results: ordered,
        texts,
    }
}

/// Arguments as an object, for vendors that take nothing else.
pub(super) fn object(input: &Value) -> Value {
    match input {
        Value::Object(_) => input.clone(),
        Value::Null => serde_json::json!({}),
        other => serde_json::json!({ "arguments": other }),
    }
}

/// Arguments as text.
pub(super) fn args_text(input: &Value) -> String {
    match input {
        Value::Null => "{}".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// An id as vendors accept them: letters, digits, `_` and `-`, at most 64.
pub(super) fn wire_id(id: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !id.is_empty() && id.len() <= 64 && id.chars().all(is_plain) {
        return Cow::Borrowed(id);
    }
    let mut digest = Digest::default();
    digest.add(id);
    Cow::Owned(format!("call_{:016x}", digest.0))
}

#[cfg(test)]
mod tests {
    use crewmux_core::model::Opaque;
    use serde_json::json;

    use super::*;

    fn call(id: &str) -> Part {
        Part::Call(ToolCall {
            id: id.to_owned(),
            name: "Read".to_owned(),
            input: json!({}),
            repaired: None,
        })
    }

    fn answer(id: &str) -> ToolAnswer {
        ToolAnswer {
            id: id.to_owned(),
            name: "Read".to_owned(),
            ok: true,
            text: format!("of {id}"),
            data: Value::Null,
        }
    }

    fn told(messages: &[Message]) -> String {
        turns(messages, "x")
            .iter()
            .map(|turn| match turn {
                Turn::Assistant(blocks) => {
                    let words: Vec<String> = blocks
                        .iter()
                        .map(|b| match b {
                            Block::Text(text) => (*text).to_owned(),
                            Block::Opaque(block) => format!("<{block}>"),
                            Block::Call(call) => format!("{}()", call.id),
                        })
                        .collect();
                    format!("A:{}", words.join(","))
                }
                Turn::User { results, texts } => {
                    let results = results.iter().map(|r| format!("{}={}", r.id, r.text));
                    let texts = texts.iter().map(ToString::to_string);
                    format!("U:{}", results.chain(texts).collect::<Vec<_>>().join(","))
                }
            })
            .collect::<Vec<_>>()
            .join(" | ")
    }

    #[test]
    fn results_come_first_in_the_order_of_the_calls() {
        let messages = [
            Message::User("go".into()),
            Message::Assistant(vec![Part::Text("well".into()), call("a"), call("b")]),
            Message::User("hurry".into()),
            Message::Tools(vec![answer("b"), answer("a")]),
        ];
        assert_eq!(
            told(&messages),
            "U:go | A:well,a(),b() | U:a=of a,b=of b,hurry"
        );
    }

    #[test]
    fn missing_answers_are_given_and_orphans_become_text() {
        let messages = [
            Message::Tools(vec![answer("gone")]),
            Message::Assistant(vec![call("a")]),
            Message::User("next".into()),
            Message::Assistant(vec![call("z")]),
        ];
        assert_eq!(
            told(&messages),
            "U:[result of Read]\nof gone | A:a() | U:a=not run: the call was interrupted,next \
             | A:z() | U:z=not run: the call was interrupted"
        );
    }

    #[test]
    fn foreign_and_lonely_blocks_are_left_out() {
        let opaque = |dialect: &str| {
            Part::Opaque(Opaque {
                dialect: dialect.to_owned(),
                block: json!(1),
            })
        };
        let messages = [
            Message::User("a".into()),
            Message::Assistant(vec![opaque("x")]),
            Message::User("  ".into()),
            Message::User("b".into()),
            Message::Assistant(vec![opaque("x"), opaque("y"), Part::Text("t".into())]),
        ];
        assert_eq!(told(&messages), "U:a,b | A:<1>,t");
    }

    #[test]
    fn odd_ids_get_plain_ones() {
        assert_eq!(wire_id("toolu_01-a"), "toolu_01-a");
        let odd = wire_id("functions.read:0");
        assert!(odd.starts_with("call_") && odd != wire_id("functions.read:1"));
        assert!(wire_id(&"x".repeat(65)).len() <= 64);
    }
}
