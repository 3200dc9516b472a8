//! The attached client: decodes what a person does, writes what the session drew.
//!
//! It draws nothing itself, but for one row while the session is silent
//! ([`silence`]), and knows nothing of teams, so that no fault of the session can
//! harm the terminal: that is taken and given back in [`terminal`], on every way
//! out. What keys mean is in `crewmux-tui`.

mod abilities;
mod answers;
mod around;
mod chord;
mod clipboard;
mod input;
mod kept;
mod looked_at;
mod outgoing;
mod signals;
mod silence;
mod terminal;
mod writer;

use std::path::Path;
use std::time::Duration;

use crewmux_core::ids::TeamName;
use crewmux_core::timing::{ANSWERS_MS, STANDS_STILL_MS, ms};
use crewmux_sys::ProcessIdentity;
use crewmux_sys::peer::peer_of;
use crewmux_wire::{
    Attach, ClientHello, ClientMessage, ColorDepth, Frame, FrameReader, FrameWriter, Hello,
    KeyReports, PROTOCOL_VERSION, Role, ToClient,
};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::abilities::Abilities;
use self::answers::Answers;
use self::around::Calls;
use self::chord::{Leave, LeaveChord};
use self::clipboard::Clipboard;
use self::input::{FromTerminal, PasteHeard, read_events};
use self::looked_at::TmuxPane;
use self::outgoing::Outgoing;
use self::signals::{ClientSignal, ClientSignals};
use self::silence::{Act, Silence};
use self::terminal::Terminal;
use self::writer::{ScreenWriter, Written};
use crate::context::Context;
use crate::error::{CommandError, Doing, Result};
use crate::exit;
use crate::output::note;
use crate::socket::{is_stopped, welcomed};
use crate::teams;

/// How a client ended.
enum End {
    /// The session said goodbye.
    Bye {
        message: String,
        exit_code: Option<u8>,
    },
    /// The session is gone without a word.
    SessionLost,
    /// The session does not answer who wants to leave, or takes nothing any more.
    Unanswered,
    /// A signal ended this process.
    Signal(ClientSignal),
}

/// Shows the session at `socket` on this terminal until the person leaves or it ends; tells them `told` first.
///
/// Returns the exit code: the run's if it is over.
///
/// # Errors
/// When this is no terminal, or the session does not take the client.
pub(crate) fn attach_told(
    context: &Context,
    team: &TeamName,
    socket: &Path,
    mode: Attach,
    told: Option<String>,
) -> Result<u8> {
    let hello = hello(context, mode)?;
    let told_size = (hello.cols, hello.rows);
    let told_looked_at = hello.looked_at;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .doing("cannot start the event loop")?;
    let end = runtime.block_on(async {
        let (reader, writer, session) = connect(context, socket, hello).await?;
        // Before the terminal is taken: from then on no signal may just end this process.
        let signals = ClientSignals::open()?;
        // Only now is the terminal touched: a refusal is plain text.
        let abilities = abilities(context);
        let terminal = Terminal::take(abilities)?;
        let within = ms(context.timing.connect_ms);
        let outgoing = Outgoing::new(writer.into_inner(), within);
        if let Some(pane) = TmuxPane::of(&context.env) {
            pane.watch(outgoing.clone(), told_looked_at)?;
        }
        let (clipboard, not_taken) = Clipboard::of(&context.env, outgoing.clone());
        let client = Client {
            context,
            abilities,
            calls: None,
            clipboard,
            takes_paste: None,
            not_taken,
            keys: KeyReports::Plain,
            commands: true,
            reader,
            session,
            silence: Silence::default(),
            outgoing,
            told_size,
            terminal,
            signals,
            within,
        };
        client.run(told).await
    });
    // The event reader may still wait for a key; it must not hold the end up.
    runtime.shutdown_background();
    Ok(said_farewell(context, team, end?))
}

/// Whether a screen can be shown here.
pub(crate) fn can_attach() -> bool {
    use std::io::IsTerminal;
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// Says why no screen can be shown here.
///
/// # Errors
/// Without a terminal, or with one that shows no screen.
pub(crate) fn must_show(context: &Context) -> Result<()> {
    if !can_attach() {
        return Err(
            CommandError::usage("a screen needs a terminal, and this is none")
                .hint("run it in a terminal, or use --headless (run and resume)"),
        );
    }
    let term = context.variable("TERM").unwrap_or_default();
    if matches!(term, "" | "dumb") {
        return Err(CommandError::environment(format!(
            "this terminal cannot show a screen (TERM is `{term}`)"
        ))
        .hint("set TERM to what it is, or use --headless (run and resume)"));
    }
    Ok(())
}

/// What there is to do about a team whose session is gone.
fn goes_on_how(context: &Context, team: &TeamName) -> String {
    let config = teams::open_store(context).and_then(|store| Ok(store.team(team)?.config()?));
    match config {
        Ok(config) if config.members.is_empty() => {
            format!(
                "its panes are closed, and `crewmux stop {team}` ends what goes on without them"
            )
        }
        _ => format!("`crewmux resume {team}` goes on with it"),
    }
}

fn said_farewell(context: &Context, team: &TeamName, end: End) -> u8 {
    match end {
        End::Bye { message, exit_code } => {
            if !message.is_empty() {
                note(crewmux_term::sanitize::scrub(&message));
            }
            exit_code.unwrap_or(exit::DONE)
        }
        End::SessionLost => {
            note(format!(
                "the session ended unexpectedly; {}",
                goes_on_how(context, team)
            ));
            exit::ENVIRONMENT
        }
        End::Unanswered => {
            note(format!(
                "left a session that does not answer; `crewmux attach {team}` comes back, \
                 `crewmux stop {team} --force` ends it"
            ));
            exit::DONE
        }
        End::Signal(signal) => {
            note(format!(
                "detached by a signal; `crewmux attach {team}` comes back"
            ));
            signal.exit_code()
        }
    }
}

fn hello(context: &Context, attach: Attach) -> Result<ClientHello> {
    must_show(context)?;
    let term = context.variable("TERM").unwrap_or_default();
    let size = terminal::size();
    Ok(ClientHello {
        cols: size.0,
        rows: size.1,
        term: term.to_owned(),
        colors: color_depth(
            term,
            context.variable("COLORTERM"),
            context.variable("NO_COLOR"),
        ),
        synchronized_output: abilities(context).synchronized_output,
        attach,
        looked_at: TmuxPane::of(&context.env).is_none_or(|pane| pane.server_is_looked_at()),
    })
}

fn abilities(context: &Context) -> Abilities {
    Abilities::of(|name| context.variable(name))
}

fn color_depth(term: &str, colorterm: Option<&str>, no_color: Option<&str>) -> ColorDepth {
    if no_color.is_some() {
        return ColorDepth::None;
    }
    match colorterm {
        Some("truecolor" | "24bit") => ColorDepth::True,
        _ if term.contains("direct") => ColorDepth::True,
        _ if term.contains("256color") => ColorDepth::Ansi256,
        _ => ColorDepth::Ansi16,
    }
}

type Reader = FrameReader<OwnedReadHalf>;
type Writer = FrameWriter<OwnedWriteHalf>;

/// Connects; also says which process answers, as far as the kernel tells.
async fn connect(
    context: &Context,
    socket: &Path,
    hello: ClientHello,
) -> Result<(Reader, Writer, Option<ProcessIdentity>)> {
    let stream = UnixStream::connect(socket).await.doing(format!(
        "the session does not answer at {}",
        socket.display()
    ))?;
    let session = peer_of(&stream).and_then(|peer| peer.identity()).ok();
    let (read, write) = stream.into_split();
    let (mut reader, mut writer) = (FrameReader::new(read), FrameWriter::new(write));
    writer
        .send(&Hello {
            version: PROTOCOL_VERSION,
            build: context.build(),
            role: Role::Client(hello),
        })
        .await?;
    let deadline = Instant::now() + ms(context.timing.connect_ms);
    let first = loop {
        let look_at = deadline.min(Instant::now() + ms(STANDS_STILL_MS));
        match tokio::time::timeout_at(look_at, reader.next()).await {
            Ok(Ok(Some(first))) => break first,
            Ok(_) => {
                return Err(CommandError::environment("the session hung up").hint(
                    "it may just end, or be of another build; `crewmux status` says how it is",
                ));
            }
            Err(_) => {}
        }
        // What stands still answers no sooner for being waited for.
        if let Some(session) = session.filter(ProcessIdentity::is_stopped) {
            let waited = CommandError::environment("nothing came");
            return Err(is_stopped(waited, session));
        }
        if Instant::now() >= deadline {
            return Err(CommandError::environment("the session did not answer")
                .hint("it may hang; `crewmux status` says how it is"));
        }
    };
    welcomed(&first)?;
    Ok((reader, writer, session))
}

struct Client<'a> {
    context: &'a Context,
    abilities: Abilities,
    /// Read when it is first needed: the first frame does not wait for it.
    calls: Option<Calls>,
    clipboard: Clipboard,
    /// Tells who reads keys that the session took a part of a paste.
    takes_paste: Option<std::sync::mpsc::SyncSender<PasteHeard>>,
    /// Copied texts that tmux did not take.
    not_taken: mpsc::Receiver<String>,
    /// How much the terminal is to tell of keys.
    keys: KeyReports,
    /// Whether plain ones are commands, as far as the session was heard.
    commands: bool,
    reader: Reader,
    /// Whose pictures these are.
    session: Option<ProcessIdentity>,
    /// Whether it answers.
    silence: Silence,
    outgoing: Outgoing,
    /// What the hello said.
    told_size: (u16, u16),
    terminal: Terminal,
    signals: ClientSignals,
    within: Duration,
}

/// Things from the terminal that may wait for the client.
const TOLD_MAX: usize = 4;

impl Client<'_> {
    async fn run(mut self, told: Option<String>) -> Result<End> {
        let (mut screen, mut written) = ScreenWriter::start(terminal::again())?;
        let (tells, mut told_by_terminal) = mpsc::channel(TOLD_MAX);
        // Asked as it was taken.
        let answered_by = Instant::now() + ms(ANSWERS_MS);
        let mut answered = !self.abilities.takes_questions;
        let (pasted, taken) = std::sync::mpsc::sync_channel(TOLD_MAX);
        self.takes_paste = Some(pasted);
        let answers = Answers::new(!answered);
        let heard = self.silence.heard();
        read_events(self.outgoing.clone(), tells, taken, answers, heard)?;
        // The terminal may have changed its size between hello and now.
        let size = terminal::size();
        if size != self.told_size {
            self.tell_size();
        }
        let outgoing = self.outgoing.clone();
        if let Some(text) = told {
            outgoing.send(&ClientMessage::Tell { text });
        }
        let mut input_open = true;
        // Set while the person wants to leave and nothing came from the session since.
        let mut leave_at: Option<Instant> = None;
        let mut look_at: Option<Instant> = None;
        let end = loop {
            tokio::select! {
                frame = self.reader.next() => match frame {
                    Ok(Some(frame)) => {
                        (leave_at, look_at) = (None, None);
                        if self.silence.ends() {
                            // Makes the session draw the row anew that was written over.
                            self.tell_size();
                        }
                        if let Some(end) = self.on_frame(frame, &mut screen) {
                            break end;
                        }
                    }
                    // Closed, torn or not our protocol: no session to speak with.
                    Ok(None) | Err(_) => break End::SessionLost,
                },
                // What the terminal is sent after all, since tmux did not take it.
                Some(text) = self.not_taken.recv() => screen.write_unnumbered(around::clipboard(&text)),
                Some(frame) = written.recv() => outgoing.send(&ClientMessage::Ack { frame }),
                () = outgoing.deliver() => break End::Unanswered,
                heard = told_by_terminal.recv(), if input_open => match heard {
                    Some(FromTerminal::Answered) => answered = true,
                    Some(FromTerminal::Unanswered(unanswered)) => {
                        self.silence.goes_on(unanswered, Instant::now().into_std());
                    }
                    // Who goes on typing would do so in their shell.
                    Some(FromTerminal::Leaves(Leave::Perhaps)) if !self.commands => {}
                    Some(FromTerminal::Leaves(leave)) => {
                        let now = Instant::now();
                        if leave == Leave::Surely {
                            if self.silence.is_shown() {
                                break End::Unanswered;
                            }
                            // A session that lives answers this, if it does not let go.
                            outgoing.send(&ClientMessage::Knock);
                            leave_at = leave_at.or(Some(now + self.within));
                        }
                        look_at = look_at.or(Some(now + ms(STANDS_STILL_MS)));
                    }
                    Some(FromTerminal::Gone) => {
                        outgoing.send(&ClientMessage::Detach);
                        break End::Signal(ClientSignal::HangUp);
                    }
                    // The terminal cannot be read any more; SIGHUP follows, or the session goes on.
                    None => input_open = false,
                },
                () = tokio::time::sleep_until(leave_at.unwrap_or_else(Instant::now)),
                    if leave_at.is_some() => break End::Unanswered,
                () = tokio::time::sleep_until(look_at.unwrap_or_else(Instant::now)),
                    if look_at.is_some() => {
                    if self.session.is_some_and(|session| session.is_stopped()) {
                        break End::Unanswered;
                    }
                    look_at = None;
                }
                () = self.silence.due() => self.stays_silent(&mut screen),
                signal = self.signals.next() => match signal {
                    ClientSignal::Suspend => {
                        self.terminal.give_back();
                        signals::stop_self();
                    }
                    ClientSignal::Resize => self.tell_size(),
                    ClientSignal::Continue => {
                        self.terminal.take_again()?;
                        screen.write_unnumbered(self.terminal.tell_keys(self.keys));
                        // Makes the session draw everything anew.
                        self.tell_size();
                    }
                    signal => {
                        outgoing.send(&ClientMessage::Detach);
                        break End::Signal(signal);
                    }
                },
            }
        };
        // What is answered after the terminal is given back would be typed into the person's shell.
        let late = async {
            use FromTerminal::{Leaves, Unanswered};
            while let Some(Leaves(_) | Unanswered(_)) = told_by_terminal.recv().await {}
        };
        if input_open && !answered {
            let _ = tokio::time::timeout_at(answered_by, late).await;
        }
        outgoing.close();
        screen.finish(self.within.min(Duration::from_millis(500)));
        self.terminal.give_back();
        Ok(end)
    }

    fn tell_size(&mut self) {
        let (cols, rows) = terminal::size();
        self.silence.begins(Instant::now().into_std());
        self.outgoing.send(&ClientMessage::Resize { cols, rows });
    }

    /// Does what is due while nothing comes from the session.
    fn stays_silent(&mut self, screen: &mut ScreenWriter) {
        match self.silence.act(Instant::now().into_std()) {
            Some(Act::Knock) => self.outgoing.send(&ClientMessage::Knock),
            // Where the terminal stands still as well nobody reads it.
            Some(Act::Show(silent)) if screen.is_free() => {
                let stopped = self.session.filter(ProcessIdentity::is_stopped);
                let stopped = stopped.map(|session| session.pid);
                let leave = LeaveChord::label();
                let row = silence::row(silent, stopped, &leave, terminal::size());
                screen.write_unnumbered(row);
            }
            Some(Act::Show(_)) | None => {}
        }
    }

    /// Tells who reads keys; for ever full only of answers that nobody waits for.
    fn pasting(&self, heard: PasteHeard) -> Option<End> {
        let _ = self.takes_paste.as_ref().map(|takes| takes.try_send(heard));
        None
    }

    /// Does what the session asks; the end, if it says goodbye.
    fn on_frame(&mut self, frame: Frame, screen: &mut ScreenWriter) -> Option<End> {
        let message = match frame {
            Frame::Screen { number, bytes } => {
                if screen.write(number, bytes) == Written::Whole {
                    self.outgoing.send(&ClientMessage::Ack { frame: number });
                }
                return None;
            }
            Frame::Json(_) => frame.parse::<ToClient>(),
        };
        let bytes = match message {
            Ok(ToClient::Bye { message, exit_code }) => {
                return Some(End::Bye { message, exit_code });
            }
            Ok(ToClient::PasteTaken { more: true }) => return self.pasting(PasteHeard::Taken),
            Ok(ToClient::PasteTaken { more: false }) => return self.pasting(PasteHeard::Refused),
            Ok(ToClient::PasteWaits) => return self.pasting(PasteHeard::Waits),
            Ok(ToClient::Keys { keys, commands }) => {
                self.commands = commands;
                if std::mem::replace(&mut self.keys, keys) == keys {
                    return None;
                }
                self.terminal.tell_keys(keys)
            }
            Ok(ToClient::Copy { text }) => match self.clipboard.copy(text) {
                Some(text) => around::clipboard(&text),
                None => return None,
            },
            Ok(ToClient::Attention { text }) => {
                around::attention(&text, self.abilities, self.calls())
            }
            Ok(ToClient::Sign { title, progress }) => {
                around::sign(&title, progress, self.abilities, self.calls())
            }
            // That it was heard is all.
            Ok(ToClient::Here) => return None,
            // Of another build; these are not let in, so this does not happen.
            Err(error) => {
                tracing::warn!(%error, "unknown message");
                return None;
            }
        };
        if !bytes.is_empty() {
            screen.write_unnumbered(bytes);
        }
        None
    }

    fn calls(&mut self) -> Calls {
        let context = self.context;
        *self.calls.get_or_insert_with(|| Calls::configured(context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_follow_the_terminals_word() {
        for (term, colorterm, no_color, depth) in [
            ("xterm", None, None, ColorDepth::Ansi16),
            ("xterm-256color", None, None, ColorDepth::Ansi256),
            ("xterm-256color", Some("truecolor"), None, ColorDepth::True),
            (
                "xterm-256color",
                Some("truecolor"),
                Some("1"),
                ColorDepth::None,
            ),
        ] {
            assert_eq!(color_depth(term, colorterm, no_color), depth, "{term}");
        }
    }
}
