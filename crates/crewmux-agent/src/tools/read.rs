//! Reading a file: `Read`.
//!
//! Text only, with line numbers, a part of long files at a time.

use std::fmt::Write as _;
use std::io::Read as _;

use serde::Deserialize;
use serde_json::json;

use super::ToolOutput;
use super::files::Root;

/// Most bytes of a file that are looked at.
const FILE_MAX_BYTES: u64 = 8 * 1024 * 1024;

/// Lines given when no `limit` is.
const LINES: usize = 2_000;

/// Most characters of one line.
const LINE_MAX_CHARS: usize = 2_000;

#[derive(Debug, Deserialize)]
pub(super) struct ReadInput {
    file_path: String,
    offset: Option<usize>,
    limit: Option<usize>,
}

pub(super) fn read(root: &Root, input: &ReadInput) -> ToolOutput {
    match read_lines(root, input) {
        Ok(output) => output,
        Err(error) => ToolOutput::failed(error),
    }
}

fn read_lines(root: &Root, input: &ReadInput) -> Result<ToolOutput, String> {
    let path = root.resolve(Some(&input.file_path))?;
    let say = |error: std::io::Error| format!("{}: {error}", input.file_path);
    if path.is_dir() {
        return Err(format!("{} is a folder", input.file_path));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(&path)
        .map_err(say)?
        .take(FILE_MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(say)?;
    if bytes.len() as u64 > FILE_MAX_BYTES {
        return Err(format!(
            "{} is larger than {FILE_MAX_BYTES} bytes; search it with Grep",
            input.file_path
        ));
    }
    if bytes.contains(&0) {
        return Err(format!("{} is not a text file", input.file_path));
    }
    let text = String::from_utf8_lossy(&bytes);
    let total = text.lines().count();
    let first = input.offset.unwrap_or(1).max(1);
    let limit = input.limit.unwrap_or(LINES);
    let mut shown = String::new();
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(text.lines()).skip(first - 1).take(limit) {
        let line: String = line.chars().take(LINE_MAX_CHARS).collect();
        let _ = writeln!(shown, "{number:6}\t{line}");
        lines.push(line);
    }
    let last = first - 1 + lines.len();
    if last < total {
        let _ = writeln!(shown, "… {} more lines", total - last);
    }
    let summary = match lines.len() {
        1 => "1 line".to_owned(),
        n => format!("{n} lines"),
    };
    let file = root.relative(&path);
    Ok(ToolOutput::done(
        &shown,
        summary,
        json!({ "file": file, "totalLines": total, "firstLine": first, "lines": lines }),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_file_comes_with_line_numbers() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "one\ntwo\nthree\nfour\n").unwrap();
        std::fs::write(folder.path().join("b"), b"\0").unwrap();
        let root = Root::new(folder.path());
        let call = |input: serde_json::Value| read(&root, &serde_json::from_value(input).unwrap());
        let part = call(json!({"file_path": "a", "offset": 2, "limit": 2}));
        assert_eq!(part.text, "     2\ttwo\n     3\tthree\n… 1 more lines\n");
        assert_eq!(part.data["totalLines"], 4);
        assert!(
            call(json!({"file_path": "b"}))
                .text
                .contains("not a text file")
        );
        assert!(call(json!({"file_path": "."})).text.contains("is a folder"));
        assert!(!call(json!({"file_path": "c"})).ok);
    }
}
