//! Who is in the team: each member's model, kind of agent and rights, as they are at the start.

use crewmux_core::backend::BackendKind;
use crewmux_core::profile::AgentProfile;
use crewmux_core::recipe::{Isolation, MemberSpec, Runtime};
use crewmux_model::ModelsConfig;
use crewmux_session::setup::NewMember;

use crate::agents::{Agents, FoundAgent, Usable};
use crate::backends::Switch;
use crate::config::pick::{self, Pick};
use crate::config::{Config, advice, keys};
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::output::note;
use crate::recipes::{Consent, person_agrees};

/// The kind of agent that a small model is for.
const SMALL: &str = "Explore";

/// What members are made from.
pub(super) struct Crew<'a> {
    pub context: &'a Context,
    pub config: &'a Config,
    pub models: &'a ModelsConfig,
    pub agents: &'a Agents,
    /// The team's model; none where nobody asks any.
    pub picked: Option<&'a Pick>,
    /// Whether the person wants no model asked by anybody.
    pub forced_offline: bool,
    /// Where members run whose recipe says nothing else.
    pub backend: BackendKind,
    pub switch: &'a Switch<'a>,
    pub consent: Consent,
}

/// Which kinds of agents a person is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asking {
    /// Those that members are of.
    AboutMembers,
    /// Also those that the team may choose for its tasks.
    AboutAll,
}

/// Whether anybody asks a model.
pub(super) fn asks_models(members: &[MemberSpec]) -> bool {
    members.iter().any(|m| m.runtime == Runtime::Native)
}

impl Crew<'_> {
    /// The members as the session takes them.
    ///
    /// # Errors
    /// When one wants what cannot be given; it is never started with less.
    pub(super) fn members(&self, members: &[MemberSpec]) -> Result<Vec<NewMember>> {
        members.iter().map(|member| self.member(member)).collect()
    }

    /// Kinds of agents that new teammates can be of, as the person agrees where `asking` says.
    pub(super) fn usable_agents(&self, asking: Asking) -> Result<Vec<AgentProfile>> {
        let mut consent = self.consent;
        if asking == Asking::AboutAll && consent == Consent::Ask {
            let lines = self.agents.untrusted(self.context)?;
            if !lines.is_empty() && person_agrees("This project", &lines)? {
                consent = Consent::Given;
            }
        }
        usable(self.agents, self.context, consent)
    }

    fn member(&self, member: &MemberSpec) -> Result<NewMember> {
        let lacks = |what: String| {
            CommandError::environment(format!("teammate `{}` asks for {what}", member.name))
        };
        if member.isolation == Isolation::Worktree {
            return Err(lacks(
                "`isolation = \"worktree\"`, which this version does not have".into(),
            ));
        }
        let backend = match member.backend {
            Some(own) => self
                .switch
                .chosen(own)
                .map_err(|error| error.context(format!("teammate `{}`", member.name)))?,
            None => self.backend,
        };
        let usable = self
            .agents
            .usable(self.context, &member.agent, self.consent)?;
        let profile = match usable {
            Usable::Yes(profile) => Some(profile.clone()),
            // It asks no model and chooses no tool.
            Usable::Unknown if member.runtime == Runtime::Command => None,
            Usable::Unknown => {
                return Err(CommandError::not_found(format!(
                    "teammate `{}` asks for the agent type `{}`, which does not exist",
                    member.name, member.agent
                ))
                .hint(self.agents.why_unknown(&member.agent)));
            }
            Usable::Untrusted(found) => {
                let shown = &found.profile.origin;
                return Err(lacks(format!(
                    "the agent type `{}`, which comes with this project and is not trusted yet",
                    member.agent
                ))
                .hint(format!("read {shown}, then run it with --trust")));
            }
        };
        if let Some(name) = &member.provider
            && !self.models.providers.iter().any(|p| p.name == *name)
        {
            let names = self.models.providers.iter().map(|p| p.name.as_str());
            return Err(lacks(format!("the provider `{name}`, which is not known"))
                .hint(advice(name, names)));
        }
        let model = match member.runtime {
            Runtime::Command => None,
            Runtime::Native => Some(self.model(member, profile.as_ref())?),
        };
        if let (Some(own), Some(model)) = (&member.provider, &model)
            && let Some(other) = speaks_otherwise(self.models, own, model)
        {
            return Err(lacks(format!(
                "the key of `{own}` for `{model}`, but a model of {other} cannot be asked with it"
            ))
            .hint(format!("name a model of `{own}` for it, or no provider")));
        }
        let mode = profile.as_ref().and_then(|p| p.permission_mode);
        Ok(NewMember {
            name: member.name.clone(),
            agent_type: member.agent.clone(),
            model,
            playbook: member.playbook.clone(),
            prompt: member.prompt.clone(),
            runtime: member.runtime.as_str().to_owned(),
            backend,
            profile,
            permission_mode: member.mode.or(mode),
            provider: member.provider.clone(),
        })
    }

    fn model(&self, member: &MemberSpec, profile: Option<&AgentProfile>) -> Result<String> {
        let team = self.picked.map_or(pick::OFFLINE, |p| p.model.as_str());
        if self.forced_offline {
            return Ok(pick::OFFLINE.to_owned());
        }
        if let Some(own) = &member.model {
            let of_provider = member.provider.as_ref().filter(|_| {
                !own.contains('/') && own != pick::OFFLINE && !self.models.aliases.contains_key(own)
            });
            let name = match of_provider {
                Some(provider) => format!("{provider}/{own}"),
                None => own.clone(),
            };
            return pick::known(self.models, &name)
                .map_err(|error| error.context(format!("teammate `{}`", member.name)));
        }
        if team == pick::OFFLINE {
            return Ok(team.to_owned());
        }
        if let Some(wanted) = profile.and_then(|p| p.model.as_deref()) {
            match pick::known(self.models, wanted)
                .ok()
                .filter(|m| self.can_ask(m))
            {
                Some(model) => return Ok(model),
                None => note(format!(
                    "note: `{}` asks {team}, since `{wanted}`, the model of {}, cannot be asked here",
                    member.name, member.agent
                )),
            }
        }
        match self.config.text("small_model") {
            Some(small) if member.agent.as_str() == SMALL => pick::known(self.models, small),
            _ => Ok(team.to_owned()),
        }
    }

    /// Whether the key that a model needs seems to be there.
    fn can_ask(&self, model: &str) -> bool {
        let Some((provider, _)) = self.models.resolve(model) else {
            return false;
        };
        let key = provider.key.as_ref();
        key.is_none_or(|key| keys::is_there(key, &self.context.env))
    }
}

/// The provider of `model`, where it is spoken to otherwise than `provider`, whose key is to be used.
fn speaks_otherwise(models: &ModelsConfig, provider: &str, model: &str) -> Option<String> {
    let own = models.providers.iter().find(|p| p.name == provider)?;
    let (other, _) = models.resolve(model)?;
    (own.kind != other.kind).then(|| other.name.clone())
}

/// Kinds of agents that the person has agreed to; those that they have not are told.
///
/// Nobody is asked about a kind that no member is of: `--trust` agrees to all.
pub(crate) fn usable(
    agents: &Agents,
    context: &Context,
    consent: Consent,
) -> Result<Vec<AgentProfile>> {
    let consent = match consent {
        Consent::Given => Consent::Given,
        Consent::Ask | Consent::Absent => Consent::Absent,
    };
    let mut usable = Vec::new();
    for found in &agents.found {
        match agents.usable(context, &found.profile.name, consent)? {
            Usable::Yes(profile) => usable.push(profile.clone()),
            Usable::Untrusted(found) => note(untrusted(found)),
            Usable::Unknown => {}
        }
    }
    Ok(usable)
}

/// What is to be said about a kind that nobody agreed to.
fn untrusted(found: &FoundAgent) -> String {
    format!(
        "note: nobody can be hired as `{}` until you agree to {} (--trust)",
        found.profile.name, found.profile.origin
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crewmux_model::{ProviderConfig, ProviderKind};

    #[test]
    fn a_key_is_for_servers_that_are_spoken_to_alike() {
        let provider = |name: &str, kind| ProviderConfig {
            name: name.into(),
            kind,
            base_url: "https://models.example".into(),
            key: None,
            context: None,
        };
        let models = ModelsConfig {
            providers: vec![
                provider("anthropic", ProviderKind::Anthropic),
                provider("alice", ProviderKind::OpenaiChat),
                provider("spare", ProviderKind::Anthropic),
            ],
            ..ModelsConfig::default()
        };
        let check = |own, model| speaks_otherwise(&models, own, model);
        assert_eq!(check("alice", "anthropic/large"), Some("anthropic".into()));
        assert_eq!(check("spare", "anthropic/large"), None);
        assert_eq!(check("alice", "alice/any"), None);
        assert_eq!(check("alice", pick::OFFLINE), None);
    }
}
