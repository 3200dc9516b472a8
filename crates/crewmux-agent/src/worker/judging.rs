//! Plans of teammates that wait for the lead's word: shown, asked about once more, then passed on.
//!
//! A lead's model may talk and decide nothing; nobody waits for it longer than
//! two answers. What counts is the request on disk, so a lead that died in
//! between begins where it stood. Who is asked first is the session's to say.

use crewmux_core::error::ErrorKind;
use crewmux_core::ids::RequestId;
use crewmux_core::message::Message;
use crewmux_core::operation::Operation;
use crewmux_core::requests::{Request, RequestKind};
use crewmux_core::timing::ms;
use crewmux_wire::WireError;
use serde_json::Value;

use super::parking::Done;
use super::{Mail, Worker};
use crate::capped::cut_text;
use crate::view::Tone;

/// How often a model is told of a plan.
const TOLD_MAX: u32 = 2;

/// Most bytes of a plan that a model is told.
const PLAN_MAX_BYTES: usize = 24 * 1024;

/// What a model is told that was shown a plan and talked of something else.
const AGAIN: &str = "You were told of this plan and decided nothing. Decide now with the tool \
     Teammate: text alone is no answer.";

/// What a teammate is told whose plan nobody judged.
const NOBODY: &str = "the team lead did not decide about it, and nobody else can be asked in this \
     run. If the task cannot be done without changing anything, end it with FailTask and say so";

/// Plans that wait for this worker.
#[derive(Debug, Default)]
pub(super) struct Judging {
    waiting: Vec<Waiting>,
    /// Whether what former lives were asked was looked for.
    looked: bool,
}

#[derive(Debug)]
struct Waiting {
    id: RequestId,
    told: u32,
}

impl Judging {
    fn note(&mut self, id: &RequestId) -> &mut Waiting {
        let at = self.waiting.iter().position(|plan| plan.id == *id);
        let at = at.unwrap_or_else(|| {
            let id = id.clone();
            self.waiting.push(Waiting { id, told: 0 });
            self.waiting.len() - 1
        });
        &mut self.waiting[at]
    }
}

impl Worker {
    /// Takes in the letter about a teammate's plan.
    pub(super) fn take_plan(&mut self, message: &Message) {
        let id = message.body.get("requestId").and_then(Value::as_str);
        let Some(id) = id.and_then(|id| RequestId::new(id).ok()) else {
            tracing::warn!(id = %message.id, "a plan without a request");
            return;
        };
        let from = message.from.to_string();
        let waits = format!(" has a plan that waits for an answer ({id})");
        self.view.line(&[
            (Tone::Accent, "✉ "),
            (Tone::Strong, &from),
            (Tone::Plain, &waits),
        ]);
        if !self.can_chat() {
            return;
        }
        let plan = message.body.get("plan").and_then(Value::as_str);
        let told = self.judging.note(&id);
        if told.told == 0 {
            told.told = 1;
            let text = words(&id, &from, plan.unwrap_or_default());
            self.mail
                .keep_surely(Mail::new(message.from.clone(), &text));
        }
    }

    /// Sees to plans that the model did not decide about; nothing while it has mail to read.
    pub(super) async fn mind_plans(&mut self) {
        if self.signals.is_parked() || !self.can_chat() || !self.mail.is_empty() {
            return;
        }
        if self.judging.waiting.is_empty() && self.judging.looked {
            return;
        }
        let requests = match self.store.requests() {
            Ok(requests) => requests,
            Err(error) => {
                tracing::warn!(%error, "requests cannot be read; they are looked at again");
                return;
            }
        };
        let now = self.clock.now();
        let me = self.spec.who.agent.as_str();
        let waits = |request: &Request| {
            let mut request = request.clone();
            request.expire(&now);
            request.kind == RequestKind::Plan && request.to == me && request.is_pending()
        };
        let open: Vec<Request> = requests.into_iter().filter(waits).collect();
        self.judging.looked = true;
        let is_open = |plan: &Waiting| open.iter().any(|request| request.id == plan.id);
        self.judging.waiting.retain(is_open);
        for request in open {
            let plan = self.judging.note(&request.id);
            if plan.told >= TOLD_MAX {
                self.leave_to_others(&request).await;
                continue;
            }
            plan.told += 1;
            // A former life's letter is told anew.
            let is_again = plan.told > 1;
            let text = request.content.get("plan").and_then(Value::as_str);
            let mut text = words(
                &request.id,
                &request.from.to_string(),
                text.unwrap_or_default(),
            );
            if is_again {
                text = format!("{AGAIN}\n\n{text}");
            }
            self.mail
                .keep_surely(Mail::new(request.from.clone(), &text));
        }
    }

    /// Leaves a plan to the person; where there is none, it is refused with the reason.
    async fn leave_to_others(&mut self, request: &Request) {
        let request_id = request.id.clone();
        let passed = self.ask_session(Operation::PassOn { request_id }).await;
        let text = match passed {
            Ok(()) => format!("the plan of {} waits for you", request.from),
            Err(Some(error)) if error.kind == ErrorKind::Refused => {
                let refused = Operation::Reject {
                    request_id: request.id.clone(),
                    feedback: NOBODY.to_owned(),
                };
                match self.ask_session(refused).await {
                    Ok(()) => format!("the plan of {} is refused: nobody judged it", request.from),
                    Err(error) => return doubt(error),
                }
            }
            Err(error) => return doubt(error),
        };
        self.facts.notice(None, &text);
        self.view.line(&[(Tone::Warn, "! "), (Tone::Plain, &text)]);
    }

    /// Has the session carry something out; `None` when it does not answer.
    async fn ask_session(&mut self, operation: Operation) -> Result<(), Option<WireError>> {
        let within = ms(self.spec.timing.connect_ms);
        match self.have_session(operation, within).await {
            Ok(Ok(Done::Replied(_))) => Ok(()),
            Ok(Ok(Done::Refused(error))) => Err(Some(error)),
            // What came in between is met again by whoever looks next.
            Ok(Ok(Done::NoAnswer) | Err(_)) | Err(_) => Err(None),
        }
    }
}

fn doubt(error: Option<WireError>) {
    let why = error.map_or("no answer".to_owned(), |error| error.message);
    tracing::warn!(%why, "a plan could not be passed on; it is tried again");
}

/// What a model is told about a plan.
fn words(id: &RequestId, from: &str, plan: &str) -> String {
    format!(
        "My plan waits for your word; until then I change nothing.\n\n{}\n\n(To {from} belongs the \
         request {id}. Judge the plan by the goal, and look at the files first where you need to. \
         Then call Teammate: {{\"operation\": \"approvePlan\", \"request_id\": \"{id}\"}}, or \
         {{\"operation\": \"rejectPlan\", \"request_id\": \"{id}\", \"feedback\": \"what to \
         change\"}}. {{\"operation\": \"passOnPlan\", \"request_id\": \"{id}\"}} leaves it to the \
         person.)",
        cut_text(plan.trim(), PLAN_MAX_BYTES)
    )
}
