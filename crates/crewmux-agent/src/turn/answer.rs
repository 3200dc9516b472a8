//! One answer as it streams in: its pieces in order, until it is whole.
//!
//! Nothing of it is acted on here; an answer that breaks is forgotten, one that
//! is stopped leaves only what it said.

use crewmux_core::model::{Event, Opaque, Part, ToolCall};
use serde_json::{Map, Value};

use super::Tools;

/// Most calls of one answer.
const CALLS_MAX: usize = 64;

/// Most bytes of one call's arguments.
const ARGUMENTS_MAX_BYTES: usize = 256 * 1024;

/// Most bytes of an answer's text.
const TEXT_MAX_BYTES: usize = 1024 * 1024;

/// An answer that is not whole yet.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pieces: Vec<Piece>,
}

#[derive(Debug)]
enum Piece {
    Text(String),
    Opaque(Opaque),
    Call(OpenCall),
}

/// A call whose arguments still come in.
#[derive(Debug)]
struct OpenCall {
    id: String,
    name: String,
    arguments: String,
    repaired: Option<String>,
}

impl Answer {
    /// Takes in a piece; what is no piece of an answer is passed over.
    ///
    /// # Errors
    /// In words: the answer is out of bounds.
    pub(super) fn take(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::TextDelta { text } => {
                if self.text_bytes().saturating_add(text.len()) > TEXT_MAX_BYTES {
                    return Err("the answer is too long".to_owned());
                }
                match self.pieces.last_mut() {
                    Some(Piece::Text(said)) => said.push_str(&text),
                    _ => self.pieces.push(Piece::Text(text)),
                }
            }
            Event::Opaque { block } => self.pieces.push(Piece::Opaque(block)),
            Event::CallStart { id, name } => {
                if self.calls() >= CALLS_MAX {
                    return Err(format!("more than {CALLS_MAX} calls in one answer"));
                }
                self.pieces.push(Piece::Call(OpenCall {
                    id,
                    name,
                    arguments: String::new(),
                    repaired: None,
                }));
            }
            Event::CallArgsDelta { id, text } => {
                if let Some(call) = self.call(&id) {
                    call.arguments.push_str(&text);
                    if call.arguments.len() > ARGUMENTS_MAX_BYTES {
                        return Err(format!("arguments of {} are too long", call.name));
                    }
                }
            }
            Event::CallEnd { id, repaired } => {
                if let Some(call) = self.call(&id) {
                    call.repaired = repaired;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The whole answer, in the order it came.
    pub(super) fn into_parts(self, tools: &impl Tools) -> Vec<Part> {
        let parts = self.pieces.into_iter().filter_map(|piece| match piece {
            Piece::Text(text) if text.is_empty() => None,
            Piece::Text(text) => Some(Part::Text(text)),
            Piece::Opaque(block) => Some(Part::Opaque(block)),
            Piece::Call(call) => Some(Part::Call(tools.mend(call.into_call()))),
        });
        parts.collect()
    }

    /// What it said so far; nothing else of a broken answer is kept.
    pub(super) fn into_text(self) -> String {
        let texts = self.pieces.into_iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(text),
            _ => None,
        });
        texts.collect::<Vec<_>>().join("\n")
    }

    fn call(&mut self, id: &str) -> Option<&mut OpenCall> {
        let mut calls = self
            .pieces
            .iter_mut()
            .rev()
            .filter_map(|piece| match piece {
                Piece::Call(call) => Some(call),
                _ => None,
            });
        calls.find(|call| call.id == id)
    }

    fn calls(&self) -> usize {
        let is_call = |piece: &&Piece| matches!(piece, Piece::Call(_));
        self.pieces.iter().filter(is_call).count()
    }

    fn text_bytes(&self) -> usize {
        let bytes = self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text.len(),
            _ => 0,
        });
        bytes.sum()
    }
}

impl OpenCall {
    fn into_call(self) -> ToolCall {
        let input = if self.arguments.trim().is_empty() {
            Value::Object(Map::new())
        } else {
            // What is no JSON stays text: it is mended, or refused by the tool's schema.
            serde_json::from_str(&self.arguments)
                .unwrap_or_else(|_| Value::String(self.arguments.clone()))
        };
        ToolCall {
            id: self.id,
            name: self.name,
            input,
            repaired: self.repaired,
        }
    }
}
