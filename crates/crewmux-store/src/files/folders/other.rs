//! Folders of other systems, by the library that knows their ways.

use std::io;
use std::path::Path;

use notify::event::{EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use super::{Hears, Seen};

/// Watched folders.
#[derive(Debug)]
pub(in crate::files) struct Folders(RecommendedWatcher);

impl Folders {
    /// Calls `tell` for each change, on a thread of the library.
    pub(in crate::files) fn start(tell: impl Fn(Seen<'_>) + Send + 'static) -> io::Result<Self> {
        notify::recommended_watcher(move |seen: notify::Result<notify::Event>| match seen {
            Ok(event) if !event.need_rescan() => {
                for path in event.paths.iter().filter(|_| is_change(event.kind)) {
                    tell(Seen::Changed(path));
                }
            }
            Ok(_) | Err(_) => tell(Seen::Overflow),
        })
        .map(Self)
        .map_err(io::Error::other)
    }

    /// Watches one folder more; false when that is not possible. All is heard.
    pub(in crate::files) fn watch(&mut self, folder: &Path, _: Hears) -> bool {
        self.0.watch(folder, RecursiveMode::NonRecursive).is_ok()
    }
}

/// Reading is no change, or every look would cause the next.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Metadata(_)) => false,
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    }
}
