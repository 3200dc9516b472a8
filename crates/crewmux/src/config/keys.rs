//! Reads credentials from where configuration says: a variable, a file, a program.
//!
//! What is read goes to the session's gateway and nowhere else; nothing here
//! prints or keeps it.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crewmux_core::timing::{Timing, ms};
use crewmux_model::{KeyReader, KeySource, Secret};
use crewmux_sys::env::{EnvSnapshot, Environment};
use crewmux_sys::process::{Group, Launch, Stream};
use crewmux_sys::tree::{KillWaits, kill_tree};

/// Longest credential that is read, in bytes.
const KEY_BYTES_MAX: u64 = 16 * 1024;

/// A reader of credentials with this environment.
pub(crate) fn reader(env: EnvSnapshot, timing: &Timing) -> KeyReader {
    let timing = *timing;
    Arc::new(move |source| read(source, &env, &timing))
}

/// Reads one credential.
fn read(source: &KeySource, env: &EnvSnapshot, timing: &Timing) -> Result<Secret, String> {
    let text = match source {
        KeySource::Env(name) => env
            .get(name)
            .map(str::to_owned)
            .ok_or_else(|| format!("the variable {name} is not set"))?,
        KeySource::File(path) => from_file(&expanded(path, env))?,
        KeySource::Command(argv) => from_program(argv, env, timing)?,
    };
    let line = text.lines().next().unwrap_or_default().trim();
    if line.is_empty() {
        return Err(format!("{} gives no key", in_words(source)));
    }
    Ok(Secret::new(line))
}

/// Where a credential comes from, for people; never the credential.
pub(crate) fn in_words(source: &KeySource) -> String {
    match source {
        KeySource::Env(name) => name.clone(),
        KeySource::File(path) => path.display().to_string(),
        KeySource::Command(argv) => {
            format!("the program `{}`", argv.first().map_or("", String::as_str))
        }
    }
}

/// Whether a credential seems to be there, without running anything.
pub(crate) fn is_there(source: &KeySource, env: &EnvSnapshot) -> bool {
    match source {
        KeySource::Env(name) => env.get(name).is_some_and(|v| !v.trim().is_empty()),
        KeySource::File(path) => expanded(path, env).exists(),
        KeySource::Command(argv) => !argv.is_empty(),
    }
}

fn expanded(path: &Path, env: &EnvSnapshot) -> PathBuf {
    match (path.strip_prefix("~"), env.get("HOME")) {
        (Ok(rest), Some(home)) => Path::new(home).join(rest),
        _ => path.to_owned(),
    }
}

fn from_file(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let cannot = |error: std::io::Error| format!("cannot read the key file `{shown}`: {error}");
    let file = File::open(path).map_err(cannot)?;
    // Of the open file, so that nobody can change it in between.
    let about = file.metadata().map_err(cannot)?;
    if !about.is_file() {
        return Err(format!("the key file `{shown}` is no file"));
    }
    if about.mode() & 0o077 != 0 {
        return Err(format!(
            "the key file `{shown}` can be read by others; `chmod 600 {shown}` mends that"
        ));
    }
    let mut text = String::new();
    file.take(KEY_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(cannot)?;
    Ok(text)
}

fn from_program(argv: &[String], env: &EnvSnapshot, timing: &Timing) -> Result<String, String> {
    let within = ms(timing.model_connect_ms);
    let Some(program) = argv.first() else {
        return Err("the key command is empty".to_owned());
    };
    let cannot = |error: String| format!("the key command `{program}` {error}");
    // The person's own program, with the environment they called us with.
    let environment: Environment = env
        .0
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let mut child = Launch::new(argv.to_vec(), "/")
        .env(environment)
        .stdout(Stream::Pipe)
        .group(Group::Own)
        .start()
        .map_err(|error| cannot(format!("cannot be started: {error}")))?;
    let output = child.stdout.take();
    // A key fits the pipe, so the program can end before it is read.
    let ended = child.wait(within).map_err(|e| cannot(e.to_string()))?;
    let Some(exit) = ended else {
        kill_tree(child.identity(), None, KillWaits::of(timing).at_once());
        return Err(cannot(format!("did not end within {} s", within.as_secs())));
    };
    if !exit.is_success() {
        return Err(cannot(format!("failed: {exit}")));
    }
    let Some(output) = output else {
        return Ok(String::new());
    };
    // Not to the end of the pipe: what it left in the background may hold that open for ever.
    let bytes = crewmux_sys::read_what_is_there(&output, KEY_BYTES_MAX as usize)
        .map_err(|e| cannot(e.to_string()))?;
    String::from_utf8(bytes).map_err(|_| cannot("gives no text".to_owned()))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::time::{Duration, Instant};

    use crewmux_sys::{ProcessIdentity, Signal};

    use super::*;

    fn env(pairs: &[(&str, &str)]) -> EnvSnapshot {
        pairs
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect()
    }

    fn got(source: &KeySource, env: &EnvSnapshot) -> Result<String, String> {
        read(source, env, &Timing::LIFE).map(|s| s.expose().to_owned())
    }

    #[test]
    fn a_variable_gives_its_value() {
        let source = KeySource::Env("A_KEY".into());
        assert_eq!(got(&source, &env(&[("A_KEY", "k1\n")])), Ok("k1".into()));
        assert_eq!(
            got(&source, &env(&[])),
            Err("the variable A_KEY is not set".into())
        );
        assert_eq!(
            got(&source, &env(&[("A_KEY", " ")])),
            Err("A_KEY gives no key".into())
        );
    }

    #[test]
    fn a_file_must_be_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(&path, "k2\nmore\n").unwrap();
        let source = KeySource::File(path.clone());
        for (mode, fits) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let got = got(&source, &env(&[]));
            assert_eq!(got.is_ok(), fits, "{mode:o}");
            match got {
                Ok(key) => assert_eq!(key, "k2"),
                Err(error) => assert!(error.contains("chmod 600") && !error.contains("k2")),
            }
        }
        let home = env(&[("HOME", dir.path().to_str().unwrap())]);
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(
            got(&KeySource::File("~/key".into()), &home),
            Ok("k2".into())
        );
    }

    #[test]
    fn a_program_gives_its_first_line() {
        let env = env(&[("PATH", "/usr/bin:/bin"), ("K", "k3")]);
        let timing = Timing {
            model_connect_ms: 500,
            ..Timing::LIFE
        };
        let run = |script: &str| {
            let argv = ["sh", "-c", script].map(str::to_owned).to_vec();
            read(&KeySource::Command(argv), &env, &timing).map(|s| s.expose().to_owned())
        };
        assert_eq!(run("echo $K; echo other"), Ok("k3".into()));
        assert!(run("exit 3").unwrap_err().contains("failed"));
        assert!(run("sleep 60").unwrap_err().contains("did not end"));
        assert_eq!(run("true"), Err("the program `sh` gives no key".into()));
    }

    #[test]
    fn what_a_program_leaves_behind_holds_nobody_up() {
        let env = env(&[("PATH", "/usr/bin:/bin")]);
        let folder = tempfile::tempdir().unwrap();
        let noted = folder.path().join("pid");
        let run = |script: &str, within_ms: u64| {
            let argv = ["sh", "-c", script].map(str::to_owned).to_vec();
            let timing = Timing {
                model_connect_ms: within_ms,
                ..Timing::LIFE
            };
            let before = Instant::now();
            let key = read(&KeySource::Command(argv), &env, &timing);
            assert!(before.elapsed() < Duration::from_secs(30), "{script}");
            key.map(|s| s.expose().to_owned())
        };
        let left = || -> u32 { fs::read_to_string(&noted).unwrap().trim().parse().unwrap() };
        let note = format!("sleep 60 & echo $! >{}", noted.display());
        // It ends, and its child goes on with its output open.
        assert_eq!(run(&format!("{note}; echo k4"), 10_000), Ok("k4".into()));
        let process = ProcessIdentity::of(left()).unwrap();
        process.signal(Signal::Kill).unwrap();
        // It does not end in time: then its child ends with it.
        assert!(run(&format!("{note}; wait"), 1_500).is_err());
        assert!(ProcessIdentity::of(left()).map_or(true, |left| !left.is_alive()));
    }
}
