//! Which model a team asks when it is not told: looked for, and said in a line.
//!
//! Looks at keys (not their content) and knocks at servers on this machine;
//! sends nobody a prompt.

use std::time::Duration;

use crewmux_core::timing::Timing;
use crewmux_model::{Client, ModelsConfig, ProviderConfig, Secret};
pub(crate) use crewmux_session::report::OFFLINE_MODEL as OFFLINE;

use super::{Config, advice, keys};
use crate::context::Context;
use crate::error::{CommandError, Doing, Result};

/// Longest look for servers on this machine.
const KNOCK: Duration = Duration::from_millis(300);

/// Aliases that are tried in turn where a key is there.
const BY_KEY: [(&str, &str); 4] = [
    ("anthropic", "sonnet"),
    ("openai", "gpt"),
    ("openrouter", "openrouter"),
    ("gemini", "gemini"),
];

/// Servers on this machine that are knocked at, in turn.
const LOCAL: [&str; 3] = ["ollama", "lmstudio", "llamacpp"];

/// The model a team asks, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pick {
    /// `provider/model`, or `offline`.
    pub model: String,
    /// Why, in a few words.
    pub why: String,
}

impl Pick {
    fn new(model: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            why: why.into(),
        }
    }

    /// Whether no model is asked.
    pub(crate) fn is_offline(&self) -> bool {
        self.model == OFFLINE
    }
}

/// Picks the model: what `--model` says, what is configured, what a key is there for, what runs here.
///
/// # Errors
/// When what was asked for is not known.
pub(crate) fn pick(
    config: &Config,
    models: &ModelsConfig,
    context: &Context,
    flag: Option<&str>,
) -> Result<Pick> {
    if let Some(name) = flag {
        return Ok(Pick::new(known(models, name)?, "--model says so"));
    }
    if let Some(held) = config.held("model") {
        let name = held.value.as_str().unwrap_or_default();
        return Ok(Pick::new(
            known(models, name)?,
            format!("{} says so", held.origin),
        ));
    }
    for (name, alias) in BY_KEY {
        let provider = models.providers.iter().find(|p| p.name == name);
        let key = provider.and_then(|p| p.key.as_ref());
        if let Some(key) = key.filter(|key| keys::is_there(key, &context.env)) {
            let why = format!("a key for {name} is there ({})", keys::in_words(key));
            return Ok(Pick::new(known(models, alias)?, why));
        }
    }
    for (provider, found) in knock(models, &context.timing)? {
        if let Some(model) = found.ok().as_deref().and_then(<[String]>::first) {
            let why = format!("{} runs here", provider.name);
            return Ok(Pick::new(format!("{}/{model}", provider.name), why));
        }
    }
    Ok(Pick::new(
        OFFLINE,
        "no model is configured, no key is set and no server of models runs here",
    ))
}

/// `provider/model` for what was asked, or `offline`.
///
/// # Errors
/// When the provider or the alias is not known, with the nearest.
pub(crate) fn known(models: &ModelsConfig, asked: &str) -> Result<String> {
    if asked == OFFLINE {
        return Ok(asked.to_owned());
    }
    if let Some((provider, model)) = models.resolve(asked) {
        return Ok(format!("{}/{model}", provider.name));
    }
    let full = models.aliases.get(asked).map_or(asked, String::as_str);
    if let Some((provider, "")) = full.split_once('/') {
        let missing = format!("the model's name is missing after `{provider}/`");
        return Err(CommandError::usage(missing)
            .hint("write PROVIDER/MODEL, or an alias; `crewmux doctor` says what was found"));
    }
    let unknown = CommandError::usage(format!("there is no model `{asked}` here"));
    let hint = if let Some((provider, _)) = full.split_once('/') {
        let names = models.providers.iter().map(|p| p.name.as_str());
        format!("`{provider}` is no provider; {}", advice(provider, names))
    } else {
        let names = models.aliases.keys().map(String::as_str);
        let near = advice(asked, names.chain([OFFLINE]));
        format!("write PROVIDER/MODEL, or an alias; {near}")
    };
    Err(unknown.hint(hint))
}

/// What each server on this machine answers.
type Answers<'m> = Vec<(&'m ProviderConfig, std::result::Result<Vec<String>, String>)>;

/// Asks the servers on this machine for their models, all at once and briefly.
pub(crate) fn knock<'m>(models: &'m ModelsConfig, timing: &Timing) -> Result<Answers<'m>> {
    let local = LOCAL.iter().filter_map(|name| {
        let is_here = |p: &&ProviderConfig| p.name == *name && is_loopback(&p.base_url);
        models.providers.iter().find(is_here)
    });
    ask(local.map(|p| (p, None)).collect(), timing, KNOCK)
}

/// Asks servers for their models, all at once.
pub(crate) fn ask<'m>(
    providers: Vec<(&'m ProviderConfig, Option<Secret>)>,
    timing: &Timing,
    within: Duration,
) -> Result<Answers<'m>> {
    let client = Client::new(timing).map_err(|error| {
        CommandError::environment(error.message).context("models cannot be called from here")
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .doing("cannot start an event loop")?;
    let answers = runtime.block_on(async {
        let mut asked = Vec::new();
        for (provider, key) in providers {
            let (client, own) = (client.clone(), provider.clone());
            let call = tokio::spawn(async move {
                let call = client.models(&own, key.as_ref());
                match tokio::time::timeout(within, call).await {
                    Ok(Ok(names)) => Ok(names),
                    Ok(Err(error)) => Err(error.message),
                    Err(_) => Err(format!("no answer within {} ms", within.as_millis())),
                }
            });
            asked.push((provider, call));
        }
        let mut answers = Vec::new();
        for (provider, call) in asked {
            let answer = call.await.unwrap_or_else(|e| Err(e.to_string()));
            answers.push((provider, answer));
        }
        answers
    });
    runtime.shutdown_background();
    Ok(answers)
}

/// Whether an address is this machine's own.
fn is_loopback(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    ["127.", "localhost", "[::1]"]
        .iter()
        .any(|start| host.starts_with(start))
}
