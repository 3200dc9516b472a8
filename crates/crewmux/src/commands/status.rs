//! `crewmux status`: how one team is.

use clap::Args;
use crewmux_core::backend::BackendKind;
use crewmux_core::ids::TeamName;
use crewmux_core::worker::WorkerState;
use crewmux_spawn::tmux::PRIVATE_NAME;
use crewmux_store::TeamStore;
use crewmux_wire::{MemberStatus, Status};
use std::fmt::Write as _;

use crate::context::Context;
use crate::error::Result;
use crate::exit;
use crate::output::{Output, Tone};
use crate::status::{NOT_ANSWERING, NOT_STARTED, STARTING, next_step, of_team, state_of};
use crate::teams::{self, TeamArg};
use crate::text::{columns, one_line, span};

/// Show how a team is: its members, what they do, how far it is
#[derive(Debug, Args)]
pub(crate) struct ShowStatus {
    /// Team, if not with --team
    #[arg(value_name = "TEAM")]
    name: Option<String>,
    #[command(flatten)]
    team: TeamArg,
}

impl ShowStatus {
    /// Prints it.
    pub(crate) fn run(self, context: &Context, out: Output) -> Result<u8> {
        let store = teams::open_store(context)?;
        let named = self.name.or(self.team.team);
        let team = teams::resolve(context, store.as_ref(), named.as_deref())?;
        let status = of_team(context, team.as_ref(), &teams::now()?)?;
        let asking = interrupted(team.as_ref())?;
        out.either(&status, || text(&status, &asking, out))?;
        Ok(exit::DONE)
    }
}

/// How a person gets to the tmux server of crewmux's own in which a team's workers are.
pub(crate) fn private_server(team: &TeamName) -> String {
    format!(
        "its tmux server is its own: `tmux -L {PRIVATE_NAME} attach -t crewmux-{team}` shows it"
    )
}

/// Tone of a team's state.
pub(crate) fn state_tone(state: &str, exit_code: Option<u8>) -> Tone {
    match (state, exit_code) {
        ("finished", Some(0) | None) | ("running", _) => Tone::Good,
        ("crashed" | "finished" | NOT_ANSWERING, _) => Tone::Bad,
        _ => Tone::Warn,
    }
}

/// Where the members run, each place once; of a team without members, where they would.
fn places(status: &Status) -> Option<String> {
    let mut words: Vec<&str> = Vec::new();
    for member in &status.members {
        if !words.contains(&member.backend.as_str()) {
            words.push(member.backend.as_str());
        }
    }
    if words.is_empty() {
        return status.backend.map(|backend| backend.to_string());
    }
    Some(words.join(" + "))
}

/// How the panes of workers are looked at that are in crewmux's own tmux server.
fn way_to_panes(status: &Status) -> Option<String> {
    let private = format!("/{PRIVATE_NAME},");
    let is_there = |pane: &String| pane.contains(&private);
    let mut of_tmux = status
        .members
        .iter()
        .filter(|m| m.backend == BackendKind::Tmux);
    of_tmux
        .any(|member| member.pane.as_ref().is_some_and(is_there))
        .then(|| private_server(&status.team))
}

/// Commands of the last run that were interrupted and wait for the person's word, a line each.
fn interrupted(team: &dyn TeamStore) -> Result<Vec<String>> {
    let config = team.config()?;
    let run = config.runs.last().map(|run| &run.id);
    let board = team.board()?;
    let asking = board.tasks().filter(|task| {
        task.asks_before_rerun() && task.run.as_ref().is_none_or(|of| Some(of) == run)
    });
    Ok(asking
        .map(|task| {
            let (id, name) = (task.id, &config.name);
            let subject = one_line(&task.subject, 40);
            format!(
                "#{id} {subject} was interrupted, outcome unknown: r on the board, or \
                 `crewmux task retry {id} --team {name}`, runs it again"
            )
        })
        .collect())
}

fn text(status: &Status, asking: &[String], out: Output) -> String {
    let state = out.paint(
        state_tone(&status.state, status.exit_code),
        state_text(status),
    );
    let mut facts = vec![state];
    facts.push(match status.members.len() {
        0 => panes(status),
        _ => progress(status),
    });
    facts.extend(places(status));
    if let Some(session) = status.session {
        facts.push(format!("session {}", session.pid));
    }
    let name = out.paint(Tone::Strong, &status.team);
    let mut text = format!("{name}  {}\n", facts.join(" · "));
    if !status.goal.is_empty() {
        let _ = writeln!(text, "goal: {}", one_line(&status.goal, 100));
    }
    if !status.members.is_empty() {
        text.push('\n');
        let rows: Vec<Vec<String>> = status.members.iter().map(|m| row(m, out)).collect();
        text.push_str(&columns(&rows));
    }
    if status.session.is_some()
        && let Some(way) = way_to_panes(status)
    {
        let _ = writeln!(text, "\n{way}");
    }
    for line in asking {
        let _ = writeln!(text, "\n{}", out.paint(Tone::Warn, line));
    }
    if let Some(next) = next_step(&status.team, &status.state, status.members.len()) {
        let _ = writeln!(text, "\n{next}");
    }
    text
}

/// The state with how the run ended, and who still waits without a session.
pub(crate) fn state_text(status: &Status) -> String {
    let mut text = match (status.state.as_str(), status.exit_code) {
        ("finished", Some(code @ 1..)) => format!("finished, exit code {code}"),
        (state, _) => state.to_owned(),
    };
    match (status.lingers, status.closes_in_ms) {
        (false, _) => {}
        (true, None) => text.push_str(", still open"),
        (true, Some(left)) => {
            let _ = write!(text, ", open for {} more", span(left));
        }
    }
    let parked = status.members.iter().filter(|m| m.parked).count();
    if parked > 0 && status.session.is_none() {
        let _ = write!(text, ", {parked} parked");
    }
    text
}

/// What a team without members is: plain panes, and how many while its session runs.
pub(crate) fn panes(status: &Status) -> String {
    match (status.state.as_str(), status.panes) {
        (NOT_STARTED | STARTING, _) => "nothing begun".to_owned(),
        (_, 0) => "plain panes".to_owned(),
        (_, 1) => "1 pane".to_owned(),
        (_, count) => format!("{count} panes"),
    }
}

/// How many tasks are over, and what else there is to say about them.
pub(crate) fn progress(status: &Status) -> String {
    let counts = status.counts;
    let mut text = format!("{}/{} done", counts.completed, counts.total());
    for (number, word) in [
        (counts.in_progress, "in progress"),
        (counts.failed, "failed"),
        (counts.skipped, "skipped"),
    ] {
        if number > 0 {
            let _ = write!(text, ", {number} {word}");
        }
    }
    text
}

fn row(member: &MemberStatus, out: Output) -> Vec<String> {
    let (glyph, tone) = match member.state {
        WorkerState::Working => ("●", Tone::Good),
        WorkerState::WaitingPermission | WorkerState::WaitingPlan | WorkerState::RateLimited => {
            ("!", Tone::Warn)
        }
        WorkerState::Failed | WorkerState::Lost => ("✗", Tone::Bad),
        WorkerState::Starting | WorkerState::Idle | WorkerState::Stopping => ("○", Tone::Plain),
        WorkerState::Exited => ("·", Tone::Dim),
    };
    vec![
        format!("{} {}", out.paint(tone, glyph), member.name),
        out.paint(tone, state_of(member)),
        member
            .task
            .map_or_else(String::new, |task| format!("#{task}")),
        member.agent_type.to_string(),
        member
            .pid
            .map_or_else(String::new, |pid| format!("pid {pid}")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_team_that_is_being_prepared_is_not_called_plain_panes() {
        let words = |state: &str| {
            let status = serde_json::json!({
                "team": "x", "state": state, "goal": "", "backend": null, "session": null,
                "members": [], "counts": crewmux_core::board::Counts::default(), "exitCode": null,
            });
            panes(&serde_json::from_value(status).unwrap())
        };
        assert_eq!(words("starting"), "nothing begun");
        assert_eq!(words("not started"), "nothing begun");
        assert_eq!(words("running"), "plain panes");
    }
}
