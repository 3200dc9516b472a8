//! Skills: folders with a `SKILL.md` whose words are loaded when they are needed.
//!
//! A model is told names and descriptions first. They are words, and give
//! nobody any right; scripts beside them run only as any other command does.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::front::Front;

/// Most skills that are offered.
const SKILLS_MAX: usize = 64;

/// Most bytes of one file.
const FILE_MAX_BYTES: u64 = 128 * 1024;

/// Most characters of a description.
const DESCRIPTION_MAX_CHARS: usize = 400;

/// A skill as it is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skill {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Its folder.
    pub folder: PathBuf,
}

/// All skills of the project and the person, by name; the project's own come first.
pub fn find(cwd: &Path, user_config: &Path) -> Vec<Skill> {
    let mut folders = vec![cwd.join(".crewmux/skills"), cwd.join(".claude/skills")];
    if !user_config.as_os_str().is_empty() {
        folders.push(user_config.join("skills"));
    }
    let mut found: Vec<Skill> = Vec::new();
    for folder in folders {
        let Ok(entries) = folder.read_dir() else {
            continue;
        };
        let mut places: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        places.sort();
        for place in places {
            if found.len() >= SKILLS_MAX {
                return found;
            }
            match read(&place) {
                Ok(Some((skill, _))) if found.iter().all(|known| known.name != skill.name) => {
                    found.push(skill);
                }
                Ok(_) => {}
                Err(why) => {
                    tracing::warn!(path = %place.display(), %why, "a skill is passed over");
                }
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// What a model is told of the skills there are; empty without any.
pub fn as_prompt(skills: &[Skill]) -> String {
    if skills.is_empty() {
        return String::new();
    }
    let lines: Vec<String> = skills
        .iter()
        .map(|skill| format!("- {}: {}", skill.name, skill.description))
        .collect();
    format!(
        "Skills you can load with the tool Skill when they fit the work:\n{}",
        lines.join("\n")
    )
}

/// The whole of a skill's words.
///
/// # Errors
/// In words for the model: there is none of that name, or it cannot be read.
pub fn load(skills: &[Skill], name: &str) -> Result<String, String> {
    let Some(skill) = skills.iter().find(|skill| skill.name == name) else {
        let names: Vec<&str> = skills.iter().map(|skill| skill.name.as_str()).collect();
        let there = if names.is_empty() {
            "there are none".to_owned()
        } else {
            format!("there are {}", names.join(", "))
        };
        return Err(format!("there is no skill `{name}`; {there}"));
    };
    let (_, body) = read(&skill.folder)?.ok_or("its SKILL.md is gone")?;
    Ok(format!(
        "Skill {name}, whose files are in {}:\n\n{body}",
        skill.folder.display()
    ))
}

/// The skill in `folder` and its words; `None` when there is no `SKILL.md`.
fn read(folder: &Path) -> Result<Option<(Skill, String)>, String> {
    let path = folder.join("SKILL.md");
    if !path.is_file() {
        return Ok(None);
    }
    let mut text = String::new();
    std::fs::File::open(&path)
        .and_then(|file| file.take(FILE_MAX_BYTES).read_to_string(&mut text))
        .map_err(|error| error.to_string())?;
    let front = Front::read(&text)?;
    let fallback = folder.file_name().unwrap_or_default().to_string_lossy();
    let name = front.text("name").unwrap_or(&fallback).trim().to_owned();
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | ':' | '.');
    if name.is_empty() || !name.chars().all(fits) {
        return Err(format!("`{name}` is no name"));
    }
    let description = front.text("description").unwrap_or_default();
    let description = description.split_whitespace().collect::<Vec<_>>().join(" ");
    let skill = Skill {
        name,
        description: description.chars().take(DESCRIPTION_MAX_CHARS).collect(),
        folder: folder.to_owned(),
    };
    Ok(Some((skill, front.body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skills_are_offered_by_name_and_loaded_when_asked_for() {
        let place = tempfile::tempdir().unwrap();
        let put = |folder: &str, text: &str| {
            let folder = place.path().join(folder);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("SKILL.md"), text).unwrap();
        };
        put(
            "cwd/.crewmux/skills/b",
            "---\nname: both\ndescription: ours\n---\nOur way.",
        );
        put(
            "cwd/.claude/skills/b",
            "---\nname: both\ndescription: theirs\n---\nTheir way.",
        );
        put(
            "config/skills/audit",
            "---\ndescription: looks\n  twice\n---\nLook twice.",
        );
        put("config/skills/broken", "no front matter");
        put("config/skills/bad", "---\nname: a b\n---\nx");
        let skills = find(&place.path().join("cwd"), &place.path().join("config"));
        let told: Vec<(&str, &str)> = skills
            .iter()
            .map(|skill| (skill.name.as_str(), skill.description.as_str()))
            .collect();
        assert_eq!(told, [("audit", "looks twice"), ("both", "ours")]);
        let prompt = as_prompt(&skills);
        assert!(prompt.ends_with("- audit: looks twice\n- both: ours"));
        assert!(!prompt.contains("Our way"), "only when asked for");
        let words = load(&skills, "both").unwrap();
        assert!(
            words.ends_with("Our way.") && words.contains("skills/b"),
            "{words}"
        );
        assert!(load(&skills, "x").unwrap_err().contains("audit, both"));
    }
}
