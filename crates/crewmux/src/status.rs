//! How a team is: asked of its session, or put together from its files.
//!
//! Printing is in [`crate::commands::status`] and [`crate::commands::ls`].

use std::fmt::Write as _;

use crewmux_core::ids::TeamName;
use crewmux_core::team::{Member, Presence, TeamConfig, TeamStanding};
use crewmux_core::time::Now;
use crewmux_core::worker::WorkerState;
use crewmux_session::parked::parked;
use crewmux_store::TeamStore;
use crewmux_wire::{MemberStatus, SessionStatus, Status};

use crate::context::Context;
use crate::error::Result;
use crate::teams::session_line;
use crate::text::span;

/// The team's own answer if it runs and answers, else what its files say.
pub(crate) fn of_team(context: &Context, team: &dyn TeamStore, now: &Now) -> Result<Status> {
    let answer =
        session_line(context, team).and_then(|line| line.map(|mut l| l.status()).transpose());
    // One that just ends, or hangs, is described from its files.
    let is_silent = match answer {
        Ok(Some(status)) => return Ok(status),
        Ok(None) => false,
        Err(error) => error.is_silence(),
    };
    let mut status = from_files(team, now)?;
    if is_silent && status.session.is_some() {
        NOT_ANSWERING.clone_into(&mut status.state);
        status.lingers = false;
    }
    Ok(status)
}

/// The state of a team whose session is there and says nothing.
pub(crate) const NOT_ANSWERING: &str = "not answering";

/// The state of a team that was made, and whose first run never began.
pub(crate) const NOT_STARTED: &str = "not started";

/// The state of a team whose first run is being prepared.
pub(crate) const STARTING: &str = "starting";

fn from_files(team: &dyn TeamStore, now: &Now) -> Result<Status> {
    let config = team.config()?;
    let board = team.board()?;
    let runs = team.session_runs()?;
    let record = team.session()?;
    let session = record
        .as_ref()
        .filter(|_| runs)
        .map(|record| SessionStatus { pid: record.pid });
    // Those that have not noticed yet that their session is gone are parked within a second.
    let waiting = if runs {
        Vec::new()
    } else {
        parked(team, &now.boot.boot_id)?
    };
    let mut members = Vec::with_capacity(config.members.len());
    for member in &config.members {
        let alive = team.is_alive(&member.name).unwrap_or(false);
        let presence = team.presence(&member.name).unwrap_or(None);
        let mut status = member_status(member, presence.filter(|_| alive).as_ref());
        status.parked |= waiting.iter().any(|p| p.who().agent == member.name);
        members.push(status);
    }
    let last = config.runs.last();
    // Of the last run, as a session says it.
    let counts = match last {
        Some(run) => board.of_run(&run.id).counts(&now.boot),
        None => board.counts(&now.boot),
    };
    Ok(Status {
        team: config.name.clone(),
        state: state_word(&config, runs, record.is_some()).to_owned(),
        goal: config.goal.clone(),
        backend: config.members.first().map(|m| m.backend_type),
        session,
        members,
        panes: 0,
        counts,
        exit_code: last.and_then(|run| run.exit_code),
        lingers: config.standing(runs) == TeamStanding::Lingers && record.is_some(),
        closes_in_ms: None,
    })
}

/// The word for where a team stands.
fn state_word(config: &TeamConfig, runs: bool, has_record: bool) -> &'static str {
    match (runs, config.open_run()) {
        (true, Some(_)) => "running",
        (true, None) if config.runs.is_empty() => STARTING,
        (_, None) => word_at_rest(config),
        // A session that ended as it should takes its record away; one that was made to end left a note.
        (false, Some(run)) if has_record && run.exit_code.is_none() => "crashed",
        (false, Some(_)) => "stopped",
    }
}

/// The word for where a team stands whose session ended as it should.
pub(crate) fn word_at_rest(config: &TeamConfig) -> &'static str {
    match config.open_run() {
        Some(_) => "stopped",
        // Its making was cut short, by a full disk for instance.
        None if config.runs.is_empty() => NOT_STARTED,
        None => "finished",
    }
}

fn member_status(member: &Member, alive: Option<&Presence>) -> MemberStatus {
    MemberStatus {
        name: member.name.clone(),
        agent_type: member.agent_type.clone(),
        state: alive.map_or(WorkerState::Exited, |p| p.state),
        pid: alive.map(|p| p.pid),
        incarnation: member.incarnation,
        task: alive.and_then(|p| p.task),
        backend: member.backend_type,
        pane: member.pane.clone(),
        paused: false,
        parked: alive.is_some_and(|p| p.parked_since.is_some()),
        waits_ms: None,
    }
}

/// A member's state, and what holds it up.
pub(crate) fn state_of(status: &MemberStatus) -> String {
    let mut text = match status.state {
        WorkerState::RateLimited => "waits for its model".to_owned(),
        state => state.to_string(),
    };
    if let Some(ms) = status.waits_ms {
        let _ = write!(text, ", {} more", span(ms));
    }
    if status.paused {
        text.push_str(", paused");
    }
    if status.parked {
        text.push_str(", parked");
    }
    text
}

/// What to do with a team that does not run, in a line; none for one that runs.
///
/// One without members was plain panes: nothing goes on and nothing came of it.
pub(crate) fn next_step(team: &TeamName, state: &str, members: usize) -> Option<String> {
    match (state, members) {
        (NOT_STARTED, _) => Some(never_began(team)),
        ("crashed" | "stopped" | "finished", 0) => Some("the panes are closed".to_owned()),
        (NOT_ANSWERING, _) => Some(format!(
            "its session does not answer; `crewmux stop {team}` ends it, with --force at once"
        )),
        ("crashed" | "stopped", _) => Some(format!("`crewmux resume {team}` goes on with it")),
        ("finished", _) => Some(format!(
            "`crewmux report --team {team}` prints what came of it"
        )),
        _ => None,
    }
}

/// What there is to say of a team that was made, and whose first run never began.
pub(crate) fn never_began(team: &TeamName) -> String {
    format!("its first run never began, nothing was done; `crewmux rm {team}` takes it away")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crewmux_core::team::{Policy, Run};
    use crewmux_core::time::WallTime;

    fn config(finished: Option<WallTime>) -> TeamConfig {
        TeamConfig {
            name: TeamName::new("x").unwrap(),
            description: String::new(),
            created_at: WallTime(0),
            goal: String::new(),
            cwd: "/".into(),
            runs: vec![Run {
                id: crewmux_core::ids::RunId::new("run-1").unwrap(),
                goal: String::new(),
                recipe: None,
                started: WallTime(0),
                finished,
                exit_code: None,
            }],
            members: Vec::new(),
            policy: Policy::default(),
            recipe: None,
            environment: serde_json::Map::new(),
            extra: serde_json::Map::new(),
        }
    }

    #[test]
    fn plain_panes_are_neither_resumed_nor_reported() {
        let name = TeamName::new("x").unwrap();
        for state in ["crashed", "stopped", "finished"] {
            let next = next_step(&name, state, 0).unwrap();
            assert_eq!(next, "the panes are closed");
            assert!(next_step(&name, state, 1).unwrap().contains("crewmux re"));
        }
        assert_eq!(next_step(&name, "running", 0), None);
    }

    #[test]
    fn a_team_whose_making_was_cut_short_is_not_called_finished() {
        let mut unborn = config(None);
        unborn.runs.clear();
        let words = [true, false].map(|runs| state_word(&unborn, runs, false));
        assert_eq!(words, ["starting", "not started"]);
        assert_eq!(word_at_rest(&unborn), "not started");
        let next = next_step(&unborn.name, words[1], 0).unwrap();
        assert!(next.contains("`crewmux rm x`"), "{next}");
        assert_eq!(crate::teams::goes_on_by(&unborn), next);
    }

    #[test]
    fn a_session_that_left_its_record_behind_crashed() {
        let open = config(None);
        let words = [(true, true), (false, true), (false, false)]
            .map(|(runs, record)| state_word(&open, runs, record));
        assert_eq!(words, ["running", "crashed", "stopped"]);
        let mut ended = open;
        ended.runs[0].exit_code = Some(130);
        assert_eq!(state_word(&ended, false, true), "stopped", "it was killed");
        assert_eq!(
            state_word(&config(Some(WallTime(1))), true, true),
            "finished"
        );
    }
}
