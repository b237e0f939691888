//! Replacing a redirector under load, without a failed request. `tern-soak roll` does it over a million requests.

use std::time::Duration;

use tern_tests::clicks::Verdict;
use tern_tests::roll::{
    end_with_foreign_lock, end_with_notice, failing_take_over, restart_behind_nginx, restart_on_socket, take_over,
    take_over_by_another_version, take_over_from_killed,
};

#[tokio::test(flavor = "multi_thread")]
async fn ten_take_overs_fail_no_request() {
    assert_eq!(take_over(10, 20_000, Some(1_000)).await, Verdict::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn restart_on_a_passed_socket_fails_no_request() {
    assert_eq!(restart_on_socket(5, 500).await, Verdict::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn redirectors_restarted_behind_nginx_fail_no_request() {
    restart_behind_nginx(10, 4_000, 1_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_successor_takes_nothing_over() {
    failing_take_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn successor_of_another_version_leaves_no_journal() {
    take_over_by_another_version().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn successor_serves_after_its_predecessor_was_killed() {
    take_over_from_killed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redirector_with_foreign_lock_on_its_file_ends_in_time() {
    let took = end_with_foreign_lock().await;
    assert!(took < Duration::from_secs(15), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn drain_notice_turns_readiness_off_before_the_port_closes() {
    end_with_notice().await;
}
