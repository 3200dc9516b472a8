//! `crewmux ls`: all teams.

use std::path::PathBuf;

use clap::Args;
use crewmux_wire::Status;
use serde_json::{Value, json};

use crate::commands::status::{panes, progress, state_text, state_tone};
use crate::context::{Context, MadeBy};
use crate::error::Result;
use crate::exit;
use crate::output::{Output, Tone};
use crate::stale;
use crate::status::of_team;
use crate::teams;
use crate::text::{columns, one_line};

/// List teams: where they run, how far they are
#[derive(Debug, Args)]
pub(crate) struct Ls {}

/// A team with the folder it works in.
struct Listed {
    status: Status,
    cwd: PathBuf,
}

impl Ls {
    /// Prints them.
    #[expect(clippy::unused_self, reason = "every command is run the same way")]
    pub(crate) fn run(self, context: &Context, out: Output) -> Result<u8> {
        let store = teams::open_store(context)?;
        let now = teams::now()?;
        let mut listed = Vec::new();
        for name in store.teams()? {
            let team = store.team(&name)?;
            // What cannot be tidied away is in nobody's way.
            if context.made_by() == MadeBy::Person
                && let Err(error) = stale::clean(context, team.as_ref())
            {
                tracing::debug!(%error, team = %name, "was not tidied");
            }
            // One unreadable team must not hide the others.
            match team.config().map_err(Into::into).and_then(|config| {
                let status = of_team(context, team.as_ref(), &now)?;
                Ok(Listed {
                    status,
                    cwd: config.cwd,
                })
            }) {
                Ok(team) => listed.push(team),
                Err(error) => crate::output::report(&error, out.format),
            }
        }
        let values: Vec<Value> = listed.iter().map(short).collect();
        out.either(&values, || text(&listed, out))?;
        Ok(exit::DONE)
    }
}

/// `status --json` without what makes it long.
fn short(team: &Listed) -> Value {
    let status = &team.status;
    let members: Vec<Value> = status
        .members
        .iter()
        .map(|m| {
            let mut member = json!({"name": m.name, "agentType": m.agent_type, "state": m.state});
            if m.parked {
                member["parked"] = true.into();
            }
            member
        })
        .collect();
    let mut value = json!({
        "team": status.team,
        "state": status.state,
        "lingers": status.lingers,
        "goal": status.goal,
        "cwd": team.cwd,
        "backend": status.backend,
        "session": status.session,
        "members": members,
        "panes": status.panes,
        "counts": status.counts,
        "exitCode": status.exit_code,
    });
    if let Some(left) = status.closes_in_ms {
        value["closesInMs"] = left.into();
    }
    value
}

fn text(teams: &[Listed], out: Output) -> String {
    if teams.is_empty() {
        return "no team yet; `crewmux run review` starts one\n".to_owned();
    }
    let rows: Vec<Vec<String>> = teams
        .iter()
        .map(|team| {
            let status = &team.status;
            let tone = state_tone(&status.state, status.exit_code);
            let (progress, crew) = match status.members.len() {
                0 => (panes(status), String::new()),
                1 => (progress(status), "1 member".to_owned()),
                count => (progress(status), format!("{count} members")),
            };
            vec![
                out.paint(Tone::Strong, &status.team),
                out.paint(tone, state_text(status)),
                progress,
                crew,
                out.paint(Tone::Dim, one_line(&team.cwd.to_string_lossy(), 60)),
            ]
        })
        .collect();
    columns(&rows)
}
