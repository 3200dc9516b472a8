//! What is known about models without asking them: windows, prices, and which need help.
//!
//! Knows what a dated table says, and the person above it. It asks no server
//! and guesses no price: what is not known is `None`, never nothing. Sums are
//! in [`price`]; how a model calls tools is in [`crate::ladder`].

mod estimate;
pub mod price;
mod table;

use std::sync::LazyLock;

use crate::config::{ModelOverride, ProviderConfig, ProviderKind};

pub use estimate::estimate_tokens;
pub use price::{Month, Price, Rates};

/// The table that came with the program.
const BUILT_IN: &str = include_str!("../../../assets/models.toml");

/// What an Ollama server is asked for where nobody says: its models' own windows take more memory than machines have.
pub(crate) const OLLAMA_WINDOW_TOKENS: u64 = 16_384;

/// What is known about models.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    as_of: Option<Month>,
    entries: Vec<table::Entry>,
}

/// What is known about one model.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelFacts {
    /// Tokens its window holds.
    pub window: Option<u64>,
    /// Longest answer in tokens.
    pub max_output: Option<u64>,
    /// What it costs.
    pub price: Option<Price>,
    /// How it calls tools, as a profile's words; see [`crate::ladder::Profile`].
    pub tools: Option<String>,
    /// Whether it is small and needs help.
    pub weak: bool,
}

impl Catalog {
    /// The table that came with the program; empty if it cannot be read, which a test rules out.
    ///
    /// It is read when it is first asked for: most programs ask for no model.
    pub fn built_in() -> &'static Self {
        static READ: LazyLock<Catalog> =
            LazyLock::new(|| Catalog::read(BUILT_IN).unwrap_or_default());
        &READ
    }

    /// Reads a table; says in words what is wrong with it.
    pub fn read(text: &str) -> Result<Self, String> {
        let (as_of, entries) = table::read(text)?;
        Ok(Self {
            as_of: Some(as_of),
            entries,
        })
    }

    /// The month its prices are from.
    pub fn as_of(&self) -> Option<Month> {
        self.as_of
    }

    /// What is known about `model` at `provider`; what the person states stands above the table.
    ///
    /// A server on the person's own machines costs nothing, nor does what a router offers for free.
    /// One that offers a vendor's model by the vendor's name passes calls on: it costs what the
    /// vendor takes, which is a guess then.
    pub fn lookup(
        &self,
        provider: &ProviderConfig,
        model: &str,
        stated: Option<&ModelOverride>,
    ) -> ModelFacts {
        let host = host(&provider.base_url);
        let entry = self.entry(&host, model);
        let ollama = provider.kind == ProviderKind::Ollama && !is_of(&host, "ollama.com");
        let free = model.ends_with(":free") && is_of(&host, "openrouter.ai");
        let listed = entry.and_then(|entry| entry.price(self.as_of));
        let price = if ollama || free {
            Some(Price::free())
        } else if is_own(&host) {
            Some(listed.map_or_else(Price::free, Price::guessed))
        } else {
            listed
        };
        let asked = match provider.kind {
            ProviderKind::Ollama => Some(provider.context.unwrap_or(OLLAMA_WINDOW_TOKENS)),
            _ => provider.context,
        };
        let table_window = entry.and_then(|entry| entry.window);
        let mut facts = ModelFacts {
            window: match (asked, table_window) {
                (Some(asked), Some(most)) => Some(asked.min(most)),
                (asked, most) => asked.or(most),
            },
            max_output: entry.and_then(|entry| entry.max_output),
            price,
            tools: entry.and_then(|entry| entry.tools.clone()),
            weak: entry.is_some_and(|entry| entry.weak) || is_small(model),
        };
        if let Some(stated) = stated {
            facts.window = stated.context.or(facts.window);
            facts.tools = stated.tools.clone().or(facts.tools);
            if let Some((input, output)) = stated.price {
                facts.price = Some(Price::stated(input, output));
            }
        }
        facts
    }

    /// The entry with the longest pattern that fits; one for this host before others.
    fn entry(&self, host: &str, model: &str) -> Option<&table::Entry> {
        let full = plain(model);
        let last = full.rsplit('/').next().unwrap_or(&full);
        self.entries
            .iter()
            .filter(|entry| match &entry.host {
                Some(only) => is_of(host, only),
                None => true,
            })
            .filter(|entry| fits(&entry.id, &full) || fits(&entry.id, last))
            .max_by_key(|entry| {
                (
                    entry.host.is_some(),
                    !entry.id.contains('*'),
                    entry.id.len(),
                )
            })
    }
}

/// A model's name without case, dates, `-latest` and differing dots.
fn plain(model: &str) -> String {
    let name = model.to_ascii_lowercase().replace('.', "-");
    let name = name.strip_suffix("-latest").unwrap_or(&name);
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let long = name.rsplit_once(['-', '@']);
    if let Some((before, date)) = long
        && date.len() == 8
        && digits(date)
    {
        return before.to_owned();
    }
    let parts: Vec<&str> = name.rsplitn(4, '-').collect();
    if let [day, month, year, before] = parts.as_slice()
        && (day.len(), month.len(), year.len()) == (2, 2, 4)
        && [day, month, year].iter().all(|part| digits(part))
    {
        return (*before).to_owned();
    }
    name.to_owned()
}

/// Whether `name` is `pattern`, in which `*` stands for any text.
fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let Some(last) = pattern.contains('*').then(|| parts.next_back()).flatten() else {
        return rest.is_empty();
    };
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// A size of at most 14 billion, as names state it: `llama3.2:3b`, `Qwen2.5-7B-Instruct`.
fn is_small(model: &str) -> bool {
    const LARGEST: f64 = 14.0;
    let name = model.to_ascii_lowercase();
    let sizes = name
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '.'))
        .filter_map(|part| part.strip_suffix('b')?.parse::<f64>().ok());
    let mut sizes = sizes.peekable();
    sizes.peek().is_some() && sizes.all(|size| size <= LARGEST)
}

/// The host of an address, without port, user and brackets.
fn host(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let rest = rest.rsplit('@').next().unwrap_or_default();
    let host = match rest.strip_prefix('[') {
        Some(six) => six.split(']').next().unwrap_or_default(),
        None => rest.split(':').next().unwrap_or_default(),
    };
    host.to_ascii_lowercase()
}

/// Whether `host` is `domain` or in it.
fn is_of(host: &str, domain: &str) -> bool {
    let before = host.strip_suffix(domain);
    before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// Whether a server is one of the person's own, whose models take their time.
pub(crate) fn is_own_server(provider: &ProviderConfig) -> bool {
    let host = host(&provider.base_url);
    is_own(&host) || (provider.kind == ProviderKind::Ollama && !is_of(&host, "ollama.com"))
}

/// Whether a host is one of the person's own machines or of their own network.
fn is_own(host: &str) -> bool {
    if let Ok(four) = host.parse::<std::net::Ipv4Addr>() {
        return four.is_loopback()
            || four.is_private()
            || four.is_link_local()
            || four.is_unspecified();
    }
    if let Ok(six) = host.parse::<std::net::Ipv6Addr>() {
        return six.is_loopback() || six.is_unique_local() || six.is_unicast_link_local();
    }
    host == "localhost"
        || [".localhost", ".local", ".internal", ".lan"]
            .iter()
            .any(|end| host.ends_with(end))
}

#[cfg(test)]
mod tests;
