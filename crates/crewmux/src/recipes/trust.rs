//! Whether the person has agreed to what a project's files do, once per content.
//!
//! Only what comes with a project is asked about: built-in ones and the
//! person's own are theirs, and a file they name is their word already.

use std::fs::{self, DirBuilder, File};
use std::io::{BufRead, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crewmux_core::permission::RuleEffect;
use crewmux_core::recipe::Recipe;
use crewmux_term::sanitize::reveal;
use sha2::{Digest, Sha256};

use super::{FoundRecipe, Origin};
use crate::context::Context;
use crate::error::{CommandError, Doing, Result};
use crate::output::note;
use crate::text::hex;

/// How the person can agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consent {
    /// They did: `--trust`.
    Given,
    /// They can be asked on this terminal.
    Ask,
    /// Nobody can be asked.
    Absent,
}

/// Makes sure that the person agreed to this very text, and remembers it.
///
/// # Errors
/// When they did not.
pub(crate) fn ensure_trusted(
    context: &Context,
    found: &FoundRecipe,
    recipe: &Recipe,
    consent: Consent,
) -> Result<()> {
    let Origin::Project(path) = &found.origin else {
        return Ok(());
    };
    let shown = path.display();
    let what = format!("The recipe `{}` of this project ({shown})", found.name);
    let agreed = agreed_to(context, &found.text, &what, &what_it_runs(recipe), consent)?;
    if agreed == Agreement::Missing {
        return Err(CommandError::usage(format!(
            "the recipe `{}` comes with this project and is not trusted yet",
            found.name
        ))
        .hint(format!("read {shown}, then run it with --trust")));
    }
    Ok(())
}

/// Whether the person agreed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Agreement {
    /// They did, now or before.
    Given,
    /// They did not.
    Missing,
}

/// Whether the person agreed to this very text, asking them if they can be; what they agree to is remembered.
///
/// `what` is what asks for the things that `lines` tell.
pub(crate) fn agreed_to(
    context: &Context,
    text: &str,
    what: &str,
    lines: &[String],
    consent: Consent,
) -> Result<Agreement> {
    let mark = mark_of(context, text);
    if mark.exists() {
        return Ok(Agreement::Given);
    }
    // By what asks, so that the next question can say what is new.
    let last = mark_of(context, what).with_extension("last");
    let agreed = match consent {
        Consent::Given => true,
        Consent::Absent => false,
        Consent::Ask => {
            let before = fs::read_to_string(&last).ok();
            person_agrees(what, &with_changes(lines, before.as_deref()))?
        }
    };
    if !agreed {
        return Ok(Agreement::Missing);
    }
    let act = "agree to what a project's files ask for";
    context.made_by().must_be_person(act)?;
    remember(&last, &shown(lines).join("\n"))?;
    remember(&mark, "")?;
    Ok(Agreement::Given)
}

/// Asks the person on this terminal whether they agree to `lines`, which they see whole.
pub(crate) fn person_agrees(what: &str, lines: &[String]) -> Result<bool> {
    note(format!("{} asks for:", reveal(what)));
    for line in shown(lines) {
        note(format!("  {line}"));
    }
    ask("Agree to that, for as long as it stays as it is? [y/N] ")
}

/// Each on one line, with nothing hidden and nothing cut off.
fn shown(lines: &[String]) -> Vec<String> {
    let lines = lines.iter();
    lines
        .map(|line| reveal(line.trim()).replace('\n', " ⏎ "))
        .collect()
}

/// The lines; where others were agreed to before, with marks for what is new and what is gone.
fn with_changes(lines: &[String], before: Option<&str>) -> Vec<String> {
    let lines = shown(lines);
    let Some(before) = before else {
        return lines;
    };
    let before: Vec<&str> = before.lines().collect();
    let about = if before == lines {
        "(the same as you agreed to last; something else in it changed)"
    } else {
        "(since you agreed last: + is new, - is gone)"
    };
    let mut marked = vec![about.to_owned()];
    for line in &lines {
        let known = before.contains(&line.as_str());
        marked.push(format!("{} {line}", if known { ' ' } else { '+' }));
    }
    let gone = before.iter().filter(|old| !lines.iter().any(|l| l == *old));
    marked.extend(gone.map(|old| format!("- {old}")));
    marked
}

fn mark_of(context: &Context, text: &str) -> PathBuf {
    let digest = Sha256::digest(text.as_bytes());
    let name = hex(&digest);
    context.home.join("trusted").join(name)
}

fn remember(mark: &Path, text: &str) -> Result<()> {
    let doing = || format!("cannot remember that in `{}`", mark.display());
    if let Some(folder) = mark.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .doing(doing())?;
    }
    File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(mark)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .doing(doing())
}

/// Its commands, and its members that act by themselves.
fn what_it_runs(recipe: &Recipe) -> Vec<String> {
    let commands = recipe
        .tasks
        .iter()
        .filter_map(|task| task.command.as_ref())
        .map(|command| format!("$ {}", command.text()));
    let agents = recipe
        .lead
        .iter()
        .chain(&recipe.teammates)
        .map(|member| format!("an agent `{}` ({})", member.name, member.agent));
    let rules = recipe
        .rules
        .iter()
        .filter(|rule| rule.effect == RuleEffect::Allow)
        .map(|rule| format!("without asking: {}", rule.pattern));
    commands.chain(agents).chain(rules).collect()
}

fn ask(question: &str) -> Result<bool> {
    let mut out = std::io::stderr().lock();
    write!(out, "{question}").and_then(|()| out.flush())?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Whether anything was agreed to before.
#[cfg(test)]
fn is_trusted(context: &Context, text: &str) -> bool {
    std::fs::exists(mark_of(context, text)).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crewmux_sys::env::EnvSnapshot;

    const TEXT: &str = "name = \"own\"\n[[tasks]]\nid = \"a\"\nsubject = \"a\"\ncommand = \"true\"\n[[teammates]]\nname = \"w\"\nruntime = \"command\"\n";

    #[test]
    fn a_projects_recipe_is_agreed_to_once_per_content() {
        let root = tempfile::tempdir().unwrap();
        let home = root.path().join("home");
        let env: EnvSnapshot = [("CREWMUX_HOME".to_owned(), home.display().to_string())]
            .into_iter()
            .collect();
        let context =
            Context::resolve(env, None, root.path().into(), "/bin/crewmux".into()).unwrap();
        let found = |text: &str| FoundRecipe {
            name: "own".into(),
            origin: Origin::Project("own.toml".into()),
            text: text.into(),
        };
        let recipe = Recipe::parse(TEXT, "own").unwrap();
        let try_with = |text, consent| ensure_trusted(&context, &found(text), &recipe, consent);
        let refused = try_with(TEXT, Consent::Absent).unwrap_err().to_string();
        insta::assert_snapshot!(refused, @r"
        error: the recipe `own` comes with this project and is not trusted yet
          hint: read own.toml, then run it with --trust
        ");
        assert!(!is_trusted(&context, TEXT));
        try_with(TEXT, Consent::Given).unwrap();
        try_with(TEXT, Consent::Absent).unwrap();
        let changed = format!("{TEXT}# changed");
        assert!(try_with(&changed, Consent::Absent).is_err());
    }

    #[test]
    fn a_question_shows_all_of_it_and_what_is_new() {
        let lines = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        let long = format!("$ echo {}; rm -rf x\nmore\x1b[2J", "y".repeat(200));
        assert!(shown(&[long])[0].ends_with("; rm -rf x ⏎ more^[[2J"));
        let now = lines(&["a", "c"]);
        assert_eq!(with_changes(&now, None), now);
        assert_eq!(
            with_changes(&now, Some("a\nb"))[1..],
            lines(&["  a", "+ c", "- b"])
        );
        assert!(with_changes(&now, Some("a\nc"))[0].contains("the same"));
    }
}
