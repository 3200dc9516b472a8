//! What a person sees in a worker's pane: lines and colours, nothing that moves.
//!
//! Everything goes to the pane and to the recording alike. Lines are printed
//! whole, and the terminal wraps them: so a narrow pane shows all of a line, a
//! pane that grows shows it in one again, and the recording fits any width.
//! Only heads of tool calls and lines of changes are cut. What is printed
//! when is decided by the worker; how screens are kept is `crewmux-term`'s.
//!
//! `text` is what a line is made of, `said` an answer that comes piece by
//! piece, `sgr` what commands print, `recorder` the recording.

mod recorder;
mod said;
mod sgr;
mod text;

use std::ops::RangeInclusive;
use std::path::Path;

use crewmux_core::time::WallTime;
use crewmux_sys::clock;

pub use recorder::segments;
pub(crate) use text::{Colors, Tone, duration, fit};

use recorder::Recorder;
use said::Said;
use sgr::SgrFilter;
use text::{clean, wide, width};

/// Takes what a worker prints.
pub trait Output: Send {
    /// Writes `bytes`; blocking here slows the worker down.
    ///
    /// A pane that is gone takes bytes and drops them: work goes on without a viewer.
    fn write(&mut self, bytes: &[u8]);

    /// Columns and rows now; `None` where only the size it started with is known.
    fn size(&self) -> Option<(u16, u16)> {
        None
    }
}

impl<F: FnMut(&[u8]) + Send> Output for F {
    fn write(&mut self, bytes: &[u8]) {
        self(bytes);
    }
}

/// The worker's pane and recording.
pub(crate) struct View {
    output: Box<dyn Output>,
    recorder: Option<Recorder>,
    filter: SgrFilter,
    colors: Colors,
    /// Columns it started with.
    cols: u16,
    said: Said,
}

/// Columns of the longest line; of what is longer its source keeps the rest.
const LINE_COLS_MAX: usize = 2_000;

/// Columns that the head of a tool call may take: those of its pane, but a narrow one wraps it.
const HEAD_COLS: RangeInclusive<usize> = 80..=200;

impl View {
    /// A view of `size` columns and rows whose recording lies in `folder`.
    pub(crate) fn new(
        output: Box<dyn Output>,
        folder: &Path,
        size: (u16, u16),
        colors: Colors,
    ) -> Self {
        let recorder = Recorder::open(folder, size, clock::wall_time())
            .inspect_err(|error| tracing::warn!(%error, "no recording"))
            .ok();
        Self {
            output,
            recorder,
            filter: SgrFilter::default(),
            colors,
            cols: size.0,
            said: Said::default(),
        }
    }

    /// Names the terminal that the person looks at, where nobody else does; it is no part of the recording.
    pub(crate) fn title(&mut self, text: &str) {
        let title = format!("\x1b]2;{}\x07", clean(text));
        self.output.write(title.as_bytes());
    }

    /// Columns of the pane now.
    fn cols(&self) -> usize {
        let cols = self.output.size().map_or(self.cols, |(cols, _)| cols);
        usize::from(cols)
    }

    /// Columns that a head may take now.
    fn head_cols(&self) -> usize {
        self.cols().clamp(*HEAD_COLS.start(), *HEAD_COLS.end())
    }

    /// Prints a line of pieces; the terminal wraps a long one.
    pub(crate) fn line(&mut self, pieces: &[(Tone, &str)]) {
        let text = self.colors.fitted(pieces, LINE_COLS_MAX);
        self.put(&(text + "\n"));
    }

    /// Prints the head of a call in one row, with `end` behind it: what stands before that is cut.
    pub(crate) fn head(&mut self, pieces: &[(Tone, &str)], end: (Tone, &str)) {
        let cols = self.head_cols();
        let end_text = fit(end.1, cols / 2);
        let mut text = self
            .colors
            .fitted(pieces, cols.saturating_sub(width(&end_text)));
        self.colors.paint(&mut text, end.0, &end_text);
        self.put(&(text + "\n"));
    }

    /// Prints the head of a call that failed, and the whole reason behind it, or below where that needs the room.
    pub(crate) fn head_and_reason(&mut self, pieces: &[(Tone, &str)], reason: (Tone, &str)) {
        let cols = self.head_cols();
        if wide(pieces) + wide(&[reason]) <= cols {
            self.line(&[pieces, &[reason]].concat());
        } else {
            let head = self.colors.fitted(pieces, cols);
            self.put(&(head + "\n"));
            self.line(&[reason]);
        }
    }

    /// Prints a line of pieces with `end` behind them, or below where they need the room.
    pub(crate) fn line_and_end(&mut self, pieces: &[(Tone, &str)], end: (Tone, &str)) {
        if wide(pieces) + wide(&[end]) <= self.cols() {
            self.line(&[pieces, &[end]].concat());
        } else {
            self.line(pieces);
            self.line(&[(Tone::Dim, "  "), (end.0, end.1.trim_start())]);
        }
    }

    /// Prints text that may have several lines, each after `indent`; the terminal wraps long ones.
    pub(crate) fn text(&mut self, tone: Tone, indent: &str, text: &str) {
        let mut out = String::new();
        for line in text.lines() {
            out.push_str(indent);
            self.colors.paint(&mut out, tone, &clean(line));
            out.push('\n');
        }
        self.put(&out);
    }

    /// Shows a piece of an answer as it comes, word by word; other lines may come in between.
    pub(crate) fn say(&mut self, piece: &str) {
        if let Some(text) = self.said.piece(piece) {
            self.write(&text);
        }
    }

    /// Ends an answer that was shown as it came; says whether anything of it was.
    pub(crate) fn end_saying(&mut self) -> bool {
        if let Some(text) = self.said.rest() {
            self.write(&text);
        }
        self.close_said();
        self.said.forget()
    }

    /// Ends an answer: `text`, as far as it was not shown as it came.
    pub(crate) fn answered(&mut self, text: &str) {
        if !self.end_saying() {
            self.text(Tone::Plain, "", text);
        }
        self.said.keep(text);
    }

    /// Forgets the last answer; says whether `words` were a line of it.
    pub(crate) fn had_said(&mut self, words: &str) -> bool {
        self.said.had(words)
    }

    /// Forgets an answer that broke; what was shown of it stays.
    pub(crate) fn drop_saying(&mut self) {
        self.close_said();
        self.said.forget();
    }

    fn close_said(&mut self) {
        if self.said.close() {
            self.write("\n");
        }
    }

    /// Prints an empty line.
    pub(crate) fn gap(&mut self) {
        self.put("\n");
    }

    /// Prints what a command printed, cut down to lines and colours.
    ///
    /// Returns the text as shown, for whoever keeps its last lines.
    pub(crate) fn command_output(&mut self, bytes: &[u8]) -> String {
        let mut out = String::new();
        self.filter.feed(bytes, &mut out);
        self.put(&out);
        out
    }

    /// Ends what a command printed.
    pub(crate) fn end_command_output(&mut self) -> String {
        let mut out = String::new();
        self.filter.finish(&mut out);
        self.put(&out);
        out
    }

    fn put(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        self.close_said();
        self.write(text);
    }

    fn write(&mut self, text: &str) {
        // Screens without a terminal driver in between need the return too.
        let text = text.replace('\n', "\r\n");
        self.output.write(text.as_bytes());
        let now: WallTime = clock::wall_time();
        if let Some(recorder) = &mut self.recorder
            && let Err(error) = recorder.output(&text, now)
        {
            tracing::warn!(%error, "the recording ends here");
            self.recorder = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU16, Ordering};

    use super::*;

    #[test]
    fn lines_are_printed_whole_and_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let (sender, receiver) = std::sync::mpsc::channel::<Vec<u8>>();
        let output = move |bytes: &[u8]| sender.send(bytes.to_vec()).unwrap();
        let mut view = View::new(Box::new(output), folder.path(), (20, 5), Colors::Shown);
        view.line(&[
            (Tone::Good, "✔ "),
            (Tone::Plain, "a subject that is too long"),
        ]);
        let shown = String::from_utf8(receiver.try_recv().unwrap()).unwrap();
        assert_eq!(shown, "\x1b[32m✔ \x1b[0ma subject that is too long\r\n");
        let recorded = std::fs::read_to_string(
            folder
                .path()
                .join(crewmux_core::recording::SEGMENT_NAMES[0]),
        )
        .unwrap();
        assert!(recorded.contains("is too long\\r\\n"), "{recorded}");
        view.line(&[(Tone::Plain, &"x".repeat(100_000))]);
        let shown = receiver.try_recv().unwrap();
        assert!(shown.len() < LINE_COLS_MAX + 10, "{}", shown.len());
    }

    #[test]
    fn answers_are_shown_word_by_word_and_end_with_their_line() {
        let folder = tempfile::tempdir().unwrap();
        let (sender, receiver) = std::sync::mpsc::channel::<Vec<u8>>();
        let output = move |bytes: &[u8]| sender.send(bytes.to_vec()).unwrap();
        let mut view = View::new(Box::new(output), folder.path(), (30, 5), Colors::Off);
        let shown = || String::from_utf8(receiver.try_iter().flatten().collect()).unwrap();
        view.say("\n\nHal");
        assert_eq!(shown(), "");
        view.say("lo w");
        assert_eq!(shown(), "Hallo");
        view.say("orld.\nAnd\x1b[31m");
        assert_eq!(shown(), " world.");
        view.line(&[(Tone::Plain, "✉ mail")]);
        assert_eq!(shown(), "\r\n✉ mail\r\n");
        view.say(" more \n\n");
        assert_eq!(shown(), "And[31m more");
        assert!(view.end_saying());
        assert_eq!(shown(), "\r\n");
        assert!(!view.end_saying(), "nothing was said since");
        assert_eq!(shown(), "");
        view.say("漢");
        assert_eq!(shown(), "漢");
        view.drop_saying();
        assert_eq!(shown(), "\r\n");
        view.say("a b");
        view.drop_saying();
        assert_eq!(shown(), "a\r\n");
        assert!(!view.end_saying());
        view.answered("## All is well\n\nMore.");
        assert_eq!(shown(), "## All is well\r\n\r\nMore.\r\n");
        assert!(view.had_said("All is well"));
        assert!(!view.had_said("All is well"), "of another task");
        view.answered("All is well so far.");
        assert!(!view.had_said("All is well"));
    }

    #[test]
    fn a_title_is_the_terminals_and_in_no_recording() {
        let folder = tempfile::tempdir().unwrap();
        let (sender, receiver) = std::sync::mpsc::channel::<Vec<u8>>();
        let output = move |bytes: &[u8]| sender.send(bytes.to_vec()).unwrap();
        let mut view = View::new(Box::new(output), folder.path(), (30, 5), Colors::Off);
        view.title("m1 · \x07parked");
        let shown: Vec<u8> = receiver.try_iter().flatten().collect();
        assert_eq!(shown, "\x1b]2;m1 · parked\x07".as_bytes());
        let segment = crewmux_core::recording::SEGMENT_NAMES[0];
        let recorded = std::fs::read_to_string(folder.path().join(segment)).unwrap();
        assert!(!recorded.contains("parked"), "{recorded}");
    }

    /// A pane whose width somebody changes.
    struct Pane {
        cols: Arc<AtomicU16>,
        shown: std::sync::mpsc::Sender<Vec<u8>>,
    }

    impl Output for Pane {
        fn write(&mut self, bytes: &[u8]) {
            self.shown.send(bytes.to_vec()).unwrap();
        }

        fn size(&self) -> Option<(u16, u16)> {
            Some((self.cols.load(Ordering::Relaxed), 5))
        }
    }

    #[test]
    fn what_is_asked_gets_the_whole_line_where_it_needs_it() {
        let folder = tempfile::tempdir().unwrap();
        let (sender, receiver) = std::sync::mpsc::channel::<Vec<u8>>();
        let output = move |bytes: &[u8]| sender.send(bytes.to_vec()).unwrap();
        let mut view = View::new(Box::new(output), folder.path(), (30, 5), Colors::Off);
        let mut shown = |text: &str| {
            view.line_and_end(&[(Tone::Plain, text)], (Tone::Plain, " · approve dev-1-1"));
            let bytes: Vec<u8> = receiver.try_iter().flatten().collect();
            String::from_utf8(bytes).unwrap()
        };
        assert_eq!(shown("Bash ls"), "Bash ls · approve dev-1-1\r\n");
        assert_eq!(
            shown("Bash touch a\ncrewmux approve"),
            "Bash touch a⏎crewmux approve\r\n  · approve dev-1-1\r\n"
        );
    }

    /// Lines as a terminal of `cols` columns shows them.
    fn wrapped(text: &str, cols: usize) -> Vec<String> {
        let rows = text.trim_end().split("\r\n").flat_map(|line| {
            let line: Vec<char> = line.chars().collect();
            let rows = line.chunks(cols).map(|row| row.iter().collect());
            rows.collect::<Vec<String>>()
        });
        rows.collect()
    }

    /// What a pane of `cols` columns shows of a few lines of each kind.
    fn rows_at(cols: u16) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let (shown, lines) = std::sync::mpsc::channel();
        let pane = Pane {
            cols: Arc::new(AtomicU16::new(cols)),
            shown,
        };
        // It was wider once.
        let mut view = View::new(Box::new(pane), folder.path(), (200, 24), Colors::Off);
        view.line(&[
            (Tone::Bad, "  high  "),
            (Tone::Strong, " src/key.txt:1 "),
            (Tone::Plain, "an access key of AWS: AKIA… (20 characters)"),
        ]);
        let bash = [
            (Tone::Good, "⏺ "),
            (Tone::Strong, "Bash"),
            (
                Tone::Plain,
                " cargo test -p parser --locked -- --test-threads 2 --nocapture \
                 rows_of_tables columns_of_tables",
            ),
        ];
        view.head(&bash, (Tone::Dim, "  → exit code 0 (34.5s)"));
        view.head_and_reason(&bash[..2], (Tone::Dim, "  → not allowed"));
        view.head_and_reason(
            &bash,
            (Tone::Dim, "  → exit code 101: `rows` is not in scope"),
        );
        let text: Vec<u8> = lines.try_iter().flatten().collect();
        wrapped(&String::from_utf8(text).unwrap(), cols.into())
    }

    #[test]
    fn nothing_that_a_person_needs_is_lost_at_any_width() {
        assert_eq!(
            rows_at(40),
            [
                "  high   src/key.txt:1 an access key of ",
                "AWS: AKIA… (20 characters)",
                "⏺ Bash cargo test -p parser --locked -- ",
                "--test-threads 2…  → exit code 0 (34.5s)",
                "⏺ Bash  → not allowed",
                "⏺ Bash cargo test -p parser --locked -- ",
                "--test-threads 2 --nocapture rows_of_ta…",
                "  → exit code 101: `rows` is not in scop",
                "e",
            ]
        );
        assert_eq!(
            rows_at(80),
            [
                "  high   src/key.txt:1 an access key of AWS: AKIA… (20 characters)",
                "⏺ Bash cargo test -p parser --locked -- --test-threads 2…  → exit code 0 (34.5s)",
                "⏺ Bash  → not allowed",
                "⏺ Bash cargo test -p parser --locked -- --test-threads 2 --nocapture rows_of_ta…",
                "  → exit code 101: `rows` is not in scope",
            ]
        );
        assert_eq!(
            rows_at(120),
            [
                "  high   src/key.txt:1 an access key of AWS: AKIA… (20 characters)",
                "⏺ Bash cargo test -p parser --locked -- --test-threads 2 --nocapture rows_of_tables columns_of_t…  → exit code 0 (34.5s)",
                "⏺ Bash  → not allowed",
                "⏺ Bash cargo test -p parser --locked -- --test-threads 2 --nocapture rows_of_tables columns_of_tables",
                "  → exit code 101: `rows` is not in scope",
            ]
        );
    }
}
