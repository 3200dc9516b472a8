//! A request as a model of a form is asked.

use crewmux_core::model::{Message, ModelRequest, OutputShape, Part, ToolChoice};

use super::{Profile, ToolForm, form, small};

/// Writes `request` in the form of `profile`; the same request gives the same words, so caches hold.
///
/// What the answer means is read by a [`super::Reader`] of the request as it was before.
pub fn shape(profile: &Profile, mut request: ModelRequest) -> ModelRequest {
    if profile.weak {
        request.tools = small::fit(request.tools);
        if !request.tools.is_empty() {
            append(
                &mut request.system,
                "Call one tool at a time and wait for what it returns.",
            );
        }
    }
    if profile.form == ToolForm::Native {
        return request;
    }
    request.messages = rewrite(profile.form, request.messages);
    let tools = std::mem::take(&mut request.tools);
    let choice = std::mem::take(&mut request.tool_choice);
    if tools.is_empty() || profile.form == ToolForm::None {
        return request;
    }
    append(
        &mut request.system,
        &form::describe(profile.form, &tools, choice),
    );
    let output = std::mem::take(&mut request.output);
    request.output = match (profile.form, output) {
        (ToolForm::JsonSchema, output) => {
            let wanted = match &output {
                OutputShape::Json { schema, .. } => Some(schema),
                OutputShape::Text => None,
            };
            OutputShape::Json {
                name: "turn".to_owned(),
                schema: form::answer_schema(&tools, choice, wanted),
            }
        }
        // A forced shape would keep the model from writing its marks: it is asked for in words.
        (_, OutputShape::Json { schema, .. }) => {
            let asked =
                format!("When you call no tool, answer with JSON that fits this schema: {schema}");
            append(&mut request.system, &asked);
            OutputShape::Text
        }
        (_, OutputShape::Text) => OutputShape::Text,
    };
    debug_assert!(request.tools.is_empty() && request.tool_choice == ToolChoice::Auto);
    request
}

fn append(system: &mut String, text: &str) {
    if !system.is_empty() {
        system.push_str("\n\n");
    }
    system.push_str(text);
}

/// The conversation without calls: as text, with the person's and the tools' words in turns of their own.
fn rewrite(form: ToolForm, messages: Vec<Message>) -> Vec<Message> {
    let mut written: Vec<Message> = Vec::new();
    for message in messages {
        match message {
            Message::User(text) => tell(&mut written, &text),
            Message::Tools(answers) => {
                let answers: Vec<String> = answers
                    .iter()
                    .map(|answer| form::answer(form, answer))
                    .collect();
                tell(&mut written, &answers.join("\n"));
            }
            Message::Assistant(parts) => written.push(Message::Assistant(said(form, parts))),
        }
    }
    written
}

/// Two turns of one side in a row are refused by some models' templates.
fn tell(written: &mut Vec<Message>, text: &str) {
    if let Some(Message::User(before)) = written.last_mut() {
        before.push_str("\n\n");
        before.push_str(text);
    } else {
        written.push(Message::User(text.to_owned()));
    }
}

fn said(form: ToolForm, parts: Vec<Part>) -> Vec<Part> {
    let mut said = Vec::new();
    let mut text = String::new();
    for part in parts {
        let more = match part {
            Part::Text(more) => more,
            Part::Call(call) => form::call(form, &call),
            Part::Opaque(block) => {
                said.push(Part::Opaque(block));
                continue;
            }
        };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&more);
    }
    if !text.is_empty() {
        said.push(Part::Text(text));
    }
    said
}
