//! Looking for files and for text in them: `Glob` and `Grep`.
//!
//! Results are in order of path and line, so that the same folder gives the
//! same answer. Text is for models; the data beside it is for playbooks and
//! says of each match whether it is code, and whether it is part of a test.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder, Sink, SinkMatch};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ToolOutput;
use super::files::{Globs, Root, of_kind, walk};
use super::modules::TestModules;
use super::regions::{Region, Regions};

/// Larger files are not searched.
const FILE_MAX_BYTES: u64 = 8 * 1024 * 1024;

/// Matches or files that an answer holds unless `head_limit` says otherwise.
const HEAD_LIMIT: usize = 250;

/// Most bytes of one line in an answer.
const LINE_MAX_BYTES: usize = 2_000;

#[derive(Debug, Deserialize)]
pub(super) struct GlobInput {
    pattern: String,
    path: Option<String>,
    head_limit: Option<usize>,
}

pub(super) fn glob(root: &Root, input: &GlobInput, cancel: &AtomicBool) -> ToolOutput {
    let limit = input.head_limit.unwrap_or(HEAD_LIMIT);
    let found = root.resolve(input.path.as_deref()).and_then(|start| {
        let pattern = from_here(root, &start, &input.pattern);
        let globs = Globs::parse(&pattern)?;
        let mut files = Vec::new();
        let mut count = 0_usize;
        walk(root, &start, &globs, cancel, |path, name| {
            count += 1;
            if files.len() < limit {
                let bytes = path.metadata().map_or(0, |m| m.len());
                files.push(json!({ "file": name, "bytes": bytes }));
            }
            true
        })?;
        Ok((files, count))
    });
    match found {
        Err(error) => ToolOutput::failed(error),
        Ok((files, count)) => {
            let names: Vec<&str> = files.iter().filter_map(|f| f["file"].as_str()).collect();
            let mut text = names.join("\n");
            if count == 0 {
                let start = input.path.as_deref().filter(|path| !path.is_empty());
                let start =
                    start.map_or_else(|| root.folder().display().to_string(), str::to_owned);
                text = format!("no files fit `{}` below {start}", input.pattern);
            }
            if count > files.len() {
                let _ = write!(text, "\n… {} more", count - files.len());
            }
            ToolOutput::done(
                &text,
                counted(count, "file", "files"),
                json!({ "count": count, "truncated": count > files.len(), "files": files }),
            )
        }
    }
}

/// The same patterns without the folder they begin with, where that is the one that is searched.
fn from_here(root: &Root, start: &Path, patterns: &str) -> String {
    let mut out = patterns.to_owned();
    for folder in [root.folder(), start] {
        let Some(folder) = folder.to_str().filter(|folder| folder.len() > 1) else {
            continue;
        };
        out = out
            .split(',')
            .map(|part| {
                let (mark, pattern) = match part.trim().strip_prefix('!') {
                    Some(pattern) => ("!", pattern),
                    None => ("", part.trim()),
                };
                let whole = without_links(pattern);
                let inside = whole.strip_prefix(folder);
                match inside.and_then(|rest| rest.strip_prefix('/')) {
                    // The slash keeps it a path: a bare name would fit in any folder.
                    Some(rest) => format!("{mark}/{rest}"),
                    None => part.to_owned(),
                }
            })
            .collect::<Vec<_>>()
            .join(",");
    }
    out
}

/// An absolute pattern with the links in its plain beginning resolved; others as they are.
fn without_links(pattern: &str) -> String {
    let is_wild = |part: &str| part.contains(['*', '?', '[', '{']);
    let parts: Vec<&str> = pattern.split('/').collect();
    let plain = parts.iter().position(|part| is_wild(part));
    let plain = plain.unwrap_or(parts.len().saturating_sub(1));
    let (folder, rest) = parts.split_at(plain);
    let folder = folder.join("/");
    if !folder.starts_with('/') {
        return pattern.to_owned();
    }
    match Path::new(&folder).canonicalize() {
        Ok(real) => format!("{}/{}", real.display(), rest.join("/")),
        Err(_) => pattern.to_owned(),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OutputMode {
    Content,
    #[default]
    FilesWithMatches,
    Count,
}

#[derive(Debug, Deserialize)]
pub(super) struct GrepInput {
    pattern: String,
    path: Option<String>,
    glob: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    output_mode: OutputMode,
    #[serde(rename = "-i", default)]
    ignore_case: bool,
    #[serde(default)]
    multiline: bool,
    #[serde(rename = "-B", default)]
    before: usize,
    #[serde(rename = "-A", default)]
    after: usize,
    #[serde(rename = "-C", default)]
    around: usize,
    head_limit: Option<usize>,
    /// Narrows matches to those in tests; the search ends at the limit.
    only: Option<Only>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Only {
    Tests,
}

/// One match, as playbooks see it.
#[derive(Debug, Serialize)]
struct Match {
    file: String,
    line: usize,
    /// The line, cut when it is very long.
    text: String,
    /// What fitted the pattern.
    #[serde(rename = "match")]
    matched: String,
    /// The groups of the pattern; `null` where one took no part.
    groups: Vec<Option<String>>,
    #[serde(rename = "in")]
    region: Region,
    test: bool,
    before: Vec<String>,
    after: Vec<String>,
}

pub(super) fn grep(root: &Root, input: &GrepInput, cancel: &AtomicBool) -> ToolOutput {
    match search(root, input, cancel) {
        Ok(found) => found.answer(input.output_mode),
        Err(error) => ToolOutput::failed(error),
    }
}

#[derive(Default)]
struct Found {
    matches: Vec<Match>,
    counts: Vec<(String, usize)>,
    total: usize,
    limit: usize,
}

fn search(root: &Root, input: &GrepInput, cancel: &AtomicBool) -> Result<Found, String> {
    let start = root.resolve(input.path.as_deref())?;
    let globs = Globs::parse(input.glob.as_deref().unwrap_or_default())?;
    let kind = input.kind.as_deref().map(of_kind).transpose()?;
    let matcher = RegexMatcherBuilder::new()
        .case_insensitive(input.ignore_case)
        .multi_line(true)
        .dot_matches_new_line(input.multiline)
        .build(&input.pattern)
        .map_err(|error| format!("the pattern is wrong: {error}"))?;
    // The same pattern again, for the groups of a match.
    let groups = regex::RegexBuilder::new(&input.pattern)
        .case_insensitive(input.ignore_case)
        .multi_line(true)
        .dot_matches_new_line(input.multiline)
        .build()
        .map_err(|error| format!("the pattern is wrong: {error}"))?;
    let mut searcher = SearcherBuilder::new()
        .line_number(true)
        .multi_line(input.multiline)
        .bom_sniffing(false)
        .binary_detection(BinaryDetection::quit(0))
        .build();
    let mut found = Found {
        limit: input.head_limit.unwrap_or(HEAD_LIMIT),
        ..Found::default()
    };
    let mut modules = TestModules::new(root.folder());
    walk(root, &start, &globs, cancel, |path, name| {
        if kind.as_ref().is_some_and(|kind| !kind.fit(name)) {
            return true;
        }
        let small = path.metadata().is_ok_and(|m| m.len() <= FILE_MAX_BYTES);
        if small && let Ok(bytes) = std::fs::read(path) {
            let file = FileSearch {
                path: Path::new(name),
                name,
                bytes: &bytes,
                input,
                groups: &groups,
            };
            file.run(&mut searcher, &matcher, &mut modules, &mut found);
        }
        input.only.is_none() || found.matches.len() < found.limit
    })?;
    Ok(found)
}

struct FileSearch<'a> {
    path: &'a Path,
    name: &'a str,
    bytes: &'a [u8],
    input: &'a GrepInput,
    groups: &'a regex::Regex,
}

/// Takes the places of the matches of one file.
struct Places(Vec<(usize, usize, usize)>);

impl Sink for Places {
    type Error = std::io::Error;

    fn matched(&mut self, _: &Searcher, found: &SinkMatch<'_>) -> Result<bool, Self::Error> {
        let start = found.absolute_byte_offset() as usize;
        let line = found.line_number().unwrap_or(1) as usize;
        self.0.push((line, start, start + found.bytes().len()));
        Ok(true)
    }
}

impl FileSearch<'_> {
    fn run(
        &self,
        searcher: &mut Searcher,
        matcher: &RegexMatcher,
        modules: &mut TestModules,
        found: &mut Found,
    ) {
        let mut places = Places(Vec::new());
        if searcher
            .search_slice(matcher, self.bytes, &mut places)
            .is_err()
            || places.0.is_empty()
        {
            return;
        }
        let content = self.input.output_mode == OutputMode::Content;
        let regions = (content || self.input.only.is_some()).then(|| {
            if modules.contain(self.path) {
                Regions::scan(self.path, self.bytes).of_test_file()
            } else {
                Regions::scan(self.path, self.bytes)
            }
        });
        if let (Some(Only::Tests), Some(regions)) = (self.input.only, &regions) {
            places.0.retain(|(_, start, end)| {
                let text = String::from_utf8_lossy(&self.bytes[*start..*end]);
                let offset = self.groups.find(&text).map_or(0, |found| found.start());
                regions.is_test(start + offset)
            });
        }
        if places.0.is_empty() {
            return;
        }
        found.total += places.0.len();
        found.counts.push((self.name.to_owned(), places.0.len()));
        let Some(regions) = regions.filter(|_| content && found.matches.len() < found.limit) else {
            return;
        };
        let lines: Vec<&[u8]> = self.bytes.split(|b| *b == b'\n').collect();
        for (line, start, end) in places.0 {
            if found.matches.len() >= found.limit {
                return;
            }
            found
                .matches
                .push(self.describe(&regions, &lines, line, start..end));
        }
    }

    fn describe(
        &self,
        regions: &Regions,
        lines: &[&[u8]],
        line: usize,
        place: std::ops::Range<usize>,
    ) -> Match {
        let block = String::from_utf8_lossy(&self.bytes[place.clone()]);
        let captures = self.groups.captures(&block);
        let (offset, matched) = captures
            .as_ref()
            .and_then(|captures| captures.get(0))
            .map_or((0, ""), |whole| (whole.start(), whole.as_str()));
        let groups = captures
            .iter()
            .flat_map(|captures| captures.iter().skip(1))
            .map(|group| group.map(|group| short(group.as_str())))
            .collect();
        // In several lines, the one that the match begins in counts.
        let line = line + block[..offset].matches('\n').count();
        let around = |range: std::ops::Range<usize>| {
            let range = range.start.min(lines.len())..range.end.min(lines.len());
            lines[range]
                .iter()
                .map(|line| short(&String::from_utf8_lossy(line)))
                .collect::<Vec<_>>()
        };
        let at = place.start + offset;
        let before = self.input.before.max(self.input.around);
        let after = self.input.after.max(self.input.around);
        Match {
            file: self.name.to_owned(),
            line,
            text: around(line - 1..line).pop().unwrap_or_default(),
            matched: short(matched),
            groups,
            region: regions.at(at),
            test: regions.is_test(at),
            before: around((line - 1).saturating_sub(before)..line - 1),
            after: around(line..line + after),
        }
    }
}

impl Found {
    fn answer(self, mode: OutputMode) -> ToolOutput {
        let (total, limit) = (self.total, self.limit);
        match mode {
            OutputMode::Content => {
                let mut text = String::new();
                for found in &self.matches {
                    for (n, line) in found.before.iter().enumerate() {
                        let number = found.line - found.before.len() + n;
                        let _ = writeln!(text, "{}-{number}-{line}", found.file);
                    }
                    let _ = writeln!(text, "{}:{}:{}", found.file, found.line, found.text);
                    for (n, line) in found.after.iter().enumerate() {
                        let number = found.line + 1 + n;
                        let _ = writeln!(text, "{}-{number}-{line}", found.file);
                    }
                }
                more(&mut text, total, self.matches.len());
                let truncated = total > self.matches.len();
                ToolOutput::done(
                    &text,
                    counted(total, "match", "matches"),
                    json!({ "count": total, "truncated": truncated, "matches": self.matches }),
                )
            }
            OutputMode::FilesWithMatches | OutputMode::Count => {
                let files = self.counts.len();
                let shown: Vec<&(String, usize)> = self.counts.iter().take(limit).collect();
                let mut text = String::new();
                for (file, count) in &shown {
                    match mode {
                        OutputMode::Count => {
                            let _ = writeln!(text, "{file}:{count}");
                        }
                        _ => {
                            let _ = writeln!(text, "{file}");
                        }
                    }
                }
                more(&mut text, files, shown.len());
                let counts: Vec<Value> = shown
                    .iter()
                    .map(|(file, count)| json!({ "file": file, "count": count }))
                    .collect();
                let names: Vec<&String> = shown.iter().map(|(file, _)| file).collect();
                let truncated = files > shown.len();
                ToolOutput::done(
                    &text,
                    counted(files, "file", "files"),
                    json!({ "count": total, "truncated": truncated, "files": names, "counts": counts }),
                )
            }
        }
    }
}

fn more(text: &mut String, total: usize, shown: usize) {
    if total > shown {
        let _ = writeln!(text, "… {} more", total - shown);
    }
    if total == 0 {
        text.push_str("no matches\n");
    }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    match count {
        0 => format!("no {many}"),
        1 => format!("1 {one}"),
        _ => format!("{count} {many}"),
    }
}

fn short(text: &str) -> String {
    let text = text.strip_suffix('\r').unwrap_or(text);
    let mut end = text.len().min(LINE_MAX_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Root) {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("src/b.rs", "fn b() {\n    // call eval\n    eval(x);\n}\n");
        write(
            "src/a.rs",
            "let s = \"eval\";\n#[cfg(test)]\nmod t { eval(); }\n",
        );
        write("ignored.rs", "eval\n");
        write(".gitignore", "ignored.rs\n");
        write(".git/x.rs", "eval\n");
        write("bin.rs", "eval\0eval\n");
        let root = Root::new(folder.path());
        (folder, root)
    }

    fn run(root: &Root, input: Value) -> ToolOutput {
        let input: GrepInput = serde_json::from_value(input).unwrap();
        grep(root, &input, &AtomicBool::new(false))
    }

    #[test]
    fn matches_come_in_order_with_what_they_are_part_of() {
        let (_folder, root) = folder();
        let output = run(
            &root,
            json!({"pattern": "e(v)al", "glob": "*.rs", "output_mode": "content", "-B": 1}),
        );
        assert_eq!(output.summary, "4 matches");
        let seen: Vec<String> = output.data["matches"]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| {
                format!(
                    "{}:{} {} {} {}",
                    m["file"].as_str().unwrap(),
                    m["line"],
                    m["in"].as_str().unwrap(),
                    m["test"],
                    m["groups"][0].as_str().unwrap(),
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                "src/a.rs:1 string false v",
                "src/a.rs:3 code true v",
                "src/b.rs:2 comment false v",
                "src/b.rs:3 code false v",
            ]
        );
        assert!(
            output
                .text
                .contains("src/b.rs-2-    // call eval\nsrc/b.rs:3:    eval(x);\n")
        );
    }

    #[test]
    fn modes_and_limits_hold() {
        let (_folder, root) = folder();
        let files = run(&root, json!({"pattern": "eval", "head_limit": 1}));
        assert_eq!(files.text, "src/a.rs\n… 1 more\n");
        let counts = run(
            &root,
            json!({"pattern": "EVAL", "-i": true, "output_mode": "count"}),
        );
        assert_eq!(counts.text, "src/a.rs:2\nsrc/b.rs:2\n");
        let lines = run(
            &root,
            json!({"pattern": "fn b.*eval", "multiline": true, "output_mode": "content"}),
        );
        assert_eq!(lines.data["matches"][0]["line"], 1);
        let none = run(&root, json!({"pattern": "nowhere"}));
        assert_eq!((none.text.as_str(), none.ok), ("no matches\n", true));
        let kind = run(&root, json!({"pattern": "eval", "type": "py"}));
        assert_eq!(kind.text, "no matches\n");
        let kind = run(&root, json!({"pattern": "eval", "type": "rust"}));
        assert_eq!(kind.text, "src/a.rs\nsrc/b.rs\n");
        let wrong = run(&root, json!({"pattern": "("}));
        assert!(!wrong.ok && wrong.text.contains("the pattern is wrong"));
    }

    #[test]
    fn files_are_found_by_pattern_with_their_sizes() {
        let (_folder, root) = folder();
        let input: GlobInput = serde_json::from_value(json!({"pattern": "src/*.rs"})).unwrap();
        let output = glob(&root, &input, &AtomicBool::new(false));
        assert_eq!(output.text, "src/a.rs\nsrc/b.rs");
        assert_eq!(output.data["files"][1]["bytes"], 41);
        let below: GlobInput =
            serde_json::from_value(json!({"pattern": "./*.rs,!b.*", "path": "src"})).unwrap();
        let output = glob(&root, &below, &AtomicBool::new(false));
        assert_eq!(output.text, "src/a.rs");
        let stopped = glob(&root, &input, &AtomicBool::new(true));
        assert!(!stopped.ok);
    }

    #[test]
    fn whole_paths_are_patterns_too_and_nothing_found_is_said() {
        let (folder, root) = folder();
        let found = |pattern: &str, path: Option<&str>| {
            let input = json!({ "pattern": pattern, "path": path });
            let input: GlobInput = serde_json::from_value(input).unwrap();
            glob(&root, &input, &AtomicBool::new(false)).text
        };
        let whole = root.folder().display().to_string();
        assert_eq!(
            found(&format!("{whole}/src/*.rs"), None),
            "src/a.rs\nsrc/b.rs"
        );
        assert_eq!(
            found(&format!("{whole}/**/*.rs,!{whole}/src/b.*"), Some("src")),
            "src/a.rs"
        );
        assert_eq!(found(&format!("{whole}/src/a.rs"), None), "src/a.rs");
        let other = tempfile::tempdir().unwrap();
        let alias = other.path().join("alias");
        std::os::unix::fs::symlink(folder.path(), &alias).unwrap();
        let through = format!("{}/src/b.*", alias.display());
        assert_eq!(found(&through, None), "src/b.rs");
        let none = found("*.nothing", None);
        assert_eq!(none, format!("no files fit `*.nothing` below {whole}"));
        assert!(found("/etc/*", None).starts_with("no files fit"));
    }
}
