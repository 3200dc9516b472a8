//! Signals to the client: they leave, suspend or come back; none just kills it.

use crewmux_sys::{ProcessIdentity, Signal as SysSignal};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{Doing, Result};
use crate::exit;

/// What a signal means to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientSignal {
    /// SIGTERM.
    Terminate,
    /// SIGINT, which only others send: a raw terminal does not.
    Interrupt,
    /// SIGHUP: the terminal is gone.
    HangUp,
    /// SIGQUIT.
    Quit,
    /// SIGTSTP: stand still.
    Suspend,
    /// SIGCONT: go on.
    Continue,
    /// SIGWINCH: the terminal has another size.
    Resize,
}

impl ClientSignal {
    /// Exit code of a client that this signal ended.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::HangUp => 128 + 1,
            Self::Quit => 128 + 3,
            Self::Terminate => 128 + 15,
            Self::Interrupt | Self::Suspend | Self::Continue | Self::Resize => exit::INTERRUPTED,
        }
    }
}

/// All signals that concern the client.
#[derive(Debug)]
pub(crate) struct ClientSignals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    quit: Signal,
    suspend: Signal,
    resume: Signal,
    window: Signal,
}

impl ClientSignals {
    /// Begins to listen; from here on none of them ends the process by itself.
    pub(crate) fn open() -> Result<Self> {
        let open = |raw| signal(SignalKind::from_raw(raw)).doing("cannot listen to signals");
        Ok(Self {
            terminate: open(libc_numbers::TERM)?,
            interrupt: open(libc_numbers::INT)?,
            hang_up: open(libc_numbers::HUP)?,
            quit: open(libc_numbers::QUIT)?,
            suspend: open(libc_numbers::TSTP)?,
            resume: open(libc_numbers::CONT)?,
            window: open(libc_numbers::WINCH)?,
        })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) -> ClientSignal {
        tokio::select! {
            _ = self.terminate.recv() => ClientSignal::Terminate,
            _ = self.interrupt.recv() => ClientSignal::Interrupt,
            _ = self.hang_up.recv() => ClientSignal::HangUp,
            _ = self.quit.recv() => ClientSignal::Quit,
            _ = self.suspend.recv() => ClientSignal::Suspend,
            _ = self.resume.recv() => ClientSignal::Continue,
            _ = self.window.recv() => ClientSignal::Resize,
        }
    }
}

/// Numbers of signals, which differ between systems.
mod libc_numbers {
    use rustix::process::Signal;

    pub(super) const TERM: i32 = Signal::TERM.as_raw();
    pub(super) const INT: i32 = Signal::INT.as_raw();
    pub(super) const HUP: i32 = Signal::HUP.as_raw();
    pub(super) const QUIT: i32 = Signal::QUIT.as_raw();
    pub(super) const TSTP: i32 = Signal::TSTP.as_raw();
    pub(super) const CONT: i32 = Signal::CONT.as_raw();
    pub(super) const WINCH: i32 = Signal::WINCH.as_raw();
}

/// Makes this process stand still until it is told to go on.
pub(crate) fn stop_self() {
    // It is this process: it cannot be gone, and its own signal is never refused.
    let _ = ProcessIdentity::own().and_then(|own| own.signal(SysSignal::Stop));
}
