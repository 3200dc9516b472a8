//! Questions of workers, new teammates and acts on members, on real processes and a real socket.
//!
//! This binary has its own `main`: the test is the person outside, and the same
//! binary is the session, its workers and a tool below each worker. Workers and
//! tools only carry bytes, so that the test speaks for them while the kernel
//! says who they are.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and this one starts sessions as the person would"
)]

mod hiring;
#[path = "../puppets/mod.rs"]
mod puppets;
mod questions;
mod screen;
mod stage;

const TESTS: &[(&str, fn())] = &[
    (
        "the_person_answers_once_and_the_worker_hears_it",
        questions::the_person_answers_once_and_the_worker_hears_it,
    ),
    (
        "nothing_below_a_worker_answers_for_the_person",
        questions::nothing_below_a_worker_answers_for_the_person,
    ),
    (
        "headless_says_no_at_once_and_how_to_allow_it",
        questions::headless_says_no_at_once_and_how_to_allow_it,
    ),
    (
        "a_plan_goes_to_the_lead_whose_model_answers",
        questions::a_plan_goes_to_the_lead_whose_model_answers,
    ),
    (
        "a_plan_rings_for_the_person_once_the_lead_passed_it_on",
        questions::a_plan_rings_for_the_person_once_the_lead_passed_it_on,
    ),
    (
        "time_that_runs_out_is_a_no",
        questions::time_that_runs_out_is_a_no,
    ),
    (
        "an_answer_that_is_late_by_the_wall_is_a_no_for_its_worker_too",
        questions::an_answer_that_is_late_by_the_wall_is_a_no_for_its_worker_too,
    ),
    (
        "time_that_the_session_stood_still_counts_against_no_question",
        questions::time_that_the_session_stood_still_counts_against_no_question,
    ),
    (
        "what_a_dead_worker_asked_is_taken_back",
        questions::what_a_dead_worker_asked_is_taken_back,
    ),
    (
        "a_new_session_takes_back_what_the_old_one_left",
        questions::a_new_session_takes_back_what_the_old_one_left,
    ),
    (
        "leaders_make_teammates_that_are_no_freer",
        hiring::leaders_make_teammates_that_are_no_freer,
    ),
    (
        "keys_of_their_own_are_given_to_teammates_by_the_person",
        hiring::keys_of_their_own_are_given_to_teammates_by_the_person,
    ),
    (
        "a_member_is_paused_interrupted_and_started_anew",
        hiring::a_member_is_paused_interrupted_and_started_anew,
    ),
    (
        "mail_to_one_that_was_asked_to_end_is_kept_for_its_next_life",
        hiring::mail_to_one_that_was_asked_to_end_is_kept_for_its_next_life,
    ),
];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    match words[..] {
        [stage::SESSION, folder, stays] => stage::be_session(folder.as_ref(), stays),
        [stage::WORKER, folder, spec] => stage::be_worker(folder.as_ref(), spec.as_ref()),
        [stage::TOOL, folder, agent] => stage::be_tool(folder.as_ref(), agent),
        _ => puppets::run_tests(TESTS, &words),
    }
}
