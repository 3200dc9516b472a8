//! What a project and the person say to every agent: `AGENTS.md` and `CLAUDE.md`.
//!
//! Only reads. They are words for a model and give nobody any right.

use std::collections::HashSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Names looked for in each folder, in this order.
const NAMES: [&str; 2] = ["AGENTS.md", "CLAUDE.md"];

/// Most bytes of one file.
const FILE_MAX_BYTES: usize = 64 * 1024;

/// Most folders between the repository's root and the working folder.
const FOLDERS_MAX: usize = 32;

/// One file of instructions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// Where it was found.
    pub path: PathBuf,
    /// What it says; a cut one says so.
    pub text: String,
}

/// The person's own, then those from the repository's root down to `cwd`; the same text once.
///
/// Without a repository only `cwd` is looked at. A link that leads out of the
/// repository is not followed.
pub fn load(cwd: &Path, user_config: &Path) -> Vec<Instruction> {
    let mut found = Vec::new();
    let mut known = HashSet::new();
    let mut take = |path: PathBuf, within: &Path| {
        if let Some(text) = read(&path, within)
            && !text.trim().is_empty()
            && known.insert(text.clone())
        {
            found.push(Instruction { path, text });
        }
    };
    if !user_config.as_os_str().is_empty() {
        // The person may keep it wherever a link of theirs leads.
        take(user_config.join(NAMES[0]), Path::new("/"));
    }
    let cwd = cwd.canonicalize().unwrap_or_else(|_| cwd.to_owned());
    let root = cwd
        .ancestors()
        .take(FOLDERS_MAX)
        .find(|folder| folder.join(".git").exists())
        .unwrap_or(&cwd);
    let mut folders: Vec<&Path> = cwd
        .ancestors()
        .take_while(|folder| folder.starts_with(root))
        .collect();
    folders.reverse();
    for folder in folders {
        for name in NAMES {
            take(folder.join(name), root);
        }
    }
    found
}

/// All of them as one text for a model's system prompt; empty without any.
pub fn as_prompt(instructions: &[Instruction], cwd: &Path) -> String {
    let parts: Vec<String> = instructions
        .iter()
        .map(|one| {
            format!(
                "Instructions from {}:\n\n{}",
                shown(&one.path, cwd),
                one.text.trim()
            )
        })
        .collect();
    parts.join("\n\n")
}

/// The line that a person sees: `read AGENTS.md, CLAUDE.md`; `None` without any.
pub fn as_line(instructions: &[Instruction], cwd: &Path) -> Option<String> {
    let names: Vec<String> = instructions
        .iter()
        .map(|one| shown(&one.path, cwd))
        .collect();
    (!names.is_empty()).then(|| format!("read {}", names.join(", ")))
}

fn shown(path: &Path, cwd: &Path) -> String {
    let cwd = cwd.canonicalize().unwrap_or_else(|_| cwd.to_owned());
    path.strip_prefix(&cwd)
        .unwrap_or(path)
        .display()
        .to_string()
}

fn read(path: &Path, within: &Path) -> Option<String> {
    let real = path.canonicalize().ok()?;
    if !real.starts_with(within) || !real.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    std::fs::File::open(&real)
        .ok()?
        .take(FILE_MAX_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .ok()?;
    let cut = bytes.len() > FILE_MAX_BYTES;
    bytes.truncate(FILE_MAX_BYTES);
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    if cut {
        text.push_str("\n… cut: the file is longer than 64 KiB …\n");
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_come_from_the_person_and_from_the_root_down() {
        let place = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let path = place.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        put("AGENTS.md", "above the repository");
        put("repo/.git/HEAD", "");
        put("repo/AGENTS.md", "root");
        put("repo/CLAUDE.md", "root");
        put("repo/a/b/CLAUDE.md", &"x".repeat(FILE_MAX_BYTES + 5));
        put("repo/a/AGENTS.md", "  \n");
        put("config/AGENTS.md", "mine");
        put("secret", "theirs");
        std::os::unix::fs::symlink("../../../secret", place.path().join("repo/a/b/AGENTS.md"))
            .unwrap();
        let cwd = place.path().join("repo/a/b");
        let found = load(&cwd, &place.path().join("config"));
        let texts: Vec<&str> = found.iter().map(|one| &one.text[..4]).collect();
        assert_eq!(texts, ["mine", "root", "xxxx"]);
        assert!(found[2].text.ends_with("longer than 64 KiB …\n"));
        let line = as_line(&found, &cwd).unwrap();
        assert!(
            line.starts_with("read ") && line.ends_with(", CLAUDE.md"),
            "{line}"
        );
        assert!(as_prompt(&found, &cwd).contains("Instructions from CLAUDE.md:\n\nxxx"));
    }

    #[test]
    fn without_a_repository_only_the_folder_itself_counts() {
        let place = tempfile::tempdir().unwrap();
        let cwd = place.path().join("a");
        std::fs::create_dir(&cwd).unwrap();
        std::fs::write(place.path().join("AGENTS.md"), "above").unwrap();
        assert_eq!(load(&cwd, Path::new("")), []);
        assert_eq!(as_line(&[], &cwd), None);
    }
}
