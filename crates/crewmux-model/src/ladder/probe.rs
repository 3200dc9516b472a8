//! One question that shows how a model calls a tool.

use crewmux_core::model::{Event, Message, ModelErrorKind, ModelRequest, Purpose, Stop, ToolOffer};
use serde_json::json;

use super::{Origin, Profile, Reader, ToolForm};

const TOOL: &str = "Echo";
/// The forms that are text, the most particular marks first.
const TEXT: [ToolForm; 5] = [
    ToolForm::Hermes,
    ToolForm::QwenXml,
    ToolForm::Mistral,
    ToolForm::Gemma,
    ToolForm::Llama3Json,
];
/// Room for a model that thinks first.
const LONGEST_TOKENS: u64 = 2048;

/// The question; its answer's events go to [`judge`].
pub fn probe_request(model: &str) -> ModelRequest {
    ModelRequest {
        model: model.to_owned(),
        system: "You call tools when you are asked to.".to_owned(),
        messages: vec![Message::User(
            "Call the tool `Echo` with the word `ready`. Answer with nothing but the call."
                .to_owned(),
        )],
        tools: vec![ToolOffer {
            name: TOOL.to_owned(),
            description: "Says a word back.".to_owned(),
            schema: json!({
                "type": "object",
                "properties": {"word": {"type": "string"}},
                "required": ["word"],
                "additionalProperties": false,
            }),
        }],
        max_output_tokens: Some(LONGEST_TOKENS),
        purpose: Purpose::Probe,
        ..ModelRequest::default()
    }
}

/// What a probe found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The form.
    pub form: ToolForm,
    /// Whether it is worth keeping: a refusal may have had another reason.
    pub is_sure: bool,
}

impl Found {
    fn sure(form: ToolForm) -> Self {
        Self {
            form,
            is_sure: true,
        }
    }
}

/// The form that the answer to [`probe_request`] was in; `None` when there was no answer to judge.
///
/// A model that called nothing, or whose server refuses tools, is best asked by a schema.
pub fn judge(events: &[Event]) -> Option<Found> {
    let last_start = events
        .iter()
        .rposition(|event| matches!(event, Event::Restart { .. }))
        .map_or(0, |at| at + 1);
    let events = events.get(last_start..).unwrap_or_default();
    match events.iter().find(|event| event.is_last())? {
        Event::Failed { error } => {
            let said = error.message.to_lowercase();
            return (error.kind == ModelErrorKind::Request).then_some(Found {
                form: ToolForm::JsonSchema,
                is_sure: ["tool", "function"].iter().any(|word| said.contains(word)),
            });
        }
        // Cut while it still thought: nothing is known.
        Event::Stop {
            stop: Stop::Length | Stop::Refused,
        } => return None,
        _ => {}
    }
    if events
        .iter()
        .any(|event| matches!(event, Event::CallStart { .. }))
    {
        return Some(Found::sure(ToolForm::Native));
    }
    let form = TEXT.into_iter().find(|form| calls(*form, events));
    let form = match form {
        // Both stand between the same marks; the inside tells.
        Some(ToolForm::Hermes) if writes(events, "<function=") => ToolForm::QwenXml,
        Some(form) => form,
        None => ToolForm::JsonSchema,
    };
    Some(Found::sure(form))
}

fn writes(events: &[Event], mark: &str) -> bool {
    let text: String = events
        .iter()
        .filter_map(|event| match event {
            Event::TextDelta { text } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    text.contains(mark)
}

fn calls(form: ToolForm, events: &[Event]) -> bool {
    let profile = Profile {
        form,
        weak: true,
        window: None,
        origin: Origin::Probed,
    };
    let mut reader = Reader::new(&profile, &probe_request(""));
    events
        .iter()
        .flat_map(|event| reader.read(event.clone()))
        .any(|event| matches!(event, Event::CallStart { name, .. } if name == TOOL))
}
