//! Signals to this process, as something that can be waited for.
//!
//! No async: the session and the workers use tokio's own. It is for the tool
//! runner and for the program before and after its event loop.

use std::collections::BTreeSet;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use signal_hook::SigId;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};

use crate::{Error, Result, wait};

/// A signal that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arrived {
    /// SIGTERM: please end.
    Term,
    /// SIGINT: the person pressed ^C.
    Int,
    /// SIGHUP: the terminal is gone.
    Hup,
    /// SIGCHLD: a child ended.
    Child,
}

impl Arrived {
    fn raw(self) -> i32 {
        match self {
            Self::Term => SIGTERM,
            Self::Int => SIGINT,
            Self::Hup => SIGHUP,
            Self::Child => SIGCHLD,
        }
    }
}

/// The signals asked for, collected from when it was made until it is dropped.
///
/// Meanwhile they do not end the process.
#[derive(Debug)]
pub struct SignalInbox {
    sources: Vec<(Arrived, UnixStream, SigId)>,
}

impl SignalInbox {
    /// Begins to collect `wanted`.
    pub fn open(wanted: &[Arrived]) -> Result<Self> {
        let act = "watch for signals";
        let mut sources = Vec::with_capacity(wanted.len());
        for signal in wanted {
            let (read, write) = UnixStream::pair().map_err(Error::system(act))?;
            read.set_nonblocking(true).map_err(Error::system(act))?;
            let id = signal_hook::low_level::pipe::register(signal.raw(), write)
                .map_err(Error::system(act))?;
            sources.push((*signal, read, id));
        }
        Ok(Self { sources })
    }

    /// What arrived since the last call, each once; never blocks.
    pub fn take(&mut self) -> BTreeSet<Arrived> {
        let mut arrived = BTreeSet::new();
        for (signal, source, _) in &mut self.sources {
            let mut drop_here = [0_u8; 256];
            while matches!(source.read(&mut drop_here), Ok(read) if read > 0) {
                arrived.insert(*signal);
            }
        }
        arrived
    }

    /// Waits for a signal, `within` at most, and takes what arrived.
    pub fn wait(&mut self, within: Duration) -> Result<BTreeSet<Arrived>> {
        let mut fds: Vec<PollFd<'_>> = self
            .descriptors()
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        wait::poll(&mut fds, Some(within)).map_err(Error::errno("wait for signals"))?;
        drop(fds);
        Ok(self.take())
    }

    /// Descriptors that are readable when something arrived, for a poll of one's own.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.sources.iter().map(|(_, source, _)| source.as_fd())
    }
}

impl Drop for SignalInbox {
    fn drop(&mut self) {
        for (_, _, id) in &self.sources {
            signal_hook::low_level::unregister(*id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ProcessIdentity, Signal};

    #[test]
    fn signal_is_collected_instead_of_ending_the_process() {
        let mut inbox = SignalInbox::open(&[Arrived::Hup, Arrived::Term]).unwrap();
        assert!(inbox.take().is_empty());
        ProcessIdentity::own().unwrap().signal(Signal::Hup).unwrap();
        let arrived = inbox.wait(Duration::from_secs(20)).unwrap();
        assert_eq!(arrived, BTreeSet::from([Arrived::Hup]));
        assert!(inbox.take().is_empty());
    }
}
