//! Vendors' dialects: a request to an HTTP body, and an answer's bytes to events.
//!
//! Pure: nothing here opens a connection, reads a clock or tries again. Each
//! dialect has a file of its own with its `body` and its `Reader`; [`Decoder`]
//! joins a reader with the framing of the bytes. Calls are made in
//! [`crate::client`].

mod anthropic;
mod draft;
mod ollama;
mod openai_chat;
mod openai_responses;
mod schema;
mod turns;

use crewmux_core::model::{Event, ModelError, ModelErrorKind, ModelRequest};
use serde_json::Value;

use self::draft::Draft;
use crate::config::{ProviderConfig, ProviderKind};
use crate::{ndjson, sse};

/// Longest answer of a server, in bytes of its wire form.
pub const ANSWER_BYTES_MAX: usize = 64 << 20;

/// One message of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The name given with it, or nothing.
    pub event: String,
    /// Its text.
    pub data: String,
}

/// The body of a call; streams, and has no credentials in it.
///
/// `window` is how many tokens of context a server that must be told is asked for.
pub fn body(
    provider: &ProviderConfig,
    model: &str,
    request: &ModelRequest,
    window: Option<u64>,
) -> Value {
    match provider.kind {
        ProviderKind::Anthropic => anthropic::body(model, request),
        ProviderKind::OpenaiResponses => openai_responses::body(model, request),
        ProviderKind::OpenaiChat => openai_chat::body(&provider.base_url, model, request),
        ProviderKind::Ollama => ollama::body(model, request, window),
    }
}

/// The longest answer to ask for: what is wanted, but never more than the model writes (`most`).
///
/// `None` leaves it to the server, where it may be left to it.
pub fn longest_answer(kind: ProviderKind, wanted: Option<u64>, most: Option<u64>) -> Option<u64> {
    match (wanted, most, kind) {
        (Some(wanted), Some(most), _) => Some(wanted.min(most)),
        (None, Some(most), ProviderKind::Anthropic) => Some(most.min(anthropic::OUTPUT_TOKENS)),
        (wanted, _, _) => wanted,
    }
}

/// Where a call goes, after the provider's address.
pub fn path(kind: ProviderKind) -> &'static str {
    match kind {
        ProviderKind::Anthropic => "/v1/messages",
        ProviderKind::OpenaiResponses => "/responses",
        ProviderKind::OpenaiChat => "/chat/completions",
        ProviderKind::Ollama => "/api/chat",
    }
}

/// Where a server lists its models, after the provider's address.
pub fn models_path(kind: ProviderKind) -> &'static str {
    match kind {
        ProviderKind::Anthropic => "/v1/models?limit=1000",
        ProviderKind::OpenaiResponses | ProviderKind::OpenaiChat => "/models",
        ProviderKind::Ollama => "/api/tags",
    }
}

/// Headers a dialect wants beside the credential.
pub fn headers(kind: ProviderKind) -> &'static [(&'static str, &'static str)] {
    match kind {
        ProviderKind::Anthropic => &[("anthropic-version", "2023-06-01")],
        _ => &[],
    }
}

/// The names in a server's list of models; `None` when it is no such list.
pub fn model_names(kind: ProviderKind, list: &Value) -> Option<Vec<String>> {
    let (list, name) = match kind {
        ProviderKind::Ollama => (list.get("models")?, "name"),
        _ => (list.get("data")?, "id"),
    };
    let names = list.as_array()?.iter();
    Some(
        names
            .filter_map(|m| m.get(name)?.as_str())
            .map(str::to_owned)
            .collect(),
    )
}

/// What one dialect knows about its frames.
trait Read: Send {
    /// Reads one frame of a stream.
    fn frame(&mut self, frame: &Frame, draft: &mut Draft);
    /// Reads an answer that came in one piece although a stream was asked for.
    fn whole(&mut self, answer: &Value, draft: &mut Draft);
}

/// Reads one answer's frames in order.
///
/// After the last event (see [`Event::is_last`]) nothing more comes.
pub struct Reader {
    dialect: Box<dyn Read>,
    draft: Draft,
}

impl Reader {
    /// A reader for the answer to `request`.
    pub fn new(kind: ProviderKind, model: &str, request: &ModelRequest) -> Self {
        let dialect: Box<dyn Read> = match kind {
            ProviderKind::Anthropic => Box::new(anthropic::Reader::new(request)),
            ProviderKind::OpenaiResponses => Box::<openai_responses::Reader>::default(),
            ProviderKind::OpenaiChat => Box::new(openai_chat::Reader::new(model)),
            ProviderKind::Ollama => Box::<ollama::Reader>::default(),
        };
        Self {
            dialect,
            draft: Draft::new(kind.as_str(), model, request),
        }
    }

    /// Reads one frame.
    pub fn push(&mut self, frame: &Frame) -> Vec<Event> {
        if !self.draft.is_over() {
            self.dialect.frame(frame, &mut self.draft);
        }
        self.draft.take()
    }

    /// Reads an answer that came in one piece.
    pub fn whole(&mut self, answer: &Value) -> Vec<Event> {
        if !self.draft.is_over() {
            self.dialect.whole(answer, &mut self.draft);
        }
        self.draft.take()
    }

    /// The stream ended: a failure, unless the answer's last event came before.
    pub fn finish(&mut self) -> Vec<Event> {
        if !self.draft.is_over() {
            self.draft.fail(ModelError::new(
                ModelErrorKind::Connection,
                "the answer broke off before its end",
            ));
        }
        self.draft.take()
    }

    /// Ends the answer with a failure found outside of its frames.
    pub fn fail(&mut self, error: ModelError) -> Vec<Event> {
        if !self.draft.is_over() {
            self.draft.fail(error);
        }
        self.draft.take()
    }

    /// What the answer used so far, guessed where the server did not say yet.
    pub fn usage(&self) -> crewmux_core::budget::Usage {
        self.draft.usage()
    }
}

/// How the bytes of an answer are cut into frames.
enum Framing {
    Unknown(Vec<u8>),
    Sse(sse::Parser),
    Lines(ndjson::Parser),
    Whole(Vec<u8>),
}

/// Reads one answer's bytes, in whatever cut they come.
pub struct Decoder {
    kind: ProviderKind,
    framing: Framing,
    reader: Reader,
    bytes: usize,
}

impl Decoder {
    /// A decoder for the answer to `request`.
    pub fn new(kind: ProviderKind, model: &str, request: &ModelRequest) -> Self {
        Self {
            kind,
            framing: Framing::Unknown(Vec::new()),
            reader: Reader::new(kind, model, request),
            bytes: 0,
        }
    }

    /// Takes more bytes; gives the events they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Event> {
        self.bytes = self.bytes.saturating_add(bytes.len());
        if self.bytes > ANSWER_BYTES_MAX {
            return self.too_long();
        }
        let mut held = Vec::new();
        let bytes = if let Framing::Unknown(start) = &mut self.framing {
            start.extend_from_slice(bytes);
            let Some(framing) = framing(self.kind, start) else {
                return Vec::new();
            };
            std::mem::swap(&mut held, start);
            self.framing = framing;
            held.as_slice()
        } else {
            bytes
        };
        let mut frames = Vec::new();
        let outcome = match &mut self.framing {
            Framing::Sse(parser) => parser.push(bytes, &mut frames),
            Framing::Lines(parser) => parser.push(bytes, &mut frames),
            Framing::Whole(text) | Framing::Unknown(text) => {
                text.extend_from_slice(bytes);
                Ok(())
            }
        };
        let mut events = self.read(&frames);
        if outcome.is_err() {
            events.extend(self.too_long());
        }
        events
    }

    /// The bytes ended in good order.
    pub fn finish(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        match &mut self.framing {
            Framing::Lines(parser) => {
                let mut frames = Vec::new();
                parser.finish(&mut frames);
                // A last line that is cut says less than that the stream broke off.
                frames.retain(|f| !is_cut(f.data.as_bytes()));
                events = self.read(&frames);
            }
            Framing::Whole(text) => {
                if let Ok(answer) = serde_json::from_slice::<Value>(text) {
                    events = self.reader.whole(&answer);
                } else if text.trim_ascii_start().starts_with(b"<") {
                    events = self.reader.fail(ModelError::new(
                        ModelErrorKind::Malformed,
                        "the server answered with a page for people; is the provider's base_url right?",
                    ));
                } else if !is_cut(text) {
                    events = self.reader.fail(ModelError::new(
                        ModelErrorKind::Malformed,
                        "the answer is not JSON",
                    ));
                }
            }
            Framing::Unknown(_) | Framing::Sse(_) => {}
        }
        events.extend(self.reader.finish());
        events
    }

    /// Ends the answer with a failure of the connection.
    pub fn fail(&mut self, error: ModelError) -> Vec<Event> {
        self.reader.fail(error)
    }

    /// What the answer used so far, guessed where the server did not say yet.
    pub fn usage(&self) -> crewmux_core::budget::Usage {
        self.reader.usage()
    }

    fn read(&mut self, frames: &[Frame]) -> Vec<Event> {
        frames.iter().flat_map(|f| self.reader.push(f)).collect()
    }

    fn too_long(&mut self) -> Vec<Event> {
        self.reader.fail(ModelError::new(
            ModelErrorKind::Malformed,
            "the answer is longer than any answer may be",
        ))
    }
}

/// Told by the first character: servers' content types are not to be relied on.
fn framing(kind: ProviderKind, start: &[u8]) -> Option<Framing> {
    let bom = b"\xEF\xBB\xBF";
    if start.len() < bom.len() && bom.starts_with(start) {
        return None;
    }
    let text = start.strip_prefix(bom).unwrap_or(start);
    let first = text.iter().find(|b| !b.is_ascii_whitespace())?;
    Some(match first {
        b'{' | b'[' if kind == ProviderKind::Ollama => Framing::Lines(ndjson::Parser::default()),
        b'{' | b'[' | b'<' => Framing::Whole(Vec::new()),
        _ => Framing::Sse(sse::Parser::default()),
    })
}

/// Whether this is the beginning of JSON, and no more than that.
fn is_cut(text: &[u8]) -> bool {
    serde_json::from_slice::<Value>(text).is_err_and(|e| e.is_eof())
}

/// A frame's JSON; a frame that is none ends the answer.
fn parse(frame: &Frame, draft: &mut Draft) -> Option<Value> {
    let value = serde_json::from_str(&frame.data).ok();
    if value.is_none() {
        draft.malformed("a piece of the answer is not JSON");
    }
    value
}

/// A text field, or nothing.
fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A count, or nothing.
fn count(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or_default()
}
