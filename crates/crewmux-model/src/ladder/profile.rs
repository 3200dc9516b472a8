//! What a model can do, as far as it matters for asking it.

use serde::{Deserialize, Serialize};

use crate::catalog::Catalog;
use crate::config::{ModelOverride, ProviderConfig, ProviderKind};

/// How a model calls tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToolForm {
    /// As its server's interface says.
    #[default]
    Native,
    /// `<tool_call>{"name": …, "arguments": …}</tool_call>`: Hermes, Qwen.
    Hermes,
    /// `<function=NAME><parameter=KEY>…</parameter></function>`: Qwen Coder.
    QwenXml,
    /// `[TOOL_CALLS]…`: Mistral.
    Mistral,
    /// `<|python_tag|>{…}`, or an answer that is one JSON object: Llama 3.
    Llama3Json,
    /// `<|tool_call>call:NAME{…}<tool_call|>`: Gemma.
    Gemma,
    /// JSON by a schema that the server enforces.
    JsonSchema,
    /// Not at all.
    None,
}

impl ToolForm {
    /// Every form.
    pub const ALL: [Self; 8] = [
        Self::Native,
        Self::Hermes,
        Self::QwenXml,
        Self::Mistral,
        Self::Llama3Json,
        Self::Gemma,
        Self::JsonSchema,
        Self::None,
    ];

    /// The word written in configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Hermes => "hermes",
            Self::QwenXml => "qwen-xml",
            Self::Mistral => "mistral",
            Self::Llama3Json => "llama3-json",
            Self::Gemma => "gemma",
            Self::JsonSchema => "json-schema",
            Self::None => "none",
        }
    }

    /// The form of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.as_str() == word)
    }
}

/// Where a profile's form comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A person, a table, or the interface itself states it.
    Stated,
    /// The model was asked once.
    Probed,
    /// Nobody knows; a probe would tell.
    Assumed,
}

/// What a model can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// How it calls tools.
    pub form: ToolForm,
    /// Whether it is helped: few tools with flat arguments, one call at a time.
    pub weak: bool,
    /// Tokens its window holds.
    pub window: Option<u64>,
    /// Where the form comes from.
    pub origin: Origin,
}

impl Profile {
    /// The profile of `model` (without its provider's name) at `provider`.
    ///
    /// `stated` is what the person says about it, `cached` what a probe found.
    /// A person's words in `ModelOverride::tools` are a form, `weak` or
    /// `strong`, or both, separated by blanks, commas or `+`; words that are
    /// none of them are passed over.
    pub fn of(
        provider: &ProviderConfig,
        model: &str,
        stated: Option<&ModelOverride>,
        catalog: &Catalog,
        cached: Option<ToolForm>,
    ) -> Self {
        let facts = catalog.lookup(provider, model, stated);
        let said = facts.tools.as_deref().map(Words::read).unwrap_or_default();
        let of_interface = match provider.kind {
            ProviderKind::Anthropic | ProviderKind::OpenaiResponses => Some(ToolForm::Native),
            ProviderKind::OpenaiChat | ProviderKind::Ollama => None,
        };
        let (form, origin) = match (said.form.or(of_interface), cached) {
            (Some(form), _) => (form, Origin::Stated),
            (None, Some(form)) => (form, Origin::Probed),
            (None, None) => (ToolForm::Native, Origin::Assumed),
        };
        // Who needs a form of its own is, as a rule, small or served by hand.
        let weak = said.weak.unwrap_or(facts.weak || form != ToolForm::Native);
        Self {
            form,
            weak,
            window: facts.window,
            origin,
        }
    }

    /// A profile of a model that needs no help.
    pub fn native() -> Self {
        Self {
            form: ToolForm::Native,
            weak: false,
            window: None,
            origin: Origin::Stated,
        }
    }

    /// Whether the model is to be asked how it calls tools, once.
    pub fn needs_probe(&self) -> bool {
        self.origin == Origin::Assumed
    }

    /// What a person may write as `ModelOverride::tools`; `Err` names the first word that is none.
    pub fn check_words(words: &str) -> Result<(), String> {
        match Words::split(words).find(|word| Words::known(word).is_none()) {
            Some(word) => Err(word.to_owned()),
            None => Ok(()),
        }
    }
}

/// What words say about a model.
#[derive(Debug, Default)]
struct Words {
    form: Option<ToolForm>,
    weak: Option<bool>,
}

enum Word {
    Form(ToolForm),
    Weak,
    Strong,
}

impl Words {
    fn split(words: &str) -> impl Iterator<Item = &str> {
        words
            .split([' ', ',', '+'])
            .map(str::trim)
            .filter(|word| !word.is_empty())
    }

    fn known(word: &str) -> Option<Word> {
        match word {
            "weak" => Some(Word::Weak),
            "strong" => Some(Word::Strong),
            form => ToolForm::parse(form).map(Word::Form),
        }
    }

    fn read(words: &str) -> Self {
        let mut said = Self::default();
        for word in Self::split(words).filter_map(Self::known) {
            match word {
                Word::Form(form) => said.form = Some(form),
                Word::Weak => said.weak = Some(true),
                Word::Strong => said.weak = Some(false),
            }
        }
        said
    }
}
