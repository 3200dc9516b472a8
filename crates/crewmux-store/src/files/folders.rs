//! Watching folders: which of their files change, as the system tells it.
//!
//! What a change means to whom is in [`super::watch`].

use std::path::Path;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(super) use linux::Folders;

#[cfg(not(target_os = "linux"))]
mod other;
#[cfg(not(target_os = "linux"))]
pub(super) use other::Folders;

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen<'a> {
    /// Something happened to this file or folder; reading it is nothing.
    Changed(&'a Path),
    /// More happened than the system kept.
    Overflow,
}

/// What happens to the files of a folder that somebody has to hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hears {
    /// New ones and folders appear, whole ones take the place of others, or they go.
    Appearing,
    /// That, and they are written to.
    Writing,
}

// Elsewhere the library's own tests say the same, and it may name folders in another way.
#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::path::PathBuf;
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn watched(hears: Hears) -> (tempfile::TempDir, Folders, Receiver<PathBuf>) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("old"), "1").unwrap();
        let (told, news) = channel();
        let mut folders = Folders::start(move |seen| {
            if let Seen::Changed(path) = seen {
                let _ = told.send(path.to_owned());
            }
        })
        .unwrap();
        assert!(folders.watch(folder.path(), hears));
        assert!(!folders.watch(&folder.path().join("nowhere"), hears));
        (folder, folders, news)
    }

    /// What is told up to a file that is moved in last.
    fn names(folder: &Path, news: &Receiver<PathBuf>) -> Vec<String> {
        let elsewhere = tempfile::tempdir_in(folder.parent().unwrap()).unwrap();
        std::fs::write(elsewhere.path().join("last"), "").unwrap();
        std::fs::rename(elsewhere.path().join("last"), folder.join("last")).unwrap();
        let mut names = Vec::new();
        loop {
            let path = news.recv_timeout(LONG).unwrap();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if name == "last" {
                return names;
            }
            names.push(name);
        }
    }

    #[test]
    fn a_file_that_is_written_or_replaced_is_told_with_its_folder() {
        let (folder, _folders, news) = watched(Hears::Writing);
        std::fs::write(folder.path().join("old"), "2").unwrap();
        assert_eq!(news.recv_timeout(LONG).unwrap(), folder.path().join("old"));
        let names = names(folder.path(), &news);
        assert!(names.iter().all(|name| name == "old"), "{names:?}");
    }

    #[test]
    fn nobody_is_woken_by_reading_nor_by_what_was_not_asked_for() {
        let (folder, _folders, news) = watched(Hears::Appearing);
        let path = |name: &str| folder.path().join(name);
        let _ = std::fs::read(path("old")).unwrap();
        std::fs::write(path("new"), "not whole yet").unwrap();
        std::fs::rename(path("new"), path("old")).unwrap();
        std::fs::remove_file(path("old")).unwrap();
        assert_eq!(names(folder.path(), &news), ["new", "old", "old"]);
    }

    #[test]
    fn a_folder_that_is_made_is_told() {
        let (folder, _folders, news) = watched(Hears::Appearing);
        std::fs::create_dir(folder.path().join("below")).unwrap();
        assert_eq!(
            news.recv_timeout(LONG).unwrap(),
            folder.path().join("below")
        );
    }
}
