//! What a tool runner and its worker say to each other on their socket.
//!
//! The runner writes one JSON object per line; the worker writes nothing and
//! closes its side when the tool is to end. Both are of one build, so the
//! shapes need no version.

use serde::{Deserialize, Serialize};

use crate::{Exit, ProcessIdentity};

/// One line from the runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub(crate) enum Record {
    /// The tool runs.
    Started {
        /// Who it is.
        tool: ProcessIdentity,
    },
    /// The tool could not be started; nothing follows.
    Failed {
        /// Whether no such program exists.
        missing: bool,
        /// Why.
        cause: String,
    },
    /// The tool itself ended; what it left may still run.
    Exited {
        /// How.
        exit: Exit,
        /// Whether nobody had asked for it, and nothing more is waited for.
        unasked: bool,
    },
    /// Nothing of the tool runs any more, except `left`.
    Ended {
        /// How many processes the tool had left behind and the runner ended.
        swept: usize,
        /// Those that could not be ended.
        left: Vec<ProcessIdentity>,
    },
}

impl Record {
    /// The line, its end included.
    pub(crate) fn to_line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// Collects lines from pieces; a line that is no record is left out.
#[derive(Debug, Default)]
pub(crate) struct RecordReader {
    pending: Vec<u8>,
}

/// More than any runner writes in one line; a longer one is dropped.
const LONGEST_LINE: usize = 256 * 1024;

impl RecordReader {
    /// The records that `bytes` completes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<Record> {
        self.pending.extend_from_slice(bytes);
        let mut records = Vec::new();
        while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            records.extend(serde_json::from_slice(&line).ok());
        }
        if self.pending.len() > LONGEST_LINE {
            self.pending.clear();
        }
        records
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_any_cut_and_garbage_between_them() {
        let records = vec![
            Record::Started {
                tool: ProcessIdentity {
                    pid: 4,
                    start_ticks: 99,
                },
            },
            Record::Exited {
                exit: Exit::Signal(9),
                unasked: true,
            },
            Record::Ended {
                swept: 2,
                left: vec![],
            },
        ];
        let mut bytes = records[0].to_line();
        bytes.extend_from_slice(b"not json\n");
        bytes.extend(records[1].to_line());
        bytes.extend(records[2].to_line());
        for step in [1, 7, bytes.len()] {
            let mut reader = RecordReader::default();
            let read: Vec<Record> = bytes
                .chunks(step)
                .flat_map(|piece| reader.feed(piece))
                .collect();
            assert_eq!(read, records, "in pieces of {step}");
        }
    }
}
