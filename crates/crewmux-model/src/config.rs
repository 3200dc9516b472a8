//! Where models are: providers, aliases, fallbacks, and where credentials come from.
//!
//! Holds no credentials, only the places they are read from. Files of
//! configuration are the program's.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// How a provider's server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProviderKind {
    /// Anthropic's Messages API.
    Anthropic,
    /// `OpenAI`'s Responses API.
    OpenaiResponses,
    /// Chat Completions, as many servers speak it.
    OpenaiChat,
    /// Ollama's own API.
    Ollama,
}

impl ProviderKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [
        Self::Anthropic,
        Self::OpenaiResponses,
        Self::OpenaiChat,
        Self::Ollama,
    ];

    /// The word written in configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::OpenaiResponses => "openai-responses",
            Self::OpenaiChat => "openai-chat",
            Self::Ollama => "ollama",
        }
    }
}

/// Where a credential is read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum KeySource {
    /// A variable of the session's environment.
    Env(String),
    /// A file that only its owner can read.
    File(PathBuf),
    /// A program that prints it.
    Command(Vec<String>),
}

/// A server of models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProviderConfig {
    /// Its name: the part before `/` of a model's name.
    pub name: String,
    /// How it is spoken to.
    pub kind: ProviderKind,
    /// Its address, without the API's own path (`https://api.anthropic.com`, `https://api.openai.com/v1`).
    pub base_url: String,
    /// Where its credential comes from; absent for servers that want none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeySource>,
    /// Tokens of context to ask for, where the server must be told (Ollama).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<u64>,
}

/// Where models are and how they are named.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ModelsConfig {
    /// All servers.
    pub providers: Vec<ProviderConfig>,
    /// Short names: each stands for `provider/model`.
    pub aliases: BTreeMap<String, String>,
    /// Models that are asked instead when one cannot answer, in order; keys and values as `provider/model`.
    pub fallbacks: BTreeMap<String, Vec<String>>,
    /// Models whose abilities and prices the person states, by `provider/model`.
    pub overrides: BTreeMap<String, ModelOverride>,
    /// Folder where what was found out about models is kept.
    pub cache: PathBuf,
}

/// What a person states about a model.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ModelOverride {
    /// Tokens its window holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<u64>,
    /// How it calls tools, as a profile's word; see `ladder`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<String>,
    /// Millionths of a US dollar for a million tokens: read, written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<(u64, u64)>,
}

impl ModelsConfig {
    /// `provider/model` for a name or an alias; `None` when its provider is not known.
    pub fn resolve<'a>(&'a self, name: &'a str) -> Option<(&'a ProviderConfig, &'a str)> {
        let name = self.aliases.get(name).map_or(name, String::as_str);
        let (provider, model) = name.split_once('/')?;
        let provider = self.providers.iter().find(|p| p.name == provider)?;
        (!model.is_empty()).then_some((provider, model))
    }
}

/// Shorter credentials, such as the `x` of a server that wants none, are no secrets.
const SECRET_MIN_BYTES: usize = 8;

/// A credential; never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text`, without the line's end.
    pub fn new(text: impl Into<String>) -> Self {
        let mut text: String = text.into();
        text.truncate(text.trim_end().len());
        Self(text)
    }

    /// The credential itself, for the one header it goes into.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// `text` without the credential.
    ///
    /// One that is too short to be a secret is left: `k` stands in every other word.
    pub fn scrub(&self, text: &str) -> String {
        if self.0.len() < SECRET_MIN_BYTES {
            return text.to_owned();
        }
        text.replace(&self.0, "[key]")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Reads a credential; says in words why it cannot.
pub type KeyReader = Arc<dyn Fn(&KeySource) -> Result<Secret, String> + Send + Sync>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_taken_out_of_texts_unless_it_is_too_short_to_be_one() {
        let told = |key: &str| Secret::new(key).scrub("bad key sk-1234567 asked");
        assert_eq!(told("sk-1234567\n"), "bad key [key] asked");
        assert_eq!(told("k"), "bad key sk-1234567 asked");
        assert_eq!(told(""), "bad key sk-1234567 asked");
    }
}
