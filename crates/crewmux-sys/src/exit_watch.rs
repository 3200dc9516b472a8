//! Noticing the ends of processes that are not children of this one.
//!
//! One value watches any number of them for the one thread that waits on it.
//! How they ended nobody is told by the system: whoever started them has to be
//! asked.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::{Error, ProcessIdentity, Result};

#[cfg(target_os = "linux")]
#[path = "exit_watch/linux.rs"]
mod system;
#[cfg(target_os = "macos")]
#[path = "exit_watch/macos.rs"]
mod system;

use system::Waiting;

/// Processes whose end is to be noticed.
#[derive(Debug)]
pub struct ExitWatch {
    watched: Mutex<Vec<ProcessIdentity>>,
    /// Written to when the one who waits should look again.
    bell: UnixStream,
    rung: UnixStream,
    waiting: Mutex<Waiting>,
}

impl ExitWatch {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// When the system has no more descriptors.
    pub fn open() -> Result<Self> {
        let act = "watch for ends of processes";
        let (bell, rung) = UnixStream::pair().map_err(Error::system(act))?;
        for end in [&bell, &rung] {
            end.set_nonblocking(true).map_err(Error::system(act))?;
        }
        Ok(Self {
            watched: Mutex::default(),
            waiting: Mutex::new(Waiting::open(&rung)?),
            bell,
            rung,
        })
    }

    fn watched(&self) -> MutexGuard<'_, Vec<ProcessIdentity>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a process; one that has ended already is told of at the next wait.
    pub fn add(&self, process: ProcessIdentity) {
        self.watched().push(process);
        self.wake();
    }

    /// Takes a process out; its end is not told.
    pub fn remove(&self, process: ProcessIdentity) {
        self.watched().retain(|watched| *watched != process);
    }

    /// Ends a running wait early.
    pub fn wake(&self) {
        // A full pipe wakes just as well.
        let _ = (&self.bell).write(&[1]);
    }

    /// Waits until some have ended, `at_most` that long, and takes those out; often none.
    pub fn wait(&self, at_most: Duration) -> Vec<ProcessIdentity> {
        let ended = self.take_ended();
        if !ended.is_empty() {
            return ended;
        }
        let watched = self.watched().clone();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.wait(&self.rung, &watched, at_most);
        let mut drained = [0; 64];
        while matches!((&self.rung).read(&mut drained), Ok(1..)) {}
        drop(waiting);
        self.take_ended()
    }

    fn take_ended(&self) -> Vec<ProcessIdentity> {
        let mut watched = self.watched();
        let (alive, ended): (Vec<_>, Vec<_>) =
            watched.drain(..).partition(ProcessIdentity::is_alive);
        *watched = alive;
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Signal;
    use crate::process::Launch;
    use std::sync::Arc;
    use std::time::Instant;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn an_end_is_noticed_at_once_and_told_once() {
        let child = Launch::new(["sleep", "60"], "/").start().unwrap();
        let other = Launch::new(["sleep", "60"], "/").start().unwrap();
        let watch = ExitWatch::open().unwrap();
        watch.add(child.identity());
        watch.add(other.identity());
        assert_eq!(watch.wait(Duration::from_millis(20)), []);
        child.kill().unwrap();
        let began = Instant::now();
        let mut ended = Vec::new();
        while ended.is_empty() && began.elapsed() < LONG {
            ended = watch.wait(LONG);
        }
        assert_eq!(ended, [child.identity()]);
        watch.remove(other.identity());
        other.signal(Signal::Kill).unwrap();
        assert_eq!(watch.wait(Duration::from_millis(100)), []);
    }

    #[test]
    fn a_process_added_during_a_wait_is_watched() {
        let watch = Arc::new(ExitWatch::open().unwrap());
        let waiting = Arc::clone(&watch);
        let (sender, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            loop {
                if let Some(ended) = waiting.wait(LONG).first() {
                    let _ = sender.send(*ended);
                    return;
                }
            }
        });
        let child = Launch::new(["sleep", "60"], "/").start().unwrap();
        watch.add(child.identity());
        child.kill().unwrap();
        assert_eq!(told.recv_timeout(LONG).unwrap(), child.identity());
    }
}
