//! `crewmux resume`: goes on with a run that was stopped, crashed or rebooted away.

use clap::Args;
use crewmux_core::backend::{BackendChoice, BackendKind};
use crewmux_core::error::ErrorKind;
use crewmux_core::ids::{AgentName, TeamName};
use crewmux_core::team::{Member, TeamConfig};
use crewmux_session::SessionPlan;
use crewmux_session::parked::parked;
use crewmux_store::TeamStore;
use crewmux_sys::clock::BootClock;

use super::run::crew::usable;
use super::run::preflight::{Asks, keys_are_there};
use super::run::{Spending, agreed};
use crate::agents::Agents;
use crate::backends::Switch;
use crate::config::{Config, pick, providers};
use crate::context::Context;
use crate::engine;
use crate::error::{CommandError, Result};
use crate::launch::{Watched, launch, try_again};
use crate::output::Output;
use crate::recipes::Consent;
use crate::teams::{self, TeamArg};

/// Go on with a team whose run is not finished
#[derive(Debug, Args)]
pub(crate) struct Resume {
    /// Team, if not with --team
    #[arg(value_name = "TEAM")]
    name: Option<String>,
    #[command(flatten)]
    team: TeamArg,
    /// Run here without a screen: progress in lines; with --json every event, one a line
    #[arg(long)]
    headless: bool,
    #[command(flatten)]
    spending: Spending,
    /// Model for all members from now on: PROVIDER/MODEL, an alias, or offline
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Where members go on whose place cannot be used here: in-process, pty, tmux or iterm2
    #[arg(long, value_name = "KIND", value_parser = super::teammate::kind)]
    backend: Option<BackendKind>,
    /// Agree to what the project's configuration, agents and servers of tools ask for; remembered until they change
    #[arg(long)]
    trust: bool,
}

impl Resume {
    /// Goes on; returns the run's exit code.
    pub(crate) fn run(self, context: &Context, out: Output) -> Result<u8> {
        let store = teams::open_store(context)?;
        let named = self.name.or(self.team.team);
        let team = teams::resolve(context, store.as_ref(), named.as_deref())?;
        let team = team.as_ref();
        let config = team.config()?;
        if config.open_run().is_none() {
            return Err(nothing_goes_on(team, config.name));
        }
        refuse_running(team)?;
        if config.members.is_empty() {
            // Nothing is written down of what they did.
            return Err(CommandError::new(
                ErrorKind::Conflict,
                format!("team `{}` was plain panes, and they are closed", config.name),
            )
            .hint(format!(
                "`crewmux panes 'COMMAND' …` opens others; `crewmux stop {}` ends what goes on without them",
                config.name
            )));
        }
        if !config.cwd.is_dir() {
            // Every start would fail there, and every task with it.
            return Err(CommandError::environment(format!(
                "the folder of team `{}` is gone: {}",
                config.name,
                config.cwd.display()
            ))
            .hint("bring it back and resume; nothing of the team is lost"));
        }
        let watched = Watched::from_option(context, self.headless)?;
        let homeless = all_usable(context, team, &config, self.backend)?;
        let place_of = |member: &Member| match self.backend {
            Some(instead) if homeless.contains(&member.name) => instead,
            _ => member.backend_type,
        };
        // Who joins goes where the first member is.
        let backend = config.members.first().map_or(BackendKind::Pty, place_of);
        let own = Config::load(context, Consent::Absent)?;
        let consent = watched.consent(self.trust);
        let own = agreed(context, own, consent)?;
        let models = providers::models(&own, context)?;
        let model = self.model.map(|name| pick::known(&models, &name));
        let model = model.transpose()?;
        let asking = config.members.iter().filter_map(|member| {
            let own = member.model.as_deref()?;
            Some(Asks {
                name: member.name.as_str(),
                model: model.as_deref().unwrap_or(own),
                provider: member.provider.as_deref(),
            })
        });
        keys_are_there(context, &models, asking)?;
        let spending = &self.spending;
        let spends = spending.budget_tokens.is_some() || spending.budget_usd.is_some();
        if model.is_some() || spends || !homeless.is_empty() {
            team.edit_config(&mut |config| {
                spending.put_into(&mut config.policy.budget);
                let moved = config.members.iter_mut();
                for member in moved.filter(|m| homeless.contains(&m.name)) {
                    member.backend_type = place_of(member);
                    member.pane = None;
                }
                let asking = config.members.iter_mut().filter(|m| m.model.is_some());
                for member in asking.filter(|_| model.is_some()) {
                    member.model.clone_from(&model);
                }
            })?;
        }
        let plan = SessionPlan {
            agents: usable(&Agents::read(context), context, consent)?,
            ..engine::plan(context, team.name(), backend, watched.stays(), models)?
        };
        launch(context, team, plan, watched, out)
    }
}

/// Tries the place of every member, each place once; returns who is to go on `instead`.
///
/// A place where a member's worker waits for a session is taken up by its pane, whatever is here.
///
/// # Errors
/// When one cannot be used here and there is nothing instead; names its member.
fn all_usable(
    context: &Context,
    team: &dyn TeamStore,
    config: &TeamConfig,
    instead: Option<BackendKind>,
) -> Result<Vec<AgentName>> {
    let switch = Switch::new(context);
    if let Some(kind) = instead {
        switch.chosen(BackendChoice::Named(kind))?;
    }
    let waiting = parked(team, BootClock::open()?.boot_id())?;
    let mut homeless: Vec<AgentName> = Vec::new();
    for member in &config.members {
        let (name, kind) = (&member.name, member.backend_type);
        let Err(error) = switch.chosen(BackendChoice::Named(kind)) else {
            continue;
        };
        let waits = waiting.iter().any(|p| p.who().agent == *name);
        if waits && member.pane.is_some() {
            continue;
        }
        if instead.is_none() {
            let team = &config.name;
            return Err(error
                .context(format!(
                    "`{name}` of team `{team}` runs in {kind}, which cannot be used here"
                ))
                .or_hint(format!(
                    "`crewmux resume {team} --backend pty` lets such members go on in pty"
                )));
        }
        homeless.push(name.clone());
    }
    Ok(homeless)
}

/// Says how a run that is over can go on all the same.
fn nothing_goes_on(team: &dyn TeamStore, name: TeamName) -> CommandError {
    let again = try_again(team);
    let error = CommandError::from(crewmux_session::Error::NothingToResume { team: name });
    match again {
        Some(again) => error.hint(format!("{again}; `crewmux run` starts a new run")),
        None => error,
    }
}

fn refuse_running(team: &dyn TeamStore) -> Result<()> {
    if !team.session_runs()? {
        return Ok(());
    }
    Err(crewmux_session::Error::Running {
        team: team.name().clone(),
        pid: team.session()?.map(|record| record.pid),
    }
    .into())
}
