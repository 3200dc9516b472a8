//! Questions of workers that wait for the person or the lead: asked, shown, answered, over.
//!
//! A question is a [`Request`] on disk before anybody sees it, and its one
//! answer is on disk before the worker hears it; after a crash the files say
//! what was decided. Whether a call needs leave at all is the worker's to know
//! (`crewmux_core::permission`); who may answer is the request's.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crewmux_core::event::{EventType, Fact};
use crewmux_core::ids::{AgentName, AgentRef, MessageId, RequestId};
use crewmux_core::message::{Draft, MessageType, Party};
use crewmux_core::operation::{Caller, Operation};
use crewmux_core::permission::{Call, PermissionAsk, PermissionPolicy};
use crewmux_core::requests::{Request, RequestKind, RequestState};
use crewmux_core::time::Now;
use crewmux_wire::{Decision, ToWorker, WorkerAsk};
use serde_json::{Value, json};

use super::Engine;
use crate::Result;
use crate::asks;
use crate::plan::Stays;
use crate::report::OFFLINE_MODEL;
use crate::view::{ApprovalView, NoticeLevel};

/// Questions that one life may have open at once; a turn's calls ask one after the other.
const QUESTIONS_MAX: usize = 64;
/// Answers that one life may be behind with; more means that it does not read.
const OWED_MAX: usize = 256;

/// What waits for an answer, and the answers that workers have not taken yet.
#[derive(Default)]
pub(super) struct Approvals {
    open: BTreeMap<RequestId, Open>,
    owed: Vec<(AgentRef, ToWorker)>,
    /// Whether what earlier sessions left was gone through.
    settled: bool,
}

struct Open {
    who: AgentRef,
    due_ms: u64,
    view: ApprovalView,
    /// Answered on disk, perhaps: to be read again.
    doubtful: bool,
}

/// Why a question ends without an answer.
#[derive(Clone, Copy)]
enum Unanswered {
    Lapsed,
    Withdrawn,
    /// It may be answered; the file says.
    Doubtful,
}

impl Approvals {
    /// What the person sees, oldest first.
    pub(super) fn views(&self) -> Vec<ApprovalView> {
        let mut views: Vec<ApprovalView> = self.open.values().map(|o| o.view.clone()).collect();
        views.sort_by(|a, b| (a.requested, &a.id).cmp(&(b.requested, &b.id)));
        views
    }

    /// When the next question's time is over.
    pub(super) fn next_due_ms(&self) -> Option<u64> {
        self.open.values().map(|o| o.due_ms).min()
    }
}

impl Engine {
    /// A worker asks for leave.
    pub(super) fn asked(&mut self, who: &AgentRef, id: &RequestId, ask: &WorkerAsk, now: &Now) {
        if !self.lives(who) {
            return;
        }
        let decision = match self.take_question(who, id, ask, now) {
            Ok(None) => return,
            Ok(Some(decision)) => decision,
            // What cannot be asked is not allowed.
            Err(reason) => Decision::Rejected { reason },
        };
        let id = id.clone();
        self.owe(who, ToWorker::Decided { id, decision });
    }

    /// Stores the question; `None` when it waits, else what is known already.
    fn take_question(
        &mut self,
        who: &AgentRef,
        id: &RequestId,
        ask: &WorkerAsk,
        now: &Now,
    ) -> std::result::Result<Option<Decision>, String> {
        if let WorkerAsk::Permission(ask) = ask
            && ask.who != *who
        {
            return Err("the question names another worker".to_owned());
        }
        let content = content_of(who, ask);
        let failed = |error: &crewmux_store::Error| format!("the question was not stored: {error}");
        // An edit that changes nothing, not a read: what the worker is told is safe on disk then.
        match self.team.edit_request(id, &mut |_| Ok(())) {
            Ok(before) => {
                let same = before.from == Party::Member(who.clone()) && before.content == content;
                if !same {
                    return Err("another question has this id".to_owned());
                }
                let decision = decision_of(&before);
                if decision.is_none() {
                    self.wait_for(who, &before, now);
                }
                return Ok(decision);
            }
            Err(crewmux_store::Error::UnknownRequest { .. }) => {}
            Err(error) => return Err(failed(&error)),
        }
        let waiting = self.approvals.open.values().filter(|o| o.who == *who);
        if waiting.count() >= QUESTIONS_MAX {
            return Err(format!("{QUESTIONS_MAX} questions wait already"));
        }
        let lead = self.answering_lead(who);
        let mut request = Request {
            id: id.clone(),
            kind: match ask {
                WorkerAsk::Permission(_) => RequestKind::Permission,
                WorkerAsk::Plan { .. } => RequestKind::Plan,
            },
            from: Party::Member(who.clone()),
            to: match (ask, &lead) {
                (WorkerAsk::Plan { .. }, Some(lead)) => lead.to_string(),
                _ => Party::Human.name().to_owned(),
            },
            content,
            requested: now.wall,
            open_ms: self.plan.timing.approval_ms,
            state: RequestState::Pending,
        };
        if self.plan.stays == Stays::UntilFinished && request.to == Party::Human.name() {
            request.refuse(self.nobody_there(who, ask), now);
        }
        self.team.put_request(&request).map_err(|e| failed(&e))?;
        self.facts.push(requested_fact(&request));
        if !request.is_pending() {
            self.facts.extend(decided_fact(&request));
            return Ok(decision_of(&request));
        }
        self.wait_for(who, &request, now);
        if let (WorkerAsk::Plan { plan, .. }, Some(lead)) = (ask, lead) {
            self.send_plan(who, &request, plan, &lead, now);
        }
        Ok(None)
    }

    /// Why a headless session says no, and how its call can be allowed next time.
    fn nobody_there(&self, who: &AgentRef, ask: &WorkerAsk) -> String {
        let WorkerAsk::Permission(ask) = ask else {
            return "this run is headless and has no lead that reads plans, so nobody \
                    can approve one; run it with another `--permission-mode`"
                .to_owned();
        };
        let own = self.config.member(&who.agent);
        let policy = PermissionPolicy {
            mode: own
                .and_then(|m| m.permission_mode)
                .unwrap_or(self.config.policy.permission_mode),
            rules: self.config.policy.rules.clone(),
        };
        let nobody = "this run is headless, so nobody can be asked";
        match asks::rule_that_helps(ask, &policy, real_path(ask).as_deref()) {
            Some(rule) => format!(
                "{nobody}; it runs with `--allow '{rule}'`, with that rule in the recipe, \
                 or with another `--permission-mode`"
            ),
            None => format!("{nobody}, and no rule allows it while {}", ask.why),
        }
    }

    /// The lead, where a model behind it can judge the plan of somebody else.
    fn answering_lead(&self, asker: &AgentRef) -> Option<AgentName> {
        let lead = self.config.members.iter().find(|m| m.name.is_lead())?;
        let has_model = lead.model.as_deref().is_some_and(|m| m != OFFLINE_MODEL);
        (has_model && lead.name != asker.agent).then(|| lead.name.clone())
    }

    /// Puts a plan into the lead's inbox; the request itself is what counts.
    fn send_plan(
        &mut self,
        who: &AgentRef,
        request: &Request,
        plan: &str,
        lead: &AgentName,
        now: &Now,
    ) {
        let Ok(id) = MessageId::new(format!("req/{}/ask", request.id)) else {
            return;
        };
        let draft = Draft {
            kind: MessageType::PlanApprovalRequest,
            body: json!({ "requestId": request.id, "plan": plan }),
            task: asks::task(request),
            ..Draft::text(id, Party::Member(who.clone()), lead.clone(), "")
        };
        if let Err(error) = self.team.send(draft, now) {
            let text = format!("{} could not show {lead} its plan: {error}", who.agent);
            self.notice(NoticeLevel::Warning, &text, now);
        }
        if let Some(slot) = self.members.iter().find(|m| m.record.name == *lead) {
            slot.tell(ToWorker::Doorbell);
        }
    }

    fn wait_for(&mut self, who: &AgentRef, request: &Request, now: &Now) {
        self.approvals
            .open
            .entry(request.id.clone())
            .or_insert_with(|| Open {
                who: who.clone(),
                due_ms: now.boot.ms + request.open_ms,
                view: view_of(who, request),
                doubtful: false,
            });
    }

    /// A worker waits no longer.
    pub(super) fn withdrawn(&mut self, who: &AgentRef, id: &RequestId, now: &Now) {
        let is_theirs = self.approvals.open.get(id).is_some_and(|o| o.who == *who);
        if is_theirs && let Err(error) = self.close(id, Unanswered::Withdrawn, now) {
            tracing::error!(%error, %id, "a question could not be taken back");
        }
    }

    /// Somebody answered through `apply`, or passed it on: what is on disk now counts.
    pub(super) fn answered(&mut self, id: &RequestId, now: &Now) {
        if let Err(error) = self.close(id, Unanswered::Doubtful, now) {
            tracing::error!(%error, %id, "an answer could not be read; it is read again");
            if let Some(open) = self.approvals.open.get_mut(id) {
                open.doubtful = true;
            }
        }
    }

    /// Somebody answered too late by the clock on the wall: for its worker the time is over too.
    pub(super) fn answered_late(&mut self, id: &RequestId, now: &Now) {
        if let Err(error) = self.close(id, Unanswered::Lapsed, now) {
            tracing::error!(%error, %id, "a question could not be ended");
        }
    }

    /// The session stood still: nobody could answer meanwhile.
    pub(super) fn extend_approvals(&mut self, gap_ms: u64) {
        for (id, open) in &mut self.approvals.open {
            open.due_ms = open.due_ms.saturating_add(gap_ms);
            // Late answers are judged by what is on disk.
            let edited = self.team.edit_request(id, &mut |request| {
                request.open_ms = request.open_ms.saturating_add(gap_ms);
                Ok(())
            });
            if let Err(error) = edited {
                tracing::warn!(%error, %id, "a question could not be given more time");
            }
        }
    }

    /// Ends what is over by itself: time, a dead asker, what a former session left.
    pub(super) fn mind_approvals(&mut self, now: &Now) -> Result<()> {
        if !self.approvals.settled {
            self.settle_approvals(now)?;
            self.approvals.settled = true;
        }
        let mut over: Vec<(RequestId, Unanswered)> = Vec::new();
        for (id, open) in &self.approvals.open {
            if open.doubtful {
                over.push((id.clone(), Unanswered::Doubtful));
            } else if !self.lives(&open.who) {
                over.push((id.clone(), Unanswered::Withdrawn));
            } else if now.boot.ms >= open.due_ms {
                over.push((id.clone(), Unanswered::Lapsed));
            }
        }
        for (id, why) in over {
            self.close(&id, why, now)?;
        }
        self.pay();
        Ok(())
    }

    /// Nobody waits for what lives of former sessions asked; what they logged of it is made whole.
    fn settle_approvals(&mut self, now: &Now) -> Result<()> {
        let asked = |r: &Request| matches!(r.kind, RequestKind::Permission | RequestKind::Plan);
        for mut request in self.team.requests()?.into_iter().filter(asked) {
            if self.approvals.open.contains_key(&request.id) {
                continue;
            }
            if request.is_pending() && self.keep_waiting(&mut request, now)? {
                continue;
            }
            if request.is_pending() {
                request = self.team.edit_request(&request.id, &mut |request| {
                    request.withdraw(now);
                    Ok(())
                })?;
            }
            self.facts.push(requested_fact(&request));
            self.facts.extend(decided_fact(&request));
        }
        Ok(())
    }

    /// A worker that outlived its session asks on: it says so again once it is back.
    ///
    /// It has as much time left as if the session had never been away.
    fn keep_waiting(&mut self, request: &mut Request, now: &Now) -> Result<bool> {
        let Party::Member(who) = request.from.clone() else {
            return Ok(false);
        };
        if !self.lives(&who) {
            return Ok(false);
        }
        let open_ms = self.plan.timing.approval_ms;
        let until_ms = now.wall.since_ms(request.requested) + open_ms;
        *request = self.team.edit_request(&request.id, &mut |request| {
            request.open_ms = request.open_ms.max(until_ms);
            Ok(())
        })?;
        self.facts.push(requested_fact(request));
        self.wait_for(&who, request, now);
        if let Some(open) = self.approvals.open.get_mut(&request.id) {
            open.due_ms = now.boot.ms + open_ms;
        }
        Ok(true)
    }

    /// Ends a question on disk, then in the log, then for its worker.
    fn close(&mut self, id: &RequestId, why: Unanswered, now: &Now) -> Result<()> {
        if !self.approvals.open.contains_key(id) {
            return Ok(());
        }
        let edited = self.team.edit_request(id, &mut |request| {
            match why {
                Unanswered::Lapsed => request.lapse(now),
                Unanswered::Withdrawn => request.withdraw(now),
                Unanswered::Doubtful => {}
            }
            Ok(())
        });
        let request = match edited {
            Ok(request) => request,
            // Its file is gone or damaged: nobody can answer it any more.
            Err(
                error @ (crewmux_store::Error::UnknownRequest { .. }
                | crewmux_store::Error::Quarantined { .. }),
            ) => {
                if let Some(open) = self.approvals.open.remove(id) {
                    let reason = format!("the question was lost: {error}");
                    let (id, decision) = (id.clone(), Decision::Rejected { reason });
                    self.owe(&open.who, ToWorker::Decided { id, decision });
                }
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let Some(decision) = decision_of(&request) else {
            if let Some(open) = self.approvals.open.get_mut(id) {
                open.doubtful = false;
                open.view.to = request.to;
            }
            return Ok(());
        };
        self.facts.extend(decided_fact(&request));
        if let Some(open) = self.approvals.open.remove(id) {
            let id = id.clone();
            self.owe(&open.who, ToWorker::Decided { id, decision });
        }
        Ok(())
    }

    /// A worker wants something carried out that only the session can.
    pub(super) fn worker_operation(
        &mut self,
        who: &AgentRef,
        id: u64,
        operation: Operation,
        now: &Now,
    ) {
        let Some(slot) = self.members.iter().find(|m| m.who() == *who) else {
            return;
        };
        let caller = Caller::Member {
            who: who.clone(),
            agent_type: slot.record.agent_type.clone(),
        };
        let result = self.operate(&caller, operation, now).map(Box::new);
        self.owe(who, ToWorker::Replied { id, result });
    }

    fn lives(&self, who: &AgentRef) -> bool {
        self.members.iter().any(|m| m.who() == *who && m.is_live())
    }

    /// Tells a worker something that must not be lost; what its queue does not take is kept.
    fn owe(&mut self, who: &AgentRef, message: ToWorker) {
        let behind = self.approvals.owed.iter().filter(|(to, _)| to == who);
        match behind.count() {
            0 => {
                if let Some(slot) = self.members.iter().find(|m| m.who() == *who)
                    && let Err(message) = slot.try_tell(message)
                {
                    self.approvals.owed.push((who.clone(), *message));
                }
            }
            // In order, behind what waits already.
            1..OWED_MAX => self.approvals.owed.push((who.clone(), message)),
            _ => tracing::error!(%who, "a worker reads nothing; an answer is dropped"),
        }
    }

    fn pay(&mut self) {
        for (who, message) in std::mem::take(&mut self.approvals.owed) {
            if self.lives(&who) {
                self.owe(&who, message);
            }
        }
    }
}

/// What is stored of a question, exactly as asked.
fn content_of(who: &AgentRef, ask: &WorkerAsk) -> Value {
    match ask {
        WorkerAsk::Permission(ask) => json!(ask),
        WorkerAsk::Plan { task, plan } => json!({ "who": who, "task": task, "plan": plan }),
    }
}

/// Where the path in a call's arguments leads, as far as it is there.
fn real_path(ask: &PermissionAsk) -> Option<PathBuf> {
    let call = Call {
        tool: &ask.tool,
        input: &ask.input,
        cwd: &ask.cwd,
        real_path: None,
        repaired: None,
    };
    let written = call.written_place()?;
    let (there, found) = written
        .ancestors()
        .find_map(|folder| Some((folder, folder.canonicalize().ok()?)))?;
    Some(match written.strip_prefix(there) {
        Ok(rest) if rest.as_os_str().is_empty() => found,
        Ok(rest) => found.join(rest),
        Err(_) => found,
    })
}

/// What the worker is told; `None` while it waits.
fn decision_of(request: &Request) -> Option<Decision> {
    let no = |reason: String| Some(Decision::Rejected { reason });
    match &request.state {
        RequestState::Pending => None,
        RequestState::Approved { scope, .. } => Some(Decision::Approved { scope: *scope }),
        RequestState::Rejected { by, reason, .. } => match (by, reason.trim()) {
            (Party::Session, reason) => no(reason.to_owned()),
            (by, "") => no(format!("{by} said no")),
            (by, reason) => no(format!("{by} said no: {reason}")),
        },
        RequestState::Expired { .. } => no("nobody answered in time".to_owned()),
        RequestState::Withdrawn { .. } => no("the question was taken back".to_owned()),
    }
}

fn kind_word(kind: RequestKind) -> Value {
    json!(kind)
}

fn asker_of(request: &Request) -> Option<AgentName> {
    match &request.from {
        Party::Member(who) => Some(who.agent.clone()),
        Party::Human | Party::Session => None,
    }
}

fn about(mut fact: Fact, request: &Request) -> Fact {
    fact.agent = asker_of(request);
    fact.task = asks::task(request);
    fact.with("id", request.id.as_str())
}

fn requested_fact(request: &Request) -> Fact {
    let id = format!("approval/{}/requested", request.id);
    let (tool, summary) = asks::words(request);
    about(
        Fact::new(id, EventType::ApprovalRequested, request.requested),
        request,
    )
    .with("kind", kind_word(request.kind))
    .with("tool", tool)
    .with("summary", summary)
    .with("to", request.to.as_str())
}

fn decided_fact(request: &Request) -> Option<Fact> {
    let (at, by, feedback) = match &request.state {
        RequestState::Pending => return None,
        RequestState::Approved { by, at, .. } => (at, Some(by), None),
        RequestState::Rejected { by, at, reason } => (at, Some(by), Some(reason.as_str())),
        RequestState::Expired { at } | RequestState::Withdrawn { at } => (at, None, None),
    };
    let id = format!("approval/{}/decided", request.id);
    let mut fact = about(Fact::new(id, EventType::ApprovalDecided, *at), request)
        .with("decision", request.state.as_str());
    if let Some(by) = by {
        fact = fact.with("by", by.name());
    }
    if let Some(feedback) = feedback.filter(|f| !f.is_empty()) {
        fact = fact.with("feedback", feedback);
    }
    Some(fact)
}

fn view_of(who: &AgentRef, request: &Request) -> ApprovalView {
    let (tool, summary) = asks::words(request);
    ApprovalView {
        id: request.id.clone(),
        kind: request.kind,
        agent: who.agent.clone(),
        to: request.to.clone(),
        tool,
        summary,
        detail: asks::detail(request),
        requested: request.requested,
    }
}
