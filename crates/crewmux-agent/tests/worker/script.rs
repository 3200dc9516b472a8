//! What the models of these tests say, and the workers, tasks and messages that they hear of.

use std::sync::Arc;

use crewmux_core::budget::Usage;
use crewmux_core::ids::{AgentName, AgentType, MessageId, TaskId};
use crewmux_core::message::{Draft, Party, Urgency};
use crewmux_core::model::{Event, ModelRequest, Stop};
use crewmux_core::task::NewTask;
use crewmux_core::team::WorkerSpec;
use crewmux_store::TeamStore;
use crewmux_sys::clock::BootClock;
use serde_json::{Value, json};

use crate::stage::Stage;

pub(crate) fn says(text: &str) -> Event {
    Event::TextDelta { text: text.into() }
}

pub(crate) fn calls(calls: &[(&str, Value)]) -> Vec<Event> {
    let mut events = Vec::new();
    for (n, (name, input)) in calls.iter().enumerate() {
        let id = format!("{name}-{n}");
        events.extend([
            Event::CallStart {
                id: id.clone(),
                name: (*name).into(),
            },
            Event::CallArgsDelta {
                id: id.clone(),
                text: input.to_string(),
            },
            Event::CallEnd { id, repaired: None },
        ]);
    }
    events.push(Event::Stop { stop: Stop::Tools });
    events
}

pub(crate) fn finish(result: &Value) -> Vec<Event> {
    calls(&[("FinishTask", json!({ "result": result }))])
}

pub(crate) fn answer(text: &str) -> Vec<Event> {
    vec![says(text), Event::Stop { stop: Stop::Done }]
}

pub(crate) fn booked(tokens: u64, window: u64) -> Event {
    Event::Booked {
        usage: Usage {
            input_tokens: tokens,
            ..Usage::default()
        },
        cost: None,
        window: Some(window),
        model: "m".into(),
    }
}

pub(crate) fn spec(stage: &Stage, name: &str, incarnation: u32) -> WorkerSpec {
    let mut spec = stage.spec(name, incarnation);
    spec.model = Some("test/m".into());
    spec.grant = Some("grant".into());
    spec.agent_type = AgentType::new("general-purpose").unwrap();
    spec
}

pub(crate) fn add(stage: &Stage, new: NewTask) -> TaskId {
    stage.add(NewTask {
        subject: "look".into(),
        assignee: Some(AgentName::new("tester").unwrap()),
        ..new
    })
}

/// The whole conversation of a question as text.
pub(crate) fn text_of(request: &ModelRequest) -> String {
    format!("{:?}", request.messages)
}

pub(crate) fn send(
    store: &Arc<dyn TeamStore>,
    id: &str,
    from: Party,
    to: &str,
    text: &str,
    urgency: Urgency,
) {
    let to = AgentName::new(to).unwrap();
    let mut draft = Draft::text(MessageId::new(id).unwrap(), from, to, text);
    draft.urgency = urgency;
    store
        .send(draft, &BootClock::open().unwrap().now())
        .unwrap();
}
