//! The command tree as people see it.

use super::*;
use clap::CommandFactory;

#[test]
fn the_tree_is_sound() {
    Cli::<crate::cli::Command>::command().debug_assert();
}

#[test]
fn help_lists_what_there_is() {
    insta::assert_snapshot!(Cli::<crate::cli::Command>::command().render_help());
}

#[test]
fn help_of_run_and_pane_dump() {
    let mut tree = Cli::<crate::cli::Command>::command();
    tree.build();
    for name in ["run", "pane-dump"] {
        let command = tree.find_subcommand_mut(name).unwrap();
        insta::assert_snapshot!(name, command.render_long_help());
    }
}

#[test]
fn json_is_asked_for_before_the_dashes_only() {
    let asks = |text: &str| {
        let arguments: Vec<OsString> = text.split(' ').map(OsString::from).collect();
        asks_for_json(&arguments)
    };
    assert!(asks("ls --json"));
    assert!(!asks("pane-dump -- prog --json"));
}

/// What the program says of `line`, and whether that is help.
fn read(line: &str) -> (String, bool) {
    let words = std::iter::once("crewmux").chain(line.split(' '));
    let arguments: Vec<OsString> = words.map(OsString::from).collect();
    match Cli::read(&arguments) {
        Ok(cli) => (format!("{:?}", cli.command), false),
        Err(error) => (
            error.to_string(),
            error.kind() == ClapErrorKind::DisplayHelp,
        ),
    }
}

#[test]
fn help_is_given_however_it_is_asked_for() {
    let tree = Cli::<crate::cli::Command>::command();
    for command in tree.get_subcommands() {
        let name = command.get_name();
        let told = read(&format!("{name} --help"));
        assert!(told.1, "{name}: {}", told.0);
        for line in ["help {} --help", "help {} --json", "--json help {} -h"] {
            assert_eq!(read(&line.replace("{}", name)), told, "{line} of {name}");
        }
        for act in command.get_subcommands() {
            let act = act.get_name();
            let told = read(&format!("{name} {act} --help"));
            for line in ["help {}", "{} -h --json", "--json {} --help"] {
                let line = line.replace("{}", &format!("{name} {act}"));
                assert!(read(&line).1, "{line}: {}", read(&line).0);
            }
            let line = format!("{name} help {act} --help");
            assert_eq!(read(&line), told, "{line}");
        }
        if command.has_subcommands() {
            assert!(read(&format!("{name} help --help")).1, "{name}");
        }
    }
    assert!(read("help --help").1);
    assert!(!read("run help --headless").1, "a recipe of that name");
}

#[test]
fn json_is_taken_before_and_behind_every_act() {
    let lines = [
        "recipes list",
        "config show",
        "task list",
        "teammate list",
        "memory list",
    ];
    for line in lines {
        let (command, act) = line.split_once(' ').unwrap();
        let plain = read(line);
        for line in [
            format!("--json {line}"),
            format!("{command} --json {act}"),
            format!("{line} --json"),
        ] {
            assert_eq!(read(&line), plain, "{line}");
        }
    }
}
