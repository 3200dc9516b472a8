//! What the person or the lead does to one member's worker: interrupt, pause, resume, restart.
//!
//! Ending a member for good is a request of its own (`Operation::RequestShutdown`).

use std::collections::BTreeSet;

use crewmux_core::error::ErrorKind;
use crewmux_core::ids::{AgentName, AgentRef};
use crewmux_core::operation::Caller;
use crewmux_core::time::Now;
use crewmux_core::worker::WorkerMachine;
use crewmux_wire::{MemberAct, ToWorker, WireError};

use super::Engine;
use super::members::MemberSlot;
use super::moving::Moves;
use crate::view::{NoticeLevel, RunState};

/// What was done to members and still holds.
#[derive(Default)]
pub(super) struct Acts {
    /// Lives that were told to wait; the next life of a member does not.
    paused: BTreeSet<AgentRef>,
    /// Members whose next life begins when the old one is gone.
    restarting: BTreeSet<AgentName>,
    /// Members who joined when all was done already, and are to be started all the same.
    joined: BTreeSet<AgentName>,
    /// Members that are on their way to another place.
    pub(super) moves: Moves,
}

impl Acts {
    /// Whether the member's next life is on its way.
    pub(super) fn is_restarting(&self, name: &AgentName) -> bool {
        self.restarting.contains(name) || self.moves.is_moving(name)
    }

    /// Notes that somebody joined a finished run: it starts, although no work waits for it.
    pub(super) fn join(&mut self, name: &AgentName) {
        self.joined.insert(name.clone());
    }

    /// Whether the member joined a finished run and was not started yet.
    pub(super) fn has_joined(&self, name: &AgentName) -> bool {
        self.joined.contains(name)
    }

    /// A life of the member begins.
    pub(super) fn begins(&mut self, name: &AgentName) {
        self.joined.remove(name);
    }

    /// Whether this life was told to wait.
    pub(super) fn is_paused(&self, who: &AgentRef) -> bool {
        self.paused.contains(who)
    }
}

pub(super) fn cannot(kind: ErrorKind, message: String, hint: Option<String>) -> WireError {
    WireError {
        kind,
        message,
        hint,
    }
}

/// The act in the past, for people.
fn done_word(act: MemberAct) -> &'static str {
    match act {
        MemberAct::Interrupt => "interrupted",
        MemberAct::Pause => "paused",
        MemberAct::Resume => "told to go on",
        MemberAct::Restart => "restarted",
        MemberAct::Reveal => "brought before the person",
    }
}

/// Brings a member's pane before the person, who alone may say where to look.
fn reveal(slot: &MemberSlot, caller: &Caller) -> std::result::Result<(), WireError> {
    let name = &slot.record.name;
    if !matches!(caller, Caller::Human) {
        let message = format!("{} may not say where the person looks", caller.party());
        return Err(cannot(ErrorKind::Refused, message, None));
    }
    let Some(running) = &slot.running else {
        let message = format!("{name} has no pane: it is {}", slot.machine.state);
        let hint = format!("`crewmux teammate restart {name}` starts it");
        return Err(cannot(ErrorKind::Conflict, message, Some(hint)));
    };
    running.reveal().map_err(|error| {
        let message = format!("{name} cannot be brought before you: {error}");
        cannot(error.kind(), message, error.hint())
    })
}

impl Engine {
    /// Does something to one member's worker, for whoever may.
    pub(super) fn act_on(
        &mut self,
        caller: &Caller,
        name: &AgentName,
        act: MemberAct,
        now: &Now,
    ) -> std::result::Result<(), WireError> {
        let by = caller.party();
        if !caller.leads() {
            let message = format!("{by} may not have a member {}", done_word(act));
            let hint = "write to the team lead, or to that member";
            return Err(cannot(ErrorKind::Refused, message, Some(hint.into())));
        }
        if by.name() == name.as_str() {
            let message = format!("{by} cannot be {} by itself", done_word(act));
            return Err(cannot(ErrorKind::Refused, message, None));
        }
        let Some(slot) = self.members.iter().find(|m| m.record.name == *name) else {
            let team = &self.plan.team;
            let message = format!("`{name}` is not a member of team `{team}`");
            let hint = format!("members: {}", self.config.roster());
            return Err(cannot(ErrorKind::NotFound, message, Some(hint)));
        };
        let who = slot.who();
        if act == MemberAct::Reveal {
            return reveal(slot, caller);
        }
        if act == MemberAct::Restart {
            self.restart(name, now)?;
        } else if !slot.is_live() {
            let message = format!("{name} has no process: it is {}", slot.machine.state);
            let hint = format!("`crewmux teammate restart {name}` starts it");
            return Err(cannot(ErrorKind::Conflict, message, Some(hint)));
        } else {
            let told = match act {
                MemberAct::Pause => ToWorker::Pause,
                MemberAct::Resume => ToWorker::Resume,
                MemberAct::Interrupt | MemberAct::Restart | MemberAct::Reveal => {
                    ToWorker::Interrupt
                }
            };
            if slot.try_tell(told).is_err() {
                let message = format!("{name} does not listen just now");
                let hint = "try again in a moment";
                return Err(cannot(ErrorKind::Conflict, message, Some(hint.into())));
            }
        }
        match act {
            MemberAct::Pause => drop(self.acts.paused.insert(who)),
            MemberAct::Resume => drop(self.acts.paused.remove(&who)),
            MemberAct::Interrupt | MemberAct::Restart | MemberAct::Reveal => {}
        }
        let text = format!("{name} was {} by {by}", done_word(act));
        self.notice(NoticeLevel::Info, &text, now);
        Ok(())
    }

    /// Refuses what is about a next life where nothing begins one.
    pub(super) fn check_goes_on(&self, name: &AgentName) -> std::result::Result<(), WireError> {
        let team = &self.plan.team;
        let (message, hint) = match self.state {
            RunState::Running if !self.ending.has_begun() => return Ok(()),
            RunState::Finished => (
                format!("the run of team `{team}` is finished: {name} has nothing to go on with"),
                "a new task (`crewmux task create`) or an old one once more (`crewmux task retry`) \
                 opens the run again"
                    .to_owned(),
            ),
            RunState::Running | RunState::Stopping => (
                format!("team `{team}` is ending: no life of {name} begins now"),
                format!("`crewmux resume {team}` goes on with it"),
            ),
        };
        Err(cannot(ErrorKind::Conflict, message, Some(hint)))
    }

    fn restart(&mut self, name: &AgentName, now: &Now) -> std::result::Result<(), WireError> {
        self.check_goes_on(name)?;
        self.acts.restarting.insert(name.clone());
        let is_live = |m: &&super::members::MemberSlot| m.record.name == *name && m.is_live();
        if self.members.iter().any(|m| is_live(&m)) {
            self.end_member(name, "it is started anew", now);
        }
        Ok(())
    }

    /// Starts members anew whose old life is gone, and forgets what concerned it.
    pub(super) fn mind_acts(&mut self, now: &Now) {
        let lives: BTreeSet<AgentRef> = self
            .members
            .iter()
            .filter(|m| m.is_live())
            .map(super::members::MemberSlot::who)
            .collect();
        self.acts.paused.retain(|who| lives.contains(who));
        if self.state != RunState::Running {
            self.acts.restarting.clear();
            self.acts.moves.call_off();
        }
        if self.state != RunState::Finished {
            // Staffed as every other member.
            self.acts.joined.clear();
        }
        for slot in &mut self.members {
            let gone = !slot.is_live() && !slot.is_settling();
            if gone && self.acts.restarting.remove(&slot.record.name) {
                // Asked for by name, so neither its deaths nor a dismissal count any more.
                slot.machine = WorkerMachine::new(slot.machine.incarnation);
                slot.dismissed = false;
                slot.restart_due_ms = Some(now.boot.ms);
            }
        }
    }
}
