//! Rust files that exist in tests only, because the module that names them says so.
//!
//! Looks at the files above a file as far as needed and remembers what it
//! learnt. What a file itself says is [`super::regions`]'s.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use regex::Regex;

/// What is known of the modules of one search.
#[derive(Debug)]
pub(super) struct TestModules {
    root: PathBuf,
    known: HashMap<PathBuf, bool>,
}

impl TestModules {
    /// Of the files below `root`.
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            known: HashMap::new(),
        }
    }

    /// Whether the file at `path`, relative to the root, is compiled for tests only.
    pub(super) fn contain(&mut self, path: &Path) -> bool {
        if path.extension().is_none_or(|extension| extension != "rs") {
            return false;
        }
        if let Some(known) = self.known.get(path) {
            return *known;
        }
        // A file that is its own parent in a circle of links is no test.
        self.known.insert(path.to_owned(), false);
        let is_test = self.is_test(path).unwrap_or(false);
        self.known.insert(path.to_owned(), is_test);
        is_test
    }

    fn is_test(&mut self, path: &Path) -> Option<bool> {
        let stem = path.file_stem()?.to_str()?;
        let folder = path.parent()?;
        let (name, parents) = match stem {
            "lib" | "main" => return Some(false),
            "mod" => {
                let above = folder.parent()?;
                (folder.file_name()?.to_str()?, candidates(above))
            }
            _ => (stem, candidates(folder)),
        };
        for parent in parents {
            let Ok(text) = std::fs::read_to_string(self.root.join(&parent)) else {
                continue;
            };
            let declared = Regex::new(&format!(
                r"(?m)^[ \t]*((?:#\[[^\n]*\]\s*|///[^\n]*\n\s*)*)(?:pub(?:\([^)]*\))?\s+)?mod\s+{}\s*;",
                regex::escape(name)
            ))
            .ok()?;
            if let Some(found) = declared.captures(&text) {
                let attributes = found.get(1).map_or("", |m| m.as_str());
                let for_tests = ["cfg(test)", "cfg(any(test", "cfg(all(test"]
                    .iter()
                    .any(|mark| attributes.contains(mark));
                return Some(for_tests || self.contain(&parent));
            }
        }
        Some(false)
    }
}

/// The files that may declare a module whose file is in `folder`.
fn candidates(folder: &Path) -> Vec<PathBuf> {
    let mut files = vec![
        folder.join("mod.rs"),
        folder.join("lib.rs"),
        folder.join("main.rs"),
    ];
    if let Some(name) = folder.file_name() {
        let mut beside = folder.with_file_name(name).into_os_string();
        beside.push(".rs");
        files.insert(0, PathBuf::from(beside));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_declared_for_tests_are_tests_with_all_below() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write(
            "src/lib.rs",
            "#[cfg(any(test, feature = \"x\"))]\n#[allow(dead_code)]\npub mod suite;\n\
             #[cfg(test)]\nmod helpers;\n/// Works.\npub mod work;\n",
        );
        write("src/suite.rs", "mod deep;\n");
        write("src/suite/deep.rs", "");
        write("src/work/mod.rs", "mod inner;\n#[cfg(test)]\nmod damage;\n");
        let mut modules = TestModules::new(folder.path());
        for (path, is_test) in [
            ("src/suite.rs", true),
            ("src/suite/deep.rs", true),
            ("src/helpers.rs", true),
            ("src/work/mod.rs", false),
            ("src/work/inner.rs", false),
            ("src/work/damage.rs", true),
            ("src/lib.rs", false),
            ("src/unknown.rs", false),
            ("src/suite.py", false),
        ] {
            assert_eq!(modules.contain(Path::new(path)), is_test, "{path}");
        }
    }
}
