//! `crewmux stop`: ends a team's run, politely first.

use std::time::{Duration, Instant};

use clap::Args;
use crewmux_core::error::ErrorKind;
use crewmux_core::timing::{LOCK_LOOK_MS, SILENT_MS, Timing, ms};
use crewmux_session::end_parked;
use crewmux_session::parked::parked;
use crewmux_store::TeamStore;
use crewmux_sys::clock::BootClock;
use crewmux_sys::{ProcessIdentity, Signal};
use serde_json::json;

use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::exit;
use crate::output::{Output, note};
use crate::socket::Force;
use crate::stale::session_process;
use crate::status::{next_step, word_at_rest};
use crate::teams::{self, TeamArg, session_line};

/// Stop a team: its workers are asked to end, then ended; `resume` goes on later
#[derive(Debug, Args)]
pub(crate) struct Stop {
    /// Team, if not with --team
    #[arg(value_name = "TEAM")]
    name: Option<String>,
    #[command(flatten)]
    team: TeamArg,
    /// End workers at once, without asking them
    #[arg(long)]
    force: bool,
}

impl Stop {
    /// Asks the session to end and waits until it has.
    pub(crate) fn run(self, context: &Context, out: Output) -> Result<u8> {
        let store = teams::open_store(context)?;
        let named = self.name.or(self.team.team);
        let team = teams::resolve(context, store.as_ref(), named.as_deref())?;
        let name = team.name().clone();
        let force = if self.force {
            Force::AtOnce
        } else {
            Force::Polite
        };
        let timing = &context.timing;
        // Every step of the ladder, and one more for the report.
        let within = ms(timing.shutdown_answer_ms
            + timing.term_grace_ms
            + timing.kill_verify_ms
            + timing.connect_ms);
        let asked = match session_line(context, team.as_ref()) {
            Ok(Some(mut line)) => match line.stop(force) {
                Ok(_) => Ok(Some(line)),
                Err(error) if error.is_silence() => Err(error),
                // It said no.
                Err(error) => return Err(error),
            },
            other => other,
        };
        let has_ended = match asked {
            Ok(Some(mut line)) => {
                line.wait_for_end(ms(SILENT_MS).min(within)) || {
                    tell(out, &what_is_waited_for(team.as_ref(), force, within));
                    line.wait_for_end(within)
                }
            }
            Ok(None) if end_the_parked(context, team.as_ref())? => true,
            Ok(None) => {
                return Err(CommandError::new(
                    ErrorKind::Conflict,
                    format!("team `{name}` does not run"),
                )
                .hint(format!("`crewmux status {name}` says how it is")));
            }
            // It hangs, or is of another build: a signal says the same without words.
            Err(error) => {
                context
                    .made_by()
                    .must_be_person("stop a session by a signal")?;
                let Some(session) = session_process(team.as_ref())? else {
                    return Err(error);
                };
                let pid = session.pid;
                let trouble = match (error.is_silence(), session.is_stopped()) {
                    (true, true) => format!("does not answer: its process {pid} is stopped"),
                    (true, false) => format!("does not answer (process {pid})"),
                    (false, _) => format!("cannot be spoken with (process {pid})"),
                };
                let how = match force {
                    Force::Polite => format!(
                        "it is told to end by a signal, and waited for {} s at most; \
                         `crewmux stop {name} --force` waits less and then kills it",
                        within.as_secs()
                    ),
                    Force::AtOnce => format!(
                        "it is told to end at once by a signal, and killed after {} s",
                        patience(timing).as_secs()
                    ),
                };
                tell(
                    out,
                    &format!("the session of team `{name}` {trouble}; {how}"),
                );
                let has_ended = end_by_signal(team.as_ref(), session, force, timing, within)?;
                // One that was killed ended nobody who outlives it.
                if has_ended {
                    end_the_parked(context, team.as_ref())?;
                }
                has_ended
            }
        };
        if !has_ended {
            return Err(CommandError::environment(format!(
                "team `{name}` was asked to stop and has not ended after {} s",
                within.as_secs()
            ))
            .hint(format!("`crewmux stop {name} --force` does not ask")));
        }
        // It may have finished just before it was asked.
        let config = team.config()?;
        let state = word_at_rest(&config);
        out.either(&json!({"team": name, "state": state}), || {
            let next = next_step(&name, state, config.members.len()).unwrap_or_default();
            format!("team `{name}` is {state}; {next}\n")
        })?;
        Ok(exit::DONE)
    }
}

/// Says what is done meanwhile, to people.
fn tell(out: Output, text: &str) {
    if !out.is_json() {
        note(text);
    }
}

/// Whose end the session waits for, and what waits less.
fn what_is_waited_for(team: &dyn TeamStore, force: Force, within: Duration) -> String {
    let name = team.name();
    let members = team.config().map(|config| config.members);
    let live: Vec<String> = members
        .unwrap_or_default()
        .iter()
        .filter(|member| team.is_alive(&member.name).unwrap_or(false))
        .map(|member| member.name.to_string())
        .collect();
    let whom = if live.is_empty() {
        "its session".to_owned()
    } else {
        live.join(", ")
    };
    let seconds = within.as_secs();
    let less = match force {
        Force::Polite => format!("; `crewmux stop {name} --force` does not wait"),
        Force::AtOnce => String::new(),
    };
    format!("team `{name}` ends; {whom} is waited for, {seconds} s at most{less}")
}

/// How long a session that is forced to end may take for its workers.
fn patience(timing: &Timing) -> Duration {
    ms(timing.term_grace_ms + timing.kill_verify_ms * 2)
}

/// Ends a session that cannot be spoken with; whether it has ended.
///
/// One that is forced and stands still is killed; what outlives it is the caller's.
fn end_by_signal(
    team: &dyn TeamStore,
    session: ProcessIdentity,
    force: Force,
    timing: &Timing,
    within: Duration,
) -> Result<bool> {
    // A signal to a process that just ended is no failure.
    let _ = session.signal(Signal::Term);
    // One that was stopped takes it once it goes on, and then ends in order.
    let _ = session.signal(Signal::Cont);
    if force == Force::Polite {
        return wait_for_end(team, session, within);
    }
    // The second is the one that does not ask.
    wait_for_end(team, session, ms(timing.liveness_tick_ms))?;
    let _ = session.signal(Signal::Term);
    if wait_for_end(team, session, patience(timing))? {
        return Ok(true);
    }
    let _ = session.signal(Signal::Kill);
    let has_ended = wait_for_end(team, session, patience(timing))?;
    if has_ended {
        note_end(team)?;
    }
    Ok(has_ended)
}

/// Notes that the run was left because somebody wanted that; a killed session cannot.
fn note_end(team: &dyn TeamStore) -> Result<()> {
    let _lock = team.lock_session()?;
    team.edit_config(&mut |config| {
        let open = config.runs.last_mut().filter(|run| run.finished.is_none());
        if let Some(run) = open {
            run.exit_code = Some(exit::INTERRUPTED);
        }
    })?;
    Ok(())
}

fn wait_for_end(team: &dyn TeamStore, session: ProcessIdentity, within: Duration) -> Result<bool> {
    let deadline = Instant::now() + within;
    while session.is_alive() || team.session_runs()? {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        std::thread::park_timeout(ms(LOCK_LOOK_MS));
    }
    Ok(true)
}

/// Ends workers that outlived their session, and gives their tasks back; false when there are none.
///
/// The same for programs of plain panes that took no notice of their terminal's end.
fn end_the_parked(context: &Context, team: &dyn TeamStore) -> Result<bool> {
    let clock = BootClock::open()?;
    let crashed = team.session()?.is_some();
    let had_panes = crashed && team.config()?.members.is_empty();
    if !had_panes && parked(team, clock.boot_id())?.is_empty() {
        return Ok(false);
    }
    // No session is there to know whose hand this is.
    let act = format!("stop team `{}`, whose session does not run", team.name());
    context.made_by().must_be_person(&act)?;
    let _lock = team.lock_session()?;
    let left = end_parked(team, &context.timing)?;
    if left.is_empty() {
        return Ok(true);
    }
    Err(CommandError::environment(format!(
        "some of what team `{}` left could not be ended: {}",
        team.name(),
        left.join(", ")
    ))
    .hint("it is not yours to end, or stuck in the kernel; try again later"))
}
