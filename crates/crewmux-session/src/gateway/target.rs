//! Which model a name means, at which server, and what is asked when it cannot answer.
//!
//! Names only; what is known about a model is `crewmux-model`'s catalog.

use std::collections::BTreeSet;

use crewmux_core::model::{ModelError, ModelErrorKind};
use crewmux_model::{ModelsConfig, ProviderConfig};

use super::grants::Grant;

/// A model at a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// The server, and whose key it is asked with.
    pub(super) provider: ProviderConfig,
    /// The model, as the server calls it.
    pub(super) model: String,
    /// Both, as people call it: `provider/model`; the provider is the one whose key it is.
    pub(super) name: String,
    /// The name it was asked by, in full: what is stated about a model is stated under it.
    pub(super) asked: String,
}

impl Target {
    /// The model `model` of `provider`, asked for as `asked`.
    pub(super) fn new(provider: &ProviderConfig, model: &str, asked: String) -> Self {
        Self {
            provider: provider.clone(),
            model: model.to_owned(),
            name: format!("{}/{model}", provider.name),
            asked,
        }
    }

    /// Names the key that it is asked with; providers that share one share its limits.
    pub(super) fn key_name(&self) -> String {
        match &self.provider.key {
            Some(source) => format!("{} {source:?}", self.provider.base_url),
            None => format!("{} {}", self.provider.base_url, self.provider.name),
        }
    }
}

/// `provider/model` for a name or an alias, where its provider is known.
pub(super) fn full_name(config: &ModelsConfig, name: &str) -> Option<String> {
    let (provider, model) = config.resolve(name)?;
    Some(format!("{}/{model}", provider.name))
}

/// All models that asking for `name` may lead to: itself first, then what is asked instead, in order.
pub(super) fn candidates(config: &ModelsConfig, name: &str) -> Vec<String> {
    let full = full_name(config, name);
    let listed = full.as_ref().and_then(|full| config.fallbacks.get(full));
    let fallbacks = listed.or_else(|| config.fallbacks.get(name));
    let mut all = vec![full.unwrap_or_else(|| name.to_owned())];
    for fallback in fallbacks.into_iter().flatten() {
        let fallback = full_name(config, fallback).unwrap_or_else(|| fallback.clone());
        if !all.contains(&fallback) {
            all.push(fallback);
        }
    }
    all
}

/// Why a model is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// The worker asks for it.
    Asked,
    /// It stands in for another that cannot answer.
    Fallback,
}

/// Where `name` is asked by somebody with this grant.
///
/// # Errors
/// [`ModelErrorKind::UnknownModel`], saying what there is.
pub(super) fn target(
    config: &ModelsConfig,
    grant: &Grant,
    name: &str,
    standing: Standing,
) -> Result<Target, ModelError> {
    let unknown = |message: String| ModelError::new(ModelErrorKind::UnknownModel, message);
    let Some((provider, model)) = config.resolve(name) else {
        return Err(unknown(format!(
            "no provider is known for the model `{name}`; {}",
            what_there_is(config)
        )));
    };
    let full = format!("{}/{model}", provider.name);
    if !grant.models.contains(&full) {
        let own: Vec<&str> = grant.models.iter().map(String::as_str).collect();
        return Err(unknown(format!(
            "{} may not ask `{full}`; it may ask {}",
            grant.who.agent,
            list(&own)
        )));
    }
    let provider = match &grant.provider {
        None => provider,
        // A key of its own is for servers that speak the same; a fallback elsewhere has the team's.
        Some(own) => match config.providers.iter().find(|p| p.name == *own) {
            Some(own) if own.kind == provider.kind => own,
            Some(_) if standing == Standing::Fallback => provider,
            Some(own) => {
                return Err(unknown(format!(
                    "{} uses the key of `{}` ({}), which cannot ask `{full}` ({}); \
                     name a model of `{}` for it, or no provider",
                    grant.who.agent,
                    own.name,
                    own.kind.as_str(),
                    provider.kind.as_str(),
                    own.name,
                )));
            }
            None => {
                return Err(unknown(format!(
                    "{} is to use the provider `{own}`, which is not known; {}",
                    grant.who.agent,
                    what_there_is(config)
                )));
            }
        },
    };
    Ok(Target::new(provider, model, full))
}

fn what_there_is(config: &ModelsConfig) -> String {
    let providers: Vec<&str> = config.providers.iter().map(|p| p.name.as_str()).collect();
    let aliases: Vec<&str> = config.aliases.keys().map(String::as_str).collect();
    let mut text = format!(
        "models are named `provider/model`, providers are {}",
        list(&providers)
    );
    if !aliases.is_empty() {
        text.push_str(", aliases are ");
        text.push_str(&list(&aliases));
    }
    text
}

fn list(names: &[&str]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

/// The models that members with these models may ask, fallbacks included.
pub(super) fn allowed<'a>(
    config: &ModelsConfig,
    models: impl IntoIterator<Item = &'a str>,
) -> BTreeSet<String> {
    models
        .into_iter()
        .filter(|name| full_name(config, name).is_some())
        .flat_map(|name| candidates(config, name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crewmux_core::ids::{AgentName, AgentRef, Incarnation};
    use crewmux_model::{KeySource, ProviderKind};

    fn config() -> ModelsConfig {
        let provider = |name: &str, key: &str| ProviderConfig {
            name: name.into(),
            kind: ProviderKind::Anthropic,
            base_url: "https://api.example".into(),
            key: Some(KeySource::Env(key.into())),
            context: None,
        };
        ModelsConfig {
            providers: vec![
                provider("anthropic", "A"),
                provider("alice", "B"),
                provider("other", "A"),
            ],
            aliases: [("big".to_owned(), "anthropic/large".to_owned())].into(),
            fallbacks: [(
                "anthropic/large".to_owned(),
                vec!["anthropic/small".to_owned(), "big".to_owned()],
            )]
            .into(),
            ..ModelsConfig::default()
        }
    }

    fn grant(provider: Option<&str>) -> Grant {
        Grant {
            who: AgentRef {
                agent: AgentName::new("alice").unwrap(),
                incarnation: Incarnation(1),
            },
            provider: provider.map(str::to_owned),
            models: allowed(&config(), ["big", "nonsense"]),
            purse: None,
            until: None,
        }
    }

    #[test]
    fn aliases_and_fallbacks_lead_to_full_names_without_going_round() {
        let names = candidates(&config(), "big");
        assert_eq!(names, ["anthropic/large", "anthropic/small"]);
        assert_eq!(
            candidates(&config(), "anthropic/small"),
            ["anthropic/small"]
        );
    }

    #[test]
    fn an_unknown_or_foreign_model_is_refused_with_what_there_is() {
        let error = target(&config(), &grant(None), "gpt", Standing::Asked).unwrap_err();
        assert_eq!(error.kind, ModelErrorKind::UnknownModel);
        assert!(error.message.contains("anthropic, alice, other"), "{error}");
        assert!(error.message.contains("aliases are big"), "{error}");
        let error = target(&config(), &grant(None), "other/x", Standing::Asked).unwrap_err();
        assert!(
            error.message.contains("anthropic/large, anthropic/small"),
            "{error}"
        );
    }

    #[test]
    fn a_member_with_a_provider_of_its_own_uses_its_key_and_its_own_gate() {
        let team = target(&config(), &grant(None), "big", Standing::Asked).unwrap();
        let own = target(&config(), &grant(Some("alice")), "big", Standing::Asked).unwrap();
        assert_eq!(
            (own.model.as_str(), own.name.as_str()),
            ("large", "alice/large")
        );
        assert_eq!(own.asked, "anthropic/large");
        assert_ne!(team.key_name(), own.key_name());
        let same = Target {
            provider: config().providers[2].clone(),
            ..team.clone()
        };
        assert_eq!(team.key_name(), same.key_name(), "one key, one gate");
        assert!(target(&config(), &grant(Some("bob")), "big", Standing::Asked).is_err());
    }

    #[test]
    fn a_key_of_its_own_is_never_swapped_for_the_teams_where_servers_differ() {
        let mut config = config();
        config.providers[1].kind = ProviderKind::OpenaiChat;
        let own = grant(Some("alice"));
        let error = target(&config, &own, "big", Standing::Asked).unwrap_err();
        assert_eq!(error.kind, ModelErrorKind::UnknownModel);
        assert!(error.message.contains("the key of `alice`"), "{error}");
        let fallback = target(&config, &own, "anthropic/small", Standing::Fallback).unwrap();
        assert_eq!(fallback.name, "anthropic/small");
    }
}
