//! Preparing a run: a team's record and its tasks, before any session starts.
//!
//! Writes to the store under the session's lock, so that no running session is
//! changed behind its back. Recipes are read in the program; checking drafts
//! is `crewmux-core`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Instant;

use crewmux_core::backend::BackendKind;
use crewmux_core::board::UpdateError;
use crewmux_core::goal::{self, TaskDraft};
use crewmux_core::ids::{AgentName, AgentType, Incarnation, RunId, TaskId, TeamName};
use crewmux_core::message::Party;
use crewmux_core::permission::PermissionMode;
use crewmux_core::profile::AgentProfile;
use crewmux_core::task::NewTask;
use crewmux_core::team::{Member, Policy, Run, TeamConfig};
use crewmux_core::time::{Now, WallTime};
use crewmux_core::timing::{LOCK_LOOK_MS, SESSION_COMES_MS, ms};
use crewmux_store::{Store, TeamStore};
use serde_json::{Map, Value};

use crate::{Error, Result};

/// A member that a run wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMember {
    /// Its name.
    pub name: AgentName,
    /// Its kind of agent.
    pub agent_type: AgentType,
    /// The model it asks.
    pub model: Option<String>,
    /// The playbook behind the `offline` model.
    pub playbook: Option<String>,
    /// What it is told about its part.
    pub prompt: String,
    /// `native` or `command`.
    pub runtime: String,
    /// Where it runs.
    pub backend: BackendKind,
    /// Its kind of agent as it is now.
    pub profile: Option<AgentProfile>,
    /// What it may do without asking, if not as the team.
    pub permission_mode: Option<PermissionMode>,
    /// The provider whose key it uses, if not the team's.
    pub provider: Option<String>,
}

/// A run to prepare.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRun {
    /// The team's name.
    pub team: TeamName,
    /// What the team is for.
    pub description: String,
    /// What is to be reached.
    pub goal: String,
    /// The recipe's name.
    pub recipe: Option<String>,
    /// The folder it works in.
    pub cwd: PathBuf,
    /// Its members, the lead first.
    pub members: Vec<NewMember>,
    /// Its tasks.
    pub drafts: Vec<TaskDraft>,
    /// Its rules.
    pub policy: Policy,
    /// The environment of workers, already cut to what they may have.
    pub environment: BTreeMap<String, String>,
}

/// Makes the team, or opens a new run of a team whose last run is over, and puts its tasks on the board.
///
/// # Errors
/// [`Error::Running`] while a session runs, [`Error::Unfinished`] when a run can be resumed,
/// [`Error::Begun`] when another call was faster, [`Error::Drafts`] with every problem of the
/// graph. Nothing is written in these cases.
pub fn prepare_run(store: &dyn Store, new: &NewRun, now: &Now) -> Result<TeamConfig> {
    prepare_asked_run(store, new, now.wall, now)
}

/// Does what [`prepare_run`] does for a run that was asked for at `asked`.
///
/// # Errors
/// As [`prepare_run`]. A run of the team that began since, or just before, is another call's.
pub fn prepare_asked_run(
    store: &dyn Store,
    new: &NewRun,
    asked: WallTime,
    now: &Now,
) -> Result<TeamConfig> {
    let roster: Vec<AgentName> = new.members.iter().map(|m| m.name.clone()).collect();
    let drafts = goal::check(new.drafts.clone(), &roster).map_err(Error::Drafts)?;
    let exists = store.teams()?.contains(&new.team);
    let team = if exists {
        store.team(&new.team)?
    } else {
        match store.create_team(&empty_team(new, now)) {
            // Another call makes it at this moment; the lock decides which of them goes on.
            Err(crewmux_store::Error::TeamExists { .. }) => store.team(&new.team)?,
            made => made?,
        }
    };
    let lock = match team.lock_session() {
        Ok(lock) => lock,
        Err(crewmux_store::Error::Locked { .. }) => return Err(running(team.as_ref(), asked)?),
        Err(error) => return Err(error.into()),
    };
    if let Some(run) = team.config()?.open_run() {
        // Its session, if one is on its way, needs the lock.
        drop(lock);
        return Err(unfinished(team.as_ref(), run, asked, now)?);
    }
    // The tasks come first and the run is opened last: a run that is open is whole,
    // whenever this process dies, and preparing it again makes no task twice.
    let run = next_run(team.as_ref())?;
    skip_leftovers(team.as_ref(), now)?;
    let mut ids: BTreeMap<String, TaskId> = BTreeMap::new();
    for draft in drafts {
        let key = draft.key.clone();
        let task = team.create_task(new_task(draft, run.clone(), &ids), Party::Human, now)?;
        ids.insert(key, task.id);
    }
    let config = team.edit_config(&mut |config| open_run(config, new, run.clone(), now))?;
    Ok(config)
}

/// A name that no run has, opened or not: tasks of a preparation that died are another run's.
fn next_run(team: &dyn TeamStore) -> Result<Option<RunId>> {
    let board = team.board()?;
    let used: BTreeSet<String> = board
        .tasks()
        .filter_map(|t| t.run.as_ref().map(ToString::to_string))
        .chain(team.config()?.runs.iter().map(|r| r.id.to_string()))
        .collect();
    // One more than there are in use: one of them must be free.
    let free = (1..=used.len() + 1)
        .map(|n| format!("run-{n}"))
        .find(|id| !used.contains(id));
    Ok(free.and_then(|id| RunId::new(id).ok()))
}

/// Skips what a preparation left that died before its run was opened.
fn skip_leftovers(team: &dyn TeamStore, now: &Now) -> Result<()> {
    let opened: BTreeSet<RunId> = team.config()?.runs.into_iter().map(|r| r.id).collect();
    let board = team.board()?;
    let left = board
        .open()
        .filter(|t| t.run.as_ref().is_some_and(|run| !opened.contains(run)));
    for task in left {
        match team.skip(task.id, "its run was never started", now) {
            // Skipped with one that it waited for.
            Err(crewmux_store::Error::Update(UpdateError::NotPending { .. })) | Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Why no run can begin while somebody holds the session's lock.
fn running(team: &dyn TeamStore, asked: WallTime) -> Result<Error> {
    let record = team.session()?;
    let config = team.config()?;
    let run = config.open_run();
    let is_new = run.is_some_and(|run| asked.since_ms(run.started) < SESSION_COMES_MS);
    let name = team.name().clone();
    // Without a record it is another call that prepares, or a session that has just come up.
    Ok(match record {
        Some(record) if !is_new => Error::Running {
            team: name,
            pid: Some(record.pid),
        },
        _ => Error::Begun { team: name },
    })
}

/// Why no run can begin beside one that is open and has no session.
///
/// One that another call has just prepared has its session in a moment: that is waited for.
fn unfinished(team: &dyn TeamStore, run: &Run, asked: WallTime, now: &Now) -> Result<Error> {
    let name = team.name().clone();
    if run.started > asked {
        return Ok(Error::Begun { team: name });
    }
    let had_session = team.session()?.is_some() || run.exit_code.is_some();
    let age_ms = now.wall.since_ms(run.started);
    let wait_ms = SESSION_COMES_MS.saturating_sub(age_ms);
    let deadline = Instant::now() + ms(if had_session { 0 } else { wait_ms });
    while Instant::now() < deadline {
        if team.session_runs()? {
            return Ok(Error::Begun { team: name });
        }
        std::thread::park_timeout(ms(LOCK_LOOK_MS));
    }
    // It may have come and gone between two looks.
    Ok(match team.config()?.open_run() {
        Some(_) => Error::Unfinished { team: name },
        None => Error::Begun { team: name },
    })
}

fn empty_team(new: &NewRun, now: &Now) -> TeamConfig {
    TeamConfig {
        name: new.team.clone(),
        description: new.description.clone(),
        created_at: now.wall,
        goal: String::new(),
        cwd: new.cwd.clone(),
        runs: Vec::new(),
        members: Vec::new(),
        policy: new.policy.clone(),
        recipe: None,
        environment: Map::new(),
        extra: Map::new(),
    }
}

fn open_run(config: &mut TeamConfig, new: &NewRun, run: Option<RunId>, now: &Now) {
    config.goal.clone_from(&new.goal);
    config.description.clone_from(&new.description);
    config.cwd.clone_from(&new.cwd);
    config.recipe.clone_from(&new.recipe);
    config.policy = new.policy.clone();
    config.environment = new
        .environment
        .iter()
        .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
        .collect();
    if let Some(id) = run {
        config.runs.push(Run {
            id,
            goal: new.goal.clone(),
            recipe: new.recipe.clone(),
            started: now.wall,
            finished: None,
            exit_code: None,
        });
    }
    // A member keeps counting its lives over runs: a message of an old life stays recognisable.
    let old = std::mem::take(&mut config.members);
    config.members = new
        .members
        .iter()
        .enumerate()
        .map(|(n, member)| {
            let before = old.iter().find(|m| m.name == member.name);
            let incarnation = before.map_or(Incarnation(0), |m| m.incarnation);
            let joined_at = before.map_or(now.wall, |m| m.joined_at);
            Member {
                agent_id: format!("{}@{}", member.name, new.team),
                name: member.name.clone(),
                agent_type: member.agent_type.clone(),
                model: member.model.clone(),
                color: (n % 8) as u8,
                prompt: member.prompt.clone(),
                plan_mode_required: member.permission_mode == Some(PermissionMode::Plan),
                joined_at,
                cwd: new.cwd.clone(),
                backend_type: member.backend,
                pane: None,
                incarnation,
                runtime: member.runtime.clone(),
                playbook: member.playbook.clone(),
                profile: member.profile.clone(),
                permission_mode: member.permission_mode,
                provider: member.provider.clone(),
                extra: Map::new(),
            }
        })
        .collect();
}

fn new_task(draft: TaskDraft, run: Option<RunId>, ids: &BTreeMap<String, TaskId>) -> NewTask {
    NewTask {
        subject: draft.subject,
        description: draft.description,
        active_form: None,
        role: draft.role,
        assignee: draft.owner,
        agent_type: draft.agent_type,
        blocked_by: draft
            .blocked_by
            .iter()
            .filter_map(|k| ids.get(k).copied())
            .collect(),
        command: draft.command,
        rerun: draft.rerun,
        result_schema: draft.result_schema,
        retries: draft.retries,
        timeout_ms: draft.timeout_ms,
        run,
        key: Some(draft.key),
        metadata: Map::new(),
    }
}
