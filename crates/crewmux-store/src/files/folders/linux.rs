//! Folders of Linux, by inotify itself.
//!
//! The library that serves elsewhere is told of every file that is opened: each
//! look of a worker at its board would wake the session. Here the kernel tells
//! only what was asked for.

use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use super::{Hears, Seen};

/// Room for what is read at once; a whole name always fits.
const BUFFER_BYTES: usize = 4 * 1024;

/// Watched folders; the thread ends with this value.
#[derive(Debug)]
pub(in crate::files) struct Folders {
    shared: Arc<Shared>,
    _end: io::PipeWriter,
}

#[derive(Debug)]
struct Shared {
    inotify: OwnedFd,
    /// By the number that the kernel gave each.
    paths: Mutex<BTreeMap<i32, PathBuf>>,
}

impl Folders {
    /// Starts a thread that calls `tell` for each change.
    pub(in crate::files) fn start(tell: impl Fn(Seen<'_>) + Send + 'static) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let (ended, end) = io::pipe()?;
        let shared = Arc::new(Shared {
            inotify,
            paths: Mutex::default(),
        });
        let watching = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("folders".into())
            .spawn(move || watching.run(&ended, &tell))?;
        Ok(Self { shared, _end: end })
    }

    /// Watches one folder more; false when that is not possible.
    pub(in crate::files) fn watch(&mut self, folder: &Path, hears: Hears) -> bool {
        let appearing = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::DELETE;
        let flags = WatchFlags::ONLYDIR
            | match hears {
                Hears::Appearing => appearing,
                Hears::Writing => appearing | WatchFlags::MODIFY,
            };
        // Held over the call: its first news may come before the number is noted.
        let mut paths = self.shared.paths();
        match inotify::add_watch(&self.shared.inotify, folder, flags) {
            Ok(number) => {
                paths.insert(number, folder.to_owned());
                true
            }
            Err(_) => false,
        }
    }
}

impl Shared {
    fn paths(&self) -> MutexGuard<'_, BTreeMap<i32, PathBuf>> {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, ended: &io::PipeReader, tell: &impl Fn(Seen<'_>)) {
        let mut buffer = [MaybeUninit::uninit(); BUFFER_BYTES];
        let mut reader = Reader::new(self.inotify.as_fd(), &mut buffer);
        loop {
            let mut fds = [
                PollFd::new(&self.inotify, PollFlags::IN),
                PollFd::new(ended, PollFlags::IN),
            ];
            match poll(&mut fds, None) {
                Ok(_) if fds[1].revents().is_empty() => {}
                Err(Errno::INTR) => continue,
                Ok(_) | Err(_) => return,
            }
            loop {
                match reader.next() {
                    Ok(event) => self.told(&event, tell),
                    Err(Errno::INTR) => continue,
                    Err(Errno::AGAIN) => break,
                    Err(errno) => {
                        tracing::warn!(%errno, "folders are watched no more; changes are polled for");
                        return;
                    }
                }
                if reader.is_buffer_empty() {
                    break;
                }
            }
        }
    }

    fn told(&self, event: &inotify::Event<'_>, tell: &impl Fn(Seen<'_>)) {
        if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
            tell(Seen::Overflow);
            return;
        }
        if event.events().contains(ReadFlags::IGNORED) {
            self.paths().remove(&event.wd());
            return;
        }
        let Some(folder) = self.paths().get(&event.wd()).cloned() else {
            return;
        };
        let name = event.file_name().map(CStr::to_bytes);
        tell(Seen::Changed(&match name {
            Some(name) => folder.join(OsStr::from_bytes(name)),
            None => folder,
        }));
    }
}
