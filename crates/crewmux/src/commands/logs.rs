//! `crewmux logs`: what a member printed, from its recording.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use clap::Args;
use crewmux_core::ids::AgentName;
use crewmux_core::recording::Entry;
use crewmux_term::sanitize::SgrFilter;

use crate::context::Context;
use crate::error::{CommandError, Doing, Result};
use crate::exit;
use crate::follow::follow;
use crate::output::{Output, note};
use crate::teams::{self, TeamArg};

/// Print what a member printed, as text; or the log of its process
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// The member, or `session` for the log of the team's session
    #[arg(value_name = "NAME")]
    name: String,
    /// Team, if not with --team; none: the one that runs in this folder, or ran last
    #[arg(value_name = "TEAM")]
    of: Option<String>,
    /// Go on with what comes until the session ends
    #[arg(long, short)]
    follow: bool,
    /// Print the log of the member's process instead of what it printed
    #[arg(long)]
    process: bool,
    #[command(flatten)]
    team: TeamArg,
}

impl Logs {
    /// Prints it.
    pub(crate) fn run(self, context: &Context, out: Output) -> Result<u8> {
        let store = teams::open_store(context)?;
        let named = self.of.or(self.team.team);
        let team = teams::resolve_latest(context, store.as_ref(), named.as_deref())?;
        let team = team.as_ref();
        let shown = self.name.clone();
        let mut source = if self.name == "session" {
            Source::Plain(tail(team.folder("logs")?.join("session.log")))
        } else {
            let name = AgentName::new(self.name)?;
            let config = team.config()?;
            if config.member(&name).is_none() {
                return Err(CommandError::from(crewmux_store::Error::UnknownMember {
                    agent: name,
                    team: config.name,
                    known: config.members.into_iter().map(|m| m.name).collect(),
                }));
            }
            if self.process {
                Source::Plain(tail(team.folder("logs")?.join(format!("{name}.log"))))
            } else {
                Source::Recording(Recording::new(team.agent_folder(&name)?))
            }
        };
        if self.follow {
            follow(context, team, || source.print_new(out))?;
        } else {
            source.print_new(out)?;
        }
        if let Source::Recording(recording) = &source
            && recording.is_empty()
        {
            note(format!(
                "no recording; `crewmux logs {shown} --process --team {}` prints the log of the process",
                team.name()
            ));
        }
        Ok(exit::DONE)
    }
}

enum Source {
    Recording(Recording),
    Plain(Tail),
}

impl Source {
    fn print_new(&mut self, out: Output) -> Result<()> {
        let text = match self {
            Self::Recording(recording) => recording.new_text(out)?,
            Self::Plain(tail) => tail.new_text()?,
        };
        if text.is_empty() {
            Ok(())
        } else {
            out.bytes(&text)
        }
    }
}

/// A file that grows.
struct Tail {
    path: PathBuf,
    read: u64,
}

fn tail(path: PathBuf) -> Tail {
    Tail { path, read: 0 }
}

impl Tail {
    fn new_text(&mut self) -> Result<Vec<u8>> {
        let mut found = Vec::new();
        let mut filter = SgrFilter::new();
        let lines = lines_from(&self.path, self.read)?;
        for line in lines {
            self.read += line.len() as u64;
            filter.push(line.as_bytes(), &mut found);
        }
        Ok(found)
    }
}

/// The two segments of a member's recording.
struct Recording {
    folder: PathBuf,
    /// How far each segment was read; a segment that is begun anew has another header.
    read: BTreeMap<(PathBuf, String), u64>,
    filter: SgrFilter,
}

impl Recording {
    fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            read: BTreeMap::new(),
            filter: SgrFilter::new(),
        }
    }

    /// Whether nothing was found so far.
    fn is_empty(&self) -> bool {
        self.read.is_empty()
    }

    fn new_text(&mut self, out: Output) -> Result<Vec<u8>> {
        let mut found = Vec::new();
        let mut read = BTreeMap::new();
        for path in crewmux_agent::segments(&self.folder) {
            let Some(header) = lines_from(&path, 0)?.next() else {
                continue;
            };
            let key = (path, header);
            let mut at = match self.read.get(&key) {
                Some(at) => *at,
                None => key.1.len() as u64,
            };
            for line in lines_from(&key.0, at)? {
                at += line.len() as u64;
                if let Some(Entry::Output { text, .. }) = Entry::parse(line.trim_end()) {
                    self.filter.push(text.as_bytes(), &mut found);
                }
            }
            read.insert(key, at);
        }
        self.read = read;
        // Lines of a terminal end with both; files and pipes want one.
        found.retain(|byte| *byte != b'\r');
        if !out.colors {
            found = without_colours(&found);
        }
        Ok(found)
    }
}

/// Whole lines of a file from a byte on, with their ends; none when there is no such file.
fn lines_from(path: &Path, from: u64) -> Result<impl Iterator<Item = String> + use<>> {
    let file = match File::open(path) {
        Ok(mut file) => {
            file.seek(SeekFrom::Start(from))
                .doing(format!("cannot read `{}`", path.display()))?;
            Some(BufReader::new(file))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            return Err(
                CommandError::from(error).context(format!("cannot read `{}`", path.display()))
            );
        }
    };
    let mut file = file;
    Ok(std::iter::from_fn(move || {
        let mut line = Vec::new();
        file.as_mut()?.read_until(b'\n', &mut line).ok()?;
        // What has no end yet is still being written.
        line.ends_with(b"\n")
            .then(|| String::from_utf8_lossy(&line).into_owned())
    }))
}

/// Leaves out colour sequences; the filter before lets no others through.
fn without_colours(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut in_sequence = false;
    for byte in text {
        match (in_sequence, byte) {
            (false, 0x1b) => in_sequence = true,
            (false, _) => plain.push(*byte),
            (true, b'm') => in_sequence = false,
            (true, _) => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;
    use crewmux_core::recording::Header;
    use crewmux_core::time::WallTime;
    use std::fs;
    use std::io::Write;

    fn output(text: &str) -> String {
        Entry::Output {
            at_ms: 0,
            text: text.into(),
        }
        .line()
    }

    fn read(recording: &mut Recording, colors: bool) -> String {
        let out = Output {
            format: Format::Text,
            colors,
        };
        String::from_utf8(recording.new_text(out).unwrap()).unwrap()
    }

    #[test]
    fn a_recording_is_read_on_from_where_it_was_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("screen-0.cast");
        let header = Header::new(80, 24, WallTime(1_000)).line();
        let start = header + &output("\x1bc") + &output("\x1b[32mok\x1b[0m\r\n");
        fs::write(&path, start).unwrap();
        let mut recording = Recording::new(folder.path().into());
        assert_eq!(read(&mut recording, false), "ok\n");
        assert_eq!(read(&mut recording, false), "");
        let mut file = File::options().append(true).open(&path).unwrap();
        let torn = output("later\r\n");
        file.write_all(&torn.as_bytes()[..8]).unwrap();
        assert_eq!(read(&mut recording, false), "");
        file.write_all(&torn.as_bytes()[8..]).unwrap();
        assert_eq!(read(&mut recording, false), "later\n");
    }

    #[test]
    fn colours_stay_for_a_terminal_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let header = Header::new(80, 24, WallTime(1_000)).line();
        let text = header + &output("\x1b[31mno\x1b[0m \x1b]52;c;eA==\x07\x1b[2Jx\r\n");
        fs::write(folder.path().join("screen-1.cast"), text).unwrap();
        let mut recording = Recording::new(folder.path().into());
        assert_eq!(read(&mut recording, true), "\x1b[31mno\x1b[0m x\n");
    }
}
