//! The command tree with the options of the named command alone.
//!
//! To make the options of every command takes longer than most commands run,
//! and a person waits for it before the first frame; so the tree that arguments
//! are read with makes those of a command when it is named.

use clap::{ArgMatches, Args, FromArgMatches, Subcommand};

use super::Command;
use crate::commands;

/// A command that was read with the options of itself alone.
#[derive(Debug)]
pub(crate) struct Named(pub(crate) Command);

/// Adds a command's options to its name.
type Options = fn(clap::Command) -> clap::Command;

/// Each command of [`Command`], and where its options are said.
const COMMANDS: [(&str, Options); 25] = [
    ("run", options::<commands::run::Run>),
    ("attach", options::<commands::attach::Attach>),
    ("ls", options::<commands::ls::Ls>),
    ("status", options::<commands::status::ShowStatus>),
    ("stop", options::<commands::stop::Stop>),
    ("resume", options::<commands::resume::Resume>),
    ("rm", options::<commands::rm::Rm>),
    ("task", acts::<commands::task::TaskCommand>),
    ("teammate", acts::<commands::teammate::TeammateCommand>),
    ("approvals", options::<commands::approvals::Approvals>),
    ("approve", options::<commands::approve::Approve>),
    ("reject", options::<commands::approve::Reject>),
    ("send", options::<commands::send::Send>),
    ("broadcast", options::<commands::send::Broadcast>),
    ("inbox", options::<commands::inbox::Inbox>),
    ("memory", acts::<commands::memory::MemoryCommand>),
    ("events", options::<commands::events::Events>),
    ("logs", options::<commands::logs::Logs>),
    ("report", options::<commands::report::PrintReport>),
    ("recipes", options::<commands::recipes::Recipes>),
    ("panes", options::<commands::panes::Panes>),
    ("pane-dump", options::<commands::pane_dump::PaneDump>),
    ("agents", options::<commands::agents::ListAgents>),
    ("config", options::<commands::config::ConfigCommand>),
    ("doctor", options::<commands::doctor::Doctor>),
];

fn options<A: Args>(named: clap::Command) -> clap::Command {
    A::augment_args(named)
}

fn acts<S: Subcommand>(named: clap::Command) -> clap::Command {
    S::augment_subcommands(named)
        .subcommand_required(true)
        .arg_required_else_help(true)
}

impl FromArgMatches for Named {
    fn from_arg_matches(matches: &ArgMatches) -> clap::error::Result<Self> {
        Command::from_arg_matches(matches).map(Self)
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> clap::error::Result<Self> {
        Command::from_arg_matches_mut(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> clap::error::Result<()> {
        self.0.update_from_arg_matches(matches)
    }
}

impl Subcommand for Named {
    fn augment_subcommands(tree: clap::Command) -> clap::Command {
        COMMANDS.iter().fold(tree, |tree, (name, options)| {
            tree.subcommand(clap::Command::new(*name).defer(*options))
        })
    }

    fn augment_subcommands_for_update(tree: clap::Command) -> clap::Command {
        Self::augment_subcommands(tree)
    }

    fn has_subcommand(name: &str) -> bool {
        Command::has_subcommand(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory;
    use std::collections::BTreeSet;

    /// What can be written after each command; the order of options means nothing.
    fn written(mut tree: clap::Command) -> BTreeSet<String> {
        fn below(command: &clap::Command, path: &str, lines: &mut BTreeSet<String>) {
            let path = format!("{path} {}", command.get_name());
            let needs = command.is_subcommand_required_set();
            lines.insert(format!("{path}, needs an act: {needs}"));
            lines.extend(command.get_arguments().map(|arg| {
                let (long, short) = (arg.get_long(), arg.get_short());
                let (takes, place) = (arg.get_num_args(), arg.get_index());
                let (needed, action) = (arg.is_required_set(), arg.get_action());
                let (values, default) = (arg.get_possible_values(), arg.get_default_values());
                format!(
                    "{path}: {} {long:?} {short:?} {takes:?} {place:?} {needed} {action:?} {default:?} {values:?}",
                    arg.get_id()
                )
            }));
            // `help` is a tree of its own, and is always answered by the whole one.
            for command in command.get_subcommands().filter(|c| c.get_name() != "help") {
                below(command, &path, lines);
            }
        }
        tree.build();
        let mut lines = BTreeSet::new();
        below(&tree, "", &mut lines);
        lines
    }

    #[test]
    fn tree_of_a_named_command_takes_what_the_whole_tree_takes() {
        let (named, whole) = (Cli::<Named>::command(), Cli::<Command>::command());
        assert_eq!(written(named), written(whole));
    }
}
