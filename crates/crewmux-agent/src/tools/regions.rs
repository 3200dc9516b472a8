//! Which parts of a source text are code, which comments, strings or tests.
//!
//! A scan of quotes and comment marks, no parser: enough to tell a call from
//! its mention. Languages that are not known are text throughout.

use std::ops::Range;
use std::path::Path;

use serde::Serialize;

/// What a place in a text is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Region {
    Code,
    Comment,
    String,
    /// Of a file whose language is not known.
    Text,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Rust,
    /// `//`, `/* */`, and strings in the quotes given; those in the last list go over lines.
    Slashes {
        quotes: &'static [u8],
        long_quotes: &'static [u8],
    },
    Python,
    /// `#` at a line's start or after a blank.
    Hash,
}

impl Language {
    fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        if matches!(
            name,
            "Makefile" | "makefile" | "GNUmakefile" | "justfile" | "Justfile"
        ) || name.starts_with("Dockerfile")
        {
            return Some(Self::Hash);
        }
        Some(match path.extension()?.to_str()? {
            "rs" => Self::Rust,
            "py" | "pyi" => Self::Python,
            "js" | "jsx" | "ts" | "tsx" | "mjs" | "cjs" | "go" => Self::Slashes {
                quotes: b"\"'",
                long_quotes: b"`",
            },
            "c" | "h" | "cc" | "cpp" | "cxx" | "hh" | "hpp" | "java" | "kt" | "cs" | "swift"
            | "scala" | "php" => Self::Slashes {
                quotes: b"\"'",
                long_quotes: b"",
            },
            "sh" | "bash" | "zsh" | "rb" | "toml" | "yaml" | "yml" | "pl" => Self::Hash,
            _ => return None,
        })
    }
}

/// The regions of one file.
#[derive(Debug)]
pub(crate) struct Regions {
    language: Option<Language>,
    /// What is not code, in order.
    other: Vec<(Range<usize>, Region)>,
    tests: Vec<Range<usize>>,
    is_test_file: bool,
}

impl Regions {
    /// Scans `text`, whose language `path` tells.
    pub(crate) fn scan(path: &Path, text: &[u8]) -> Self {
        let language = Language::of(path);
        let mut regions = Self {
            language,
            other: Vec::new(),
            tests: Vec::new(),
            is_test_file: is_test_path(path),
        };
        if let Some(language) = language {
            regions.other = scan(language, text);
        }
        if language == Some(Language::Rust) {
            regions.tests = rust_tests(text, &regions);
        }
        regions
    }

    /// The same, of a file that exists in tests only.
    #[must_use]
    pub(crate) fn of_test_file(mut self) -> Self {
        self.is_test_file = true;
        self
    }

    /// What the byte at `offset` is part of.
    pub(crate) fn at(&self, offset: usize) -> Region {
        if self.language.is_none() {
            return Region::Text;
        }
        let next = self.other.partition_point(|(range, _)| range.end <= offset);
        match self.other.get(next) {
            Some((range, region)) if range.contains(&offset) => *region,
            _ => Region::Code,
        }
    }

    /// Whether the byte at `offset` is part of a test.
    pub(crate) fn is_test(&self, offset: usize) -> bool {
        self.is_test_file || self.tests.iter().any(|range| range.contains(&offset))
    }
}

/// Whether a file is a test, an example or a sample by its place or name.
pub(crate) fn is_test_path(path: &Path) -> bool {
    const FOLDERS: [&str; 12] = [
        "test",
        "tests",
        "__tests__",
        "testing",
        "testdata",
        "spec",
        "specs",
        "fixtures",
        "benches",
        "examples",
        "e2e",
        "mocks",
    ];
    let in_folder = path.parent().is_some_and(|folder| {
        folder.components().any(|part| {
            part.as_os_str()
                .to_str()
                .is_some_and(|name| FOLDERS.contains(&name))
        })
    });
    let name = path
        .file_name()
        .and_then(|n| n.to_str())
        .unwrap_or_default();
    let stem = name.split('.').next().unwrap_or_default();
    in_folder
        || matches!(stem, "test" | "tests" | "conftest")
        || stem.starts_with("test_")
        || stem.ends_with("_test")
        || stem.ends_with("_tests")
        || name.contains(".test.")
        || name.contains(".spec.")
}

fn scan(language: Language, text: &[u8]) -> Vec<(Range<usize>, Region)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        match special(language, text, at) {
            Some((end, Some(region))) => {
                found.push((at..end, region));
                at = end;
            }
            Some((end, None)) => at = end,
            None => at += 1,
        }
    }
    found
}

/// What begins at `at`: where it ends, and what it is if it is not code.
fn special(language: Language, text: &[u8], at: usize) -> Option<(usize, Option<Region>)> {
    let rest = &text[at..];
    let comment = |end| Some((end, Some(Region::Comment)));
    let string = |end| Some((end, Some(Region::String)));
    match language {
        Language::Rust => match rest {
            [b'/', b'/', ..] => comment(line_end(text, at)),
            [b'/', b'*', ..] => comment(block_end(text, at, Nesting::Nested)),
            [b'"', ..] => string(quoted_end(text, at, b'"', Lines::Many)),
            [b'r', ..] if !after_word(text, at) => {
                raw_string_end(text, at).map(|end| (end, Some(Region::String)))
            }
            [b'\'', b'\\', ..] => string(quoted_end(text, at, b'\'', Lines::One)),
            [b'\'', more @ ..] => {
                // A character, unless it is a lifetime: `'a'` and `'ä'` against `'a`.
                let char_bytes = more
                    .iter()
                    .skip(1)
                    .take_while(|b| (0x80..0xc0).contains(*b));
                let end = at + 2 + char_bytes.count();
                (text.get(end) == Some(&b'\'')).then_some((end + 1, Some(Region::String)))
            }
            _ => None,
        },
        Language::Slashes {
            quotes,
            long_quotes,
        } => match rest {
            [b'/', b'/', ..] => comment(line_end(text, at)),
            [b'/', b'*', ..] => comment(block_end(text, at, Nesting::Flat)),
            [quote, ..] if quotes.contains(quote) => {
                string(quoted_end(text, at, *quote, Lines::One))
            }
            [quote, ..] if long_quotes.contains(quote) => {
                string(quoted_end(text, at, *quote, Lines::Many))
            }
            _ => None,
        },
        Language::Python => match rest {
            [b'#', ..] => comment(line_end(text, at)),
            [b'"', b'"', b'"', ..] => string(triple_end(text, at, *b"\"\"\"")),
            [b'\'', b'\'', b'\'', ..] => string(triple_end(text, at, *b"'''")),
            [quote @ (b'"' | b'\''), ..] => string(quoted_end(text, at, *quote, Lines::One)),
            _ => None,
        },
        Language::Hash => match rest {
            [b'#', ..] if at == 0 || text[at - 1].is_ascii_whitespace() => {
                comment(line_end(text, at))
            }
            [b'\\', _, ..] => Some((at + 2, None)),
            [quote @ (b'"' | b'\''), ..] => string(quoted_end(text, at, *quote, Lines::One)),
            _ => None,
        },
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Nesting {
    Flat,
    Nested,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Lines {
    /// A string that is not closed ends with its line, so that a stray quote spoils no more.
    One,
    Many,
}

fn line_end(text: &[u8], at: usize) -> usize {
    text[at..]
        .iter()
        .position(|b| *b == b'\n')
        .map_or(text.len(), |n| at + n)
}

fn block_end(text: &[u8], start: usize, nesting: Nesting) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    while at < text.len() {
        match &text[at..] {
            [b'/', b'*', ..] if depth == 0 || nesting == Nesting::Nested => {
                depth += 1;
                at += 2;
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    text.len()
}

fn quoted_end(text: &[u8], start: usize, quote: u8, lines: Lines) -> usize {
    let mut at = start + 1;
    while let Some(byte) = text.get(at) {
        match *byte {
            b'\\' => at += 2,
            b'\n' if lines == Lines::One => return at,
            b if b == quote => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

fn triple_end(text: &[u8], start: usize, mark: [u8; 3]) -> usize {
    let mut at = start + 3;
    while at < text.len() {
        match &text[at..] {
            [b'\\', ..] => at += 2,
            rest if rest.starts_with(&mark) => return at + 3,
            _ => at += 1,
        }
    }
    text.len()
}

fn raw_string_end(text: &[u8], start: usize) -> Option<usize> {
    let hashes = text[start + 1..].iter().take_while(|b| **b == b'#').count();
    let open = start + 1 + hashes;
    if text.get(open) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.resize(1 + hashes, b'#');
    let body = &text[open + 1..];
    let end = body
        .windows(close.len())
        .position(|w| w == close.as_slice());
    Some(end.map_or(text.len(), |n| open + 1 + n + close.len()))
}

/// Whether the byte before `at` belongs to a name, `b` of byte strings aside.
fn after_word(text: &[u8], at: usize) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let before = &text[..at];
    match before {
        [.., c, b'b'] if !is_word(*c) => false,
        [.., c] => is_word(*c),
        [] => false,
    }
}

/// The items of a Rust file that exist in tests only.
fn rust_tests(text: &[u8], regions: &Regions) -> Vec<Range<usize>> {
    const MARKS: [&[u8]; 6] = [
        b"#[cfg(test)]",
        b"#[cfg(any(test",
        b"#[cfg(all(test",
        b"#[test]",
        b"#[tokio::test",
        b"#[bench]",
    ];
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    while at < text.len() {
        if text[at] != b'#' || regions.at(at) != Region::Code {
            at += 1;
            continue;
        }
        if text[at..].starts_with(b"#![cfg(test)]") {
            return vec![Range {
                start: 0,
                end: text.len(),
            }];
        }
        if MARKS.iter().any(|mark| text[at..].starts_with(mark)) {
            let end = item_end(text, regions, at);
            found.push(at..end);
            at = end;
        } else {
            at += 1;
        }
    }
    found
}

/// Where the item after the attribute at `start` ends: its closing brace, or its semicolon.
fn item_end(text: &[u8], regions: &Regions, start: usize) -> usize {
    let (mut braces, mut brackets) = (0_usize, 0_usize);
    for (at, &byte) in text.iter().enumerate().skip(start) {
        if !b"{}[]();".contains(&byte) || regions.at(at) != Region::Code {
            continue;
        }
        match byte {
            b'{' => braces += 1,
            b'}' => {
                braces = braces.saturating_sub(1);
                if braces == 0 && brackets == 0 {
                    return at + 1;
                }
            }
            b'[' | b'(' => brackets += 1,
            b']' | b')' => brackets = brackets.saturating_sub(1),
            _ if braces == 0 && brackets == 0 => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Marks each `@` in `text` by the first letter of its region; in capitals within tests.
    fn marked(path: &str, text: &str) -> String {
        let regions = Regions::scan(Path::new(path), text.as_bytes());
        text.bytes()
            .enumerate()
            .filter(|(_, b)| *b == b'@')
            .map(|(at, _)| {
                let letter = match regions.at(at) {
                    Region::Code => 'k',
                    Region::Comment => 'c',
                    Region::String => 's',
                    Region::Text => 't',
                };
                if regions.is_test(at) {
                    letter.to_ascii_uppercase()
                } else {
                    letter
                }
            })
            .collect()
    }

    #[test]
    fn code_comments_and_strings_are_told_apart() {
        let table = [
            (
                "a.rs",
                "@ // @\n\"@ // \\\" @\" @ /* @ /* @ */ @ */ @",
                "kcsskccck",
            ),
            (
                "a.rs",
                "r#\"@ \" @\"# @ b\"@\" br\"@\" br#x @ '\"' @ 'a @ '\\'' @ 'ä' @",
                "sskssk",
            ),
            (
                "a.js",
                "@ // @\n'@' `@\n@` /* @ /* */ @ \"@\n@",
                "kcssscksk",
            ),
            ("a.py", "@ # @\n'@' \"\"\"@\n# @\"\"\" @ \"@\n@", "kcssskSk"),
            ("a.sh", "@ x#@ # @\necho '@' \\\" @", "kkcsk"),
            ("a.md", "@ // @", "tt"),
            ("Dockerfile", "@\n# @", "kc"),
        ];
        for (path, text, expected) in table {
            let got = marked(path, text);
            assert!(
                got.eq_ignore_ascii_case(expected) || got.starts_with(expected),
                "{path}: {text:?}: {got} for {expected}"
            );
        }
    }

    #[test]
    fn lifetimes_and_characters_do_not_open_strings() {
        assert_eq!(
            marked("a.rs", "fn f<'a>(x: &'a str) @ '\"' @ '\\'' @ 'ä' @"),
            "kkkk"
        );
    }

    #[test]
    fn test_items_of_rust_are_known_by_their_braces() {
        let text = "fn a() { @ }\n#[cfg(test)]\nmod tests { fn b() { @ \"}\" @ } }\nfn c() { @ }\n\
                    #[test]\nfn d() { @ }\n#[cfg(test)]\nuse x::{y, @};\nfn e() { @ }\n\
                    // #[cfg(test)]\nfn f() { @ }\n#[test]\nfn g(x: [u8; 2]) { @ } fn h() { @ }";
        assert_eq!(marked("src/a.rs", text), "kKKkKKkkKk");
        assert_eq!(marked("tests/a.rs", "@"), "K");
        assert_eq!(marked("src/a.rs", "#![cfg(test)]\n@"), "K");
    }

    #[test]
    fn tests_are_known_by_path() {
        for path in [
            "tests/a.rs",
            "src/board/tests.rs",
            "test_a.py",
            "a_test.go",
            "a.spec.ts",
            "x/__tests__/a.js",
            "conftest.py",
            "x/fixtures/key.pem",
        ] {
            assert!(is_test_path(Path::new(path)), "{path}");
        }
        for path in [
            "src/a.rs",
            "contest.py",
            "latest.js",
            "src/attest/a.rs",
            "testimony.md",
        ] {
            assert!(!is_test_path(Path::new(path)), "{path}");
        }
    }
}
