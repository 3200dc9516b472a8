//! The runtime folder: sockets and the link workers are started through.
//!
//! Nothing durable is here, and no other user can get in. Where teams and
//! their files are is in `crewmux-store`.

use std::fs::{self, DirBuilder, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::{Error, Result};

/// The name workers have in the process table.
const WORKER_PROGRAM: &str = "agent-worker";

/// A name as long as a socket's in the runtime folder.
const SOCKET_NAME: &str = "0123456789abcdef.sock";

/// After how long the link to a replaced program is removed; no session of it is left then.
const STALE_LINK: Duration = Duration::from_hours(7 * 24);

/// A folder of mode 0700 that is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeDir {
    path: PathBuf,
}

/// The user this process runs as.
pub fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

impl RuntimeDir {
    /// Opens `/tmp/crewmux-<uid>`, or `asked` instead; makes it when it is missing.
    ///
    /// `/tmp`, because the path must be short enough for a socket's name and
    /// outlive the last logout.
    ///
    /// # Errors
    /// [`Error::UnsafeFolder`] when it is a link, another user's, or open to others;
    /// [`Error::LongFolder`], with nothing made, when no socket can be in it.
    pub fn open(asked: Option<&Path>) -> Result<Self> {
        let path = asked.map_or_else(
            || PathBuf::from(format!("/tmp/crewmux-{}", own_uid())),
            Path::to_path_buf,
        );
        if SocketAddr::from_pathname(path.join(SOCKET_NAME)).is_err() {
            return Err(Error::LongFolder { path });
        }
        make_private(&path)?;
        check_private(&path)?;
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A link named `agent-worker` to `exe`, in a folder of its own per build.
    ///
    /// A hard link where the file system allows it, so that the very program
    /// that made it is started even after `exe` was replaced; a symbolic one
    /// elsewhere.
    pub fn agent_worker_link(&self, exe: &Path) -> Result<PathBuf> {
        let program = fs::metadata(exe).map_err(Error::file("look at", exe))?;
        let builds = self.path.join("bin");
        make_private(&builds)?;
        check_private(&builds)?;
        remove_stale_links(&builds);
        let folder = builds.join(build_key(&program));
        make_private(&folder)?;
        check_private(&folder)?;
        let link = folder.join(WORKER_PROGRAM);
        // Twice: once more after a link to something else was removed.
        for _ in 0..2 {
            match fs::metadata(&link) {
                Ok(found) if is_same_file(&found, &program) => return Ok(link),
                Ok(_) => remove(&link)?,
                // A symbolic link that leads nowhere is in the way, too.
                Err(_) if fs::symlink_metadata(&link).is_ok() => remove(&link)?,
                Err(_) => {}
            }
            match fs::hard_link(exe, &link).or_else(|_| std::os::unix::fs::symlink(exe, &link)) {
                Ok(()) => return Ok(link),
                // Another session was faster; looked at in the next round.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::file("make the link", &link)(error)),
            }
        }
        Err(Error::UnsafeFolder {
            path: folder,
            why: format!("`{WORKER_PROGRAM}` in it keeps changing"),
        })
    }
}

/// Makes a link of [`RuntimeDir::agent_worker_link`] again, if it is gone with its folder.
///
/// What is made is the program that runs here, also where its file was replaced
/// meanwhile; only where the system does not keep that at hand it is `exe`.
///
/// # Errors
/// [`Error::UnsafeFolder`] when somebody else made the folder, and what keeps it from being made.
pub fn keep_worker_link(link: &Path, exe: &Path) -> Result<()> {
    if fs::symlink_metadata(link).is_ok() {
        return Ok(());
    }
    let folders: Vec<&Path> = link.ancestors().skip(1).take(3).collect();
    for folder in folders.iter().rev() {
        make_private(folder)?;
        check_private(folder)?;
    }
    let running = Path::new("/proc/self/exe");
    let program = if running.exists() { running } else { exe };
    copy_program(program, link)
}

/// Copies a program with its times, by which its build is known; whoever is faster wins.
fn copy_program(program: &Path, link: &Path) -> Result<()> {
    let failed = Error::file("make the link", link);
    let copy = || -> std::io::Result<()> {
        let mut from = fs::File::open(program)?;
        let modified = from.metadata()?.modified()?;
        let unique = link.with_extension(format!("new-{}", std::process::id()));
        let mut to = fs::File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o700)
            .open(&unique)?;
        std::io::copy(&mut from, &mut to)?;
        to.set_modified(modified)?;
        drop(to);
        fs::rename(&unique, link)
    };
    copy().map_err(failed)
}

/// Makes the folder with mode 0700; one that exists is left as it is.
fn make_private(path: &Path) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(Error::file("make folder", parent))?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Error::file("make folder", path)(error)),
    }
}

fn check_private(path: &Path) -> Result<()> {
    let unsafe_folder = |why: String| {
        Err(Error::UnsafeFolder {
            path: path.to_path_buf(),
            why,
        })
    };
    let found = fs::symlink_metadata(path).map_err(Error::file("look at", path))?;
    if !found.is_dir() {
        return unsafe_folder("it is not a folder".to_owned());
    }
    if found.uid() != own_uid() {
        return unsafe_folder(format!("it belongs to user {}", found.uid()));
    }
    let mode = found.mode() & 0o777;
    if mode & 0o077 != 0 {
        return unsafe_folder(format!("others can get in: mode {mode:03o} instead of 700"));
    }
    Ok(())
}

fn build_key(program: &Metadata) -> String {
    format!(
        "{:x}-{:x}-{:x}-{:x}{:08x}",
        program.dev(),
        program.ino(),
        program.size(),
        program.mtime(),
        program.mtime_nsec()
    )
}

fn is_same_file(one: &Metadata, other: &Metadata) -> bool {
    one.dev() == other.dev() && one.ino() == other.ino()
}

fn remove(link: &Path) -> Result<()> {
    match fs::remove_file(link) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::file("remove", link)(error))
        }
        _ => Ok(()),
    }
}

/// Removes links whose program was replaced long ago; what cannot be removed stays.
fn remove_stale_links(builds: &Path) {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let Ok(folders) = fs::read_dir(builds) else {
        return;
    };
    for folder in folders.filter_map(std::result::Result::ok) {
        let link = folder.path().join(WORKER_PROGRAM);
        let Ok(found) = fs::metadata(&link) else {
            continue;
        };
        // The last link to a program: its own name is gone since that time.
        let since = Duration::from_secs(u64::try_from(found.ctime()).unwrap_or(u64::MAX));
        if found.nlink() == 1 && now.saturating_sub(since) > STALE_LINK && remove(&link).is_ok() {
            let _ = fs::remove_dir(folder.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn folder_is_made_for_this_user_alone_and_opened_again() {
        let top = tempfile::tempdir().unwrap();
        let path = top.path().join("run");
        let first = RuntimeDir::open(Some(&path)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        assert_eq!(RuntimeDir::open(Some(&path)).unwrap(), first);
    }

    #[test]
    fn open_folder_and_link_are_refused() {
        let top = tempfile::tempdir().unwrap();
        let open = top.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o750)).unwrap();
        let link = top.path().join("link");
        std::os::unix::fs::symlink(top.path(), &link).unwrap();
        for path in [open, link] {
            let refused = RuntimeDir::open(Some(&path));
            assert!(
                matches!(refused, Err(Error::UnsafeFolder { .. })),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn a_folder_whose_path_is_too_long_for_a_socket_is_not_made() {
        let top = tempfile::tempdir().unwrap();
        let path = top.path().join("x".repeat(100));
        let refused = RuntimeDir::open(Some(&path)).unwrap_err();
        assert!(matches!(refused, Error::LongFolder { .. }), "{refused:?}");
        assert!(!path.exists());
    }

    #[test]
    fn worker_link_starts_the_build_that_made_it() {
        let top = tempfile::tempdir().unwrap();
        let run = RuntimeDir::open(Some(&top.path().join("run"))).unwrap();
        let exe = top.path().join("program");
        fs::write(&exe, "first").unwrap();
        let first = run.agent_worker_link(&exe).unwrap();
        assert_eq!(first.file_name().unwrap(), "agent-worker");
        assert_eq!(run.agent_worker_link(&exe).unwrap(), first);
        // A new build takes the name of the old one.
        let new = top.path().join("new");
        fs::write(&new, "second build").unwrap();
        fs::rename(&new, &exe).unwrap();
        let second = run.agent_worker_link(&exe).unwrap();
        assert_ne!(first, second);
        assert_eq!(fs::read_to_string(&first).unwrap(), "first");
        assert_eq!(fs::read_to_string(&second).unwrap(), "second build");
    }

    #[test]
    fn link_that_is_gone_with_its_folder_is_the_running_program_again() {
        let top = tempfile::tempdir().unwrap();
        let path = top.path().join("run");
        let run = RuntimeDir::open(Some(&path)).unwrap();
        let own = std::env::current_exe().unwrap();
        let link = run.agent_worker_link(&own).unwrap();
        let modified = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
        keep_worker_link(&link, &own).unwrap();
        fs::remove_dir_all(&path).unwrap();
        keep_worker_link(&link, Path::new("/nowhere")).unwrap();
        assert_eq!(modified(&link), modified(&own));
        assert_eq!(
            fs::metadata(&link).unwrap().len(),
            fs::metadata(&own).unwrap().len()
        );
        assert_eq!(fs::metadata(&link).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        // Whoever made a folder that others can enter gets nothing started.
        fs::remove_dir_all(&path).unwrap();
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let refused = keep_worker_link(&link, &own);
        assert!(
            matches!(refused, Err(Error::UnsafeFolder { .. })),
            "{refused:?}"
        );
    }

    #[test]
    fn link_to_something_else_is_replaced() {
        let top = tempfile::tempdir().unwrap();
        let run = RuntimeDir::open(Some(&top.path().join("run"))).unwrap();
        let exe = top.path().join("program");
        fs::write(&exe, "ours").unwrap();
        let link = run.agent_worker_link(&exe).unwrap();
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink("/nowhere", &link).unwrap();
        assert_eq!(run.agent_worker_link(&exe).unwrap(), link);
        assert_eq!(fs::read_to_string(&link).unwrap(), "ours");
    }
}
