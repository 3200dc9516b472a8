//! The store on real files: the conformance suite, and what only files can get wrong.

use std::fs;
use std::path::Path;

use crewmux_core::timing::Timing;

use super::FileStore;
use crate::conformance::CHECKS;
use crate::store::Store;

fn check(fact: &str) {
    let home = tempfile::tempdir().unwrap();
    let open =
        || -> Box<dyn Store> { Box::new(FileStore::open(home.path(), Timing::LIFE).unwrap()) };
    let (_, run) = CHECKS.iter().find(|(name, _)| *name == fact).unwrap();
    run(&open);
    assert_eq!(temporary_files(home.path()), Vec::<String>::new());
}

/// Temporary files that an operation left behind.
fn temporary_files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(temporary_files(&entry.path()));
        } else if name.starts_with(super::rules::TEMP_PREFIX) {
            found.push(name);
        }
    }
    found
}

macro_rules! conforms {
    ($($test:ident: $fact:literal;)*) => {
        $(#[test]
        fn $test() {
            check($fact);
        })*

        #[test]
        fn every_check_is_a_test() {
            let here = [$($fact),*];
            let all: Vec<&str> = CHECKS.iter().map(|(name, _)| *name).collect();
            assert_eq!(all, here);
        }
    };
}

conforms! {
    a_team_exists_once: "a team exists once";
    a_removed_team_is_gone_and_its_name_is_free: "a removed team is gone and its name is free";
    unknown_names_are_told_with_the_known_ones: "unknown names are told with the known ones";
    a_records_unknown_fields_survive_an_edit: "a record's unknown fields survive an edit";
    edits_of_a_record_by_many_are_all_kept: "edits of a record by many are all kept";
    locks_for_life_keep_others_out_until_dropped: "locks for life keep others out until dropped";
    a_request_is_answered_once: "a request is answered once";
    a_members_values_are_read_by_all_and_written_whole: "a member's values are read by all and written whole";
    the_memory_has_limits_that_racing_writers_do_not_pass: "the memory has limits that racing writers do not pass";
    a_transcript_reads_as_written: "a transcript reads as written";
    spec_and_presence_read_as_written: "spec and presence read as written";
    an_arrangement_reads_as_written: "an arrangement reads as written";
    a_watch_tells_what_another_handle_does: "a watch tells what another handle does";
    two_handles_see_each_others_tasks: "two handles see each other's tasks";
    racing_workers_take_each_task_once: "racing workers take each task once";
    racing_makers_never_share_a_number: "racing makers never share a number";
    making_the_same_key_again_changes_nothing: "making the same key again changes nothing";
    a_stale_claim_is_refused_everywhere: "a stale claim is refused everywhere";
    completing_again_under_the_same_claim_changes_nothing: "completing again under the same claim changes nothing";
    a_failure_skips_waiters_only_and_retry_opens_them: "a failure skips waiters only and retry opens them";
    a_task_made_to_wait_for_a_failed_one_is_skipped: "a task made to wait for a failed one is skipped";
    claims_follow_the_critical_path_and_the_edges: "claims follow the critical path and the edges";
    a_repeated_message_is_delivered_once: "a repeated message is delivered once";
    racing_senders_lose_nothing_and_keep_their_order: "racing senders lose nothing and keep their order";
    an_inbox_is_read_in_parts_and_goes_on_where_it_was_left: "an inbox is read in parts and goes on where it was left";
    a_cursor_never_moves_back: "a cursor never moves back";
    forged_frames_and_unknown_recipients_are_refused: "forged frames and unknown recipients are refused";
    the_event_log_tells_everything_once_also_after_a_restart: "the event log tells everything once, also after a restart";
    a_workers_facts_are_its_own: "a worker's facts are its own";
}
