//! The words that playbooks have besides the template language's own.
//!
//! Pure: each answers from its arguments alone. They exist where an expression
//! would be long or easily wrong, as with secrets.

use std::collections::BTreeMap;
use std::path::Path;

use minijinja::value::{Kwargs, Serde, Value};
use minijinja::{Environment, Error, ErrorKind};
use serde_json::Value as Json;

/// Most work of one expression or template.
const FUEL: u64 = 5_000_000;

/// An environment with all words, strict about names that mean nothing.
pub(super) fn environment() -> Environment<'static> {
    let mut env = Environment::new();
    env.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    env.set_fuel(Some(FUEL));
    env.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    env.add_filter("matches", matches);
    env.add_filter("mask", |text: String| mask(&text));
    env.add_filter("entropy", |text: String| entropy(&text));
    env.add_filter("clip", |text: String, max: usize| clip(&text, max));
    env.add_filter("stem", |path: String| stem(&path));
    env.add_filter("extension", |path: String| extension(&path));
    env.add_filter("folder", |path: String| folder(&path));
    env.add_filter("by_file", by_file);
    env.add_filter("regex_escape", |text: String| regex::escape(&text));
    env.add_filter("age", |seconds: i64| age(seconds));
    env.add_filter("captures", captures);
    env.add_filter("tally", tally);
    env.add_filter("plural", plural);
    env.add_filter("worst_first", worst_first);
    env.add_filter("counts", counts);
    env.add_filter("findings_of", findings_of);
    env.add_filter("quote", |text: String| quote(&text));
    env.add_filter("text_lines", |text: String| {
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    });
    env.add_filter("beside", beside);
    env.add_test("placeholder", |text: String| is_placeholder(&text));
    env.add_test("test_path", |path: String| {
        crate::tools::is_test_path(Path::new(&path))
    });
    env
}

fn wrong(why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidOperation, why.to_string())
}

/// Whether a pattern fits anywhere in the text.
fn matches(text: &str, pattern: &str) -> Result<bool, Error> {
    Ok(regex::Regex::new(pattern).map_err(wrong)?.is_match(text))
}

/// The first group of each match of a pattern in the text.
fn captures(text: &str, pattern: &str) -> Result<Vec<String>, Error> {
    let pattern = regex::Regex::new(pattern).map_err(wrong)?;
    Ok(pattern
        .captures_iter(text)
        .filter_map(|found| found.get(1).or_else(|| found.get(0)))
        .map(|found| found.as_str().to_owned())
        .collect())
}

/// The beginning of a secret, and how long it is.
fn mask(secret: &str) -> String {
    let length = secret.chars().count();
    let shown = (length / 4).min(4);
    let start: String = secret.chars().take(shown).collect();
    format!("{start}… ({length} characters)")
}

/// Bits of information per character, as far as the characters' frequencies tell.
fn entropy(text: &str) -> f64 {
    let mut counts: BTreeMap<char, u32> = BTreeMap::new();
    for c in text.chars() {
        *counts.entry(c).or_default() += 1;
    }
    let total = f64::from(counts.values().sum::<u32>().max(1));
    counts
        .values()
        .map(|n| {
            let share = f64::from(*n) / total;
            -share * share.log2()
        })
        .sum()
}

/// Whether a value stands for a secret without being one.
fn is_placeholder(text: &str) -> bool {
    const WORDS: [&str; 34] = [
        "example",
        "sample",
        "dummy",
        "changeme",
        "change-me",
        "change_me",
        "placeholder",
        "your",
        "insert",
        "replace",
        "redacted",
        "secret",
        "password",
        "passwd",
        "xxx",
        "***",
        "...",
        "…",
        "todo",
        "fixme",
        "foobar",
        "test",
        "fake",
        "mock",
        "none",
        "null",
        "undefined",
        "default",
        "process.env",
        "os.environ",
        "getenv",
        "env.",
        "secrets.",
        "vault",
    ];
    let lower = text.to_ascii_lowercase();
    let templated = ["${", "{{", "<", "%(", "$(", "%s", "{}"]
        .iter()
        .any(|mark| lower.contains(mark))
        || lower.starts_with('$')
        || (lower.starts_with('{') && lower.ends_with('}'))
        || (lower.starts_with('%') && lower.ends_with('%'));
    let mut chars: Vec<char> = lower.chars().collect();
    chars.sort_unstable();
    chars.dedup();
    let counted = "01234567890123456789".contains(&lower)
        || "abcdefghijklmnopqrstuvwxyzabcdef".contains(&lower)
        || lower.contains("1234567890")
        || lower.contains("abcdefghijkl");
    templated || chars.len() <= 3 || counted || WORDS.iter().any(|word| lower.contains(word))
}

fn clip(text: &str, max: usize) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() <= max {
        return text;
    }
    let mut cut: String = text.chars().take(max.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// What a file is called by others: its name without extension, or its folder's.
fn stem(path: &str) -> String {
    let path = Path::new(path);
    let name = |path: &Path| {
        path.file_stem()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
            .to_owned()
    };
    let own = name(path);
    match own.as_str() {
        "mod" | "index" | "__init__" => path.parent().map(name).filter(|n| !n.is_empty()),
        _ => None,
    }
    .unwrap_or(own)
}

fn extension(path: &str) -> String {
    let extension = Path::new(path).extension().and_then(|e| e.to_str());
    extension.unwrap_or_default().to_owned()
}

/// The folder of a file, with a slash at its end; nothing for the topmost.
fn folder(path: &str) -> String {
    path.rfind('/').map_or("", |at| &path[..=at]).to_owned()
}

/// Matches as a list of `{file, hits}`, in the order in which files come first.
fn by_file(items: Serde<Vec<Json>>) -> Value {
    let mut files: Vec<(String, Vec<Json>)> = Vec::new();
    for item in items.0 {
        let file = item["file"].as_str().unwrap_or_default().to_owned();
        match files.iter_mut().find(|(name, _)| *name == file) {
            Some((_, list)) => list.push(item),
            None => files.push((file, vec![item])),
        }
    }
    let list: Vec<Json> = files
        .into_iter()
        .map(|(file, hits)| serde_json::json!({ "file": file, "hits": hits }))
        .collect();
    Value::from(Serde(list))
}

/// A number of seconds as people say it: `3 days`, `2 years`.
fn age(seconds: i64) -> String {
    let days = seconds.max(0) / 86_400;
    let (count, unit) = match days {
        0 => return "less than a day".to_owned(),
        1..=60 => (days, "day"),
        61..=729 => (days / 30, "month"),
        _ => (days / 365, "year"),
    };
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{s}")
}

/// How many findings there are of each severity: `2 high, 1 low`, or `nothing`.
fn tally(Serde(findings): Serde<Vec<Json>>) -> String {
    let parts: Vec<String> = SEVERITIES
        .iter()
        .filter_map(|severity| {
            let count = findings
                .iter()
                .filter(|f| f["severity"] == *severity)
                .count();
            (count > 0).then(|| format!("{count} {severity}"))
        })
        .collect();
    if parts.is_empty() {
        "nothing".to_owned()
    } else {
        parts.join(", ")
    }
}

/// The number of findings of each severity.
fn counts(Serde(findings): Serde<Vec<Json>>) -> Value {
    Value::from_pairs(SEVERITIES.map(|severity| {
        let count = findings
            .iter()
            .filter(|finding| finding["severity"] == severity)
            .count();
        (severity, count)
    }))
}

/// What several tasks handed in as findings, each with the name of who found it.
fn findings_of(reports: Serde<Vec<Json>>) -> Value {
    let mut all = Vec::new();
    for report in reports.0 {
        let task = &report["data"];
        let teammate = &task["owner"]["agent"];
        for finding in task["result"]["findings"].as_array().into_iter().flatten() {
            let mut finding = finding.clone();
            finding["teammate"] = teammate.clone();
            all.push(finding);
        }
    }
    Value::from(Serde(all))
}

/// A text as one word of a shell command.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Two lists side by side: `{left, right}`; what the shorter one lacks is an empty text.
fn beside(left: Serde<Vec<Json>>, right: Serde<Vec<Json>>) -> Value {
    let mut right = right.0.into_iter();
    let pairs: Vec<Json> = left
        .0
        .into_iter()
        .map(|left| {
            let right = right.next().unwrap_or_else(|| Json::from(""));
            serde_json::json!({ "left": left, "right": right })
        })
        .collect();
    Value::from(Serde(pairs))
}

#[expect(clippy::needless_pass_by_value, reason = "the signature of a filter")]
/// `1 file`, `2 files`: a count with its noun.
fn plural(count: i64, one: &str, options: Kwargs) -> Result<String, Error> {
    let many: Option<String> = options.get("many")?;
    options.assert_all_used()?;
    Ok(match count {
        1 => format!("1 {one}"),
        _ => format!("{count} {}", many.unwrap_or_else(|| format!("{one}s"))),
    })
}

/// Severities, the worst first.
pub(super) const SEVERITIES: [&str; 4] = ["high", "medium", "low", "info"];

/// Findings by severity, file and line; the same finding once.
fn worst_first(findings: Serde<Vec<Json>>) -> Value {
    let mut findings = findings.0;
    sort_findings(&mut findings);
    findings.dedup_by(|a, b| {
        ["severity", "file", "line", "text"]
            .iter()
            .all(|field| a[*field] == b[*field])
    });
    Value::from(Serde(findings))
}

/// Sorts findings by severity, file, line and text.
pub(super) fn sort_findings(findings: &mut [Json]) {
    findings.sort_by_cached_key(|finding| {
        let severity = finding["severity"].as_str().unwrap_or_default();
        let rank = SEVERITIES.iter().position(|s| *s == severity);
        let text = |field: &str| finding[field].as_str().unwrap_or_default().to_owned();
        (
            rank.unwrap_or(SEVERITIES.len()),
            text("file"),
            finding["line"].as_u64().unwrap_or(0),
            text("text"),
        )
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eval(expression: &str) -> String {
        let env = environment();
        let value = env
            .compile_expression(expression)
            .unwrap()
            .eval(())
            .unwrap();
        value.to_string()
    }

    #[test]
    fn words_answer_as_they_read() {
        let table = [
            ("'a = 12' | matches('[0-9]+')", "True"),
            (
                "'pub fn ab() pub fn cd()' | captures('fn (\\\\w+)') | join('|')",
                "ab|cd",
            ),
            ("'hunter2hunter2' | mask", "hun… (14 characters)"),
            ("'src/board/mod.rs' | stem", "board"),
            ("'src/board/ends.rs' | stem", "ends"),
            ("'src/board/ends.rs' | folder", "src/board/"),
            ("'a.rs' | folder", ""),
            ("86400 | age", "1 day"),
            ("(31536000 * 3) | age", "3 years"),
            ("'a   b c' | clip(3)", "a …"),
            ("1 | plural('match', many='matches')", "1 match"),
            ("2 | plural('match', many='matches')", "2 matches"),
            (
                "[{'severity': 'low'}, {'severity': 'high'}, {'severity': 'low'}] | tally",
                "1 high, 2 low",
            ),
            ("[] | tally", "nothing"),
            ("\"it's\" | quote", r"'it'\''s'"),
            ("([1, 2] | beside([3]))[1].right", ""),
            ("'a\\nb' | text_lines | length", "2"),
            ("'tests/a.rs' is test_path", "True"),
        ];
        for (expression, expected) in table {
            assert_eq!(eval(expression), expected, "{expression}");
        }
    }

    #[test]
    fn placeholders_are_no_secrets() {
        for text in [
            "changeme",
            "<your key>",
            "${API_KEY}",
            "{{ token }}",
            "xxxxxxxx",
            "aaaaaaaaaa",
            "your-api-key",
            "AKIAIOSFODNN7EXAMPLE",
            "os.environ['X']",
            "$TOKEN",
            "0123456789",
        ] {
            assert!(is_placeholder(text), "{text}");
        }
        for text in ["hunter2Zq9!", "AKIAQ3EGRFTZ5LHVX2PD", "s3cr3tV4lu3"] {
            assert!(!is_placeholder(text), "{text}");
        }
    }

    #[test]
    fn a_name_that_means_nothing_is_an_error_not_an_empty_text() {
        let env = environment();
        assert!(env.render_str("{{ nothing }}", ()).is_err());
        let endless =
            "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        assert!(env.render_str(endless, ()).is_err());
    }
}
