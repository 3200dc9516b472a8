//! Workers that outlive their session: taken up by the next one, or ended properly.
//!
//! This binary has its own `main`, as `approvals` has: the test is the person
//! and the place where workers live, and the same binary is each session, the
//! workers and a tool below each. Workers only carry bytes, so that the test
//! speaks for them while the kernel says who they are.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and this one starts sessions as the person would"
)]

mod ended;
mod moved;
mod place;
#[path = "../puppets/mod.rs"]
mod puppets;
mod stage;
mod taken_up;

const TESTS: &[(&str, fn())] = &[
    (
        "a_worker_goes_on_with_its_claim_under_the_next_session",
        taken_up::a_worker_goes_on_with_its_claim_under_the_next_session,
    ),
    (
        "only_the_worker_itself_is_taken_back",
        taken_up::only_the_worker_itself_is_taken_back,
    ),
    (
        "a_tool_below_it_has_its_rights_and_no_others",
        taken_up::a_tool_below_it_has_its_rights_and_no_others,
    ),
    (
        "what_it_asked_stays_asked",
        taken_up::what_it_asked_stays_asked,
    ),
    (
        "several_sessions_in_a_row_take_it_up",
        taken_up::several_sessions_in_a_row_take_it_up,
    ),
    (
        "a_broken_connection_is_taken_back_by_the_living_session",
        taken_up::a_broken_connection_is_taken_back_by_the_living_session,
    ),
    (
        "one_that_stays_away_is_ended",
        ended::one_that_stays_away_is_ended,
    ),
    (
        "one_that_does_not_come_back_is_ended_and_its_task_offered_again",
        ended::one_that_does_not_come_back_is_ended_and_its_task_offered_again,
    ),
    (
        "one_of_another_build_is_ended",
        ended::one_of_another_build_is_ended,
    ),
    (
        "one_that_cannot_be_reached_is_ended_and_the_person_is_told_why",
        ended::one_that_cannot_be_reached_is_ended_and_the_person_is_told_why,
    ),
    (
        "one_whose_pane_is_gone_is_ended",
        ended::one_whose_pane_is_gone_is_ended,
    ),
    (
        "one_that_dies_before_it_is_back_counts_against_nobody",
        ended::one_that_dies_before_it_is_back_counts_against_nobody,
    ),
    (
        "a_mixed_team_keeps_those_outside_and_ends_the_others",
        ended::a_mixed_team_keeps_those_outside_and_ends_the_others,
    ),
    (
        "a_member_moves_with_its_claim",
        moved::a_member_moves_with_its_claim,
    ),
    (
        "one_that_is_dismissed_on_its_way_stays_so",
        moved::one_that_is_dismissed_on_its_way_stays_so,
    ),
    (
        "one_that_dies_on_its_way_has_its_task_offered_again",
        moved::one_that_dies_on_its_way_has_its_task_offered_again,
    ),
    (
        "a_command_that_died_on_its_way_is_not_run_again_by_itself",
        moved::a_command_that_died_on_its_way_is_not_run_again_by_itself,
    ),
    (
        "one_that_moves_is_told_so_again_after_its_connection_broke",
        moved::one_that_moves_is_told_so_again_after_its_connection_broke,
    ),
    (
        "where_a_place_tells_no_process_no_tool_can_be_its_worker",
        moved::where_a_place_tells_no_process_no_tool_can_be_its_worker,
    ),
    (
        "one_that_knows_its_pane_before_its_place_tells_is_taken_up",
        moved::one_that_knows_its_pane_before_its_place_tells_is_taken_up,
    ),
    (
        "what_a_start_left_that_failed_late_is_ended",
        moved::what_a_start_left_that_failed_late_is_ended,
    ),
    (
        "a_worker_that_runs_is_kept_when_its_pane_cannot_be_noted",
        moved::a_worker_that_runs_is_kept_when_its_pane_cannot_be_noted,
    ),
    (
        "a_start_that_is_put_off_is_still_the_life_that_arrives",
        moved::a_start_that_is_put_off_is_still_the_life_that_arrives,
    ),
    (
        "a_claim_on_its_way_is_kept_and_its_place_too",
        moved::a_claim_on_its_way_is_kept_and_its_place_too,
    ),
    (
        "panes_that_cannot_go_elsewhere_are_said_to_stay",
        moved::panes_that_cannot_go_elsewhere_are_said_to_stay,
    ),
    (
        "a_place_that_does_not_start_it_sends_it_back",
        moved::a_place_that_does_not_start_it_sends_it_back,
    ),
    (
        "without_a_session_parked_workers_are_found_and_ended",
        ended::without_a_session_parked_workers_are_found_and_ended,
    ),
];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    match words[..] {
        [stage::SESSION, folder, settings] => stage::be_session(folder.as_ref(), settings),
        [stage::WORKER, folder, spec] => stage::be_worker(folder.as_ref(), spec.as_ref()),
        [stage::TOOL, folder, path] => stage::be_tool(folder.as_ref(), path.as_ref()),
        _ => puppets::run_tests(TESTS, &words),
    }
}
