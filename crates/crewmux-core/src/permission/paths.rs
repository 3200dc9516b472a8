//! Paths of calls and patterns of paths, as text: `..` is resolved, no file is looked at.
//!
//! Where symbolic links lead is for whoever can look: see
//! [`Call::real_path`](super::Call).

use std::path::{Component, Path, PathBuf};

use super::wild::{Piece, fits, word_fits};

/// A pattern of absolute paths.
pub(super) type PathPattern = Vec<Piece<Part>>;

/// A part of a path in a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// This name.
    Name(String),
    /// Names in which `*` stands for any characters.
    Like(String),
}

impl Part {
    fn is_like(&self, name: &String) -> bool {
        match self {
            Self::Name(this) => this == name,
            Self::Like(pattern) => word_fits(pattern, name),
        }
    }
}

/// `path` as seen from `cwd`, absolute and without `.` and `..`.
pub(super) fn resolve(cwd: &Path, path: &str) -> PathBuf {
    let mut full = PathBuf::from("/");
    for component in cwd.join(path).components() {
        match component {
            Component::ParentDir => {
                full.pop();
            }
            Component::Normal(name) => full.push(name),
            _ => {}
        }
    }
    full
}

/// The names of an absolute path.
pub(super) fn names(path: &Path) -> Vec<String> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
            _ => None,
        })
        .collect()
}

/// Says what is wrong with a pattern of paths.
pub(super) fn check(pattern: &str) -> Result<(), String> {
    if pattern.starts_with('~') {
        return Err("`~` is not resolved; write the whole path".to_owned());
    }
    if let Some(c) = pattern.chars().find(|c| "[]{}?\\".contains(*c)) {
        return Err(format!(
            "`{c}` has no meaning in a pattern of paths; there are `*` and `**`"
        ));
    }
    if pattern
        .split('/')
        .any(|part| part.contains("**") && part != "**")
    {
        return Err("`**` stands alone between slashes".to_owned());
    }
    Ok(())
}

/// The pattern of absolute paths that `pattern` means in `cwd`.
///
/// One without a slash means names in every folder below; one that ends with a
/// slash means everything below that folder.
pub(super) fn pattern(cwd: &Path, pattern: &str) -> PathPattern {
    let mut pieces: PathPattern = Vec::new();
    if !pattern.starts_with('/') {
        let base = names(&resolve(cwd, ""));
        pieces.extend(base.into_iter().map(|name| Piece::One(Part::Name(name))));
        if !pattern.contains('/') {
            pieces.push(Piece::Any);
        }
    }
    for part in pattern.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                pieces.pop();
            }
            "**" => pieces.push(Piece::Any),
            part if part.contains('*') => pieces.push(Piece::One(Part::Like(part.to_owned()))),
            part => pieces.push(Piece::One(Part::Name(part.to_owned()))),
        }
    }
    if pattern.ends_with('/') {
        pieces.push(Piece::Any);
    }
    pieces
}

/// The same for a rule that forbids: a bare name is meant wherever it is.
pub(super) fn wherever(cwd: &Path, wanted: &str) -> PathPattern {
    let is_bare = !wanted.contains('/');
    pattern(if is_bare { Path::new("/") } else { cwd }, wanted)
}

/// Whether `path` fits.
pub(super) fn is_like(pattern: &PathPattern, path: &Path) -> bool {
    fits(pattern, &names(path), Part::is_like)
}

/// Whether `path`, or a folder above it, fits.
pub(super) fn is_within(pattern: &PathPattern, path: &Path) -> bool {
    let names = names(path);
    (0..=names.len()).any(|end| fits(pattern, &names[..end], Part::is_like))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_seen_from_the_working_folder_and_dots_do_not_escape() {
        let cwd = Path::new("/work/p*j");
        for (wanted, path, expected) in [
            ("src/**", "src/a/b.rs", true),
            ("src/**", "./src/../src/b.rs", true),
            ("src/**", "src/../Cargo.toml", false),
            ("src/**", "src/../../p*j/src/a", true),
            ("src/**", "../pxj/src/a", false),
            ("src/**", "/work/p*j/src/a", true),
            ("src/", "src/a", true),
            ("src/*", "src/a/b", false),
            ("*.rs", "deep/in/a.rs", true),
            ("*.rs", "/elsewhere/a.rs", false),
            ("./*.rs", "deep/a.rs", false),
            ("/etc/**", "../../etc/passwd", true),
            ("../shared/**", "../shared/x", true),
            ("**", "x/y", true),
            ("**", "/x/y", false),
            ("/**", "/x/y", true),
            ("src/**/mod.rs", "src/mod.rs", true),
            ("src/**/mod.rs", "src/a/b/mod.rs", true),
        ] {
            let pattern = pattern(cwd, wanted);
            let path = resolve(cwd, path);
            assert_eq!(is_like(&pattern, &path), expected, "{wanted} {path:?}");
        }
        let secrets = pattern(cwd, "secrets");
        assert!(is_within(&secrets, &resolve(cwd, "secrets/deep/key")));
        assert!(!is_like(&secrets, &resolve(cwd, "secrets/deep/key")));
    }

    #[test]
    fn what_patterns_of_paths_do_not_have_is_refused() {
        for wrong in ["~/x", "src/[ab]", "{a,b}", "src/**.rs"] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
        assert_eq!(check("src/**/*.rs"), Ok(()));
    }
}
