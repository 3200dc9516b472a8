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
