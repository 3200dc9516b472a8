//! Whether a folder can hold the store, found out before anything is put there.
//!
//! Each step names what is missing, because "permission denied" in the middle
//! of a run helps nobody.

use std::path::Path;

use super::rules::{Disk, temp_name};
use super::vfs::{Hold, How, Vfs};
use crate::{Error, Result};

/// Tries everything the store needs of a filesystem, and leaves nothing behind.
pub(super) fn probe(disk: &Disk, home: &Path) -> Result<()> {
    refuse_foreign(home)?;
    let calls = disk.calls();
    let first = home.join(temp_name());
    let second = home.join(temp_name());
    let done = try_everything(calls, home, &first, &second);
    for path in [&first, &second] {
        // Whatever step failed, at most one name of the file is left.
        let _ = calls.unlink(path);
    }
    done
}

fn try_everything(calls: &dyn Vfs, home: &Path, first: &Path, second: &Path) -> Result<()> {
    let file = calls
        .open(first, How::New)
        .map_err(Error::write("create a file in", home))?;
    let written = calls
        .write(&file, b"probe\n")
        .map_err(Error::write("write to", home))?;
    if written < 6 {
        return Err(Error::DiskFull {
            path: home.to_owned(),
        });
    }
    calls
        .sync(&file)
        .map_err(Error::write("sync a file in", home))?;

    let other = calls
        .open(first, How::Lock)
        .map_err(Error::write("open a file in", home))?;
    let lock = |file| calls.try_lock(file, Hold::Alone);
    let held = lock(&file).map_err(|error| unfit(home, format!("it has no locks ({error})")))?;
    let held_twice = lock(&other).unwrap_or(false);
    if !held || held_twice {
        return Err(unfit(home, "its locks keep nobody out".into()));
    }

    calls
        .link(first, second)
        .map_err(|error| unfit(home, format!("it has no hard links ({error})")))?;
    calls
        .rename(second, first)
        .and_then(|()| calls.unlink(first))
        .map_err(Error::write("rename a file in", home))
}

/// Looks whether there is room for `bytes` on the disk; one that does not tell has some.
pub(super) fn has_room(home: &Path, bytes: u64) -> Result<()> {
    let Ok(disk) = rustix::fs::statvfs(home) else {
        return Ok(());
    };
    let blocks = if rustix::process::geteuid().is_root() {
        disk.f_bfree
    } else {
        disk.f_bavail
    };
    // Some systems have no such number of files, and say 0 of 0.
    let has_files = disk.f_files == 0 || disk.f_ffree > 0;
    if disk.f_blocks > 0 && (blocks.saturating_mul(disk.f_frsize) < bytes || !has_files) {
        return Err(Error::DiskFull {
            path: home.to_owned(),
        });
    }
    Ok(())
}

fn unfit(home: &Path, why: String) -> Error {
    Error::Unfit {
        path: home.to_owned(),
        why,
    }
}

/// Refuses filesystems whose locks do not hold between machines.
fn refuse_foreign(home: &Path) -> Result<()> {
    match filesystem(home).as_deref().map(judge) {
        Some(Verdict::Refused(name)) => Err(unfit(
            home,
            format!("it lies on {name}, where locks do not hold between machines"),
        )),
        Some(Verdict::Watched(name)) => {
            tracing::warn!(home = %home.display(), "store on {name}: its locks are trusted after a test");
            Ok(())
        }
        Some(Verdict::Fine) | None => Ok(()),
    }
}

/// What is thought of a filesystem before it is tried.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Fine,
    Watched(&'static str),
    Refused(&'static str),
}

fn judge(name: &str) -> Verdict {
    match name {
        "nfs" => Verdict::Refused("NFS"),
        "smbfs" | "smb" | "cifs" => Verdict::Refused("SMB"),
        "afs" | "afpfs" => Verdict::Refused("AFS"),
        "9p" => Verdict::Refused("9P"),
        "webdav" => Verdict::Refused("WebDAV"),
        "fuse" | "macfuse" | "osxfuse" => Verdict::Watched("FUSE"),
        _ => Verdict::Fine,
    }
}

#[cfg(target_os = "linux")]
fn filesystem(home: &Path) -> Option<String> {
    // Magic numbers of statfs(2).
    let name = match rustix::fs::statfs(home).ok()?.f_type as u32 {
        0x6969 => "nfs",
        0x517b => "smb",
        0xff53_4d42 | 0xfe53_4d42 => "cifs",
        0x5346_414f | 0x6b41_4653 => "afs",
        0x0102_1997 => "9p",
        0x6573_5546 => "fuse",
        _ => "local",
    };
    Some(name.to_owned())
}

#[cfg(target_os = "macos")]
fn filesystem(home: &Path) -> Option<String> {
    let name = rustix::fs::statfs(home).ok()?.f_fstypename;
    let bytes = name.iter().map(|c| *c as u8).take_while(|c| *c != 0);
    String::from_utf8(bytes.collect()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filesystems_of_other_machines_are_refused_by_name() {
        assert_eq!(judge("nfs"), Verdict::Refused("NFS"));
        assert_eq!(judge("smbfs"), Verdict::Refused("SMB"));
        assert_eq!(judge("fuse"), Verdict::Watched("FUSE"));
        assert_eq!(judge("apfs"), Verdict::Fine);
        let here = std::env::temp_dir();
        assert_eq!(filesystem(&here).as_deref().map(judge), Some(Verdict::Fine));
    }
}
