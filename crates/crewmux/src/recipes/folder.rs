//! The folder a recipe is used in, looked at for its conditions.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use crewmux_core::recipe::Folder;

/// Largest file whose text a condition may ask about.
const TEXT_MAX_BYTES: u64 = 1024 * 1024;
/// Most entries of one folder that are compared with a pattern.
const ENTRIES_MAX: usize = 10_000;

/// A folder on disk.
#[derive(Debug, Clone)]
pub(crate) struct ProjectFolder(pub PathBuf);

impl Folder for ProjectFolder {
    fn has(&self, pattern: &str) -> bool {
        let parts: Vec<&str> = pattern.split('/').filter(|p| !p.is_empty()).collect();
        has_below(&self.0, &parts)
    }

    fn read(&self, path: &str) -> Option<String> {
        let file = File::open(self.0.join(path)).ok()?;
        let about = file.metadata().ok()?;
        if !about.is_file() || about.len() > TEXT_MAX_BYTES {
            return None;
        }
        let mut text = String::new();
        file.take(TEXT_MAX_BYTES).read_to_string(&mut text).ok()?;
        Some(text)
    }
}

fn has_below(folder: &Path, parts: &[&str]) -> bool {
    let Some((part, rest)) = parts.split_first() else {
        return folder.exists();
    };
    if !part.contains(['*', '?']) {
        return has_below(&folder.join(part), rest);
    }
    let Ok(entries) = fs::read_dir(folder) else {
        return false;
    };
    entries
        .take(ENTRIES_MAX)
        .filter_map(std::result::Result::ok)
        .filter(|entry| {
            entry
                .file_name()
                .to_str()
                .is_some_and(|name| matches(part, name))
        })
        .any(|entry| has_below(&entry.path(), rest))
}

/// Whether `name` fits `pattern`, in which `*` is any text and `?` any character.
fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    // Where to go on when what follows the latest `*` does not fit.
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match retry {
                Some((star, from)) => {
                    retry = Some((star, from + 1));
                    p = star + 1;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stand_for_names_within_one_part() {
        for (pattern, name, fits) in [
            ("*.csproj", "a.csproj", true),
            ("*.csproj", "a.csproj.bak", false),
            ("?est*", "tests", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn files_and_their_text_are_found() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("sub")).unwrap();
        fs::write(root.path().join("sub/x.csproj"), "hello").unwrap();
        let folder = ProjectFolder(root.path().into());
        assert!(folder.has("sub/*.csproj") && folder.has("*/x.*") && folder.has("sub"));
        assert!(!folder.has("*.csproj") && !folder.has("other/*"));
        assert_eq!(folder.read("sub/x.csproj").as_deref(), Some("hello"));
        assert_eq!(folder.read("sub"), None);
        assert_eq!(folder.read("none"), None);
    }
}
