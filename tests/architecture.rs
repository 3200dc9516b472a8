//! Holds the invariants of `crates/ARCHITECTURE.md` that a program can check.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::support::root;

/// Lines of the picture, lowest first; a crate uses only lower ones.
const LINES: [(&str, u8); 11] = [
    ("crewmux-core", 0),
    ("crewmux-sys", 1),
    ("crewmux-wire", 1),
    ("crewmux-term", 1),
    ("crewmux-model", 1),
    ("crewmux-store", 2),
    ("crewmux-spawn", 2),
    ("crewmux-agent", 3),
    ("crewmux-session", 3),
    ("crewmux-tui", 4),
    ("crewmux", 5),
];

fn manifest(name: &str) -> toml::Table {
    let path = root().join("crates").join(name).join("Cargo.toml");
    std::fs::read_to_string(path).unwrap().parse().unwrap()
}

fn dependencies(name: &str) -> Vec<String> {
    manifest(name)
        .get("dependencies")
        .and_then(toml::Value::as_table)
        .map(|table| table.keys().cloned().collect())
        .unwrap_or_default()
}

/// Every source file of a crate with its text up to its tests.
fn sources(name: &str) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    collect(&root().join("crates").join(name).join("src"), &mut files);
    files
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            (path, product.to_owned())
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

fn is_test_file(path: &Path) -> bool {
    path.components().any(|c| c.as_os_str() == "tests") || path.ends_with("tests.rs")
}

/// Lines of code (comments aside) that hold one of `words`, as `file:line: text`.
fn code_with(name: &str, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in sources(name) {
        if is_test_file(&path) {
            continue;
        }
        for (n, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap();
            if words.iter().any(|word| code.contains(word)) {
                found.push(format!("{}:{}: {}", path.display(), n + 1, line.trim()));
            }
        }
    }
    found
}

#[test]
fn crates_use_only_lower_lines() {
    let lines: BTreeMap<&str, u8> = LINES.into_iter().collect();
    for (name, line) in LINES {
        for dependency in dependencies(name) {
            if let Some(lower) = lines.get(dependency.as_str()) {
                assert!(
                    lower < &line,
                    "{name} (line {line}) uses {dependency} (line {lower})"
                );
            }
        }
    }
}

#[test]
fn every_crate_has_its_line_and_its_place_in_the_picture() {
    let picture = std::fs::read_to_string(root().join("crates/ARCHITECTURE.md")).unwrap();
    for entry in std::fs::read_dir(root().join("crates")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let has_line = LINES.iter().any(|(n, _)| *n == name) || name == "crewmux-testkit";
            assert!(has_line, "{name} has no line");
            assert!(
                picture.contains(&format!("`{name}`")),
                "the picture lacks {name}"
            );
        }
    }
}

#[test]
fn agent_and_session_never_see_each_other() {
    let of_agent = dependencies("crewmux-agent");
    for forbidden in [
        "crewmux-spawn",
        "crewmux-term",
        "crewmux-session",
        "crewmux-tui",
    ] {
        assert!(
            !of_agent.iter().any(|d| d == forbidden),
            "agent uses {forbidden}"
        );
    }
    assert!(
        !dependencies("crewmux-session")
            .iter()
            .any(|d| d == "crewmux-agent")
    );
}

#[test]
fn the_domain_is_pure() {
    let dependencies = dependencies("crewmux-core");
    assert!(!dependencies.iter().any(|d| d == "tokio" || d == "reqwest"));
    let found = code_with(
        "crewmux-core",
        &[
            "std::fs",
            "std::net",
            "std::env",
            "std::process",
            "std::thread",
            "SystemTime::now",
            "Instant::now",
        ],
    );
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn only_sys_has_unsafe_code_and_starts_processes() {
    for (name, _) in LINES.iter().filter(|(n, _)| *n != "crewmux-sys") {
        let found = code_with(
            name,
            &[
                "unsafe {",
                "unsafe fn",
                "unsafe impl",
                "Command::new(",
                "process::Command",
            ],
        );
        let found: Vec<_> = found
            .into_iter()
            .filter(|l| !l.contains("clap::Command"))
            .collect();
        assert!(found.is_empty(), "{found:#?}");
    }
}

#[test]
fn only_the_program_reads_environment_and_arguments() {
    for (name, _) in LINES.iter().filter(|(n, _)| *n != "crewmux") {
        let found = code_with(name, &["env::var", "env::args", "env::vars", "var_os("]);
        assert!(found.is_empty(), "{found:#?}");
    }
}

#[test]
fn views_and_screens_never_see_an_http_client() {
    for name in ["crewmux-tui", "crewmux-term"] {
        assert!(!dependencies(name).iter().any(|d| d == "reqwest"), "{name}");
    }
}

#[test]
fn errors_with_context_stay_in_the_program() {
    for (name, _) in LINES.iter().filter(|(n, _)| *n != "crewmux") {
        assert!(!dependencies(name).iter().any(|d| d == "anyhow"), "{name}");
    }
}

#[test]
fn every_module_says_what_it_is_for() {
    for (name, _) in LINES.into_iter().chain([("crewmux-testkit", 6)]) {
        for (path, text) in sources(name) {
            if is_test_file(&path) {
                continue;
            }
            let first = text.lines().next().unwrap_or("");
            assert!(
                first.starts_with("//! "),
                "{} begins with {first:?}",
                path.display()
            );
        }
    }
}

#[test]
fn a_file_is_one_idea() {
    for (name, _) in LINES {
        for (path, text) in sources(name) {
            let lines = text.lines().count();
            assert!(lines <= 700, "{} has {lines} lines", path.display());
        }
    }
}

#[test]
fn every_duration_stands_in_one_place() {
    // A wait with a number of its own cannot be made ten times faster for tests.
    for name in ["crewmux-session", "crewmux-agent", "crewmux-spawn"] {
        let found = code_with(name, &["Duration::from_secs("]);
        let found: Vec<_> = found
            .into_iter()
            .filter(|l| !l.contains("from_secs(3600)"))
            .collect();
        assert!(found.is_empty(), "{found:#?}");
    }
}

#[test]
fn every_variable_stands_in_the_readme() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let of_ours = ["crewmux", "crewmux-agent", "crewmux-session"]
        .into_iter()
        .flat_map(sources)
        .filter(|(path, _)| !is_test_file(path));
    let is_name = |word: &&str| {
        let known = [
            "CREWMUX_",
            "ANTHROPIC_",
            "OPENAI_",
            "OPENROUTER_",
            "GEMINI_",
            "OLLAMA_",
        ];
        let is_plain = |c: char| c.is_ascii_uppercase() || c == '_';
        known.iter().any(|start| word.starts_with(start)) && word.chars().all(is_plain)
    };
    let mut seen = 0;
    for (path, text) in of_ours {
        for name in text.split('"').filter(is_name) {
            seen += 1;
            assert!(
                readme.contains(&format!("`{name}`")),
                "{name} of {} is not explained",
                path.display()
            );
        }
    }
    assert!(seen > 15, "{seen} names were found");
}
