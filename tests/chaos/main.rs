//! Faults that no other test is about, in short; `make chaos` runs all of them, those of the other tests among them, and
//! holds them to what is demanded of a machine that does nothing else.

use std::time::Duration;

use tern_tests::chaos::{
    admin_killed, clock_steps, crowd_after_restart, database_refuses, load_killed, malformed_traffic,
};
use tern_tests::clicks::Verdict;

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_nobody_told_of_is_served() {
    let slowest = admin_killed(3).await;
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_is_killed_is_there_or_not_at_all() {
    load_killed(5, 20_000, rand::random()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_refuses_is_left_in_peace_and_redirects_go_on() {
    let rate = database_refuses(Duration::from_secs(5)).await;
    assert!(rate < 5.0, "{rate} connections tried a second");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_steps_loses_no_click() {
    assert_eq!(clock_steps().await, Verdict::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_after_a_restart_is_told_nothing_wrong() {
    crowd_after_restart(2_000, 20_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_traffic_harms_nobody_else() {
    malformed_traffic(500, Duration::from_secs(3), rand::random()).await;
}
