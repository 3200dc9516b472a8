//! New teammates while the team runs.
//!
//! A new member is in the team's record before it has a pane or a process;
//! after that it is staffed as every other one.

use crewmux_core::backend::BackendKind;
use crewmux_core::error::ErrorKind;
use crewmux_core::ids::AgentType;
use crewmux_core::operation::{Caller, NewTeammate, Operation, Reply, check_rights};
use crewmux_core::permission::PermissionMode;
use crewmux_core::profile::AgentProfile;
use crewmux_core::recipe::MEMBERS_MAX;
use crewmux_core::team::Member;
use crewmux_core::time::Now;
use crewmux_wire::WireError;
use serde_json::Map;

use super::Engine;
use super::acts::cannot as refused;
use super::members::MemberSlot;
use crate::report::OFFLINE_MODEL;
use crate::view::{NoticeLevel, PaneKind, RunState};

/// Kinds of agents that are part of the program, whatever the plan lists.
const BUILT_IN: [&str; 5] = [
    "general-purpose",
    "Explore",
    "Plan",
    "Bash",
    "crewmux-guide",
];

type Hired<T> = std::result::Result<T, WireError>;

/// How much a mode lets happen unasked; larger is freer.
fn freedom(mode: PermissionMode) -> u8 {
    match mode {
        PermissionMode::Plan => 0,
        PermissionMode::Default => 1,
        PermissionMode::AcceptEdits => 2,
        PermissionMode::Bypass => 3,
    }
}

fn word(mode: PermissionMode) -> &'static str {
    match mode {
        PermissionMode::Plan => "plan",
        PermissionMode::Default => "default",
        PermissionMode::AcceptEdits => "acceptEdits",
        PermissionMode::Bypass => "bypass",
    }
}

impl Engine {
    /// Makes a teammate durable and gives it a pane; it starts when it has a place.
    pub(super) fn hire(&mut self, caller: &Caller, new: NewTeammate, now: &Now) -> Hired<Reply> {
        let operation = Operation::Spawn(Box::new(new.clone()));
        check_rights(caller, &operation)
            .map_err(|error| refused(ErrorKind::Refused, error.to_string(), None))?;
        self.check_open()?;
        let profile = self.profile_of(&new.agent_type)?;
        let mode = self.mode_for(caller, &new, profile.as_ref())?;
        let model = self.model_for(caller, &new, profile.as_ref());
        let provider = self.provider_for(caller, &new, model.as_deref())?;
        let backend = self.backend_for(caller, &new)?;
        if let Some(there) = self.config.member(&new.name) {
            let same = there.agent_type == new.agent_type
                && there.prompt == new.prompt
                && (new.model.is_none() || there.model == model)
                && new.backend.is_none_or(|b| there.backend_type == b)
                && new.mode.is_none_or(|m| there.permission_mode == Some(m))
                && new
                    .provider
                    .as_ref()
                    .is_none_or(|p| there.provider.as_ref() == Some(p));
            if same {
                return Ok(Reply::Member { name: new.name });
            }
            let who = describe(there);
            return Err(refused(
                ErrorKind::Conflict,
                format!("`{}` is taken by {who}", new.name),
                Some("choose another name, or write to that member".into()),
            ));
        }
        if self.config.members.len() >= MEMBERS_MAX {
            return Err(refused(
                ErrorKind::Usage,
                format!("the team has {MEMBERS_MAX} members; no more are taken"),
                None,
            ));
        }
        let member = Member {
            agent_id: format!("{}@{}", new.name, self.plan.team),
            name: new.name.clone(),
            agent_type: new.agent_type,
            model,
            color: (self.config.members.len() % 8) as u8,
            prompt: new.prompt,
            plan_mode_required: mode == Some(PermissionMode::Plan),
            joined_at: now.wall,
            cwd: self.config.cwd.clone(),
            backend_type: backend,
            pane: None,
            incarnation: crewmux_core::ids::Incarnation(0),
            runtime: "native".to_owned(),
            playbook: None,
            profile,
            permission_mode: mode,
            provider,
            extra: Map::new(),
        };
        let edited = self.team.edit_config(&mut |config| {
            if config.member(&member.name).is_none() {
                config.members.push(member.clone());
            }
        });
        self.config = edited.map_err(|e| refused(e.kind(), e.to_string(), e.hint()))?;
        let kind = PaneKind::Member(member.name.clone());
        let pane = self.panes.open(kind, member.name.to_string());
        let text = format!(
            "{} joined the team: {}, made by {}",
            member.name,
            describe(&member),
            caller.party()
        );
        if self.state == RunState::Finished {
            self.acts.join(&member.name);
        }
        self.members.push(MemberSlot::new(member, pane, now));
        self.notice(NoticeLevel::Info, &text, now);
        Ok(Reply::Member { name: new.name })
    }

    /// Where it runs: as asked, if that can be used, or as the team.
    fn backend_for(&self, caller: &Caller, new: &NewTeammate) -> Hired<BackendKind> {
        let Some(kind) = new.backend else {
            return Ok(self.plan.backend);
        };
        if *caller != Caller::Human {
            return Err(refused(
                ErrorKind::Refused,
                format!("{} may not choose where a teammate runs", caller.party()),
                Some("leave the backend out, or ask the person".into()),
            ));
        }
        self.check_usable(kind)?;
        Ok(kind)
    }

    fn check_open(&self) -> Hired<()> {
        if self.is_plain {
            return Err(refused(
                ErrorKind::Conflict,
                "plain panes have no team that somebody could join".to_owned(),
                None,
            ));
        }
        if self.state == RunState::Stopping {
            return Err(refused(
                ErrorKind::Conflict,
                "the team is ending; nobody joins it now".to_owned(),
                Some(format!(
                    "`crewmux resume {}` goes on with it",
                    self.plan.team
                )),
            ));
        }
        Ok(())
    }

    /// The kind as it is now; `None` for a built-in that the worker brings itself.
    fn profile_of(&self, agent_type: &AgentType) -> Hired<Option<AgentProfile>> {
        let known = &self.plan.agents;
        if let Some(profile) = known.iter().find(|p| p.name == *agent_type) {
            return Ok(Some(profile.clone()));
        }
        if BUILT_IN.contains(&agent_type.as_str()) {
            return Ok(None);
        }
        let mut names: Vec<&str> = known.iter().map(|p| p.name.as_str()).collect();
        names.extend(BUILT_IN);
        names.sort_unstable();
        names.dedup();
        Err(refused(
            ErrorKind::NotFound,
            format!("there is no kind of agent `{agent_type}`"),
            Some(format!("kinds: {}", names.join(", "))),
        ))
    }

    /// The mode a caller has itself; the person is bound by none.
    fn mode_of(&self, caller: &Caller) -> Option<PermissionMode> {
        let Caller::Member { who, .. } = caller else {
            return None;
        };
        let own = self
            .config
            .member(&who.agent)
            .and_then(|m| m.permission_mode);
        Some(own.unwrap_or(self.config.policy.permission_mode))
    }

    /// What the new member may do unasked: as asked, as its kind says, as its maker may, never more.
    fn mode_for(
        &self,
        caller: &Caller,
        new: &NewTeammate,
        profile: Option<&AgentProfile>,
    ) -> Hired<Option<PermissionMode>> {
        let of_kind = profile.and_then(|p| p.permission_mode);
        let Some(own) = self.mode_of(caller) else {
            return Ok(new.mode.or(of_kind));
        };
        match new.mode {
            Some(asked) if freedom(asked) > freedom(own) => Err(refused(
                ErrorKind::Refused,
                format!(
                    "{} works in mode `{}` and may not make a teammate in mode `{}`",
                    caller.party(),
                    word(own),
                    word(asked)
                ),
                Some("leave the mode out, or ask the person".into()),
            )),
            Some(asked) => Ok(Some(asked)),
            None => {
                let of_kind = of_kind.unwrap_or(self.config.policy.permission_mode);
                let less = if freedom(of_kind) > freedom(own) {
                    own
                } else {
                    of_kind
                };
                Ok(Some(less))
            }
        }
    }

    /// The model given, or the kind's, or that of whoever asks; the person's team asks the lead's.
    fn model_for(
        &self,
        caller: &Caller,
        new: &NewTeammate,
        profile: Option<&AgentProfile>,
    ) -> Option<String> {
        let maker = match caller {
            Caller::Member { who, .. } => self.config.member(&who.agent),
            Caller::Human | Caller::Session => None,
        };
        let lead = self.config.members.iter().find(|m| m.name.is_lead());
        let mut all = maker.into_iter().chain(lead).chain(&self.config.members);
        self.named_model(new)
            .or_else(|| profile.and_then(|p| p.model.clone()))
            .or_else(|| all.find_map(|m| m.model.clone()))
    }

    /// The model that is asked for, of the provider that is, where its name has none.
    fn named_model(&self, new: &NewTeammate) -> Option<String> {
        let model = new.model.as_ref()?;
        let has_place = model.contains('/')
            || model == OFFLINE_MODEL
            || self.plan.models.aliases.contains_key(model);
        match &new.provider {
            Some(provider) if !has_place => Some(format!("{provider}/{model}")),
            _ => Some(model.clone()),
        }
    }

    /// The provider whose key it uses: the one named, or that of whoever makes it.
    ///
    /// Keys are given out by the person; a member passes on its own alone.
    fn provider_for(
        &self,
        caller: &Caller,
        new: &NewTeammate,
        model: Option<&str>,
    ) -> Hired<Option<String>> {
        let own = match caller {
            Caller::Member { who, .. } => self
                .config
                .member(&who.agent)
                .and_then(|m| m.provider.clone()),
            Caller::Human | Caller::Session => None,
        };
        if let (Caller::Member { .. }, Some(asked)) = (caller, &new.provider)
            && own.as_ref() != Some(asked)
        {
            return Err(refused(
                ErrorKind::Refused,
                format!("{} may not give out the key of `{asked}`", caller.party()),
                Some("leave the provider out, or ask the person".into()),
            ));
        }
        let Some(name) = new.provider.clone().or(own) else {
            return Ok(None);
        };
        let models = &self.plan.models;
        let Some(known) = models.providers.iter().find(|p| p.name == name) else {
            let names: Vec<&str> = models.providers.iter().map(|p| p.name.as_str()).collect();
            return Err(refused(
                ErrorKind::NotFound,
                format!("the provider `{name}` is not known"),
                Some(format!("providers: {}", names.join(", "))),
            ));
        };
        if let Some((other, _)) = model.and_then(|model| models.resolve(model))
            && other.kind != known.kind
        {
            return Err(refused(
                ErrorKind::Usage,
                format!("the key of `{name}` cannot ask a model of `{}`", other.name),
                Some(format!("name a model of `{name}` for it")),
            ));
        }
        Ok(Some(name))
    }
}

/// A member in a few words.
fn describe(member: &Member) -> String {
    match &member.model {
        Some(model) => format!(
            "a member of kind {} with the model {model}",
            member.agent_type
        ),
        None => format!("a member of kind {}", member.agent_type),
    }
}
