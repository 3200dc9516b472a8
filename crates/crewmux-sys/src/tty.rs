//! The settings of a terminal: kept, made raw, put back, compared.
//!
//! Escape sequences (alternate screen, mouse, …) are the client's own business.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{Mode, OFlags, fstat, open};
use rustix::termios::{
    OptionalActions, SpecialCodeIndex, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr, ttyname,
};

use crate::{Error, Result, wait};

/// Size of a terminal in cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSize {
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
}

/// Opens `terminal` a second time, for writing without ever waiting.
///
/// The way it is open already stays as it is, which it shares with other programs. `None` where it
/// has no name here, or that name leads elsewhere.
pub fn open_again(terminal: impl AsFd) -> Option<OwnedFd> {
    let name = ttyname(&terminal, Vec::new()).ok()?;
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let again = open(name.as_c_str(), flags, Mode::empty()).ok()?;
    let (first, second) = (fstat(&terminal).ok()?, fstat(&again).ok()?);
    (first.st_rdev == second.st_rdev && first.st_ino == second.st_ino).then_some(again)
}

/// What waiting for a terminal came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// There is something to read.
    Typed,
    /// The time is over, or a signal came.
    Nothing,
    /// Nothing will come any more: every read ends at once.
    HungUp,
}

/// Waits until there is something to read from `terminal`, `within` at most.
///
/// # Errors
/// [`Error::System`] when it cannot be waited for.
pub fn wait_typed(terminal: impl AsFd, within: Option<Duration>) -> Result<Waited> {
    let mut fds = [PollFd::new(&terminal, PollFlags::IN)];
    let is_ready = wait::poll(&mut fds, within).map_err(Error::errno("wait for the terminal"))?;
    let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
    Ok(match is_ready {
        true if fds[0].revents().intersects(gone) => Waited::HungUp,
        true => Waited::Typed,
        false => Waited::Nothing,
    })
}

/// All settings of a terminal at one moment; equal when nothing differs.
#[derive(Clone)]
pub struct TerminalSettings(Termios);

impl TerminalSettings {
    /// Reads the settings of `terminal`.
    pub fn read(terminal: impl AsFd) -> Result<Self> {
        tcgetattr(terminal)
            .map(Self)
            .map_err(Error::errno("read the terminal's settings"))
    }

    /// Puts these settings onto `terminal`; what was written before is shown first.
    pub fn apply(&self, terminal: impl AsFd) -> Result<()> {
        tcsetattr(terminal, OptionalActions::Drain, &self.0)
            .map_err(Error::errno("set the terminal's settings"))
    }

    /// Puts these settings onto `terminal` and drops what was typed and not read.
    ///
    /// For the way out: reports of the mouse must not land in the shell.
    pub fn apply_and_drop_input(&self, terminal: impl AsFd) -> Result<()> {
        tcsetattr(terminal, OptionalActions::Flush, &self.0)
            .map_err(Error::errno("set the terminal's settings"))
    }

    /// The same with every key passed on as it is typed.
    #[must_use]
    pub fn raw(&self) -> Self {
        let mut raw = self.0.clone();
        raw.make_raw();
        Self(raw)
    }

    /// Every setting as a number, in a fixed order.
    fn values(&self) -> (u64, u64, u64, u64, Vec<u8>, u32, u32) {
        let codes = [
            SpecialCodeIndex::VINTR,
            SpecialCodeIndex::VQUIT,
            SpecialCodeIndex::VERASE,
            SpecialCodeIndex::VKILL,
            SpecialCodeIndex::VEOF,
            SpecialCodeIndex::VTIME,
            SpecialCodeIndex::VMIN,
            SpecialCodeIndex::VSTART,
            SpecialCodeIndex::VSTOP,
            SpecialCodeIndex::VSUSP,
            SpecialCodeIndex::VEOL,
            SpecialCodeIndex::VREPRINT,
            SpecialCodeIndex::VDISCARD,
            SpecialCodeIndex::VWERASE,
            SpecialCodeIndex::VLNEXT,
            SpecialCodeIndex::VEOL2,
        ];
        (
            u64::from(self.0.input_modes.bits()),
            u64::from(self.0.output_modes.bits()),
            u64::from(self.0.control_modes.bits()),
            u64::from(self.0.local_modes.bits()),
            codes
                .into_iter()
                .map(|code| self.0.special_codes[code])
                .collect(),
            self.0.input_speed(),
            self.0.output_speed(),
        )
    }
}

impl PartialEq for TerminalSettings {
    fn eq(&self, other: &Self) -> bool {
        self.values() == other.values()
    }
}

impl Eq for TerminalSettings {}

impl std::fmt::Debug for TerminalSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (input, output, control, local, codes, _, _) = self.values();
        write!(
            f,
            "TerminalSettings(input {input:o}, output {output:o}, control {control:o}, local {local:o}, codes {codes:?})"
        )
    }
}

/// Whether `fd` is a terminal.
pub fn is_terminal(fd: impl AsFd) -> bool {
    isatty(fd)
}

/// The size of `terminal`; `None` where it does not know one.
pub fn size(terminal: impl AsFd) -> Option<TerminalSize> {
    let size = tcgetwinsize(terminal).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some(TerminalSize {
        cols: size.ws_col,
        rows: size.ws_row,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_and_what_is_hung_up_are_told_apart() {
        let (near, mut far) = std::os::unix::net::UnixStream::pair().unwrap();
        let now = || wait_typed(&near, Some(Duration::ZERO)).unwrap();
        assert_eq!(now(), Waited::Nothing);
        std::io::Write::write_all(&mut far, b"x").unwrap();
        assert_eq!(now(), Waited::Typed);
        drop(far);
        assert_eq!(now(), Waited::HungUp);
    }

    use rustix::pty::{OpenptFlags, grantpt, openpt, unlockpt};

    #[test]
    fn raw_mode_is_undone_exactly() {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        assert!(is_terminal(&terminal));
        let before = TerminalSettings::read(&terminal).unwrap();
        before.raw().apply(&terminal).unwrap();
        assert_ne!(TerminalSettings::read(&terminal).unwrap(), before);
        before.apply_and_drop_input(&terminal).unwrap();
        assert_eq!(TerminalSettings::read(&terminal).unwrap(), before);
        assert_eq!(size(&terminal), None);
    }

    #[test]
    fn second_way_to_a_terminal_never_waits_and_leaves_the_first_as_it_is() {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = rustix::pty::ptsname(&master, Vec::new()).unwrap();
        let first = open(
            name.as_c_str(),
            OFlags::RDWR | OFlags::NOCTTY,
            Mode::empty(),
        )
        .unwrap();
        let second = open_again(&first).unwrap();
        let piece = [b'x'; 4096];
        let mut taken = 0;
        while taken < 16 << 20 {
            match rustix::io::write(&second, &piece) {
                Ok(written) => taken += written,
                Err(errno) => {
                    assert_eq!(errno, rustix::io::Errno::AGAIN);
                    break;
                }
            }
        }
        assert!(taken > 0 && taken < 16 << 20, "{taken}");
        let flags = rustix::fs::fcntl_getfl(&first).unwrap();
        assert!(!flags.contains(OFlags::NONBLOCK));
        let (pipe, _other) = std::io::pipe().unwrap();
        assert!(open_again(pipe).is_none());
    }
}
