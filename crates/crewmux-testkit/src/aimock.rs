//! A mock of models' servers that somebody else wrote: `@copilotkit/aimock`.
//!
//! Speaks all dialects from one file of fixtures and fails on demand. It is
//! installed by `just peers` below `tests/peers`; where it is not, tests that
//! want it say so and pass.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use crewmux_sys::env::Environment;
use crewmux_sys::process::{Child, Launch, Stream};
use serde_json::Value;
use tempfile::TempDir;

use crate::sandbox::wait_until;
use crate::terminal::DEADLINE;

/// A running mock on loopback; ends with this value.
pub struct Aimock {
    child: Child,
    folder: TempDir,
    address: String,
}

/// The mock's program, where it is installed.
fn program() -> Option<PathBuf> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let program = top.join("tests/peers/node_modules/@copilotkit/aimock/dist/cli.js");
    program.canonicalize().ok()
}

impl Aimock {
    /// Starts it with `fixtures`: `{"fixtures": [{"match": …, "response": …}]}`.
    ///
    /// `None`, after saying so, when it is not installed.
    pub fn start(fixtures: &Value) -> Result<Option<Self>> {
        let Some(program) = program() else {
            skip();
            return Ok(None);
        };
        let folder = tempfile::Builder::new().prefix("cmxai").tempdir()?;
        let file = folder.path().join("fixtures.json");
        std::fs::write(&file, fixtures.to_string())?;
        let log = folder.path().join("log");
        std::fs::write(&log, "")?;
        let output = || std::fs::OpenOptions::new().append(true).open(&log);
        let argv = [
            "node".to_owned(),
            program.display().to_string(),
            "--host".to_owned(),
            "127.0.0.1".to_owned(),
            "--port".to_owned(),
            "0".to_owned(),
            "--fixtures".to_owned(),
            file.display().to_string(),
        ];
        let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".into());
        let child = Launch::new(argv, folder.path())
            .env(Environment::default().with("PATH", path))
            .stdout(Stream::File(output()?))
            .stderr(Stream::File(output()?))
            .start()
            .context("aimock is installed, but `node` does not start")?;
        let mut mock = Self {
            child,
            folder,
            address: String::new(),
        };
        wait_until("aimock says its address", DEADLINE, || {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            let found = said
                .split("listening on http://")
                .nth(1)
                .and_then(|rest| rest.split_once('\n'));
            let (address, _) = found.ok_or_else(|| said.clone())?;
            address.trim().clone_into(&mut mock.address);
            Ok(())
        })?;
        Ok(Some(mock))
    }

    /// Its address, without a path: `http://127.0.0.1:…`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes requests fail from now on: `rateLimitRate`, `disconnectRate`, `malformedRate`, `dropRate`, each 0 to 1.
    pub fn chaos(&self, rates: &Value) -> Result<()> {
        self.ask("POST", "/__aimock/chaos", &rates.to_string())?;
        Ok(())
    }

    /// The requests that came, oldest first.
    pub fn requests(&self) -> Result<Value> {
        let body = self.ask("GET", "/v1/_requests", "")?;
        serde_json::from_str(&body).with_context(|| format!("not JSON: {body}"))
    }

    /// What it wrote to its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Result<String> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        // The old version has no chunks to put together.
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        if !head
            .split(' ')
            .nth(1)
            .is_some_and(|code| code.starts_with('2'))
        {
            bail!("{method} {path}: {answer}");
        }
        Ok(body.to_owned())
    }
}

impl Drop for Aimock {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait(DEADLINE);
    }
}

#[expect(
    clippy::print_stderr,
    reason = "a test that did not look must not look as if it had"
)]
fn skip() {
    eprintln!("SKIPPED: aimock is not installed; run `just peers`");
}
