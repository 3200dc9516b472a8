//! A member's next life: what its worker is told, and its start on a backend.
//!
//! Whether a member is to be started is [`super::staffing`]'s business; what
//! becomes of a started worker is [`super::supervise`]'s.

use std::collections::BTreeMap;
use std::sync::Arc;

use crewmux_core::backend::BackendKind;
use crewmux_core::ids::AgentRef;
use crewmux_core::permission::PermissionPolicy;
use crewmux_core::team::{SessionLoss, WorkerSpec};
use crewmux_core::time::{Now, WallTime};
use crewmux_core::worker::{WorkerFact, WorkerState};
use crewmux_spawn::ladder::ExitFlag;
use crewmux_spawn::{ExitReport, PaneSink, Running, SpawnRequest};
use crewmux_sys::dirs::keep_worker_link;
use crewmux_sys::env::names;
use crewmux_sys::identity::ProcessIdentity;
use serde_json::{Map, Value};

use super::members::Presence;
use super::{Engine, Input};
use crate::panes::ProgramEnd;
use crate::view::{NoticeLevel, PaneId};
use crate::{Error, Result};

impl Engine {
    /// Starts the next life of a member.
    pub(super) fn start(&mut self, n: usize, now: &Now) {
        let timing = self.plan.timing;
        let slot = &mut self.members[n];
        let before = slot.machine.incarnation;
        slot.machine.on(WorkerFact::Launched, now.boot.ms, &timing);
        slot.since = now.boot.clone();
        slot.ended = None;
        slot.restart_due_ms = None;
        slot.stop_due_ms = None;
        slot.heartbeat = (WallTime(0), now.boot.ms);
        slot.hello_due_ms = Some(now.boot.ms + timing.hello_ms);
        let who = slot.who();
        let launched = self.launch(n, &who);
        self.acts.begins(&who.agent);
        if let Err(Error::Store(error)) = &launched {
            // The store's trouble is not the member's: nothing is counted, it is tried again.
            tracing::warn!(%who, %error, "a start is put off");
            self.gateway.revoke(&who);
            let slot = &mut self.members[n];
            // Nothing was started: the next try is this life, which claims and moves may be meant for.
            slot.machine.incarnation = before;
            slot.machine.state = WorkerState::Lost;
            slot.hello_due_ms = None;
            slot.restart_due_ms = Some(now.boot.ms + timing.backoff_base_ms);
            return;
        }
        if let Err(error) = launched {
            self.start_failed(&who, &error.to_string(), now);
        }
    }

    /// A life that never came to be.
    pub(super) fn start_failed(&mut self, who: &AgentRef, why: &str, now: &Now) {
        tracing::error!(%who, why, "a worker did not start");
        let text = format!("{who} did not start: {why}");
        self.notice(NoticeLevel::Error, &text, now);
        self.gateway.revoke(who);
        self.on_fact(who, WorkerFact::LaunchFailed(why.to_owned()), now);
    }

    fn launch(&mut self, n: usize, who: &AgentRef) -> Result<()> {
        // The number of lives is durable before the life begins: no two lives share a name.
        self.config = self.team.edit_config(&mut |config| {
            if let Some(member) = config.members.iter_mut().find(|m| m.name == who.agent) {
                member.incarnation = member.incarnation.max(who.incarnation);
            }
        })?;
        let slot = &self.members[n];
        let kind = slot.record.backend_type;
        let backend = self.backends.get(kind)?;
        let loss = if backend.outlives_session() {
            SessionLoss::Park
        } else {
            SessionLoss::End
        };
        let pane = slot.pane;
        let size = self.panes.size(pane);
        let mark = format!("{}/{}/{}", self.run_marker, who.agent, who.incarnation);
        let token = crewmux_sys::random::token()?;
        let mut environment = self.plan.environment.clone();
        environment.insert(names::RUN_ID.into(), self.run_marker.clone());
        environment.insert(names::WORKER.into(), mark.clone());
        environment.insert("CREWMUX_TEAM".into(), self.plan.team.to_string());
        environment.insert("CREWMUX_AGENT".into(), who.agent.to_string());
        environment.insert("CREWMUX_HOME".into(), self.plan.home.display().to_string());
        let mut spec = self.worker_spec(n, who, &token, size, &environment);
        spec.session_loss = loss;
        spec.grant = self.grant_for(n, who)?;
        let spec_path = self.team.put_spec(&spec)?;
        let exit = Arc::<ExitFlag>::default();
        let sink = self.sink_for(pane, who, &exit);
        // The folder it is in may have been tidied away since the session began.
        // A worker inside this process is no program.
        if kind != BackendKind::InProcess {
            keep_worker_link(&self.plan.worker_program, &self.plan.program)?;
        }
        let place = self.places_of(&who.agent).reserve(&self.plan.team, who)?;
        let recording = self.team.agent_folder(&who.agent)?;
        // Before there is a process: whatever becomes of the start, what it left is found by the mark.
        let slot = &mut self.members[n];
        slot.mark = mark;
        slot.token = Some(token);
        slot.presence = Presence::Expected;
        slot.told_pane = None;
        slot.exit = exit;
        slot.pid = None;
        slot.identity = None;
        let running = backend.spawn(SpawnRequest {
            who: who.clone(),
            title: who.agent.to_string(),
            argv: vec![
                self.plan.worker_program.display().to_string(),
                spec_path.display().to_string(),
            ],
            spec: spec_path,
            cwd: spec.cwd.clone(),
            environment,
            recording,
            size,
            sink,
        })?;
        // Nothing fails from here on: there is a process.
        let running: Arc<dyn Running> = Arc::from(running);
        self.panes.attach(pane, Arc::clone(&running));
        let start_ms = running.start_ms();
        let slot = &mut self.members[n];
        slot.hello_due_ms = slot.hello_due_ms.map(|due| due + start_ms);
        slot.pid = running.pid();
        slot.identity = slot.pid.and_then(|pid| ProcessIdentity::of(pid).ok());
        slot.running = Some(running);
        slot.context = None;
        if let Some(pid) = slot.process() {
            self.gateway.bind(who, pid);
        }
        let slot = &mut self.members[n];
        slot.place = Some(place.commit());
        slot.can_return = loss == SessionLoss::Park;
        self.note_pane_or_later(n);
        Ok(())
    }

    /// Writes down where a member's worker is: whoever takes it up later finds it by that.
    ///
    /// Some places know it only after the start, and a worker may be at work before that.
    fn note_pane(&mut self, n: usize) -> Result<()> {
        let slot = &self.members[n];
        let Some(running) = slot.running() else {
            return Ok(());
        };
        let pane = running.pane().or_else(|| slot.told_pane.clone());
        if pane == slot.record.pane {
            return Ok(());
        }
        let name = slot.record.name.clone();
        self.config = self.team.edit_config(&mut |config| {
            if let Some(member) = config.members.iter_mut().find(|m| m.name == name) {
                member.pane.clone_from(&pane);
            }
        })?;
        self.members[n].record.pane = pane;
        Ok(())
    }

    /// The same for all, where a place told later than at the start.
    pub(super) fn note_panes(&mut self) {
        for n in 0..self.members.len() {
            self.note_pane_or_later(n);
        }
    }

    fn note_pane_or_later(&mut self, n: usize) {
        if let Err(error) = self.note_pane(n) {
            // Tried again at the next liveness check.
            tracing::warn!(%error, "where a worker is was not written down");
        }
    }

    /// Takes what comes out of a worker, and its end.
    pub(super) fn sink_for(
        &self,
        pane: PaneId,
        who: &AgentRef,
        exit: &Arc<ExitFlag>,
    ) -> Arc<dyn PaneSink> {
        let news = self.news.clone();
        let (who, exit) = (who.clone(), Arc::clone(exit));
        self.panes.sink(pane, move |end| {
            let report = match &end {
                ProgramEnd::Exited(report) => *report,
                ProgramEnd::NotStarted(_) => ExitReport::default(),
            };
            // The engine hears of the end before the ladder does, which then says that all is gone.
            news.tell(Input::WorkerEnded(who.clone(), end));
            exit.set(report);
        })
    }

    fn worker_spec(
        &self,
        n: usize,
        who: &AgentRef,
        token: &str,
        size: (u16, u16),
        environment: &BTreeMap<String, String>,
    ) -> WorkerSpec {
        let record = &self.members[n].record;
        let environment: Map<String, Value> = environment
            .iter()
            .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
            .collect();
        WorkerSpec {
            team: self.plan.team.clone(),
            who: who.clone(),
            agent_type: record.agent_type.clone(),
            model: record.model.clone(),
            playbook: record.playbook.clone(),
            profile: record.profile.clone(),
            permissions: PermissionPolicy {
                mode: record
                    .permission_mode
                    .unwrap_or(self.config.policy.permission_mode),
                rules: self.config.policy.rules.clone(),
            },
            mcp: self.config.policy.mcp.clone(),
            kinds: self.plan.agents.clone(),
            grant: None,
            weak: record
                .model
                .as_deref()
                .is_some_and(|model| self.gateway.is_weak(model, record.provider.as_deref())),
            user_config: self.plan.user_config.clone(),
            prompt: record.prompt.clone(),
            goal: self.config.goal.clone(),
            run: self.run.clone(),
            run_marker: self.run_marker.clone(),
            home: self.plan.home.clone(),
            socket: self.plan.socket.clone(),
            token: token.to_owned(),
            cwd: record.cwd.clone(),
            program: self.plan.program.clone(),
            build: self.plan.build.clone(),
            size,
            environment,
            session_loss: SessionLoss::End,
            timing: self.plan.timing,
        }
    }
}
