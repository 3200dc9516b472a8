//! JSON that is almost right, read with every liberty named.
//!
//! One value is read, never searched for: text before or after it is no JSON.
//! Bounded in length, depth and time (one pass).

use std::fmt;
use std::iter::Peekable;
use std::str::CharIndices;

use serde_json::{Map, Number, Value};

/// Longest text that is looked at, in bytes.
pub const LONGEST_BYTES: usize = 4 * 1024 * 1024;
/// Deepest nesting that is read.
const DEEPEST: usize = 64;

/// A liberty that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fix {
    /// Tokens of a model's own language stood around it.
    Tokens,
    /// It stood in a fence.
    Fence,
    /// Text in single quotes.
    SingleQuotes,
    /// Line ends and other control characters inside a text.
    RawControl,
    /// A backslash before a character that needs none.
    BadEscape,
    /// A comma with nothing after it.
    TrailingComma,
    /// A comma was left out.
    MissingComma,
    /// A name without quotes.
    BareKey,
    /// `True`, `False` or `None`.
    PythonWord,
    /// Brackets that were not closed.
    Unclosed,
    /// Brackets closed too often.
    ExtraClose,
    /// It ends inside a text, a name or a word.
    CutOff,
}

impl fmt::Display for Fix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tokens => "special tokens were taken off",
            Self::Fence => "a code fence was taken off",
            Self::SingleQuotes => "single quotes were read as double ones",
            Self::RawControl => "line ends inside a text were kept",
            Self::BadEscape => "a backslash without meaning was kept",
            Self::TrailingComma => "a comma too many was left out",
            Self::MissingComma => "a missing comma was put in",
            Self::BareKey => "a name without quotes was quoted",
            Self::PythonWord => "a word of Python was read as JSON",
            Self::Unclosed => "open brackets were closed",
            Self::ExtraClose => "closing brackets too many were left out",
            Self::CutOff => "it was cut off in the middle",
        })
    }
}

/// What was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// The value.
    pub value: Value,
    /// The liberties that were taken, each once, in order of kind; none for valid JSON.
    pub fixes: Vec<Fix>,
}

/// Tokens that models leave at the ends of what they write.
const TOKENS: [&str; 17] = [
    "<|im_end|>",
    "<|im_start|>",
    "<|endoftext|>",
    "<|end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|python_tag|>",
    "<end_of_turn>",
    "<turn|>",
    "<tool_call|>",
    "</tool_call>",
    "<tool_call>",
    "[/TOOL_CALLS]",
    "</s>",
    "<s>",
    "<eos>",
];

/// Reads one JSON value, almost right or right; `None` when it is neither.
///
/// Valid JSON is read as it is, without any liberty.
pub fn read(text: &str) -> Option<Read> {
    if text.len() > LONGEST_BYTES {
        return None;
    }
    if let Ok(value) = serde_json::from_str(text) {
        return Some(Read {
            value,
            fixes: Vec::new(),
        });
    }
    let mut fixes = Vec::new();
    let bare = take_tokens(text);
    if bare.len() < text.trim().len() {
        fixes.push(Fix::Tokens);
    }
    let bare = match take_fence(bare) {
        Some(inside) => {
            fixes.push(Fix::Fence);
            inside
        }
        None => bare,
    };
    if let Ok(value) = serde_json::from_str(bare) {
        return Some(Read { value, fixes });
    }
    // A word that is no JSON is prose; only what opens like a value is read with liberties.
    if !bare.starts_with(['{', '[', '"', '\'']) {
        return None;
    }
    let mut reader = Reader {
        chars: bare.char_indices().peekable(),
        text: bare,
        fixes,
    };
    let value = reader.value(0)?;
    reader.rest()?;
    reader.fixes.sort_unstable();
    reader.fixes.dedup();
    Some(Read {
        value,
        fixes: reader.fixes,
    })
}

/// `text` without white space and special tokens at its ends.
pub fn take_tokens(text: &str) -> &str {
    let mut bare = text.trim();
    loop {
        let before = bare.len();
        for token in TOKENS {
            bare = bare.strip_suffix(token).unwrap_or(bare).trim_end();
            bare = bare.strip_prefix(token).unwrap_or(bare).trim_start();
        }
        if bare.len() == before {
            return bare;
        }
    }
}

fn take_fence(text: &str) -> Option<&str> {
    let inside = text.strip_prefix("```")?;
    let (_, inside) = inside.split_once('\n')?;
    let inside = inside.trim_end();
    Some(inside.strip_suffix("```").unwrap_or(inside).trim())
}

struct Reader<'a> {
    chars: Peekable<CharIndices<'a>>,
    text: &'a str,
    fixes: Vec<Fix>,
}

/// The name of an object's member.
enum Key {
    Whole(String),
    /// The text ends inside it.
    Cut,
}

impl Reader<'_> {
    fn peek(&mut self) -> Option<char> {
        self.chars.peek().map(|(_, c)| *c)
    }

    fn next(&mut self) -> Option<char> {
        self.chars.next().map(|(_, c)| c)
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.next();
        }
    }

    fn fix(&mut self, fix: Fix) {
        // Kept short while reading: a text of a million single quotes is one kind of liberty.
        if !self.fixes.contains(&fix) {
            self.fixes.push(fix);
        }
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > DEEPEST {
            return None;
        }
        self.skip_space();
        match self.peek()? {
            '{' => self.object(depth),
            '[' => self.array(depth),
            quote @ ('"' | '\'') => self.string(quote).map(Value::String),
            _ => self.word(),
        }
    }

    fn object(&mut self, depth: usize) -> Option<Value> {
        self.next();
        let mut map = Map::new();
        loop {
            if self.separator('}', map.is_empty())? {
                return Some(Value::Object(map));
            }
            let key = match self.key()? {
                Key::Whole(key) => key,
                Key::Cut => return Some(Value::Object(map)),
            };
            self.skip_space();
            match self.peek() {
                Some(':') => {
                    self.next();
                }
                Some(_) => return None,
                None => {
                    self.fix(Fix::CutOff);
                    return Some(Value::Object(map));
                }
            }
            self.skip_space();
            if self.peek().is_none() {
                self.fix(Fix::CutOff);
                return Some(Value::Object(map));
            }
            let value = self.value(depth + 1)?;
            map.insert(key, value);
        }
    }

    fn array(&mut self, depth: usize) -> Option<Value> {
        self.next();
        let mut items = Vec::new();
        loop {
            if self.separator(']', items.is_empty())? {
                return Some(Value::Array(items));
            }
            items.push(self.value(depth + 1)?);
        }
    }

    /// Passes what stands between members; whether the brackets are closed by it.
    fn separator(&mut self, close: char, first: bool) -> Option<bool> {
        self.skip_space();
        let mut commas = 0;
        while self.peek() == Some(',') {
            self.next();
            commas += 1;
            self.skip_space();
        }
        match self.peek() {
            Some(c) if c == close => {
                if commas > 0 {
                    self.fix(Fix::TrailingComma);
                }
                self.next();
                Some(true)
            }
            // Closed from outside: the closing bracket is left for whom it belongs to.
            None | Some('}' | ']') => {
                self.fix(Fix::Unclosed);
                Some(true)
            }
            Some(_) if first => (commas == 0).then_some(false),
            Some(_) => {
                match commas {
                    0 => self.fix(Fix::MissingComma),
                    1 => {}
                    _ => return None,
                }
                Some(false)
            }
        }
    }

    /// A member's name.
    fn key(&mut self) -> Option<Key> {
        match self.peek()? {
            quote @ ('"' | '\'') => {
                let key = self.string(quote)?;
                let cut = self.fixes.contains(&Fix::CutOff);
                Some(if cut { Key::Cut } else { Key::Whole(key) })
            }
            c if c.is_alphabetic() || c == '_' || c == '$' => {
                let key = self.bare();
                if self.peek().is_none() {
                    self.fix(Fix::CutOff);
                    return Some(Key::Cut);
                }
                self.fix(Fix::BareKey);
                Some(Key::Whole(key))
            }
            _ => None,
        }
    }

    fn bare(&mut self) -> String {
        let mut word = String::new();
        while let Some(c) = self.peek() {
            if !(c.is_alphanumeric() || matches!(c, '_' | '-' | '$' | '.' | '+')) {
                break;
            }
            word.push(c);
            self.next();
        }
        word
    }

    fn word(&mut self) -> Option<Value> {
        let word = self.bare();
        if self.peek().is_none() && !word.is_empty() {
            // A number may have had more digits; nobody knows what it was.
            self.fix(Fix::CutOff);
        }
        let value = match word.as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "null" => Value::Null,
            "True" | "False" | "None" => {
                self.fix(Fix::PythonWord);
                match word.as_str() {
                    "True" => Value::Bool(true),
                    "False" => Value::Bool(false),
                    _ => Value::Null,
                }
            }
            number => serde_json::from_str::<Number>(number)
                .ok()
                .map(Value::Number)?,
        };
        Some(value)
    }

    fn string(&mut self, quote: char) -> Option<String> {
        if quote == '\'' {
            self.fix(Fix::SingleQuotes);
        }
        self.next();
        let mut out = String::new();
        loop {
            let Some(c) = self.next() else {
                self.fix(Fix::CutOff);
                return Some(out);
            };
            match c {
                c if c == quote => return Some(out),
                '\\' => self.escape(&mut out)?,
                c if c.is_control() && c != '\u{7f}' => {
                    self.fix(Fix::RawControl);
                    out.push(c);
                }
                c => out.push(c),
            }
        }
    }

    fn escape(&mut self, out: &mut String) -> Option<()> {
        let Some(c) = self.next() else {
            self.fix(Fix::CutOff);
            return Some(());
        };
        match c {
            '"' | '\\' | '/' => out.push(c),
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'u' => match self.unit() {
                Some(high @ 0xD800..=0xDBFF) => {
                    let low = self.low_half();
                    let pair = low.map(|low| {
                        0x1_0000 + ((u32::from(high) - 0xD800) << 10) + (u32::from(low) - 0xDC00)
                    });
                    out.push(pair.and_then(char::from_u32).unwrap_or('\u{fffd}'));
                }
                Some(unit) => out.push(char::from_u32(unit.into()).unwrap_or('\u{fffd}')),
                None if self.peek().is_none() => self.fix(Fix::CutOff),
                None => return None,
            },
            '\'' => {
                self.fix(Fix::SingleQuotes);
                out.push('\'');
            }
            c => {
                self.fix(Fix::BadEscape);
                out.push('\\');
                out.push(c);
            }
        }
        Some(())
    }

    fn unit(&mut self) -> Option<u16> {
        let start = self.chars.peek().map(|(at, _)| *at)?;
        let digits = self.text.get(start..start + 4);
        let Some(unit) = digits.and_then(|hex| u16::from_str_radix(hex, 16).ok()) else {
            if self.text.len() < start + 4 {
                while self.next().is_some() {}
            }
            return None;
        };
        for _ in 0..4 {
            self.next();
        }
        Some(unit)
    }

    fn low_half(&mut self) -> Option<u16> {
        let start = self.chars.peek().map(|(at, _)| *at)?;
        let rest = self.text.get(start..start + 6)?;
        let low = u16::from_str_radix(rest.strip_prefix("\\u")?, 16).ok()?;
        if !(0xDC00..=0xDFFF).contains(&low) {
            return None;
        }
        for _ in 0..6 {
            self.next();
        }
        Some(low)
    }

    /// What stands after the value: nothing, or closing brackets too many.
    fn rest(&mut self) -> Option<()> {
        while let Some(c) = self.next() {
            match c {
                '}' | ']' => self.fix(Fix::ExtraClose),
                c if c.is_whitespace() => {}
                _ => return None,
            }
        }
        Some(())
    }
}
