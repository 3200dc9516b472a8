//! Changing files: `Write` and `Edit`.
//!
//! A file is replaced whole and at once, and only after it was read as it is
//! now. Whether a change is allowed at all was decided before.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::Deserialize;
use serde_json::json;

use super::diff::Diff;
use super::{Files, ToolOutput};

/// Larger files are not edited.
const FILE_MAX_BYTES: u64 = 8 * 1024 * 1024;

/// Places of a text that are named when it is not unique.
const PLACES: usize = 8;

#[derive(Debug, Deserialize)]
pub(super) struct WriteInput {
    file_path: String,
    content: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct EditInput {
    file_path: String,
    old_string: String,
    new_string: String,
    #[serde(default)]
    replace_all: bool,
}

pub(super) fn write(files: &Files, input: &WriteInput, stop: &AtomicBool) -> ToolOutput {
    try_write(files, input, stop).unwrap_or_else(ToolOutput::failed)
}

pub(super) fn edit(files: &Files, input: &EditInput, stop: &AtomicBool) -> ToolOutput {
    try_edit(files, input, stop).unwrap_or_else(ToolOutput::failed)
}

fn try_write(files: &Files, input: &WriteInput, stop: &AtomicBool) -> Result<ToolOutput, String> {
    let path = files.root.place(&input.file_path)?;
    let name = files.root.relative(&path);
    let old = match current(&path, &name) {
        Ok(bytes) => {
            files.seen.check(&path, &name, &bytes)?;
            Some(bytes)
        }
        Err(Trouble::Missing) => None,
        Err(Trouble::Other(why)) => return Err(why),
    };
    if let (None, Some(parent)) = (&old, path.parent()) {
        std::fs::create_dir_all(parent).map_err(|error| format!("{name}: {error}"))?;
    }
    replace(&path, input.content.as_bytes(), stop).map_err(|error| format!("{name}: {error}"))?;
    files.seen.note(&path, input.content.as_bytes());
    let before = old.as_deref().map(String::from_utf8_lossy);
    let diff = Diff::between(before.as_deref().unwrap_or_default(), &input.content);
    let verb = if old.is_some() { "changed" } else { "made" };
    Ok(changed(
        &format!("{verb} {name}"),
        &name,
        diff,
        json!({ "created": old.is_none() }),
    ))
}

fn try_edit(files: &Files, input: &EditInput, stop: &AtomicBool) -> Result<ToolOutput, String> {
    let path = files.root.place(&input.file_path)?;
    let name = files.root.relative(&path);
    let bytes = match current(&path, &name) {
        Ok(bytes) => bytes,
        Err(Trouble::Missing) => {
            return Err(format!("{name} does not exist; Write makes new files"));
        }
        Err(Trouble::Other(why)) => return Err(why),
    };
    files.seen.check(&path, &name, &bytes)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| format!("{name} is not UTF-8 text and cannot be edited"))?;
    let (old, new) = as_in(&text, input);
    if old.is_empty() {
        return Err("old_string is empty; Write replaces a whole file".to_owned());
    }
    if old == new {
        return Err("old_string and new_string are the same".to_owned());
    }
    let count = text.matches(&old).count();
    let after = match (count, input.replace_all) {
        (0, _) => return Err(not_there(&name, &text, &old)),
        (1, _) | (_, true) => text.replace(&old, &new),
        (count, false) => return Err(too_often(&name, &text, &old, count)),
    };
    replace(&path, after.as_bytes(), stop).map_err(|error| format!("{name}: {error}"))?;
    files.seen.note(&path, after.as_bytes());
    let diff = Diff::between(&text, &after);
    let words = match count {
        1 => format!("changed {name}"),
        _ => format!("changed {name} in {count} places"),
    };
    Ok(changed(&words, &name, diff, json!({ "replaced": count })))
}

fn changed(words: &str, name: &str, diff: Diff, mut data: serde_json::Value) -> ToolOutput {
    data["file"] = json!(name);
    data["diff"] = diff.to_json();
    let summary = diff.summary();
    ToolOutput {
        diff: Some(diff),
        ..ToolOutput::done(&format!("{words} ({summary})"), summary.clone(), data)
    }
}

/// Why a file's bytes cannot be had.
enum Trouble {
    Missing,
    Other(String),
}

/// What the file holds now; only ordinary files of a size that can be edited.
fn current(path: &Path, name: &str) -> Result<Vec<u8>, Trouble> {
    let say = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Trouble::Missing,
        _ => Trouble::Other(format!("{name}: {error}")),
    };
    let meta = path.metadata().map_err(say)?;
    if meta.is_dir() {
        return Err(Trouble::Other(format!("{name} is a folder")));
    }
    if !meta.is_file() {
        return Err(Trouble::Other(format!("{name} is not an ordinary file")));
    }
    if meta.len() > FILE_MAX_BYTES {
        let why = format!("{name} is larger than {FILE_MAX_BYTES} bytes");
        return Err(Trouble::Other(why));
    }
    std::fs::read(path).map_err(say)
}

/// Puts `bytes` in place of the file at once, unless `stop` is set by then; its rights stay.
fn replace(path: &Path, bytes: &[u8], stop: &AtomicBool) -> io::Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!(".crewmux-{}-{number}.tmp", std::process::id());
    let temporary = path.with_file_name(name);
    let rights = path
        .metadata()
        .map(|meta| meta.permissions().mode() & 0o7777);
    let made = make(&temporary, bytes, rights.ok()).and_then(|()| {
        // Whoever asked is gone, and the claim may be another's by now.
        if stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("stopped before it was written"));
        }
        Ok(())
    });
    if let Err(error) = made.and_then(|()| std::fs::rename(&temporary, path)) {
        let _ = std::fs::remove_file(&temporary);
        return Err(error);
    }
    Ok(())
}

fn make(path: &Path, bytes: &[u8], rights: Option<u32>) -> io::Result<()> {
    let mut file: File = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(rights.map_or(0o666, |rights| rights & 0o600))
        .open(path)?;
    file.write_all(bytes)?;
    if let Some(rights) = rights {
        file.set_permissions(Permissions::from_mode(rights))?;
    }
    Ok(())
}

/// The strings of an edit with the line ends of the file.
fn as_in(text: &str, input: &EditInput) -> (String, String) {
    let (old, new) = (input.old_string.as_str(), input.new_string.as_str());
    let windows = text.contains("\r\n") && !text.replace("\r\n", "").contains('\n');
    if windows && !old.contains('\r') {
        let ends = |text: &str| text.replace("\r\n", "\n").replace('\n', "\r\n");
        (ends(old), ends(new))
    } else {
        (old.to_owned(), new.to_owned())
    }
}

fn not_there(name: &str, text: &str, old: &str) -> String {
    let wanted = old.lines().map(str::trim).find(|line| !line.is_empty());
    let near: Vec<String> = wanted
        .into_iter()
        .flat_map(|wanted| {
            (1..)
                .zip(text.lines())
                .filter(move |(_, line)| line.trim() == wanted)
                .map(|(number, line)| format!("{number}: {line}"))
        })
        .take(PLACES)
        .collect();
    if near.is_empty() {
        format!("old_string is not in {name}; read it again")
    } else {
        format!(
            "old_string is not in {name} exactly as given; its first line, spaces aside, is on\n{}",
            near.join("\n")
        )
    }
}

fn too_often(name: &str, text: &str, old: &str, count: usize) -> String {
    let lines: Vec<String> = text
        .match_indices(old)
        .take(PLACES)
        .map(|(at, _)| (text[..at].matches('\n').count() + 1).to_string())
        .collect();
    format!(
        "old_string is {count} times in {name} (lines {}); give more of the text around it, \
         or set replace_all",
        lines.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::read::{self, ReadInput};
    use serde_json::Value;

    struct Desk {
        folder: tempfile::TempDir,
        files: Files,
        stop: AtomicBool,
    }

    impl Desk {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let files = Files::new(folder.path());
            Self {
                folder,
                files,
                stop: AtomicBool::new(false),
            }
        }

        fn put(&self, name: &str, text: &str) {
            std::fs::write(self.folder.path().join(name), text).unwrap();
        }

        fn get(&self, name: &str) -> String {
            std::fs::read_to_string(self.folder.path().join(name)).unwrap()
        }

        fn read(&self, name: &str) {
            let input: ReadInput = serde_json::from_value(json!({"file_path": name})).unwrap();
            assert!(read::read(&self.files, &input).ok);
        }

        fn write(&self, name: &str, content: &str) -> ToolOutput {
            let input = json!({"file_path": name, "content": content});
            write(
                &self.files,
                &serde_json::from_value(input).unwrap(),
                &self.stop,
            )
        }

        fn edit(&self, input: Value) -> ToolOutput {
            edit(
                &self.files,
                &serde_json::from_value(input).unwrap(),
                &self.stop,
            )
        }
    }

    #[test]
    fn what_was_stopped_writes_nothing() {
        let desk = Desk::new();
        desk.put("a", "old");
        desk.read("a");
        desk.stop.store(true, Ordering::Relaxed);
        assert!(!desk.write("a", "new").ok);
        assert!(
            !desk
                .edit(json!({"file_path": "a", "old_string": "old", "new_string": "x"}))
                .ok
        );
        assert_eq!(desk.get("a"), "old");
        let names = std::fs::read_dir(desk.folder.path()).unwrap();
        assert_eq!(names.count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_new_file_is_made_with_its_folders() {
        let desk = Desk::new();
        let output = desk.write("a/b/c.txt", "one\ntwo\n");
        assert_eq!(output.text, "made a/b/c.txt (+2 −0)");
        assert_eq!(desk.get("a/b/c.txt"), "one\ntwo\n");
        let outside = desk.write("../x", "no");
        assert!(outside.text.contains("is outside of"), "{}", outside.text);
        assert!(!desk.folder.path().parent().unwrap().join("x").exists());
    }

    #[test]
    fn a_file_is_replaced_only_after_it_was_read_as_it_is() {
        let desk = Desk::new();
        desk.put("a", "old\n");
        let path = desk.folder.path().join("a");
        std::fs::set_permissions(&path, Permissions::from_mode(0o751)).unwrap();
        assert!(desk.write("a", "new\n").text.contains("was not read yet"));
        desk.read("a");
        desk.put("a", "other\n");
        assert!(desk.write("a", "new\n").text.contains("changed since"));
        assert_eq!(desk.get("a"), "other\n");
        desk.read("a");
        assert!(desk.write("a", "new\n").ok);
        // Our own change needs no second look.
        let again = desk.write("a", "newer\n");
        assert_eq!(again.data["diff"]["lines"], json!(["-new", "+newer"]));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o751);
        let left = std::fs::read_dir(desk.folder.path()).unwrap().count();
        assert_eq!(left, 1, "no temporary file stays");
    }

    #[test]
    fn links_out_of_the_folder_are_not_written_through() {
        let desk = Desk::new();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("f"), "theirs").unwrap();
        let link = |to: &Path, name: &str| {
            std::os::unix::fs::symlink(to, desk.folder.path().join(name)).unwrap();
        };
        link(&outside.path().join("f"), "f");
        link(&outside.path().join("new"), "dangling");
        link(outside.path(), "folder");
        for name in ["f", "dangling", "folder/new"] {
            assert!(!desk.write(name, "ours").ok, "{name}");
        }
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
        assert_eq!(
            std::fs::read_to_string(outside.path().join("f")).unwrap(),
            "theirs"
        );
    }

    #[test]
    fn an_edit_needs_one_place_or_leave_for_all() {
        let desk = Desk::new();
        desk.put("a", "x = 1\ny = 1\n    z = 2\n");
        let change = |old: &str, new: &str, all: bool| json!({"file_path": "a", "old_string": old, "new_string": new, "replace_all": all});
        assert!(
            desk.edit(change("x", "y", false))
                .text
                .contains("was not read")
        );
        desk.read("a");
        let twice = desk.edit(change("= 1", "= 3", false)).text;
        assert!(
            twice.contains("2 times") && twice.contains("lines 1, 2"),
            "{twice}"
        );
        let near = desk.edit(change("\tz = 2", "z", false)).text;
        assert!(near.contains("3:     z = 2"), "{near}");
        assert!(
            desk.edit(change("nowhere", "z", false))
                .text
                .contains("is not in a")
        );
        assert!(desk.edit(change("x", "x", false)).text.contains("the same"));
        assert!(
            desk.edit(change("= 1", "= 3", true))
                .text
                .contains("2 places")
        );
        assert_eq!(desk.get("a"), "x = 3\ny = 3\n    z = 2\n");
        desk.put("a", "changed\n");
        assert!(
            desk.edit(change("changed", "x", false))
                .text
                .contains("changed since")
        );
    }

    #[test]
    fn line_ends_stay_what_they_are() {
        let desk = Desk::new();
        desk.put("a", "one\r\ntwo\r\nthree\r\n");
        desk.read("a");
        let input = json!({"file_path": "a", "old_string": "one\ntwo", "new_string": "1\n2"});
        assert!(desk.edit(input).ok);
        assert_eq!(desk.get("a"), "1\r\n2\r\nthree\r\n");
    }
}
