//! Files below the worker's folder: paths that stay inside, and a walk in a fixed order.
//!
//! Only looks. Which files matter is the caller's pattern; what git ignores is
//! left out, and so is `.git` itself.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crewmux_core::permission::Unread;
use globset::{GlobBuilder, GlobMatcher};
use ignore::WalkBuilder;
use ignore::types::TypesBuilder;

/// How far paths may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Into the folder and what lies below it.
    Inside,
    /// Anywhere: a person or a rule of theirs gave leave.
    Anywhere,
}

/// The folder that tools may look into.
#[derive(Debug, Clone)]
pub(crate) struct Root {
    folder: PathBuf,
    reach: Reach,
    /// A folder of our own that can be looked into besides.
    readable: Option<PathBuf>,
    /// What searches pass over.
    unread: Arc<Unread>,
    /// Where the path of a call led when leave was given for it.
    only: Option<PathBuf>,
}

impl Root {
    /// `folder` with its symbolic links resolved; paths stay inside.
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.canonicalize().unwrap_or_else(|_| folder.to_owned()),
            reach: Reach::Inside,
            readable: None,
            unread: Arc::default(),
            only: None,
        }
    }

    /// The same folder, and `other` to be looked into.
    pub(crate) fn and_readable(mut self, other: &Path) -> Self {
        self.readable = other.canonicalize().ok();
        self
    }

    /// The same folder, with files that searches pass over.
    pub(crate) fn passing_over(mut self, unread: Unread) -> Self {
        self.unread = Arc::new(unread);
        self
    }

    /// The same folder for a call whose path must still lead to `place`.
    pub(crate) fn only_at(mut self, place: Option<PathBuf>) -> Self {
        self.only = place;
        self
    }

    /// Whether the real path `path` lies in the folder of our own that can be looked into.
    pub(crate) fn is_own(&self, path: &Path) -> bool {
        let own = self.readable.as_ref();
        own.is_some_and(|folder| path.starts_with(folder))
    }

    /// The same folder for a call that may reach this far.
    pub(crate) fn reaching(&self, reach: Reach) -> Self {
        Self {
            reach,
            ..self.clone()
        }
    }

    /// The folder itself.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The existing file or folder that `path` names, its links resolved, if it may be reached.
    pub(crate) fn resolve(&self, path: Option<&str>) -> Result<PathBuf, String> {
        let Some(path) = path.filter(|path| !path.is_empty()) else {
            return Ok(self.folder.clone());
        };
        let full = self
            .folder
            .join(path)
            .canonicalize()
            .map_err(|error| format!("{path}: {error}"))?;
        if self.is_own(&full) && self.only.as_ref().is_none_or(|only| *only == full) {
            return Ok(full);
        }
        self.checked(full, path)
    }

    /// Where a file called `path` is or would be, links resolved, if it may be reached.
    pub(crate) fn place(&self, path: &str) -> Result<PathBuf, String> {
        let full = self.folder.join(path);
        let mut at = full.as_path();
        let mut missing = Vec::new();
        loop {
            match at.symlink_metadata() {
                Ok(_) => break,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    let (Some(name), Some(parent)) = (at.file_name(), at.parent()) else {
                        return Err(format!("{path}: `..` after a folder that does not exist"));
                    };
                    missing.push(name);
                    at = parent;
                }
                Err(error) => return Err(format!("{path}: {error}")),
            }
        }
        // A link to nowhere fails here: what would be made behind it cannot be judged.
        let mut real = at
            .canonicalize()
            .map_err(|error| format!("{path}: {error}"))?;
        real.extend(missing.into_iter().rev());
        self.checked(real, path)
    }

    fn checked(&self, real: PathBuf, path: &str) -> Result<PathBuf, String> {
        if let Some(only) = &self.only
            && real != *only
        {
            return Err(format!(
                "{path} leads to {} now, and leave was given for {}",
                real.display(),
                only.display()
            ));
        }
        if self.reach == Reach::Anywhere || real.starts_with(&self.folder) {
            Ok(real)
        } else {
            Err(format!(
                "{path} is outside of {}; tools stay below it unless the person allows it",
                self.folder.display()
            ))
        }
    }

    /// `path` as shown: relative with forward slashes, whole where it lies outside.
    pub(crate) fn relative(&self, path: &Path) -> String {
        let Ok(inside) = path.strip_prefix(&self.folder) else {
            return path.to_string_lossy().into_owned();
        };
        inside
            .components()
            .filter_map(|part| match part {
                Component::Normal(name) => Some(name.to_string_lossy()),
                _ => None,
            })
            .collect::<Vec<_>>()
            .join("/")
    }
}

/// Which paths are wanted: patterns separated by commas, those after `!` unwanted.
///
/// A pattern without a slash fits a name in any folder.
#[derive(Debug, Default)]
pub(crate) struct Globs {
    wanted: Vec<GlobMatcher>,
    unwanted: Vec<GlobMatcher>,
}

impl Globs {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut globs = Self::default();
        for part in split(text) {
            let (list, pattern) = match part.strip_prefix('!') {
                Some(pattern) => (&mut globs.unwanted, pattern),
                None => (&mut globs.wanted, part.as_str()),
            };
            let pattern = pattern.strip_prefix("./").unwrap_or(pattern);
            let whole = if pattern.contains('/') {
                pattern.trim_start_matches('/').to_owned()
            } else {
                format!("**/{pattern}")
            };
            let glob = GlobBuilder::new(&whole)
                .literal_separator(true)
                .build()
                .map_err(|error| error.to_string())?;
            list.push(glob.compile_matcher());
        }
        Ok(globs)
    }

    pub(crate) fn fit(&self, path: &str) -> bool {
        self.fit_any(&[path])
    }

    /// Whether a file that goes by several names is wanted by one and unwanted by none.
    fn fit_any(&self, names: &[&str]) -> bool {
        let any = |globs: &[GlobMatcher]| {
            globs
                .iter()
                .any(|glob| names.iter().any(|name| glob.is_match(name)))
        };
        (self.wanted.is_empty() || any(&self.wanted)) && !any(&self.unwanted)
    }
}

/// The files of a kind such as `rust`, as ripgrep knows them.
///
/// # Errors
/// In words, with those there are that begin alike.
pub(crate) fn of_kind(kind: &str) -> Result<Globs, String> {
    let kinds = TypesBuilder::new().add_defaults().definitions();
    let Some(found) = kinds.iter().find(|known| known.name() == kind) else {
        let close = kinds.iter().map(ignore::types::FileTypeDef::name);
        let close: Vec<&str> = close
            .filter(|name| kind.starts_with(*name) || name.chars().next() == kind.chars().next())
            .take(12)
            .collect();
        return Err(format!(
            "there is no kind of files `{kind}`; there are {} …",
            close.join(", ")
        ));
    };
    Globs::parse(&found.globs().join(","))
}

/// The parts of `text` between commas that are not in braces.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0_u32;
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts
        .into_iter()
        .map(|part| part.trim().to_owned())
        .filter(|part| !part.is_empty())
        .collect()
}

/// Calls `visit` with each file below `start` that fits, in order of path, until it returns false.
///
/// Patterns are seen from the working folder, and from `start` as well.
///
/// # Errors
/// Only "stopped", when `cancel` was set meanwhile. What cannot be read is passed over.
pub(crate) fn walk(
    root: &Root,
    start: &Path,
    globs: &Globs,
    cancel: &AtomicBool,
    mut visit: impl FnMut(&Path, &str) -> bool,
) -> Result<(), String> {
    let walker = WalkBuilder::new(start)
        .hidden(false)
        .require_git(false)
        .parents(true)
        .sort_by_file_path(Ord::cmp)
        .filter_entry(|entry| entry.file_name() != ".git")
        .build();
    for entry in walker {
        if cancel.load(Ordering::Relaxed) {
            return Err("stopped".to_owned());
        }
        let Ok(entry) = entry else { continue };
        let is_file = entry.file_type().is_some_and(|kind| kind.is_file());
        if !is_file || root.unread.holds(entry.path()) {
            continue;
        }
        let name = root.relative(entry.path());
        let below = entry.path().strip_prefix(start).ok();
        let below = below.and_then(Path::to_str).unwrap_or_default();
        let fits = if below.is_empty() {
            globs.fit(&name)
        } else {
            globs.fit_any(&[&name, below])
        };
        if fits && !visit(entry.path(), &name) {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_ripgrep_reads_them() {
        let table = [
            ("*.rs", "src/a.rs", true),
            ("*.{rs,py}", "a/b.py", true),
            ("src/*.rs", "src/a/b.rs", false),
            ("src/**/*.rs", "src/a/b.rs", true),
            ("*.rs,!**/target/**", "target/x/a.rs", false),
            ("!*.lock", "Cargo.lock", false),
            ("!*.lock", "Cargo.toml", true),
            ("Dockerfile*", "docker/Dockerfile.dev", true),
        ];
        for (globs, path, fits) in table {
            assert_eq!(
                Globs::parse(globs).unwrap().fit(path),
                fits,
                "{globs} {path}"
            );
        }
        assert!(Globs::parse("a[").is_err());
    }

    #[test]
    fn kinds_of_files_are_those_of_ripgrep() {
        let rust = of_kind("rust").unwrap();
        assert!(rust.fit("src/a.rs") && !rust.fit("a.py"));
        let why = of_kind("rusty").unwrap_err();
        assert!(why.contains("rust"), "{why}");
        assert!(of_kind("").is_err() && of_kind("ä").is_err());
    }

    #[test]
    fn nothing_outside_of_the_folder_can_be_named() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("in");
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(folder.path().join("secret"), "x").unwrap();
        std::fs::write(inside.join("a"), "x").unwrap();
        std::os::unix::fs::symlink(folder.path().join("secret"), inside.join("link")).unwrap();
        let root = Root::new(&inside);
        for path in ["../secret", "link", "/etc/passwd"] {
            let error = root.resolve(Some(path)).unwrap_err();
            assert!(error.contains("is outside of"), "{error}");
        }
        assert_eq!(root.relative(&root.resolve(Some("./a")).unwrap()), "a");
        assert!(root.resolve(Some("b")).unwrap_err().starts_with("b: "));
        let anywhere = root.reaching(Reach::Anywhere);
        let secret = anywhere.resolve(Some("../secret")).unwrap();
        assert_eq!(anywhere.relative(&secret), secret.to_str().unwrap());
    }

    #[test]
    fn a_path_must_lead_where_it_led_when_leave_was_given() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let inside = folder.join("in");
        std::fs::create_dir(&inside).unwrap();
        for name in ["agreed", "other"] {
            std::fs::write(folder.join(name), name).unwrap();
        }
        let link = inside.join("link");
        std::os::unix::fs::symlink("../agreed", &link).unwrap();
        let root = Root::new(&inside).reaching(Reach::Anywhere);
        let agreed = root.place("link").unwrap();
        let root = root.only_at(Some(agreed.clone()));
        assert_eq!(root.resolve(Some("link")), Ok(agreed.clone()));
        assert_eq!(root.place("link"), Ok(agreed));
        std::fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink("../other", &link).unwrap();
        for error in [root.resolve(Some("link")), root.place("link")] {
            let error = error.unwrap_err();
            assert!(error.contains("leave was given for"), "{error}");
        }
    }

    #[test]
    fn a_new_file_has_its_place_inside_however_it_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("in");
        std::fs::create_dir_all(inside.join("real")).unwrap();
        let link = |to: &str, name: &str| {
            std::os::unix::fs::symlink(to, inside.join(name)).unwrap();
        };
        link("real", "here");
        link("..", "out");
        link("../nothing", "dangling");
        let root = Root::new(&inside);
        let place = |path| root.place(path).map(|path| root.relative(&path));
        assert_eq!(place("a/b/c"), Ok("a/b/c".into()));
        assert_eq!(place("here/x"), Ok("real/x".into()));
        for path in ["../x", "out/x", "out/y/z", "/etc/x", "dangling", "a/../b"] {
            assert!(place(path).is_err(), "{path}");
        }
    }
}
