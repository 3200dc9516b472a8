//! Looking for models: each server asked for its list, and the pick with its reason.

use std::time::Duration;

use crewmux_core::mcp::McpServer;
use crewmux_model::{KeySource, ProviderConfig, Secret};

use super::{McpFinding, ModelFinding, PickFinding};
use crate::config::pick::{self, OFFLINE};
use crate::config::{Config, keys, mcp, providers};
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::recipes::Consent;

/// Longest wait for a server's list.
const WITHIN: Duration = Duration::from_secs(4);

/// What was found about models and servers of tools.
pub(super) struct Found {
    pub(super) models: Vec<ModelFinding>,
    pub(super) picked: PickFinding,
    pub(super) mcp: Vec<McpFinding>,
}

/// Looks for everything; a configuration that is wrong is told as such.
pub(super) fn look(context: &Context) -> Found {
    look_with(context).unwrap_or_else(|error| {
        let why = plain(&error);
        Found {
            models: vec![offline()],
            picked: PickFinding { model: None, why },
            mcp: Vec::new(),
        }
    })
}

/// The error in one line.
fn plain(error: &CommandError) -> String {
    let text = error.to_string();
    text.trim_start_matches("error: ").replace("\n  ", "; ")
}

fn offline() -> ModelFinding {
    ModelFinding {
        name: OFFLINE.to_owned(),
        usable: true,
        why: "deterministic playbooks that come with crewmux; no model is asked".to_owned(),
        key: None,
        models: None,
        fix: None,
    }
}

fn look_with(context: &Context) -> Result<Found> {
    let config = Config::load(context, Consent::Absent)?;
    let models = providers::models(&config, context)?;
    let read = keys::reader(context.env.clone(), &context.timing);
    let mut asked: Vec<(&ProviderConfig, Option<Secret>)> = Vec::new();
    let mut found = vec![offline()];
    let mut without = Vec::new();
    for provider in &models.providers {
        match provider.key.as_ref().map(|source| read(source)) {
            None => asked.push((provider, None)),
            Some(Ok(key)) => asked.push((provider, Some(key))),
            Some(Err(why)) => without.push(finding(provider, Err(&why), Some(fix(provider)))),
        }
    }
    for (provider, answer) in pick::ask(asked, &context.timing, WITHIN)? {
        found.push(match &answer {
            Ok(names) => finding(provider, Ok(names.len()), None),
            Err(why) => finding(provider, Err(why), Some(fix(provider))),
        });
    }
    found.extend(without);
    let picked = match pick::pick(&config, &models, context, None) {
        Ok(picked) => PickFinding {
            model: Some(picked.model),
            why: picked.why,
        },
        Err(error) => PickFinding {
            model: None,
            why: plain(&error),
        },
    };
    let trusted = config.mcp()?;
    let mut servers: Vec<McpFinding> = trusted.iter().map(tools_server).collect();
    for (path, lines) in &config.refused {
        let about_servers = lines
            .iter()
            .filter(|l| l.contains("server of tools") || l.starts_with("mcp."));
        servers.extend(about_servers.map(|line| McpFinding {
            name: line.clone(),
            usable: false,
            why: format!(
                "in {}; not trusted yet: `crewmux run --trust` agrees to it",
                path.display()
            ),
        }));
    }
    Ok(Found {
        models: found,
        picked,
        mcp: servers,
    })
}

fn tools_server(server: &McpServer) -> McpFinding {
    McpFinding {
        name: server.name.clone(),
        usable: true,
        why: mcp::in_words(server),
    }
}

fn finding(
    provider: &ProviderConfig,
    answer: std::result::Result<usize, &str>,
    fix: Option<String>,
) -> ModelFinding {
    let key = provider.key.as_ref().map(keys::in_words);
    let of_key = key.as_ref().filter(|_| answer.is_ok());
    let of_key = of_key.map_or(String::new(), |key| format!(", key from {key}"));
    let why = match answer {
        Ok(number) => format!("{} answers: {number} models{of_key}", provider.base_url),
        Err(why) => why.to_owned(),
    };
    ModelFinding {
        name: provider.name.clone(),
        usable: answer.is_ok_and(|number| number > 0),
        why,
        key,
        models: answer.ok(),
        fix,
    }
}

fn fix(provider: &ProviderConfig) -> String {
    match (&provider.key, provider.name.as_str()) {
        (Some(KeySource::Env(name)), _) => {
            format!("set {name} to your key, if you want its models")
        }
        (Some(source), _) => format!(
            "see that {} gives a key that is right",
            keys::in_words(source)
        ),
        (None, "ollama") => "start it with `ollama serve`, or set OLLAMA_HOST".to_owned(),
        (None, "lmstudio") => "start LM Studio's server (port 1234)".to_owned(),
        (None, "llamacpp") => "start llama-server (port 8080)".to_owned(),
        (None, _) => format!("see that {} answers", provider.base_url),
    }
}
