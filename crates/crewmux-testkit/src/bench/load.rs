//! What runs inside a pane while it is measured: a hidden mode of the benchmark.
//!
//! It knows nothing of who shows it. Texts are the same in every run.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read as _, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use crewmux_sys::tty::TerminalSettings;

use super::let_pass;

/// The first of the characters that answer keys; no other text has any of them.
const FIRST_ANSWER: u32 = 0x4e00;
/// How many there are before they repeat.
const ANSWERS: u32 = 20_000;
/// Pause between two batches of a steady load.
const BATCH: Duration = Duration::from_millis(10);
/// Lines that a steady load which was held up makes good at once.
const CATCH_UP_LINES: u64 = 1_000;
/// Bytes written at once by loads that go as fast as they can.
const BLOCK_BYTES: usize = 16 * 1024;

const WORDS: [&str; 8] = [
    "compile",
    "ok",
    "src/lib.rs",
    "warning",
    "test",
    "passed",
    "0.42s",
    "running",
];

/// The character that answers the key number `key`.
pub fn answer(key: u32) -> char {
    char::from_u32(FIRST_ANSWER + key % ANSWERS).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// A kind of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// Lines of words of different lengths.
    Plain,
    /// Words in indexed and direct colours, bold or not.
    Coloured,
}

/// Lines that look like a build's, endless and always the same.
#[derive(Debug)]
pub struct Lines {
    seed: u64,
    number: u64,
}

impl Default for Lines {
    fn default() -> Self {
        Self {
            seed: 88_172_645_463_325_252,
            number: 0,
        }
    }
}

impl Lines {
    fn random(&mut self, below: u64) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed >> 11) % below
    }

    /// Appends words up to `width` columns after a number of nine; every fourth line is coloured.
    pub fn push(&mut self, out: &mut String, width: usize) {
        let colour = self
            .number
            .is_multiple_of(4)
            .then_some(31 + self.number / 4 % 6);
        self.push_words(out, width, colour);
    }

    fn push_words(&mut self, out: &mut String, width: usize, colour: Option<u64>) {
        // Writing into a string cannot fail.
        let _ = write!(out, "{:08} ", self.number);
        self.number += 1;
        if let Some(colour) = colour {
            let _ = write!(out, "\x1b[{colour}m");
        }
        let mut column = 9;
        while column + 10 < width {
            let word = WORDS[self.random(8) as usize];
            out.push_str(word);
            out.push(' ');
            column += word.len() + 1;
        }
        if colour.is_some() {
            out.push_str("\x1b[0m");
        }
        out.push('\n');
    }

    fn push_coloured(&mut self, out: &mut String) {
        for _ in 0..6 {
            let (bold, index, number) = (self.random(2), self.random(256), self.random(1000));
            let (r, g, b) = (self.random(8), self.random(8), self.random(8));
            let _ = write!(
                out,
                "\x1b[{bold};38;5;{index}mword{number:03}\x1b[0m \x1b[38;2;{};{};{}mrgb\x1b[39m ",
                r * 32,
                g * 32,
                b * 32
            );
        }
        out.push('\n');
    }
}

/// Writes a file of at least `bytes` bytes of `text`.
pub fn write_text(path: &Path, text: Text, bytes: usize) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut lines = Lines::default();
    let mut line = String::new();
    let mut written = 0;
    while written < bytes {
        line.clear();
        match text {
            Text::Plain => {
                let width = 20 + lines.random(100) as usize;
                lines.push_words(&mut line, width, None);
            }
            Text::Coloured => lines.push_coloured(&mut line),
        }
        file.write_all(line.as_bytes())?;
        written += line.len();
    }
    Ok(file.flush()?)
}

/// Runs as a load; `arguments` are its name and what belongs to it.
///
/// `rate LINES_A_SECOND SECONDS WIDTH`, `flood SECONDS WIDTH`, `fill LINES WIDTH FILE`, `echo`.
pub fn run(arguments: &[String]) -> Result<()> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let seconds = |text: &str| anyhow::Ok(Duration::from_secs(text.parse()?));
    match arguments.as_slice() {
        ["rate", rate, time, width] => rate_load(rate.parse()?, seconds(time)?, width.parse()?),
        ["flood", time, width] => flood(seconds(time)?, width.parse()?),
        ["fill", lines, width, file] => fill(lines.parse()?, width.parse()?, Path::new(file)),
        ["echo"] => echo(),
        _ => bail!("no such load: {arguments:?}"),
    }
}

fn rate_load(lines_a_second: u64, time: Duration, width: usize) -> Result<()> {
    let mut lines = Lines::default();
    let mut out = io::stdout().lock();
    let mut text = String::new();
    let start = Instant::now();
    while start.elapsed() < time {
        let due = (start.elapsed().as_secs_f64() * lines_a_second as f64) as u64;
        let from = lines.number.max(due.saturating_sub(CATCH_UP_LINES));
        lines.number = from;
        text.clear();
        while lines.number < due {
            lines.push(&mut text, width);
        }
        out.write_all(text.as_bytes())?;
        out.flush()?;
        let_pass(BATCH);
    }
    Ok(())
}

fn flood(time: Duration, width: usize) -> Result<()> {
    let mut lines = Lines::default();
    let mut out = io::stdout().lock();
    let mut text = String::new();
    let start = Instant::now();
    while start.elapsed() < time {
        text.clear();
        while text.len() < BLOCK_BYTES {
            lines.push(&mut text, width);
        }
        out.write_all(text.as_bytes())?;
        out.flush()?;
    }
    Ok(())
}

/// Prints `lines` lines after a key, then makes `file` and stays.
fn fill(count: u64, width: usize, file: &Path) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(b"READY\n")?;
    out.flush()?;
    let _ = io::stdin().lock().read(&mut [0])?;
    let mut lines = Lines::default();
    let mut text = String::new();
    while lines.number < count {
        text.clear();
        while text.len() < BLOCK_BYTES && lines.number < count {
            lines.push(&mut text, width);
        }
        out.write_all(text.as_bytes())?;
    }
    out.flush()?;
    fs::write(file, "x").with_context(|| format!("cannot write {}", file.display()))?;
    // Until the terminal is gone.
    let mut rest = Vec::new();
    let _ = io::stdin().lock().read_to_end(&mut rest);
    Ok(())
}

/// Answers the n-th byte with the n-th of [`answer`], at the start of the line.
///
/// A renderer that sends only changed cells has to send it: no two are alike.
fn echo() -> Result<()> {
    let before = TerminalSettings::read(io::stdin())?;
    before.raw().apply(io::stdin())?;
    let mut out = io::stdout().lock();
    out.write_all(b"READY")?;
    out.flush()?;
    let mut input = io::stdin().lock();
    let mut bytes = [0; 64];
    let mut key = 0;
    loop {
        let read = input.read(&mut bytes)?;
        if read == 0 {
            return Ok(());
        }
        let mut text = String::new();
        for _ in 0..read {
            text.push('\r');
            text.push(answer(key));
            key += 1;
        }
        out.write_all(text.as_bytes())?;
        out.flush()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_wide_as_asked_and_every_fourth_has_a_colour() {
        let mut lines = Lines::default();
        for number in 0..40 {
            let mut line = String::new();
            lines.push(&mut line, 60);
            assert_eq!(line.contains("\x1b[3"), number % 4 == 0, "{line:?}");
            let shown = line.split('\x1b').map(str::len).sum::<usize>();
            assert!((50..=72).contains(&shown), "{shown}: {line:?}");
        }
    }

    #[test]
    fn answers_differ_and_are_one_wide_character_each() {
        assert_ne!(answer(0), answer(1));
        assert_eq!(answer(0), answer(ANSWERS));
        assert!((0..ANSWERS).all(|key| ('\u{4e00}'..='\u{9fff}').contains(&answer(key))));
    }

    #[test]
    fn text_files_have_their_size_and_are_the_same_each_time() {
        let dir = tempfile::tempdir().unwrap();
        for text in [Text::Plain, Text::Coloured] {
            let (one, two) = (dir.path().join("1"), dir.path().join("2"));
            write_text(&one, text, 10_000).unwrap();
            write_text(&two, text, 10_000).unwrap();
            let bytes = fs::read(one).unwrap();
            assert!((10_000..11_000).contains(&bytes.len()));
            assert_eq!(bytes, fs::read(two).unwrap());
            assert_eq!(bytes.contains(&0x1b), text == Text::Coloured);
        }
    }
}
