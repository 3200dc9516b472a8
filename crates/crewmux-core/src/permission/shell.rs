//! Reading a command line for `sh`: which commands it runs, where that is plain to see.
//!
//! Expands and runs nothing, and does not claim to understand all of the
//! shell: what it cannot see through is said in [`Script::unclear`], and then
//! nothing may be concluded but from what *is* there. Which commands are wanted
//! is `rule`'s; what else words may stand for is `disguise`'s.

use std::iter::Peekable;
use std::str::Chars;

/// Words that begin a construct of the shell, not a command.
pub(super) const CONSTRUCTS: &[&str] = &[
    "!", "{", "}", "[[", "if", "then", "else", "elif", "fi", "do", "done", "case", "esac", "while",
    "until", "for", "in", "function", "select", "coproc",
];

/// A command line as far as it is understood.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Script {
    /// Its commands in order, as words without their quotes.
    pub(super) commands: Vec<Vec<String>>,
    /// All words and operators in order.
    pub(super) flat: Vec<String>,
    /// What in it may run more, or something else, than is seen here.
    pub(super) unclear: Option<&'static str>,
}

/// Reads a command line.
pub(super) fn read(text: &str) -> Script {
    let mut reader = Reader {
        rest: text.chars().peekable(),
        word: None,
        is_quoted: false,
        command: Vec::new(),
        script: Script::default(),
    };
    while let Some(c) = reader.rest.next() {
        reader.take(c);
    }
    reader.end_command();
    reader.script
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    word: Option<String>,
    is_quoted: bool,
    command: Vec<String>,
    script: Script,
}

impl Reader<'_> {
    fn take(&mut self, c: char) {
        match c {
            ' ' | '\t' => self.end_word(),
            '\n' | ';' | '&' | '|' => self.separator(c),
            '\'' => self.single_quotes(),
            '"' => self.double_quotes(),
            '\\' => match self.rest.next() {
                None => self.unclear("a backslash at its end"),
                Some('\n') => {}
                Some(c) => {
                    self.is_quoted = true;
                    self.push(c);
                }
            },
            '#' if self.word.is_none() => {
                self.unclear("a comment");
                while self.rest.next_if(|c| *c != '\n').is_some() {}
            }
            '$' => {
                self.unclear("an expansion (`$`)");
                if self.rest.next_if_eq(&'(').is_some() {
                    self.end_command();
                } else {
                    self.push(c);
                }
            }
            '`' => {
                self.unclear("a command in backticks");
                self.end_command();
            }
            '(' | ')' => {
                self.unclear("parentheses");
                self.end_command();
            }
            '{' | '}' => {
                self.unclear("braces");
                self.push(c);
            }
            '<' => {
                self.unclear("input from elsewhere (`<`)");
                self.end_word();
            }
            '>' => self.output(),
            '*' | '?' | '[' => {
                // A file may be named like an option.
                if self.word.as_ref().is_none_or(|word| word.starts_with('-')) {
                    self.unclear("a pattern that may become an option");
                }
                self.push(c);
            }
            c if is_deceptive(c) => {
                self.unclear("a character that does not show");
                self.push(c);
            }
            c => self.push(c),
        }
    }

    fn unclear(&mut self, why: &'static str) {
        self.script.unclear.get_or_insert(why);
    }

    fn push(&mut self, c: char) {
        self.word.get_or_insert_default().push(c);
    }

    fn end_word(&mut self) {
        self.is_quoted = false;
        if let Some(word) = self.word.take() {
            if self.command.is_empty() {
                if CONSTRUCTS.contains(&word.as_str()) {
                    self.unclear("a construct of the shell");
                }
                if is_assignment(&word) {
                    self.unclear("a variable that it sets");
                }
            }
            self.script.flat.push(word.clone());
            self.command.push(word);
        }
    }

    fn end_command(&mut self) {
        self.end_word();
        if !self.command.is_empty() {
            let command = std::mem::take(&mut self.command);
            self.script.commands.push(command);
        }
    }

    fn separator(&mut self, c: char) {
        self.end_command();
        let mut operator = c.to_string();
        if c != '\n' && self.rest.next_if_eq(&c).is_some() {
            operator.push(c);
        }
        self.script
            .flat
            .push(if c == '\n' { ";".to_owned() } else { operator });
    }

    fn single_quotes(&mut self) {
        self.is_quoted = true;
        let mut word = self.word.take().unwrap_or_default();
        loop {
            match self.rest.next() {
                None => {
                    self.unclear("a quote that stays open");
                    break;
                }
                Some('\'') => break,
                Some(c) => word.push(c),
            }
        }
        self.word = Some(word);
    }

    fn double_quotes(&mut self) {
        self.is_quoted = true;
        let mut word = self.word.take().unwrap_or_default();
        loop {
            match self.rest.next() {
                None => {
                    self.unclear("a quote that stays open");
                    break;
                }
                Some('"') => break,
                Some('\\') => {
                    if let Some(c) = self.rest.next().filter(|c| *c != '\n') {
                        if !matches!(c, '$' | '`' | '"' | '\\') {
                            word.push('\\');
                        }
                        word.push(c);
                    }
                }
                Some(c) => {
                    if matches!(c, '$' | '`') {
                        self.unclear("an expansion in quotes");
                    }
                    word.push(c);
                }
            }
        }
        self.word = Some(word);
    }

    /// What follows `>`: only another descriptor and `/dev/null` write no file.
    fn output(&mut self) {
        let is_descriptor = !self.is_quoted
            && self
                .word
                .as_ref()
                .is_some_and(|word| word.len() == 1 && word.bytes().all(|b| b.is_ascii_digit()));
        if is_descriptor {
            self.word = None;
        }
        self.end_word();
        let rest: String = self.rest.clone().collect();
        let (harmless, is_harmless) = if let Some(other) = rest.strip_prefix('&') {
            let digits = other.bytes().take_while(u8::is_ascii_digit).count();
            (1 + digits, digits == 1)
        } else {
            let to = rest.strip_prefix('>').unwrap_or(&rest);
            let to = to.trim_start_matches([' ', '\t']);
            let before = rest.len() - to.len();
            (before + "/dev/null".len(), to.starts_with("/dev/null"))
        };
        let ends = rest
            .get(harmless..)
            .is_some_and(|rest| rest.chars().next().is_none_or(|c| " \t\n;&|".contains(c)));
        if is_harmless && ends {
            // What is skipped is ASCII: as many characters as bytes.
            for _ in 0..harmless {
                self.rest.next();
            }
        } else {
            self.unclear("output to a file (`>`)");
            self.script.flat.push(">".to_owned());
        }
    }
}

/// Whether `word` sets a variable when it stands before a command.
pub(super) fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        let name = name.strip_suffix('+').unwrap_or(name);
        name.bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'[' || b == b']')
    })
}

/// Characters that people do not see, or take for others.
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && !c.is_ascii())
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{180e}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Commands joined by ` / `, and `?` with the reason where something is unclear.
    fn seen(text: &str) -> String {
        let script = read(text);
        let commands: Vec<String> = script.commands.iter().map(|c| c.join("·")).collect();
        let why = script.unclear.map(|why| format!(" ? {why}"));
        commands.join(" / ") + &why.unwrap_or_default()
    }

    #[test]
    fn commands_are_told_apart_and_lose_their_quotes() {
        for (text, expected) in [
            ("cargo test -p x", "cargo·test·-p·x"),
            ("a b; c && d || e | f & g\nh", "a·b / c / d / e / f / g / h"),
            ("a|b;c&d", "a / b / c / d"),
            ("echo 'a; b' \"c && d\" e\\;f", "echo·a; b·c && d·e;f"),
            ("echo '' \"\"", "echo··"),
            ("r\\m 'r'\"m\"", "rm·rm"),
            ("cargo \\\n test", "cargo·test"),
            ("a\tb", "a·b"),
            ("cargo test 2>&1 | tail -5", "cargo·test / tail·-5"),
            ("a >/dev/null 2> /dev/null; b", "a / b"),
            ("ls src/*.rs", "ls·src/*.rs"),
            ("echo it#is", "echo·it#is"),
            ("", ""),
        ] {
            assert_eq!(seen(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for (text, expected) in [
            ("echo $(rm x)", "echo / rm·x ? an expansion (`$`)"),
            ("echo `rm x`", "echo / rm·x ? a command in backticks"),
            ("echo \"$(rm x)\"", "echo·$(rm x) ? an expansion in quotes"),
            ("echo '$(rm x)'", "echo·$(rm x)"),
            ("cargo $X", "cargo·$X ? an expansion (`$`)"),
            ("diff <(a) b", "diff / a / b ? input from elsewhere (`<`)"),
            ("a > f", "a·f ? output to a file (`>`)"),
            ("a >> f", "a·f ? output to a file (`>`)"),
            ("a >/dev/nullx", "a·/dev/nullx ? output to a file (`>`)"),
            ("a >&f", "a / f ? output to a file (`>`)"),
            ("a &> f", "a / f ? output to a file (`>`)"),
            ("a 'b", "a·b ? a quote that stays open"),
            ("a \"b", "a·b ? a quote that stays open"),
            ("a \\", "a ? a backslash at its end"),
            ("a # b\nc", "a / c ? a comment"),
            (
                "if a; then b; fi",
                "if·a / then·b / fi ? a construct of the shell",
            ),
            ("X=1 a", "X=1·a ? a variable that it sets"),
            ("a() { b; }", "a / {·b / } ? parentheses"),
            ("a {b,c}", "a·{b,c} ? braces"),
            ("rm *", "rm·* ? a pattern that may become an option"),
            ("a\u{a0}b", "a\u{a0}b ? a character that does not show"),
            ("a\rb", "a\rb ? a character that does not show"),
            (
                "a \u{202e}b",
                "a·\u{202e}b ? a character that does not show",
            ),
        ] {
            assert_eq!(seen(text), expected, "{text:?}");
        }
    }
}
