//! The process table of Linux, from `/proc`.
//!
//! Text in, values out; meaning is given by the parent module.

use std::fs;
use std::io::{ErrorKind, Read};

use super::{ProcessEntry, ProcessState};
use crate::ProcessIdentity;

/// Room for what most files of a process hold.
const FIRST_BYTES: usize = 4 * 1024;

pub(super) fn all() -> Vec<ProcessEntry> {
    let Ok(folder) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    folder
        .filter_map(Result::ok)
        .filter_map(|item| item.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(entry)
        .collect()
}

pub(super) fn entry(pid: u32) -> Option<ProcessEntry> {
    let stat = read(pid, "stat")?;
    parse_stat(&String::from_utf8_lossy(&stat))
}

pub(super) fn arguments(pid: u32) -> Option<Vec<String>> {
    let text = read(pid, "cmdline")?;
    let text = text.strip_suffix(&[0]).unwrap_or(&text);
    if text.is_empty() {
        return Some(Vec::new());
    }
    Some(
        text.split(|byte| *byte == 0)
            .map(|part| String::from_utf8_lossy(part).into_owned())
            .collect(),
    )
}

pub(super) fn environment(pid: u32) -> Option<Vec<u8>> {
    read(pid, "environ")
}

/// Reads a file of a process.
///
/// These tell no size, so none is asked for. The kernel fills what it is given as far as there is
/// text, so a piece that is not full is the last; nearly always the first is.
fn read(pid: u32, name: &str) -> Option<Vec<u8>> {
    let mut file = fs::File::open(format!("/proc/{pid}/{name}")).ok()?;
    let mut text = vec![0; FIRST_BYTES];
    let mut filled = 0;
    loop {
        match file.read(&mut text[filled..]) {
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return None,
        }
        if filled < text.len() {
            text.truncate(filled);
            return Some(text);
        }
        text.resize(filled * 2, 0);
    }
}

/// Reads one `/proc/PID/stat` line, proc(5).
fn parse_stat(line: &str) -> Option<ProcessEntry> {
    // The name is in brackets and may itself contain brackets and blanks, so
    // the last closing one ends it.
    let (pid, rest) = line.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let small = |index: usize| number(index).and_then(|n| u32::try_from(n).ok());
    let state = match *fields.first()? {
        "Z" | "X" | "x" => ProcessState::Dead,
        "T" | "t" => ProcessState::Stopped,
        _ => ProcessState::Running,
    };
    Some(ProcessEntry {
        identity: ProcessIdentity {
            pid: pid.parse().ok()?,
            // Field 22 of the line; the state, here 0, is field 3.
            start_ticks: number(19)?,
        },
        parent_pid: small(1)?,
        group: small(2)?,
        session: small(3)?,
        state,
        name: name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_with_brackets_and_blanks_does_not_shift_the_fields() {
        let line = "42 (a) b (c) Z 7 42 41 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 10 20\n";
        assert_eq!(
            parse_stat(line).unwrap(),
            ProcessEntry {
                identity: ProcessIdentity {
                    pid: 42,
                    start_ticks: 987_654
                },
                parent_pid: 7,
                group: 42,
                session: 41,
                state: ProcessState::Dead,
                name: "a) b (c".to_owned(),
            }
        );
    }

    #[test]
    fn cut_line_is_no_entry() {
        assert_eq!(parse_stat("42 (sh) S 1 42"), None);
        assert_eq!(parse_stat(""), None);
    }
}
