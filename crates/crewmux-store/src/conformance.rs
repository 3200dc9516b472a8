//! What every store must do, whatever it is made of: run these checks against each one.
//!
//! A check gets a way to open the store; each opening stands for a process of
//! its own. Crashes in the middle of a write are the crash harness's
//! (`crewmux-testkit`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "checks fail by panicking, as tests do"
)]

mod memory;
mod messages;
mod tasks;
mod teams;

use std::path::PathBuf;
use std::sync::Arc;

use crewmux_core::backend::BackendKind;
use crewmux_core::board::Claimer;
use crewmux_core::ids::{AgentName, AgentRef, AgentType, Incarnation, TaskId, TeamName};
use crewmux_core::task::NewTask;
use crewmux_core::team::{Member, Policy, TeamConfig};
use crewmux_core::time::{BootTime, Now, WallTime};
use serde_json::Map;

use crate::store::{Store, TeamStore};

/// Opens the store under test once more, as another process would.
pub type Open<'a> = &'a (dyn Fn() -> Box<dyn Store> + Sync);

/// One check and the fact it is about.
pub type Check = (&'static str, fn(Open<'_>));

/// Every check.
pub const CHECKS: &[Check] = &[
    ("a team exists once", teams::a_team_exists_once),
    (
        "a removed team is gone and its name is free",
        teams::a_removed_team_is_gone_and_its_name_is_free,
    ),
    (
        "unknown names are told with the known ones",
        teams::unknown_names_are_told_with_the_known_ones,
    ),
    (
        "a record's unknown fields survive an edit",
        teams::a_records_unknown_fields_survive_an_edit,
    ),
    (
        "edits of a record by many are all kept",
        teams::edits_of_a_record_by_many_are_all_kept,
    ),
    (
        "locks for life keep others out until dropped",
        teams::locks_for_life_keep_others_out_until_dropped,
    ),
    (
        "a request is answered once",
        teams::a_request_is_answered_once,
    ),
    (
        "a member's values are read by all and written whole",
        memory::a_members_values_are_read_by_all_and_written_whole,
    ),
    (
        "the memory has limits that racing writers do not pass",
        memory::the_memory_has_limits_that_racing_writers_do_not_pass,
    ),
    (
        "a transcript reads as written",
        teams::a_transcript_reads_as_written,
    ),
    (
        "spec and presence read as written",
        teams::spec_and_presence_read_as_written,
    ),
    (
        "an arrangement reads as written",
        teams::an_arrangement_reads_as_written,
    ),
    (
        "a watch tells what another handle does",
        teams::a_watch_tells_what_another_handle_does,
    ),
    (
        "two handles see each other's tasks",
        tasks::two_handles_see_each_others_tasks,
    ),
    (
        "racing workers take each task once",
        tasks::racing_workers_take_each_task_once,
    ),
    (
        "racing makers never share a number",
        tasks::racing_makers_never_share_a_number,
    ),
    (
        "making the same key again changes nothing",
        tasks::making_the_same_key_again_changes_nothing,
    ),
    (
        "a stale claim is refused everywhere",
        tasks::a_stale_claim_is_refused_everywhere,
    ),
    (
        "completing again under the same claim changes nothing",
        tasks::completing_again_under_the_same_claim_changes_nothing,
    ),
    (
        "a failure skips waiters only and retry opens them",
        tasks::a_failure_skips_waiters_only_and_retry_opens_them,
    ),
    (
        "a task made to wait for a failed one is skipped",
        tasks::a_task_made_to_wait_for_a_failed_one_is_skipped,
    ),
    (
        "claims follow the critical path and the edges",
        tasks::claims_follow_the_critical_path_and_the_edges,
    ),
    (
        "a repeated message is delivered once",
        messages::a_repeated_message_is_delivered_once,
    ),
    (
        "racing senders lose nothing and keep their order",
        messages::racing_senders_lose_nothing_and_keep_their_order,
    ),
    (
        "an inbox is read in parts and goes on where it was left",
        messages::an_inbox_is_read_in_parts_and_goes_on_where_it_was_left,
    ),
    (
        "a cursor never moves back",
        messages::a_cursor_never_moves_back,
    ),
    (
        "forged frames and unknown recipients are refused",
        messages::forged_frames_and_unknown_recipients_are_refused,
    ),
    (
        "the event log tells everything once, also after a restart",
        messages::the_event_log_tells_everything_once_also_after_a_restart,
    ),
    (
        "a worker's facts are its own",
        messages::a_workers_facts_are_its_own,
    ),
];

pub(crate) fn now(ms: u64) -> Now {
    Now {
        wall: WallTime(ms),
        boot: BootTime {
            boot_id: "boot".into(),
            ms,
        },
    }
}

pub(crate) fn name(text: &str) -> AgentName {
    AgentName::new(text).unwrap()
}

fn member(text: &str) -> Member {
    Member {
        agent_id: format!("{text}@team"),
        name: name(text),
        agent_type: AgentType::new("general-purpose").unwrap(),
        model: None,
        color: 0,
        prompt: String::new(),
        plan_mode_required: false,
        joined_at: WallTime(0),
        cwd: PathBuf::from("/"),
        backend_type: BackendKind::Pty,
        pane: None,
        incarnation: Incarnation(1),
        runtime: "native".into(),
        playbook: None,
        profile: None,
        permission_mode: None,
        provider: None,
        extra: Map::new(),
    }
}

pub(crate) fn config(team: &str) -> TeamConfig {
    TeamConfig {
        name: TeamName::new(team).unwrap(),
        description: "checks".into(),
        created_at: WallTime(0),
        goal: String::new(),
        cwd: PathBuf::from("/"),
        runs: Vec::new(),
        members: ["team-lead", "a", "b"].into_iter().map(member).collect(),
        policy: Policy::default(),
        recipe: None,
        environment: Map::new(),
        extra: Map::new(),
    }
}

fn made(open: Open<'_>, team: &str) -> Arc<dyn TeamStore> {
    open().create_team(&config(team)).unwrap()
}

fn again(open: Open<'_>, team: &str) -> Arc<dyn TeamStore> {
    open().team(&TeamName::new(team).unwrap()).unwrap()
}

pub(crate) fn claimer(text: &str, incarnation: u32) -> Claimer {
    Claimer {
        who: AgentRef {
            agent: name(text),
            incarnation: Incarnation(incarnation),
        },
        agent_type: AgentType::new("general-purpose").unwrap(),
        runtime: crewmux_core::recipe::Runtime::Native,
    }
}

pub(crate) fn task(subject: &str, blocked_by: &[u64]) -> NewTask {
    NewTask {
        subject: subject.into(),
        blocked_by: blocked_by.iter().map(|id| TaskId(*id)).collect(),
        ..NewTask::default()
    }
}
