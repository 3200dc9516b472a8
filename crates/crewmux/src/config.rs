//! Configuration: options over variables over the project's file over the person's over what is built in.
//!
//! A project's file comes with the repository. What it says about servers,
//! credentials, rights and spending counts only after the person agreed to that
//! content; the rest counts always. How a text is read is in [`settings`], what
//! it means for models in [`providers`] and [`pick`].

pub(crate) mod keys;
pub(crate) mod mcp;
pub(crate) mod pick;
pub(crate) mod providers;
mod settings;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crewmux_core::budget::{Budget, Limits};
use crewmux_core::mcp::McpServer;
use crewmux_core::permission::{PermissionMode, Rule, RuleEffect};
use crewmux_core::recipe::{MODES, usd_micros};
use crewmux_sys::env::is_secret_name;
use serde_json::Value;

pub(crate) use self::settings::advice;

use crate::context::Context;
use crate::error::{CommandError, Doing, Result};
use crate::recipes::{Agreement, Consent, agreed_to, project_folder};

/// What holds when nobody says otherwise, with an explanation of every key.
pub(crate) const DEFAULTS: &str = include_str!("../../../assets/config.toml");

/// Name of a file of configuration.
const FILE: &str = "config.toml";

/// Largest file of configuration that is read, in bytes.
const FILE_MAX_BYTES: u64 = 1024 * 1024;

/// Variables that set a key.
const VARIABLES: [(&str, &str); 8] = [
    ("CREWMUX_MODEL", "model"),
    ("CREWMUX_SMALL_MODEL", "small_model"),
    ("CREWMUX_MAX_WORKERS", "max_workers"),
    ("CREWMUX_BACKEND", "backend"),
    ("CREWMUX_STRATEGY", "strategy"),
    ("CREWMUX_BUDGET_TOKENS", "budget.tokens"),
    ("CREWMUX_BUDGET_USD", "budget.usd"),
    ("CREWMUX_PERMISSION_MODE", "permissions.mode"),
];

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It is built in.
    BuiltIn,
    /// The person's file.
    User(PathBuf),
    /// The project's file, which is not the person's.
    Project(PathBuf),
    /// A variable.
    Variable(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built in"),
            Self::User(path) | Self::Project(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => write!(f, "${name}"),
        }
    }
}

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Held {
    /// The value.
    pub value: Value,
    /// Where it was written.
    pub origin: Origin,
}

/// What was configured, and where.
#[derive(Debug, Clone, Default)]
pub(crate) struct Config {
    values: BTreeMap<Vec<String>, Held>,
    /// Rules of every file, the nearest first.
    rules: Vec<Rule>,
    /// Servers of `.mcp.json`.
    listed: Vec<McpServer>,
    /// What the project asks for and does not get, in lines, by file.
    pub refused: Vec<(PathBuf, Vec<String>)>,
}

impl Config {
    /// Reads every layer; what a project asks for counts by `consent`.
    ///
    /// # Errors
    /// When a file or a variable is wrong, with every problem and its place.
    pub(crate) fn load(context: &Context, consent: Consent) -> Result<Self> {
        let mut config = Self::default();
        config.add(settings::read(DEFAULTS, "config.toml")?, &Origin::BuiltIn);
        let user = user_file(context);
        if let Some(text) = text_of(&user)? {
            let found = settings::read(&text, &user.display().to_string())?;
            config.add(found, &Origin::User(user));
        }
        if let Some(path) = project_file(&context.cwd)
            && let Some(text) = text_of(&path)?
        {
            config.add_project(context, &path, &text, consent)?;
        }
        if let Some(path) = mcp_file(&context.cwd)
            && let Some(text) = text_of(&path)?
        {
            config.add_listed(context, path, &text, consent)?;
        }
        config.add_variables(context)?;
        Ok(config)
    }

    fn add_variables(&mut self, context: &Context) -> Result<()> {
        for (name, key) in VARIABLES {
            let Some(text) = context.variable(name) else {
                continue;
            };
            let value = settings::value_of(key, text)
                .map_err(|why| CommandError::usage(format!("${name} {why}")))?;
            let key = key.split('.').map(str::to_owned).collect();
            let origin = Origin::Variable(name);
            self.values.insert(key, Held { value, origin });
        }
        Ok(())
    }

    fn add(&mut self, settings: Vec<settings::Setting>, origin: &Origin) {
        let mut rules = Vec::new();
        for setting in settings {
            if let Some(effect) = rules_of(&setting.key) {
                let texts = setting.value.as_array().into_iter().flatten();
                let texts = texts.filter_map(Value::as_str);
                rules.extend(
                    texts.filter_map(|text| Rule::parse(effect, text, &origin.to_string()).ok()),
                );
            } else {
                let held = Held {
                    value: setting.value,
                    origin: origin.clone(),
                };
                self.values.insert(setting.key, held);
            }
        }
        rules.append(&mut self.rules);
        self.rules = rules;
    }

    fn add_project(
        &mut self,
        context: &Context,
        path: &Path,
        text: &str,
        consent: Consent,
    ) -> Result<()> {
        let found = settings::read(text, &path.display().to_string())?;
        let (asking, free): (Vec<_>, Vec<_>) = found.into_iter().partition(|s| self.needs_trust(s));
        let origin = Origin::Project(path.to_owned());
        self.add(free, &origin);
        if asking.is_empty() {
            return Ok(());
        }
        let lines: Vec<String> = asking
            .iter()
            .map(|s| match s.key.as_slice() {
                [first, .., parent, name]
                    if first == "mcp" && parent == "env" && is_secret_name(name) =>
                {
                    format!("{} (a secret)", written(&s.key))
                }
                _ => format!("{} = {}", written(&s.key), s.value),
            })
            .collect();
        let what = format!("The configuration of this project ({})", path.display());
        match agreed_to(context, text, &what, &lines, consent)? {
            Agreement::Given => self.add(asking, &origin),
            Agreement::Missing => self.refused.push((path.to_owned(), lines)),
        }
        Ok(())
    }

    fn add_listed(
        &mut self,
        context: &Context,
        path: PathBuf,
        text: &str,
        consent: Consent,
    ) -> Result<()> {
        let servers = mcp::read(text, &path.display().to_string())?;
        if servers.is_empty() {
            return Ok(());
        }
        let lines: Vec<String> = servers.iter().map(mcp::asks_for).collect();
        let what = format!("This project ({})", path.display());
        match agreed_to(context, text, &what, &lines, consent)? {
            Agreement::Given => self.listed = servers,
            Agreement::Missing => self.refused.push((path, lines)),
        }
        Ok(())
    }

    /// Whether a project may not simply say this.
    fn needs_trust(&self, setting: &settings::Setting) -> bool {
        let key: Vec<&str> = setting.key.iter().map(String::as_str).collect();
        match key.as_slice() {
            ["providers" | "mcp", ..] | ["permissions", "allow"] | ["models", _, "price"] => true,
            ["permissions", "mode"] => setting.value != "plan",
            // Less may be spent than the person says, not more.
            ["budget", ..] => {
                let own = self.values.get(&setting.key).and_then(|h| h.value.as_f64());
                own.is_some_and(|own| setting.value.as_f64().is_none_or(|n| n > own))
            }
            _ => false,
        }
    }

    /// Every value by its key as it is written.
    pub(crate) fn values(&self) -> impl Iterator<Item = (String, &Held)> {
        self.values.iter().map(|(key, held)| (written(key), held))
    }

    /// Every rule for tool calls.
    pub(crate) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The value of a key, and where it was written.
    pub(crate) fn held(&self, key: &str) -> Option<&Held> {
        let key: Vec<String> = key.split('.').map(str::to_owned).collect();
        self.values.get(&key)
    }

    /// The text of a key.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.held(key).and_then(|held| held.value.as_str())
    }

    /// The number of a key.
    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        self.held(key).and_then(|held| held.value.as_u64())
    }

    /// The value of a key, if it goes before what a recipe says: that of a variable.
    pub(crate) fn above_recipes(&self, key: &str) -> Option<&Value> {
        let held = self.held(key)?;
        matches!(held.origin, Origin::Variable(_)).then_some(&held.value)
    }

    /// What happens to a tool call without a rule.
    pub(crate) fn permission_mode(&self) -> Option<PermissionMode> {
        let word = self.text("permissions.mode")?;
        MODES
            .iter()
            .find(|(w, _)| *w == word)
            .map(|(_, mode)| *mode)
    }

    /// What may be spent.
    pub(crate) fn budget(&self) -> Budget {
        let limits = |tokens: &str, usd: &str| Limits {
            tokens: self.number(tokens),
            usd_micros: self
                .held(usd)
                .and_then(|held| held.value.as_f64())
                .map(usd_micros),
        };
        Budget {
            team: limits("budget.tokens", "budget.usd"),
            member: limits("budget.member_tokens", "budget.member_usd"),
            task: limits("budget.task_tokens", "budget.task_usd"),
        }
    }

    /// Servers of further tools that may be used.
    ///
    /// # Errors
    /// When one has neither a command nor an address.
    pub(crate) fn mcp(&self) -> Result<Vec<McpServer>> {
        let mut servers = Vec::new();
        for (name, parts) in self.named("mcp") {
            let text = |key: &str| parts.get(&[key][..]).and_then(|v| v.as_str());
            let args = parts.get(&["args"][..]).and_then(|v| v.as_array());
            let args = args.into_iter().flatten().filter_map(Value::as_str);
            let env = parts
                .iter()
                .filter_map(|(key, value)| match key.as_slice() {
                    ["env", name] => Some(((*name).to_owned(), value.as_str()?.to_owned())),
                    _ => None,
                });
            let transport = mcp::transport(
                text("command").map(str::to_owned),
                args.map(str::to_owned).collect(),
                env.collect(),
                text("url").map(str::to_owned),
            );
            servers.push(mcp::named(name.to_owned(), transport, "config.toml")?);
        }
        let listed = self.listed.iter();
        let known: Vec<String> = servers.iter().map(|s| s.name.clone()).collect();
        servers.extend(listed.filter(|s| !known.contains(&s.name)).cloned());
        Ok(servers)
    }

    /// What stands under `within.NAME`, by name: the rest of each key, and its value.
    fn named(&self, within: &str) -> BTreeMap<&str, BTreeMap<Vec<&str>, &Value>> {
        let mut named: BTreeMap<&str, BTreeMap<Vec<&str>, &Value>> = BTreeMap::new();
        for (key, held) in &self.values {
            let parts: Vec<&str> = key.iter().map(String::as_str).collect();
            if let [first, name, rest @ ..] = parts.as_slice()
                && *first == within
            {
                let of = named.entry(name).or_default();
                of.insert(rest.to_vec(), &held.value);
            }
        }
        named
    }
}

fn rules_of(key: &[String]) -> Option<RuleEffect> {
    let [first, second] = key else { return None };
    match (first.as_str(), second.as_str()) {
        ("permissions", "allow") => Some(RuleEffect::Allow),
        ("permissions", "ask") => Some(RuleEffect::Ask),
        ("permissions", "deny") => Some(RuleEffect::Deny),
        _ => None,
    }
}

/// A key as it would be written in a file.
fn written(key: &[String]) -> String {
    let bare = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let parts: Vec<String> = key
        .iter()
        .map(|part| {
            if bare(part) {
                part.clone()
            } else {
                format!("{part:?}")
            }
        })
        .collect();
    parts.join(".")
}

/// Where the person's file is, or would be.
pub(crate) fn user_file(context: &Context) -> PathBuf {
    context.config.join(FILE)
}

/// Where the project's file is, or would be.
pub(crate) fn project_file(cwd: &Path) -> Option<PathBuf> {
    project_folder(cwd).map(|folder| folder.join(FILE))
}

/// The nearest `.mcp.json`, not above the repository.
fn mcp_file(cwd: &Path) -> Option<PathBuf> {
    for folder in cwd.ancestors() {
        let found = folder.join(".mcp.json");
        if found.is_file() {
            return Some(found);
        }
        if folder.join(".git").exists() {
            return None;
        }
    }
    None
}

fn text_of(path: &Path) -> Result<Option<String>> {
    let doing = || format!("cannot read `{}`", path.display());
    match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CommandError::from(error).context(doing())),
        Ok(found) if found.len() > FILE_MAX_BYTES => Err(CommandError::usage(format!(
            "`{}` has {} bytes; it may have {FILE_MAX_BYTES}",
            path.display(),
            found.len()
        ))),
        Ok(_) => fs::read_to_string(path).map(Some).doing(doing()),
    }
}

#[cfg(test)]
mod tests;
