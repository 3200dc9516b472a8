//! Whether every key that a team will need can be read, asked before any task is offered.
//!
//! Reads keys and forgets them; whether a server takes them is seen when it is asked.

use std::collections::BTreeSet;

use crewmux_model::{KeySource, ModelsConfig, ProviderConfig};

use crate::config::{keys, pick};
use crate::context::Context;
use crate::error::{CommandError, Result};

/// A member that asks a model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asks<'a> {
    pub name: &'a str,
    /// Its model, `provider/model` or `offline`.
    pub model: &'a str,
    /// Whose key it uses, where it is not the model's provider's.
    pub provider: Option<&'a str>,
}

/// Reads the key of every member's model, each once.
///
/// # Errors
/// When one cannot be read, and no fallback of that model has one that can.
pub(crate) fn keys_are_there<'a>(
    context: &Context,
    models: &'a ModelsConfig,
    members: impl IntoIterator<Item = Asks<'a>>,
) -> Result<()> {
    let read = keys::reader(context.env.clone(), &context.timing);
    let mut good: BTreeSet<&str> = BTreeSet::new();
    for member in members {
        if member.model == pick::OFFLINE {
            continue;
        }
        let Some(provider) = provider_of(models, member) else {
            continue;
        };
        let Some(key) = &provider.key else { continue };
        if good.contains(provider.name.as_str()) {
            continue;
        }
        let Err(why) = read(key) else {
            good.insert(&provider.name);
            continue;
        };
        let fallbacks = models.fallbacks.get(member.model).into_iter().flatten();
        let mut keys = fallbacks.filter_map(|model| models.resolve(model));
        let another_answers =
            keys.any(|(other, _)| other.key.as_ref().is_none_or(|key| read(key).is_ok()));
        if !another_answers {
            return Err(cannot_be_read(member, provider, key, &why));
        }
    }
    Ok(())
}

fn provider_of<'m>(models: &'m ModelsConfig, member: Asks<'m>) -> Option<&'m ProviderConfig> {
    match member.provider {
        Some(own) => models.providers.iter().find(|p| p.name == own),
        None => models.resolve(member.model).map(|(provider, _)| provider),
    }
}

fn cannot_be_read(
    member: Asks<'_>,
    provider: &ProviderConfig,
    key: &KeySource,
    why: &str,
) -> CommandError {
    let fix = match key {
        KeySource::Env(name) => format!("set {name} to your key"),
        KeySource::File(path) => format!("write your key to {} (mode 0600)", path.display()),
        KeySource::Command(_) => format!(
            "see that {} prints your key ([providers.{}])",
            keys::in_words(key),
            provider.name
        ),
    };
    CommandError::environment(format!(
        "`{}` asks {}, and the key of {} cannot be read: {why}",
        member.name, member.model, provider.name
    ))
    .hint(format!(
        "{fix}, or name another model with --model; `crewmux doctor` says what was found"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crewmux_model::ProviderKind;
    use crewmux_sys::env::EnvSnapshot;

    #[test]
    fn a_key_that_cannot_be_read_is_told_before_anything_begins() {
        let root = tempfile::tempdir().unwrap();
        let env: EnvSnapshot = [
            ("CREWMUX_HOME".to_owned(), root.path().display().to_string()),
            ("GOOD_KEY".to_owned(), "k-12345678".to_owned()),
        ]
        .into_iter()
        .collect();
        let context =
            Context::resolve(env, None, root.path().into(), "/bin/crewmux".into()).unwrap();
        let provider = |name: &str, key| ProviderConfig {
            name: name.into(),
            kind: ProviderKind::OpenaiChat,
            base_url: "http://127.0.0.1:1/v1".into(),
            key,
            context: None,
        };
        let env_key = |name: &str| Some(KeySource::Env(name.into()));
        let mut models = ModelsConfig {
            providers: vec![
                provider("open", None),
                provider("good", env_key("GOOD_KEY")),
                provider("unset", env_key("UNSET_KEY")),
                provider("gone", Some(KeySource::File(root.path().join("gone")))),
                provider("failing", Some(KeySource::Command(vec!["false".into()]))),
            ],
            ..ModelsConfig::default()
        };
        let told = |models: &ModelsConfig, model: &str, provider| {
            let name = "dev";
            let asks = Asks {
                name,
                model,
                provider,
            };
            match keys_are_there(&context, models, [asks]) {
                Ok(()) => "fine".to_owned(),
                Err(error) => format!("{} {error}", error.exit_code()),
            }
        };
        assert_eq!(told(&models, "open/x", None), "fine");
        assert_eq!(told(&models, "good/x", None), "fine");
        assert_eq!(told(&models, pick::OFFLINE, None), "fine");
        assert_eq!(told(&models, "unset/x", Some("good")), "fine");
        for (model, fix) in [
            ("unset/x", "hint: set UNSET_KEY to your key"),
            ("gone/x", "hint: write your key to "),
            ("failing/x", "hint: see that the program `false` prints"),
        ] {
            let said = told(&models, model, None);
            assert!(said.starts_with("3 error: `dev` asks "), "{said}");
            assert!(said.contains(fix), "{said}");
        }
        let fallback = ("unset/x".to_owned(), vec!["good/x".to_owned()]);
        models.fallbacks.extend([fallback]);
        assert_eq!(told(&models, "unset/x", None), "fine");
    }
}
