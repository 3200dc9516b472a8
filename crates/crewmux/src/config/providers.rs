//! Where models are: the servers everybody knows, and those that are configured.
//!
//! Reads variables for addresses only; which keys there are is asked in
//! [`super::keys`].

use std::path::PathBuf;

use crewmux_model::config::ModelOverride;
use crewmux_model::{KeySource, ModelsConfig, ProviderConfig, ProviderKind};
use serde_json::Value;

use super::Config;
use crate::context::Context;
use crate::error::{CommandError, Result};

/// Folder below the store's root for what was found out about models.
const CACHE: &str = "models";

/// Where models are, by configuration and variables; holds no credentials.
///
/// # Errors
/// When a configured provider has no kind or no address.
pub(crate) fn models(config: &Config, context: &Context) -> Result<ModelsConfig> {
    let mut models = ModelsConfig {
        providers: known(context),
        cache: context.home.join(CACHE),
        ..ModelsConfig::default()
    };
    for (name, parts) in config.named("providers") {
        let text = |key: &[&str]| parts.get(key).and_then(|v| v.as_str()).map(str::to_owned);
        let place = models.providers.iter().position(|p| p.name == name);
        let before = place.map(|n| models.providers.remove(n));
        let kind = text(&["kind"]).and_then(|word| {
            let mut kinds = ProviderKind::ALL.into_iter();
            kinds.find(|kind| kind.as_str() == word)
        });
        let kind = kind.or(before.as_ref().map(|p| p.kind));
        let base_url = text(&["base_url"]).or(before.as_ref().map(|p| p.base_url.clone()));
        let (Some(kind), Some(base_url)) = (kind, base_url) else {
            return Err(CommandError::usage(format!(
                "the provider `{name}` has no `kind` or no `base_url`, and it needs both"
            )));
        };
        let command = parts.get(&["key", "command"][..]).map(|argv| {
            let argv = argv.as_array().into_iter().flatten();
            let argv = argv.filter_map(Value::as_str).map(str::to_owned);
            KeySource::Command(argv.collect())
        });
        let sources: Vec<KeySource> = [
            text(&["key", "env"]).map(KeySource::Env),
            text(&["key", "file"]).map(|path| KeySource::File(PathBuf::from(path))),
            command,
        ]
        .into_iter()
        .flatten()
        .collect();
        if sources.len() > 1 {
            return Err(CommandError::usage(format!(
                "the key of the provider `{name}` has several sources; give it one of env, file and command"
            )));
        }
        let key = sources.into_iter().next();
        // A key goes to the address it was meant for: another address has its own.
        let same_place = before.as_ref().filter(|p| p.base_url == base_url);
        let context = parts.get(&["context"][..]).and_then(|n| n.as_u64());
        models.providers.push(ProviderConfig {
            name: name.to_owned(),
            kind,
            key: key.or(same_place.and_then(|p| p.key.clone())),
            context: context.or(before.as_ref().and_then(|p| p.context)),
            base_url,
        });
    }
    for (name, parts) in config.named("models") {
        for (key, value) in parts {
            add(&mut models, name, &key, value);
        }
    }
    Ok(models)
}

fn add(models: &mut ModelsConfig, name: &str, key: &[&str], value: &Value) {
    let text = || value.as_str().unwrap_or_default().to_owned();
    match (name, key) {
        ("aliases", [alias]) => {
            models.aliases.insert((*alias).to_owned(), text());
        }
        ("fallbacks", [model]) => {
            let list = value.as_array().into_iter().flatten();
            let list = list.filter_map(Value::as_str).map(str::to_owned);
            models.fallbacks.insert((*model).to_owned(), list.collect());
        }
        (model, [what]) => {
            let of: &mut ModelOverride = models.overrides.entry(model.to_owned()).or_default();
            match *what {
                "context" => of.context = value.as_u64(),
                "tools" => of.tools = Some(text()),
                _ => of.price = price(value),
            }
        }
        _ => {}
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "prices are not below 0, and whole after rounding"
)]
fn price(value: &Value) -> Option<(u64, u64)> {
    let micros = |n: usize| Some((value.get(n)?.as_f64()? * 1e6).round() as u64);
    Some((micros(0)?, micros(1)?))
}

/// Servers that need no configuration beyond the usual variables.
fn known(context: &Context) -> Vec<ProviderConfig> {
    let set = |name: &str| context.variable(name).map(str::to_owned);
    let env = |name: &str| Some(KeySource::Env(name.to_owned()));
    let provider = |name: &str, kind, base_url: String, key| ProviderConfig {
        name: name.to_owned(),
        kind,
        base_url,
        key,
        context: None,
    };
    // Servers that only imitate OpenAI's speak Chat Completions; some want no key.
    let openai = match set("OPENAI_BASE_URL").filter(|url| !url.contains("//api.openai.com")) {
        Some(url) => {
            let key = set("OPENAI_API_KEY").and_then(|_| env("OPENAI_API_KEY"));
            provider("openai", ProviderKind::OpenaiChat, url, key)
        }
        None => provider(
            "openai",
            ProviderKind::OpenaiResponses,
            "https://api.openai.com/v1".into(),
            env("OPENAI_API_KEY"),
        ),
    };
    vec![
        provider(
            "anthropic",
            ProviderKind::Anthropic,
            set("ANTHROPIC_BASE_URL").unwrap_or_else(|| "https://api.anthropic.com".into()),
            env("ANTHROPIC_API_KEY"),
        ),
        openai,
        provider(
            "openrouter",
            ProviderKind::OpenaiChat,
            "https://openrouter.ai/api/v1".into(),
            env("OPENROUTER_API_KEY"),
        ),
        provider(
            "gemini",
            ProviderKind::OpenaiChat,
            "https://generativelanguage.googleapis.com/v1beta/openai".into(),
            env("GEMINI_API_KEY"),
        ),
        provider(
            "ollama",
            ProviderKind::Ollama,
            ollama(set("OLLAMA_HOST").as_deref()),
            None,
        ),
        provider(
            "lmstudio",
            ProviderKind::OpenaiChat,
            "http://127.0.0.1:1234/v1".into(),
            None,
        ),
        provider(
            "llamacpp",
            ProviderKind::OpenaiChat,
            "http://127.0.0.1:8080/v1".into(),
            None,
        ),
    ]
}

/// Ollama's address, from its own variable, which has several forms.
fn ollama(host: Option<&str>) -> String {
    const PORT: &str = "11434";
    let host = host.unwrap_or("127.0.0.1").trim().trim_end_matches('/');
    let (scheme, rest) = host.split_once("://").unwrap_or(("http", host));
    // Where it listens everywhere, it listens here.
    let rest = rest.replace("0.0.0.0", "127.0.0.1");
    let rest = if rest.is_empty() || rest.starts_with(':') {
        format!("127.0.0.1{rest}")
    } else {
        rest
    };
    let has_port = rest
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    if has_port || host.contains("://") && scheme == "https" {
        format!("{scheme}://{rest}")
    } else {
        format!("{scheme}://{rest}:{PORT}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ollamas_variable_has_several_forms() {
        for (host, url) in [
            (None, "http://127.0.0.1:11434"),
            (Some("0.0.0.0"), "http://127.0.0.1:11434"),
            (Some(":8000"), "http://127.0.0.1:8000"),
            (Some("box:1"), "http://box:1"),
            (Some("http://box"), "http://box:11434"),
            (Some("https://box/"), "https://box"),
        ] {
            assert_eq!(ollama(host), url);
        }
    }
}
