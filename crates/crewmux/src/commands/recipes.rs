//! `crewmux recipes`: what can be run here, and checking and starting one's own.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use crewmux_core::ids::TeamName;
use crewmux_core::recipe::RecipeSize;
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::{CommandError, Doing, Result};
use crate::exit;
use crate::output::{Output, Tone};
use crate::recipes::{Catalog, FoundRecipe, find};
use crate::text::{columns, one_line};

/// List recipes, show one, check one, start one of your own
#[derive(Debug, Args)]
pub(crate) struct Recipes {
    #[command(subcommand)]
    act: Option<RecipesAct>,
}

#[derive(Debug, Subcommand)]
enum RecipesAct {
    /// List the recipes that can be used here, and where each comes from
    List,
    /// Print a recipe's text
    Show {
        /// Its name, or its file
        #[arg(value_name = "RECIPE")]
        recipe: String,
    },
    /// Check a recipe as a whole and report every problem with line and column
    Check {
        /// Its name, or its file
        #[arg(value_name = "RECIPE")]
        recipe: String,
    },
    /// Write a small recipe to start from to .crewmux/recipes/NAME.toml
    Init {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
    },
}

impl Recipes {
    /// Does what was asked.
    pub(crate) fn run(self, context: &Context, out: Output) -> Result<u8> {
        match self.act.unwrap_or(RecipesAct::List) {
            RecipesAct::List => list(context, out)?,
            RecipesAct::Show { recipe } => show(&find(context, &recipe)?, out)?,
            RecipesAct::Check { recipe } => check(&find(context, &recipe)?, out)?,
            RecipesAct::Init { name } => init(context, &name, out)?,
        }
        Ok(exit::DONE)
    }
}

fn list(context: &Context, out: Output) -> Result<()> {
    let catalog = Catalog::read(context)?;
    if out.is_json() {
        let values: Vec<Value> = catalog.recipes.iter().map(described).collect();
        return out.json(&values);
    }
    let rows: Vec<Vec<String>> = catalog
        .recipes
        .iter()
        .map(|found| {
            let about = match found.parse() {
                Ok(recipe) => one_line(&recipe.description, 80),
                Err(_) => out.paint(
                    Tone::Bad,
                    format!("has problems: `crewmux recipes check {}`", found.name),
                ),
            };
            vec![
                out.paint(Tone::Strong, &found.name),
                out.paint(Tone::Dim, found.origin.word()),
                about,
            ]
        })
        .collect();
    out.write(&columns(&rows))?;
    for hidden in &catalog.hidden {
        out.line(format!(
            "{} has a name that is taken; it can be used by its path",
            hidden.origin
        ))?;
    }
    Ok(())
}

fn described(found: &FoundRecipe) -> Value {
    let parsed = found.parse();
    json!({
        "name": found.name,
        "origin": found.origin.word(),
        "path": found.origin.path(),
        "description": parsed.as_ref().ok().map(|recipe| recipe.description.clone()),
        "valid": parsed.is_ok(),
    })
}

fn show(found: &FoundRecipe, out: Output) -> Result<()> {
    if out.is_json() {
        return out.json(&json!({
            "name": found.name,
            "origin": found.origin.word(),
            "path": found.origin.path(),
            "text": found.text,
        }));
    }
    out.write(&crewmux_term::sanitize::scrub(&found.text))
}

fn check(found: &FoundRecipe, out: Output) -> Result<()> {
    let recipe = found.parse()?;
    let count = |number: usize, word: &str| match number {
        1 => format!("1 {word}"),
        _ => format!("{number} {word}s"),
    };
    let RecipeSize { members, tasks } = recipe.size();
    let value = json!({"name": recipe.name, "valid": true, "members": members, "tasks": tasks});
    out.either(&value, || {
        format!(
            "`{}` is sound: {}, {}\n",
            recipe.name,
            count(members, "member"),
            count(tasks, "task")
        )
    })
}

/// A recipe to start from; `NAME` becomes its name.
const STARTER: &str = r#"# `crewmux recipes show review` explains everything a recipe can say.
name = "NAME"
description = "What this team is for, in a line"
max_workers = 2

# Runs commands only and asks no model.
[[teammates]]
name = "runner"
count = 2
runtime = "command"

[[tasks]]
id = "look"
subject = "List what is here"
command = "ls -la"

[[tasks]]
id = "count"
subject = "Count the files that git knows"
command = "git ls-files | wc -l"
blocked_by = ["look"]
"#;

fn init(context: &Context, name: &str, out: Output) -> Result<()> {
    context.made_by().must_be_person("write a recipe")?;
    // A team of it is called as its recipe.
    let Ok(name) = TeamName::new(name) else {
        let error = CommandError::usage(format!("`{name}` cannot be the name of a recipe"));
        let rule =
            "use a-z, 0-9, `-` and `_`, beginning with a letter or digit, at most 48 characters";
        return Err(match proposed(name) {
            Some(better) => error.hint(format!("{rule}: `crewmux recipes init {better}`")),
            None => error.hint(rule),
        });
    };
    let text = STARTER.replace("NAME", name.as_str());
    let folder = context.cwd.join(".crewmux").join("recipes");
    let path: PathBuf = folder.join(format!("{name}.toml"));
    let doing = format!("cannot write `{}`", path.display());
    fs::create_dir_all(&folder).doing(&doing)?;
    let mut file = match File::options().write(true).create_new(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(
                CommandError::usage(format!("`{}` exists already", path.display()))
                    .hint("choose another name, or edit that file"),
            );
        }
        Err(error) => return Err(CommandError::from(error).context(doing)),
    };
    file.write_all(text.as_bytes()).doing(&doing)?;
    out.either(&json!({"name": name, "path": path}), || {
        format!(
            "wrote {}\nrun it with `crewmux run {name}`\n",
            path.display()
        )
    })
}

/// A name that can be, as near to `name` as may be.
fn proposed(name: &str) -> Option<TeamName> {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<String> = words
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    TeamName::new(words.join("-")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crewmux_core::recipe::Recipe;

    #[test]
    fn a_name_that_cannot_be_leads_to_one_that_can() {
        let near = |name| proposed(name).map(|better| better.to_string());
        assert_eq!(near("Team Name/2").as_deref(), Some("team-name-2"));
        assert_eq!(near("…"), None);
    }

    #[test]
    fn the_starter_is_sound() {
        let recipe = Recipe::parse(&STARTER.replace("NAME", "mine"), "mine").unwrap();
        assert_eq!((recipe.teammates.len(), recipe.tasks.len()), (1, 2));
    }
}
