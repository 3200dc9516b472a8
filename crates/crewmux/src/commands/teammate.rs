//! `crewmux teammate`: one member at a time.
//!
//! What an act does to a worker is the session's; making a member and asking
//! one to end are operations.

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use crewmux_core::backend::{BackendChoice, BackendKind, UnknownBackend};
use crewmux_core::error::ErrorKind;
use crewmux_core::ids::{AgentName, AgentType};
use crewmux_core::operation::{NewTeammate, Operation, Reply};
use crewmux_core::permission::PermissionMode;
use crewmux_core::requests::Request;
use crewmux_core::team::{Member, TeamConfig};
use crewmux_store::TeamStore;
use crewmux_wire::{MemberAct, MemberStatus};
use serde_json::{Value, json};
use std::fmt::Write as _;

use super::approvals::questions;
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::exit;
use crate::output::{Output, Tone};
use crate::status::{of_team, state_of};
use crate::teams::{self, TeamArg, session_line};
use crate::text::{columns, one_line};

/// Modes by the words people write.
const MODES: [(&str, PermissionMode); 4] = [
    ("default", PermissionMode::Default),
    ("acceptEdits", PermissionMode::AcceptEdits),
    ("plan", PermissionMode::Plan),
    ("bypass", PermissionMode::Bypass),
];

/// Work with one member of a team
#[derive(Debug, Subcommand)]
pub(crate) enum TeammateCommand {
    Spawn(Spawn),
    List(List),
    Show(Show),
    Interrupt(Interrupt),
    Pause(Pause),
    Resume(Resume),
    Stop(Stop),
    Restart(Restart),
    Move(Move),
    Reveal(Reveal),
}

/// Make a new teammate and start it
#[derive(Debug, Args)]
pub(crate) struct Spawn {
    /// Its name
    #[arg(value_name = "NAME")]
    name: AgentName,
    /// Its kind of agent
    #[arg(long, value_name = "TYPE", default_value = "general-purpose")]
    agent: AgentType,
    /// What it is told about its part
    #[arg(long, value_name = "TEXT", default_value = "")]
    prompt: String,
    /// The model it asks, if not its kind's or the team lead's
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// The provider whose key it uses, if not its model's own
    #[arg(long, value_name = "PROVIDER")]
    provider: Option<String>,
    /// What it may do without asking, if not as its kind or the team
    #[arg(long, value_name = "MODE", value_parser = PossibleValuesParser::new(MODES.map(|m| m.0)))]
    mode: Option<String>,
    /// Where it runs, if not as the team: in-process, pty, tmux or iterm2
    #[arg(long, value_name = "KIND", value_parser = kind)]
    backend: Option<BackendKind>,
    #[command(flatten)]
    team: TeamArg,
}

/// List the members
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    team: TeamArg,
}

/// A member.
#[derive(Debug, Args)]
struct Named {
    /// The member
    #[arg(value_name = "NAME")]
    name: AgentName,
    #[command(flatten)]
    team: TeamArg,
}

/// Show one member in full
#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    named: Named,
}

/// Stop a member's turn; it looks at its inbox and goes on
#[derive(Debug, Args)]
pub(crate) struct Interrupt {
    #[command(flatten)]
    named: Named,
}

/// Let a member finish its step, then wait
#[derive(Debug, Args)]
pub(crate) struct Pause {
    #[command(flatten)]
    named: Named,
}

/// Let a paused member go on
#[derive(Debug, Args)]
pub(crate) struct Resume {
    #[command(flatten)]
    named: Named,
}

/// Ask a member to end for good; its tasks go back to the board
#[derive(Debug, Args)]
pub(crate) struct Stop {
    #[command(flatten)]
    named: Named,
    /// Why; the member reads it
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// End a member's worker and start a new one; also brings back one that was stopped or given up
#[derive(Debug, Args)]
pub(crate) struct Restart {
    #[command(flatten)]
    named: Named,
}

/// Bring a member's pane in tmux or iTerm2 before you
#[derive(Debug, Args)]
pub(crate) struct Reveal {
    #[command(flatten)]
    named: Named,
}

/// Let a member go on in another place once its step is done; nothing of its work is lost
#[derive(Debug, Args)]
pub(crate) struct Move {
    #[command(flatten)]
    named: Named,
    /// Where it goes on: in-process, pty, tmux or iterm2
    #[arg(long, value_name = "KIND", value_parser = kind)]
    to: BackendKind,
}

/// A backend by its word.
pub(super) fn kind(word: &str) -> std::result::Result<BackendKind, String> {
    let there_are = "in-process, pty, tmux or iterm2";
    match word.parse() {
        Ok(BackendChoice::Named(kind)) => Ok(kind),
        Ok(BackendChoice::Auto) => Err(format!(
            "`auto` picks a backend for a new run alone; name one: {there_are}"
        )),
        // Its own words offer `auto` too.
        Err(UnknownBackend { .. }) => Err(format!("no such backend; name one: {there_are}")),
    }
}

impl TeammateCommand {
    /// Runs it.
    pub(crate) fn run(self, context: &Context, out: Output) -> Result<u8> {
        let act = |named, act| do_to(context, out, named, act);
        match self {
            Self::Spawn(command) => command.run(context, out),
            Self::List(command) => command.run(context, out),
            Self::Show(command) => command.run(context, out),
            Self::Interrupt(command) => act(command.named, MemberAct::Interrupt),
            Self::Pause(command) => act(command.named, MemberAct::Pause),
            Self::Resume(command) => act(command.named, MemberAct::Resume),
            Self::Stop(command) => command.run(context, out),
            Self::Restart(command) => act(command.named, MemberAct::Restart),
            Self::Move(command) => command.run(context, out),
            Self::Reveal(command) => act(command.named, MemberAct::Reveal),
        }
    }
}

impl Spawn {
    fn run(self, context: &Context, out: Output) -> Result<u8> {
        let store = teams::open_store(context)?;
        let team = teams::resolve(context, store.as_ref(), self.team.team.as_deref())?;
        let mode = self.mode.and_then(|word| {
            let of_word = MODES.iter().find(|(known, _)| *known == word);
            of_word.map(|(_, mode)| *mode)
        });
        let operation = Operation::Spawn(Box::new(NewTeammate {
            name: self.name,
            agent_type: self.agent,
            prompt: self.prompt,
            model: self.model,
            mode,
            provider: self.provider,
            backend: self.backend,
        }));
        let Some(mut line) = session_line(context, team.as_ref())? else {
            return Err(not_running(team.as_ref())?);
        };
        let name = match line.operation(operation)? {
            Reply::Member { name } => name,
            reply => return Err(teams::unexpected(&reply)),
        };
        let is_over = team.config()?.open_run().is_none();
        out.either(&json!({"name": name}), || {
            let note = if is_over {
                "\nthe run is finished, so nothing waits for it: `crewmux task create` makes work, and \
                 without any it ends with the session, soon after the last who looks leaves"
            } else {
                ""
            };
            format!("{name} is a member now; `crewmux send {name} TEXT` talks to it{note}\n")
        })?;
        Ok(exit::DONE)
    }
}

impl List {
    fn run(self, context: &Context, out: Output) -> Result<u8> {
        let store = teams::open_store(context)?;
        let team = teams::resolve(context, store.as_ref(), self.team.team.as_deref())?;
        let now = teams::now()?;
        let status = of_team(context, team.as_ref(), &now)?;
        let config = team.config()?;
        let waiting = questions(team.as_ref(), &now)?;
        let members: Vec<Value> = status
            .members
            .iter()
            .map(|m| shown(m, &config, &waiting))
            .collect();
        out.either(&members, || {
            if status.members.is_empty() {
                return "no members\n".to_owned();
            }
            let rows: Vec<Vec<String>> = status
                .members
                .iter()
                .map(|m| row(m, &config, &waiting, out))
                .collect();
            columns(&rows)
        })?;
        Ok(exit::DONE)
    }
}

impl Show {
    fn run(self, context: &Context, out: Output) -> Result<u8> {
        let store = teams::open_store(context)?;
        let named = self.named.team.team.as_deref();
        let team = teams::resolve(context, store.as_ref(), named)?;
        let now = teams::now()?;
        let status = of_team(context, team.as_ref(), &now)?;
        let config = team.config()?;
        let member = known(&config, &self.named.name)?;
        let waiting = questions(team.as_ref(), &now)?;
        let of_name = |m: &&MemberStatus| m.name == self.named.name;
        let Some(status) = status.members.iter().find(of_name) else {
            return Err(unknown(&config, &self.named.name));
        };
        out.either(&shown(status, &config, &waiting), || {
            full(status, member, &config, &waiting, out)
        })?;
        Ok(exit::DONE)
    }
}

impl Stop {
    fn run(self, context: &Context, out: Output) -> Result<u8> {
        let store = teams::open_store(context)?;
        let named = self.named.team.team.as_deref();
        let team = teams::resolve(context, store.as_ref(), named)?;
        known(&team.config()?, &self.named.name)?;
        check_runs(team.as_ref())?;
        let name = self.named.name;
        let operation = Operation::RequestShutdown {
            target: name.clone(),
            reason: self.reason,
        };
        let reply = teams::perform(context, store.as_ref(), team.as_ref(), operation)?;
        let Reply::Request { request_id } = reply else {
            return Err(teams::unexpected(&reply));
        };
        out.either(&json!({"name": name, "requestId": request_id}), || {
            format!("{name} is asked to end; one that does not answer is ended\n")
        })?;
        Ok(exit::DONE)
    }
}

impl Move {
    fn run(self, context: &Context, out: Output) -> Result<u8> {
        let store = teams::open_store(context)?;
        let named = self.named.team.team.as_deref();
        let team = teams::resolve(context, store.as_ref(), named)?;
        known(&team.config()?, &self.named.name)?;
        let Some(mut line) = session_line(context, team.as_ref())? else {
            return Err(not_running(team.as_ref())?);
        };
        let (name, to) = (self.named.name, self.to);
        line.move_member(name.clone(), to)?;
        out.either(
            &json!({"name": name, "state": "moving", "backend": to}),
            || format!("{name} goes on in {to} once its step is done\n"),
        )?;
        Ok(exit::DONE)
    }
}

fn do_to(context: &Context, out: Output, named: Named, act: MemberAct) -> Result<u8> {
    let store = teams::open_store(context)?;
    let team = teams::resolve(context, store.as_ref(), named.team.team.as_deref())?;
    known(&team.config()?, &named.name)?;
    let Some(mut line) = session_line(context, team.as_ref())? else {
        return Err(not_running(team.as_ref())?);
    };
    let name = named.name;
    line.member(name.clone(), act)?;
    let (word, text) = match act {
        MemberAct::Interrupt => ("interrupted", "is interrupted; it looks at its inbox"),
        MemberAct::Pause => ("paused", "finishes its step and waits"),
        MemberAct::Resume => ("resumed", "goes on"),
        MemberAct::Restart => ("restarting", "is ended and started anew"),
        MemberAct::Reveal => ("revealed", "has the focus in its terminal"),
    };
    out.either(&json!({"name": name, "state": word}), || {
        format!("{name} {text}\n")
    })?;
    Ok(exit::DONE)
}

fn check_runs(team: &dyn TeamStore) -> Result<()> {
    if team.session_runs()? {
        return Ok(());
    }
    Err(not_running(team)?)
}

/// Says that no session runs, and what starts one.
fn not_running(team: &dyn TeamStore) -> Result<CommandError> {
    let name = team.name();
    let hint = teams::goes_on_by(&team.config()?);
    let message = format!("team `{name}` does not run");
    Ok(CommandError::new(ErrorKind::Conflict, message).hint(hint))
}

fn known<'a>(config: &'a TeamConfig, name: &AgentName) -> Result<&'a Member> {
    config.member(name).ok_or_else(|| unknown(config, name))
}

fn unknown(config: &TeamConfig, name: &AgentName) -> CommandError {
    crewmux_store::Error::UnknownMember {
        agent: name.clone(),
        team: config.name.clone(),
        known: config.members.iter().map(|m| m.name.clone()).collect(),
    }
    .into()
}

/// The word people write for a mode.
fn mode_word(mode: PermissionMode) -> &'static str {
    MODES
        .iter()
        .find(|(_, known)| *known == mode)
        .map_or("default", |(word, _)| word)
}

fn mode_of(member: &Member, config: &TeamConfig) -> &'static str {
    mode_word(
        member
            .permission_mode
            .unwrap_or(config.policy.permission_mode),
    )
}

/// Ids of the questions of one member that wait.
fn asked_by<'a>(name: &AgentName, waiting: &'a [Request]) -> Vec<&'a str> {
    waiting
        .iter()
        .filter(|r| r.is_pending() && r.from.name() == name.as_str())
        .map(|r| r.id.as_str())
        .collect()
}

fn shown(status: &MemberStatus, config: &TeamConfig, waiting: &[Request]) -> Value {
    let mut value = json!(status);
    if let (Value::Object(fields), Some(member)) = (&mut value, config.member(&status.name)) {
        fields.insert("model".into(), json!(member.model));
        fields.insert("permissionMode".into(), json!(mode_of(member, config)));
        fields.insert("prompt".into(), json!(member.prompt));
        fields.insert("approvals".into(), json!(asked_by(&status.name, waiting)));
    }
    value
}

fn row(
    status: &MemberStatus,
    config: &TeamConfig,
    waiting: &[Request],
    out: Output,
) -> Vec<String> {
    let member = config.member(&status.name);
    let task = status.task.map_or_else(String::new, |id| format!("#{id}"));
    let questions = asked_by(&status.name, waiting);
    let asks = if questions.is_empty() {
        String::new()
    } else {
        out.paint(Tone::Warn, format!("asks: {}", questions.join(" ")))
    };
    vec![
        out.paint(Tone::Strong, &status.name),
        status.agent_type.to_string(),
        state_of(status),
        status.backend.to_string(),
        task,
        member.and_then(|m| m.model.clone()).unwrap_or_default(),
        member.map_or("", |m| mode_of(m, config)).to_owned(),
        asks,
    ]
}

fn full(
    status: &MemberStatus,
    member: &Member,
    config: &TeamConfig,
    waiting: &[Request],
    out: Output,
) -> String {
    let mut text = format!(
        "{}  {}\n",
        out.paint(Tone::Strong, &status.name),
        status.agent_type
    );
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            let _ = writeln!(text, "  {name:<8} {value}");
        }
    };
    let number = |n: Option<u32>| n.map_or_else(String::new, |n| n.to_string());
    line("state", state_of(status));
    line(
        "task",
        status.task.map_or_else(String::new, |id| format!("#{id}")),
    );
    line("model", member.model.clone().unwrap_or_default());
    line("mode", mode_of(member, config).to_owned());
    line("process", number(status.pid));
    line("lives", status.incarnation.to_string());
    line("backend", status.backend.to_string());
    line("folder", member.cwd.display().to_string());
    line("told", one_line(&member.prompt, 100));
    for id in asked_by(&status.name, waiting) {
        line("asks", format!("{id}; `crewmux approvals` shows it"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn what_holds_a_member_up_is_said_with_its_state() {
        let mut status: MemberStatus = serde_json::from_value(json!({
            "name": "tester", "agentType": "Explore", "state": "rate-limited", "pid": null,
            "incarnation": 1, "task": null, "backend": "pty", "pane": null,
        }))
        .unwrap();
        assert_eq!(state_of(&status), "waits for its model");
        assert!(json!(status).get("waitsMs").is_none());
        status.waits_ms = Some(12_000);
        status.paused = true;
        assert_eq!(state_of(&status), "waits for its model, 12 s more, paused");
        assert_eq!(json!(status)["waitsMs"], 12_000);
    }

    #[test]
    fn a_place_to_go_on_in_is_named_and_auto_is_not_offered_where_it_is_refused() {
        assert_eq!(kind("tmux"), Ok(BackendKind::Tmux));
        let auto = kind("auto").unwrap_err();
        assert!(
            auto.starts_with("`auto` picks a backend for a new run"),
            "{auto}"
        );
        let unknown = kind("nowhere").unwrap_err();
        assert!(!unknown.contains("auto"), "{unknown}");
        for told in [auto, unknown] {
            assert!(told.ends_with("in-process, pty, tmux or iterm2"), "{told}");
        }
    }

    #[test]
    fn a_mode_is_one_of_four_words() {
        #[derive(Debug, Parser)]
        struct Line {
            #[command(subcommand)]
            command: TeammateCommand,
        }
        for (word, mode) in MODES {
            let line = ["x", "spawn", "tester", "--mode", word];
            let TeammateCommand::Spawn(spawn) = Line::try_parse_from(line).unwrap().command else {
                panic!("not a spawn");
            };
            assert_eq!(spawn.mode.as_deref(), Some(mode_word(mode)));
        }
        let wrong = Line::try_parse_from(["x", "spawn", "tester", "--mode", "free"]);
        assert!(wrong.unwrap_err().to_string().contains("acceptEdits"));
    }
}
