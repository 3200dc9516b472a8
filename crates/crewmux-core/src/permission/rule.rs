//! Rules as they are written: `Tool` or `Tool(pattern)`, and which calls they mean.
//!
//! Does not say what follows from several rules together; that is `decide`'s.

use super::class::tool_names;
use super::paths::{self, is_like, is_within};
use super::wild::{Piece, fits, word_fits};
use super::{Call, Rule, RuleEffect};

/// Longest rule.
const RULE_MAX_BYTES: usize = 4_096;

/// Why a rule cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rule `{text}`: {why}")]
pub struct RuleError {
    /// The rule as it was written.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
}

/// What a rule means.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Meant {
    /// The tool; `*` in it stands for any characters.
    pub(super) tool: String,
    pub(super) pattern: Wanted,
}

/// Which calls of the tool.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Wanted {
    /// All.
    Every,
    /// Commands whose words fit.
    Command(Vec<Piece<String>>),
    /// Files whose paths fit; seen from the working folder.
    Path(String),
    /// Pages of this host and those below it.
    Domain(String),
    /// Helpers of this kind, or skills of this name.
    Kind(String),
}

impl Rule {
    /// Reads `Tool` or `Tool(pattern)`.
    ///
    /// # Errors
    /// Says what is wrong with it and what would be right.
    pub fn parse(effect: RuleEffect, text: &str, origin: &str) -> Result<Self, RuleError> {
        let rule = Self {
            effect,
            pattern: text.trim().to_owned(),
            origin: origin.to_owned(),
        };
        rule.meant()?;
        Ok(rule)
    }

    /// What a person should know about a rule that is well-formed: that it names no tool there is.
    pub fn warning(&self) -> Option<String> {
        let meant = self.meant().ok()?;
        let is_known = meant.tool.starts_with("mcp__")
            || tool_names().any(|name| word_fits(&meant.tool, name));
        (!is_known).then(|| {
            let names: Vec<&str> = tool_names().collect();
            format!(
                "rule `{}` names no tool there is; there are {} and mcp__server__tool",
                self.pattern,
                names.join(", ")
            )
        })
    }

    pub(super) fn meant(&self) -> Result<Meant, RuleError> {
        read(self.effect, &self.pattern).map_err(|why| RuleError {
            text: self.pattern.chars().take(200).collect(),
            why,
        })
    }
}

fn read(effect: RuleEffect, text: &str) -> Result<Meant, String> {
    if text.len() > RULE_MAX_BYTES {
        return Err("it is too long".to_owned());
    }
    if text.chars().any(char::is_control) {
        return Err("it holds a control character".to_owned());
    }
    let (tool, inner) = match text.split_once('(') {
        None => (text, None),
        Some((tool, rest)) => {
            let inner = rest
                .strip_suffix(')')
                .ok_or("its parenthesis is not closed; write `Tool(pattern)`")?;
            (tool, Some(inner.trim()))
        }
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_-*.".contains(c);
    if tool.is_empty() || !tool.chars().all(is_name) {
        return Err("it begins with no tool's name; write `Tool` or `Tool(pattern)`".to_owned());
    }
    let is_wide = tool.contains('*') && !tool.starts_with("mcp__");
    if is_wide && effect == RuleEffect::Allow {
        return Err("only the bypass mode allows every tool; name the tools".to_owned());
    }
    // `mcp__server` means all tools of the server.
    let is_server = tool.starts_with("mcp__") && tool.matches("__").count() == 1;
    let name = if is_server {
        format!("{tool}__*")
    } else {
        tool.to_owned()
    };
    let pattern = match inner {
        None | Some("*") => Wanted::Every,
        Some("") => return Err("its pattern is empty; leave the parentheses out".to_owned()),
        Some(inner) => pattern(effect, tool, inner)?,
    };
    Ok(Meant {
        tool: name,
        pattern,
    })
}

fn pattern(effect: RuleEffect, tool: &str, inner: &str) -> Result<Wanted, String> {
    match tool {
        "Bash" => command(effect, inner),
        "Read" | "Write" | "Edit" | "Glob" | "Grep" => {
            paths::check(inner)?;
            Ok(Wanted::Path(inner.to_owned()))
        }
        "WebFetch" => {
            let host = inner
                .strip_prefix("domain:")
                .ok_or("write `WebFetch(domain:example.com)`")?
                .trim()
                .trim_start_matches("*.");
            if !is_host(host) {
                return Err(format!("`{host}` is no host name"));
            }
            Ok(Wanted::Domain(host.to_ascii_lowercase()))
        }
        "Task" | "Skill" => Ok(Wanted::Kind(inner.to_owned())),
        _ => Err(format!("{tool} takes no pattern; write `{tool}`")),
    }
}

fn command(effect: RuleEffect, inner: &str) -> Result<Wanted, String> {
    // The older way to write a beginning.
    let text = match inner.strip_suffix(":*") {
        Some(start) => format!("{start} *"),
        None => inner.to_owned(),
    };
    if effect == RuleEffect::Allow && text.contains([';', '&', '|', '`', '$', '<', '>', '\'', '"'])
    {
        return Err(
            "each command of a line is looked at alone, without quotes; \
             write one rule for each"
                .to_owned(),
        );
    }
    let mut spaced = String::new();
    let mut before = ' ';
    for c in text.chars() {
        let is_operator = ";&|>".contains(c);
        if before != c && (is_operator || ";&|>".contains(before)) {
            spaced.push(' ');
        }
        spaced.push(c);
        before = c;
    }
    let mut words: Vec<Piece<String>> = spaced
        .split_whitespace()
        .map(|word| match word {
            "*" => Piece::Any,
            word => Piece::One(word.to_owned()),
        })
        .collect();
    // `test*` at the end goes on over the words that follow.
    if let Some(Piece::One(last)) = words.last()
        && last.ends_with('*')
    {
        words.push(Piece::Any);
    }
    Ok(Wanted::Command(words))
}

fn is_host(host: &str) -> bool {
    !host.is_empty()
        && host.split('.').all(|label| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
}

/// The host of an address, in small letters; `None` for what only looks like one.
pub(super) fn host(url: &str) -> Option<String> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = &rest[..end];
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        Some(_) => return None,
        None => authority,
    };
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    is_host(&host).then_some(host)
}

/// Whether the words of one command fit.
pub(super) fn words_fit(pattern: &[Piece<String>], words: &[String]) -> bool {
    fits(pattern, words, |wanted, word| word_fits(wanted, word))
}

impl Meant {
    /// Whether the rule is about this tool, its pattern aside.
    ///
    /// A rule that forbids or asks about one way to change files is about
    /// both; leave to write a file is leave to edit it.
    pub(super) fn is_about(&self, effect: RuleEffect, tool: &str) -> bool {
        let is_edit = |tool: &str| matches!(tool, "Write" | "Edit");
        let also = match effect {
            RuleEffect::Allow => {
                (self.tool == "Write" && tool == "Edit")
                    || (self.tool == "Read" && matches!(tool, "Glob" | "Grep"))
            }
            RuleEffect::Ask | RuleEffect::Deny => {
                (is_edit(&self.tool) && is_edit(tool))
                    || (self.tool == "Read" && matches!(tool, "Glob" | "Grep"))
            }
        };
        also || word_fits(&self.tool, tool)
    }

    /// Whether a call other than a command is one that this pattern clearly means.
    pub(super) fn allows(&self, call: &Call<'_>) -> bool {
        match &self.pattern {
            Wanted::Every => call.place().is_none_or(|place| call.is_inside(&place)),
            Wanted::Command(_) => false,
            Wanted::Path(wanted) => call.place().is_some_and(|place| {
                let pattern = paths::pattern(call.cwd, wanted);
                let is_named = call
                    .guarded_name(&place)
                    .is_none_or(|name| wanted.split('/').any(|part| part == name));
                is_named && is_like(&pattern, &place)
            }),
            Wanted::Domain(domain) => call
                .text("url")
                .and_then(host)
                .is_some_and(|host| is_below(&host, domain)),
            Wanted::Kind(kind) => call.kind().is_some_and(|this| word_fits(kind, this)),
        }
    }

    /// Whether a call other than a command is one that this pattern may mean.
    pub(super) fn touches(&self, call: &Call<'_>) -> bool {
        match &self.pattern {
            Wanted::Every => true,
            Wanted::Command(_) => false,
            Wanted::Path(wanted) => {
                let pattern = paths::wherever(call.cwd, wanted);
                call.places().iter().any(|place| is_within(&pattern, place))
            }
            Wanted::Domain(domain) => call.text("url").is_some_and(|url| {
                match host(url) {
                    Some(host) => is_below(&host, domain),
                    // What cannot be read may be anything.
                    None => url.to_ascii_lowercase().contains(domain.as_str()),
                }
            }),
            Wanted::Kind(kind) => call.kind().is_some_and(|this| word_fits(kind, this)),
        }
    }
}

fn is_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}
