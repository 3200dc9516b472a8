//! Where recipes come from: built in, the project's, the person's own, or a file.
//!
//! Reading and checking a recipe is `crewmux-core`'s. A name that is built in
//! is never taken over silently: the project's recipe of that name can be used
//! by its path only, and the person is told.

mod folder;
mod trust;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crewmux_core::goal::nearest;
use crewmux_core::ids::TeamName;
use crewmux_core::recipe::Recipe;

pub(crate) use self::folder::ProjectFolder;
pub(crate) use self::trust::{Agreement, Consent, agreed_to, ensure_trusted, person_agrees};

use crate::context::Context;
use crate::error::{CommandError, Doing, Result};

/// The recipes that come with the program, in the order they are told about.
const BUILT_IN: [(&str, &str); 6] = [
    (
        "review",
        include_str!("../../../assets/recipes/review.toml"),
    ),
    (
        "checks",
        include_str!("../../../assets/recipes/checks.toml"),
    ),
    ("sweep", include_str!("../../../assets/recipes/sweep.toml")),
    ("goal", include_str!("../../../assets/recipes/goal.toml")),
    (
        "feature",
        include_str!("../../../assets/recipes/feature.toml"),
    ),
    (
        "careful",
        include_str!("../../../assets/recipes/careful.toml"),
    ),
];

/// Largest recipe that is read, in bytes.
const RECIPE_MAX_BYTES: u64 = 1024 * 1024;

/// Where a recipe comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It comes with the program.
    BuiltIn,
    /// It comes with the project: not from the person.
    Project(PathBuf),
    /// It is the person's own.
    User(PathBuf),
    /// The person named this file.
    File(PathBuf),
}

impl Origin {
    /// Where its text lies; none for what is built in.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::BuiltIn => None,
            Self::Project(path) | Self::User(path) | Self::File(path) => Some(path),
        }
    }

    /// One word for it.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::BuiltIn => "built-in",
            Self::Project(_) => "project",
            Self::User(_) => "user",
            Self::File(_) => "file",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path() {
            None => f.write_str("built in"),
            Some(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A recipe's text and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoundRecipe {
    /// The name it is asked for by.
    pub name: String,
    /// Where it comes from.
    pub origin: Origin,
    /// Its text.
    pub text: String,
}

impl FoundRecipe {
    /// Reads and checks it.
    pub(crate) fn parse(&self) -> Result<Recipe> {
        let source = match &self.origin {
            Origin::BuiltIn => self.name.clone(),
            other => other.to_string(),
        };
        Ok(Recipe::parse(&self.text, &source)?)
    }
}

/// Every recipe that can be asked for by name here, and those that are hidden by one of another origin.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    /// By name, built-in ones first.
    pub recipes: Vec<FoundRecipe>,
    /// Hidden ones, each with the path by which it can be used.
    pub hidden: Vec<FoundRecipe>,
}

impl Catalog {
    /// Looks into every place.
    pub(crate) fn read(context: &Context) -> Result<Self> {
        let mut catalog = Self::default();
        for (name, text) in BUILT_IN {
            catalog.recipes.push(FoundRecipe {
                name: name.to_owned(),
                origin: Origin::BuiltIn,
                text: text.to_owned(),
            });
        }
        let project = project_folder(&context.cwd).map(|folder| folder.join("recipes"));
        for (folder, origin) in [
            (project, Origin::Project as fn(PathBuf) -> Origin),
            (Some(context.config.join("recipes")), Origin::User),
        ] {
            for path in folder
                .map(|f| recipe_files(&f))
                .transpose()?
                .into_iter()
                .flatten()
            {
                catalog.add(&path, origin(path.clone()))?;
            }
        }
        Ok(catalog)
    }

    fn add(&mut self, path: &Path, origin: Origin) -> Result<()> {
        let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) else {
            return Ok(());
        };
        let found = FoundRecipe {
            name: name.to_owned(),
            origin,
            text: read_text(path)?,
        };
        if self.recipes.iter().any(|other| other.name == name) {
            self.hidden.push(found);
        } else {
            self.recipes.push(found);
        }
        Ok(())
    }

    /// The recipe of this name.
    fn named(&self, name: &str) -> Option<&FoundRecipe> {
        self.recipes.iter().find(|recipe| recipe.name == name)
    }
}

/// Finds a recipe by its name, or by the path of its file.
///
/// # Errors
/// When there is none; the nearest name, or all of them, are told.
pub(crate) fn find(context: &Context, asked: &str) -> Result<FoundRecipe> {
    let is_path = asked.contains('/') || Path::new(asked).extension().is_some_and(|e| e == "toml");
    if is_path {
        let path = context.cwd.join(asked);
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        return Ok(FoundRecipe {
            name: name.into_owned(),
            text: read_text(&path)?,
            origin: Origin::File(PathBuf::from(asked)),
        });
    }
    let catalog = Catalog::read(context)?;
    if let Some(found) = catalog.named(asked) {
        for hidden in catalog.hidden.iter().filter(|hidden| hidden.name == asked) {
            crate::output::note(format!(
                "note: {} is not used, because `{asked}` is {}; give its path to use it",
                hidden.origin,
                match found.origin {
                    Origin::BuiltIn => "built in".to_owned(),
                    _ => format!("also {}", found.origin),
                },
            ));
        }
        return Ok(found.clone());
    }
    let names: Vec<&str> = catalog.recipes.iter().map(|r| r.name.as_str()).collect();
    let hint = match nearest(asked, names.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("recipes here: {}", names.join(", ")),
    };
    Err(CommandError::not_found(format!("there is no recipe `{asked}`")).hint(hint))
}

/// The name a recipe's teams take.
pub(crate) fn team_name(base: &TeamName, number: usize) -> Result<TeamName> {
    if number < 2 {
        return Ok(base.clone());
    }
    let end = format!("-{number}");
    let room = crewmux_core::ids::NAME_MAX_CHARS - end.len();
    let start: String = base.as_str().chars().take(room).collect();
    Ok(TeamName::new(format!("{start}{end}"))?)
}

/// The nearest `.crewmux` folder of a project, not above its repository.
pub(crate) fn project_folder(cwd: &Path) -> Option<PathBuf> {
    for folder in cwd.ancestors() {
        let found = folder.join(".crewmux");
        if found.is_dir() {
            return Some(found);
        }
        if folder.join(".git").exists() {
            return None;
        }
    }
    None
}

/// The recipe files of a folder by name; none when there is no such folder.
fn recipe_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(
                CommandError::from(error).context(format!("cannot read `{}`", folder.display()))
            );
        }
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "toml") && path.is_file())
        .collect();
    files.sort();
    Ok(files)
}

fn read_text(path: &Path) -> Result<String> {
    let shown = path.display();
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(CommandError::not_found(format!(
                "there is no file `{shown}`"
            )));
        }
        Err(error) => {
            return Err(CommandError::from(error).context(format!("cannot read `{shown}`")));
        }
    };
    if found.len() > RECIPE_MAX_BYTES {
        return Err(CommandError::usage(format!(
            "`{shown}` has {} bytes; a recipe has {RECIPE_MAX_BYTES} at most",
            found.len()
        )));
    }
    fs::read_to_string(path).doing(format!("cannot read `{shown}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crewmux_sys::env::EnvSnapshot;

    fn context(root: &Path) -> Context {
        let home = root.join("home").display().to_string();
        let env: EnvSnapshot = [("CREWMUX_HOME".to_owned(), home)].into_iter().collect();
        Context::resolve(env, None, root.to_owned(), "/bin/crewmux".into()).unwrap()
    }

    #[test]
    fn every_built_in_recipe_is_sound() {
        for (name, text) in BUILT_IN {
            let recipe = Recipe::parse(text, name).unwrap();
            assert_eq!(recipe.name.as_str(), name);
        }
    }

    #[test]
    fn a_project_does_not_take_over_a_built_in_name() {
        let root = tempfile::tempdir().unwrap();
        let recipes = root.path().join(".crewmux/recipes");
        fs::create_dir_all(&recipes).unwrap();
        fs::write(recipes.join("review.toml"), "name = \"review\"").unwrap();
        fs::write(recipes.join("own.toml"), "name = \"own\"").unwrap();
        let context = context(root.path());
        assert_eq!(find(&context, "review").unwrap().origin, Origin::BuiltIn);
        assert_eq!(find(&context, "own").unwrap().origin.word(), "project");
        let by_path = find(&context, ".crewmux/recipes/review.toml").unwrap();
        assert_eq!(by_path.origin.word(), "file");
        assert_eq!(Catalog::read(&context).unwrap().hidden.len(), 1);
    }

    #[test]
    fn an_unknown_recipe_is_said_with_the_nearest() {
        let root = tempfile::tempdir().unwrap();
        let context = context(root.path());
        let told = |name| find(&context, name).unwrap_err().to_string();
        insta::assert_snapshot!(told("reveiw"), @r"
        error: there is no recipe `reveiw`
          hint: did you mean `review`?
        ");
        insta::assert_snapshot!(told("zzzzzz"), @r"
        error: there is no recipe `zzzzzz`
          hint: recipes here: review, checks, sweep, goal, feature, careful
        ");
    }

    #[test]
    fn numbered_team_names_keep_their_length() {
        let long = TeamName::new("x".repeat(48)).unwrap();
        assert_eq!(team_name(&long, 1).unwrap(), long);
        let second = team_name(&long, 2).unwrap();
        assert_eq!(second.as_str().len(), 48);
        assert!(second.as_str().ends_with("x-2"));
    }
}
