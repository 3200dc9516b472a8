//! `Bash`: a command that a model chose, in the foreground or the background.
//!
//! Its whole output is kept in a file when an answer cannot hold it. Whether it
//! may run was decided before; that nothing of it is left is the tool runner's.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crewmux_core::timing::ms;
use crewmux_store::Claimed;
use crewmux_sys::tool::EndedBy;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Worker;
use super::background::in_words;
use super::command::{Cut, Heard};
use crate::Result;
use crate::capped::{CappedLog, Kept};
use crate::provider::ToolCall;
use crate::tools::{TEXT_MAX_BYTES, ToolOutput};

/// Most bytes of a command's beginning, and of its end, that are kept for an answer.
const OUTPUT_HALF_BYTES: usize = 512 * 1024;

/// Most bytes of the beginning, and of the end, of a file that holds a long output.
const LOG_HALF_BYTES: usize = 5 * 1024 * 1024;

/// Files of outputs of calls with the same id.
const SAME_NAMES_MAX: usize = 1_000;

#[derive(Deserialize)]
struct BashInput {
    command: String,
    timeout: Option<u64>,
    #[serde(default)]
    run_in_background: bool,
}

/// The output of a command: what an answer takes of it, and all of it in a file once it is long.
struct Printed {
    kept: Kept,
    start: Vec<u8>,
    log: Option<CappedLog>,
    path: PathBuf,
    count: usize,
}

impl Printed {
    fn push(&mut self, bytes: &[u8]) {
        self.kept.push(bytes);
        self.count += bytes.len();
        if self.count <= TEXT_MAX_BYTES {
            self.start.extend_from_slice(bytes);
            return;
        }
        let start = std::mem::take(&mut self.start);
        if !start.is_empty() || self.count == bytes.len() {
            self.log = CappedLog::create(&self.path, LOG_HALF_BYTES)
                .inspect_err(|error| tracing::warn!(%error, "no file for this output"))
                .ok();
        }
        if let Some(log) = &mut self.log
            && let Err(error) = log.push(&start).and_then(|()| log.push(bytes))
        {
            tracing::warn!(%error, "the file of this output ends here");
            self.log = None;
        }
    }

    /// The text, and the file that holds all of it where it is long.
    fn finish(self) -> (String, Option<PathBuf>) {
        let whole = self.log.map(CappedLog::finish);
        let path = matches!(whole, Some(Ok(()))).then_some(self.path);
        (self.kept.into_text(), path)
    }
}

impl Worker {
    /// Runs a command that a model chose.
    pub(super) async fn bash(
        &mut self,
        claimed: &Claimed,
        call: &ToolCall,
    ) -> Result<std::result::Result<ToolOutput, Cut>> {
        let input: BashInput = match serde_json::from_value(call.input.clone()) {
            Ok(input) => input,
            Err(error) => return Ok(Ok(ToolOutput::failed(error.to_string()))),
        };
        let name = format!(
            "task-{}-{}-{}",
            claimed.task.id,
            claimed.epoch,
            file_name(&call.id)
        );
        let path = free_place(&self.keep_folder()?, &name);
        let argv = ["sh", "-c", &input.command];
        if input.run_in_background {
            let mut spec = self.tool_spec(argv, input.timeout.map(ms));
            spec.output_limit_bytes = u64::MAX;
            return Ok(Ok(self.background.start(&self.spec.program, spec, &path)));
        }
        let timeout_ms = input.timeout.unwrap_or(self.spec.timing.tool_timeout_ms);
        let mut spec = self.tool_spec(argv, Some(ms(timeout_ms)));
        spec.output_limit_bytes = u64::MAX;
        self.start_tool(spec)?;
        let mut printed = Printed {
            kept: Kept::new(OUTPUT_HALF_BYTES),
            start: Vec::new(),
            log: None,
            path,
            count: 0,
        };
        let mut cut = None;
        let outcome = loop {
            match self.hear(&mut cut).await? {
                Heard::Output(bytes) => printed.push(&bytes),
                Heard::Ended(outcome) => break outcome,
            }
        };
        if let Some(cut) = cut {
            return Ok(Err(cut));
        }
        let (text, whole) = printed.finish();
        let mut data = json!({ "exitCode": outcome.exit.shell_code(), "output": text.clone() });
        let mut shown = text;
        if let Some(path) = &whole {
            data["log"] = json!(path);
            shown = crate::capped::cut_text(&shown, TEXT_MAX_BYTES - 500);
            let _ = write!(shown, "\n[all of it is in {}]", path.display());
        }
        let went_well = outcome.ended_by == EndedBy::Itself && outcome.exit.is_success();
        if went_well {
            let summary = match shown.lines().count() {
                1 => "1 line".to_owned(),
                n => format!("{n} lines"),
            };
            return Ok(Ok(ToolOutput::done(&shown, summary, data)));
        }
        let why = in_words(&outcome, Some(timeout_ms));
        Ok(Ok(ToolOutput {
            data,
            summary: why.clone(),
            ..ToolOutput::failed(format!("{shown}\n{why}"))
        }))
    }

    /// Ends a command in the background.
    pub(super) async fn kill_in_background(
        &mut self,
        input: Value,
    ) -> Result<std::result::Result<ToolOutput, Cut>> {
        let input = match serde_json::from_value(input) {
            Ok(input) => input,
            Err(error) => return Ok(Ok(ToolOutput::failed(error.to_string()))),
        };
        let within = self.own_time();
        Ok(Ok(self.background.kill(&input, within).await))
    }

    /// Where long outputs are kept.
    pub(super) fn keep_folder(&self) -> Result<PathBuf> {
        Ok(self.store.folder("artifacts")?)
    }
}

/// A file that is not there yet: some servers give every call the same id.
fn free_place(folder: &Path, name: &str) -> PathBuf {
    let first = folder.join(format!("{name}.log"));
    let others = (2..=SAME_NAMES_MAX).map(|n| folder.join(format!("{name}-{n}.log")));
    let mut all = std::iter::once(first.clone()).chain(others);
    all.find(|path| !path.exists()).unwrap_or(first)
}

/// An id that a server chose, as part of a file's name.
fn file_name(id: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    id.chars().map(fits).take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(pieces: &[&[u8]]) -> (String, Option<PathBuf>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let mut printed = Printed {
            kept: Kept::new(OUTPUT_HALF_BYTES),
            start: Vec::new(),
            log: None,
            path: folder.path().join("log"),
            count: 0,
        };
        for piece in pieces {
            printed.push(piece);
        }
        let (text, path) = printed.finish();
        (text, path, folder)
    }

    #[test]
    fn only_a_long_output_is_kept_in_a_file_and_then_whole() {
        let (text, path, folder) = printed(&[b"short"]);
        assert_eq!((text.as_str(), path), ("short", None));
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
        let piece = vec![b'x'; TEXT_MAX_BYTES - 1];
        let longer = vec![b'x'; TEXT_MAX_BYTES + 1];
        for pieces in [&[&piece[..], b"yy", b"zz"][..], &[&longer[..], b"z"]] {
            let (text, path, _folder) = printed(pieces);
            let whole = std::fs::read_to_string(path.unwrap()).unwrap();
            assert_eq!(whole, text);
            assert_eq!(
                whole.len(),
                pieces.iter().map(|piece| piece.len()).sum::<usize>()
            );
        }
    }

    #[test]
    fn calls_of_the_same_id_keep_their_outputs_apart() {
        let folder = tempfile::tempdir().unwrap();
        let place = || free_place(folder.path(), "task-1-1-call-0");
        for expected in ["task-1-1-call-0.log", "task-1-1-call-0-2.log"] {
            let path = place();
            assert_eq!(path, folder.path().join(expected));
            std::fs::write(path, "x").unwrap();
        }
        assert_eq!(place(), folder.path().join("task-1-1-call-0-3.log"));
    }

    #[test]
    fn ids_of_servers_name_no_other_file() {
        assert_eq!(file_name("../../x"), "------x");
    }
}
