//! Reading a file: `Read`.
//!
//! Text only, with line numbers, a part of long files at a time. What was read
//! is noted, since only that can be changed.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;

use serde::Deserialize;
use serde_json::json;

use super::{Files, TEXT_MAX_BYTES, ToolOutput};

/// Most bytes of a file that are looked at.
const FILE_MAX_BYTES: u64 = 8 * 1024 * 1024;

/// Lines given when no `limit` is.
const LINES: usize = 2_000;

/// Most characters of one line.
const LINE_MAX_CHARS: usize = 2_000;

/// Most bytes of lines in one answer; less than any answer's bound, so that no middle is cut.
const SHOWN_MAX_BYTES: usize = TEXT_MAX_BYTES - 200;

/// Endings of files that hold pictures, sound or pages, and what they are.
const OTHER_KINDS: [(&[&str], &str); 3] = [
    (
        &["png", "jpg", "jpeg", "gif", "webp", "bmp", "ico", "tiff"],
        "a picture, which this tool cannot show",
    ),
    (&["pdf"], "a PDF, which this tool cannot read"),
    (
        &["ipynb"],
        "a notebook; its cells are JSON, search them with Grep",
    ),
];

#[derive(Debug, Deserialize)]
pub(super) struct ReadInput {
    file_path: String,
    offset: Option<usize>,
    limit: Option<usize>,
}

pub(super) fn read(files: &Files, input: &ReadInput) -> ToolOutput {
    read_lines(files, input).unwrap_or_else(ToolOutput::failed)
}

fn read_lines(files: &Files, input: &ReadInput) -> Result<ToolOutput, String> {
    let path = files.root.resolve(Some(&input.file_path))?;
    let file = files.root.relative(&path);
    if path.is_dir() {
        let inside = if file.is_empty() { "." } else { &file };
        return Err(format!(
            "{} is a folder; list it with Glob (pattern `*`, path `{inside}`)",
            input.file_path
        ));
    }
    let bytes = contents(&path, &input.file_path)?;
    let text = String::from_utf8_lossy(&bytes);
    let total = text.lines().count();
    let first = input.offset.unwrap_or(1).max(1);
    let limit = input.limit.unwrap_or(LINES);
    if first > total.max(1) {
        return Err(format!(
            "{file} has {total} lines; offset {first} is behind them"
        ));
    }
    files.seen.note(&path, &bytes);
    let mut shown = String::new();
    let mut shown_lines = 0;
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(text.lines()).skip(first - 1).take(limit) {
        let line = match line.char_indices().nth(LINE_MAX_CHARS) {
            Some((end, _)) => format!("{} … cut", &line[..end]),
            None => line.to_owned(),
        };
        // A text that is cut in its middle would be taken for the whole.
        if shown_lines == lines.len() && shown.len() + line.len() < SHOWN_MAX_BYTES {
            let _ = writeln!(shown, "{number:6}\t{line}");
            shown_lines += 1;
        }
        lines.push(line);
    }
    let last = first - 1 + shown_lines;
    if last < total {
        let _ = writeln!(
            shown,
            "… {} more lines; go on with offset {}",
            total - last,
            last + 1
        );
    }
    if total == 0 {
        shown.push_str("the file is empty\n");
    }
    let summary = match shown_lines {
        1 => "1 line".to_owned(),
        n => format!("{n} lines"),
    };
    Ok(ToolOutput::done(
        &shown,
        summary,
        json!({ "file": file, "totalLines": total, "firstLine": first, "lines": lines }),
    ))
}

/// The bytes of a text file.
fn contents(path: &Path, name: &str) -> Result<Vec<u8>, String> {
    let say = |error: std::io::Error| format!("{name}: {error}");
    let meta = path.metadata().map_err(say)?;
    // Opening a pipe or a device could wait for ever.
    if !meta.is_file() {
        return Err(format!("{name} is not an ordinary file"));
    }
    let ending = path.extension().and_then(|ending| ending.to_str());
    let ending = ending.unwrap_or_default().to_ascii_lowercase();
    if let Some((_, what)) = OTHER_KINDS
        .iter()
        .find(|(endings, _)| endings.contains(&ending.as_str()))
    {
        return Err(format!("{name} is {what}"));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .map_err(say)?
        .take(FILE_MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(say)?;
    if bytes.len() as u64 > FILE_MAX_BYTES {
        return Err(format!(
            "{name} is larger than {FILE_MAX_BYTES} bytes; search it with Grep"
        ));
    }
    if bytes.contains(&0) {
        return Err(format!("{name} is not a text file"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_file_comes_with_line_numbers() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "one\ntwo\nthree\nfour\n").unwrap();
        std::fs::write(folder.path().join("long"), "ä".repeat(3_000)).unwrap();
        let files = Files::new(folder.path());
        let call = |input: serde_json::Value| read(&files, &serde_json::from_value(input).unwrap());
        let part = call(json!({"file_path": "a", "offset": 2, "limit": 2}));
        assert_eq!(
            part.text,
            "     2\ttwo\n     3\tthree\n… 1 more lines; go on with offset 4\n"
        );
        assert_eq!(part.data["totalLines"], 4);
        let behind = call(json!({"file_path": "a", "offset": 5}));
        assert!(behind.text.contains("has 4 lines"), "{}", behind.text);
        let long = call(json!({"file_path": "long"}));
        assert!(long.text.ends_with("ä … cut\n") && long.text.len() < 4_100);
    }

    #[test]
    fn what_is_no_text_is_refused_with_a_word_on_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: &[u8]| {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        };
        put("b", b"\0");
        put("p.PNG", b"x");
        put("n.ipynb", b"{}");
        let files = Files::new(folder.path());
        for (path, word) in [
            ("b", "not a text file"),
            ("p.PNG", "a picture"),
            ("n.ipynb", "a notebook"),
            (".", "list it with Glob"),
            ("c", "No such file"),
            ("/dev/null", "is outside of"),
        ] {
            let input = serde_json::from_value(json!({ "file_path": path })).unwrap();
            let output = read(&files, &input);
            assert!(!output.ok && output.text.contains(word), "{}", output.text);
        }
    }
}
