//! A redirector is replaced under load, and nobody notices. `tern-soak roll` does it over a million requests.

use std::time::Duration;

use tern_tests::clicks::Verdict;
use tern_tests::roll::{
    ended_with_a_held_lock, leave_with_notice, restart_behind_nginx, restart_on_socket, take_over,
    take_over_from_the_dead, take_over_in_vain, take_over_of_another_version,
};

#[tokio::test(flavor = "multi_thread")]
async fn ten_processes_follow_each_other_and_no_request_fails() {
    assert_eq!(take_over(10, 20_000, Some(1_000)).await, Verdict::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_socket_that_outlives_it_a_redirector_is_restarted_and_no_request_fails() {
    assert_eq!(restart_on_socket(5, 500).await, Verdict::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn both_redirectors_are_restarted_behind_nginx_and_no_request_fails() {
    restart_behind_nginx(10, 4_000, 1_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_cannot_serve_takes_nothing_over() {
    take_over_in_vain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_of_another_version_leaves_nothing_behind() {
    take_over_of_another_version().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_takes_over_serves_once_nobody_else_does() {
    take_over_from_the_dead().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redirector_whose_lock_file_another_program_locks_ends_in_time() {
    let took = ended_with_a_held_lock().await;
    assert!(took < Duration::from_secs(15), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_about_to_end_says_so_and_goes_on_for_a_moment() {
    leave_with_notice().await;
}
