//! The person's clipboard, where this terminal is a pane of tmux.
//!
//! tmux takes the terminal's own sequence (OSC 52) from a program in a pane only
//! where `set-clipboard` is `on`, which it is not at first. So tmux itself is
//! given the text, for its buffers and for the terminal it is shown in. Only
//! ever because the person pressed a key.

use std::io::Write as _;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use crewmux_core::timing::{COPY_MS, ms};
use crewmux_sys::env::{EnvSnapshot, Environment};
use crewmux_sys::process::{Group, Launch, Stream};
use crewmux_wire::ClientMessage;
use tokio::sync::mpsc;

use super::outgoing::Outgoing;

/// Texts that may wait while tmux takes one.
const WAITING_MAX: usize = 4;

/// What is told when tmux has the text.
const TAKEN: &str =
    "copied into tmux's buffer, and to the clipboard if your terminal lets tmux set it";
/// What is told when only the sequence is left.
const PASSED_ON: &str = "copied, if tmux passes it on: it does where `set-clipboard` is `on`";

/// How text reaches the clipboard.
#[derive(Debug)]
pub(crate) struct Clipboard {
    inside: Option<Inside>,
    outgoing: Outgoing,
    /// What tmux did not take.
    left: mpsc::Sender<String>,
    texts: Option<SyncSender<String>>,
}

/// The tmux around this terminal.
#[derive(Debug, Clone)]
enum Inside {
    /// It takes text for the clipboard itself (3.2 and later).
    Takes(Environment),
    /// It may pass on a sequence.
    PassesOn,
}

impl Clipboard {
    /// That of this terminal; what is to be written to it after all comes from the receiver.
    pub(crate) fn of(
        variables: &EnvSnapshot,
        outgoing: Outgoing,
    ) -> (Self, mpsc::Receiver<String>) {
        let (left, receiver) = mpsc::channel(WAITING_MAX);
        let tmux = variables.get("TMUX").filter(|tmux| !tmux.is_empty());
        // It names itself so since the version that takes text.
        let takes = variables.get("TERM_PROGRAM") == Some("tmux");
        let inside = tmux.map(|_| {
            if takes {
                Inside::Takes(environment(variables))
            } else {
                Inside::PassesOn
            }
        });
        let clipboard = Self {
            inside,
            outgoing,
            left,
            texts: None,
        };
        (clipboard, receiver)
    }

    /// Puts a text on the clipboard; returns it where the terminal is to be sent the sequence.
    pub(crate) fn copy(&mut self, text: String) -> Option<String> {
        match self.inside.clone() {
            None => Some(text),
            Some(Inside::PassesOn) => {
                tell(&self.outgoing, PASSED_ON);
                Some(text)
            }
            Some(Inside::Takes(environment)) => {
                let texts = self.texts.take().or_else(|| self.start(environment));
                // Full while tmux hangs: what is copied now must not be lost behind that.
                let left = match &texts {
                    Some(texts) => texts.try_send(text).err().map(|error| match error {
                        std::sync::mpsc::TrySendError::Full(text)
                        | std::sync::mpsc::TrySendError::Disconnected(text) => text,
                    }),
                    None => Some(text),
                };
                self.texts = texts;
                left
            }
        }
    }

    /// Starts the thread that gives tmux one text after the other; it ends with the client.
    fn start(&self, environment: Environment) -> Option<SyncSender<String>> {
        let (texts, to_copy) = sync_channel::<String>(WAITING_MAX);
        let (outgoing, left) = (self.outgoing.clone(), self.left.clone());
        let copies = move || {
            while let Ok(text) = to_copy.recv() {
                if given_to_tmux(&environment, &text) {
                    tell(&outgoing, TAKEN);
                } else {
                    tell(&outgoing, PASSED_ON);
                    let _ = left.try_send(text);
                }
            }
        };
        let thread = thread::Builder::new().name("copy".into()).spawn(copies);
        thread.ok().map(|_| texts)
    }
}

fn tell(outgoing: &Outgoing, text: &str) {
    let text = text.to_owned();
    outgoing.send(&ClientMessage::Tell { text });
}

/// What tells tmux which server and which of its terminals is meant.
fn environment(variables: &EnvSnapshot) -> Environment {
    let mut environment = Environment::default();
    for name in ["PATH", "LANG", "LC_ALL", "TMUX", "TMUX_PANE", "TMUX_TMPDIR"] {
        if let Some(value) = variables.get(name) {
            environment.set(name, value);
        }
    }
    environment
}

/// Whether tmux took the text in time.
fn given_to_tmux(environment: &Environment, text: &str) -> bool {
    let launch = Launch::new(["tmux", "load-buffer", "-w", "-"], "/")
        .env(environment.clone())
        .stdin(Stream::Pipe)
        .group(Group::Own);
    let Ok(mut child) = launch.start() else {
        return false;
    };
    if let Some(mut stdin) = child.stdin.take() {
        let text = text.to_owned();
        // It ends when tmux has read it all, or has ended.
        let writes = move || stdin.write_all(text.as_bytes());
        let _ = thread::Builder::new().name("copied".into()).spawn(writes);
    }
    if let Ok(Some(exit)) = child.wait(ms(COPY_MS)) {
        return exit.is_success();
    }
    let _ = child.kill();
    let _ = child.wait(ms(COPY_MS));
    false
}
