//! Short versions of the drills for faults that no other test covers. `make chaos` runs all of them, and those of other
//! tests, with the limits of an otherwise idle machine.

use std::time::Duration;

use tern_tests::chaos::{
    admin_killed, clock_steps, crowd_after_restart, database_refuses, load_killed, malformed_traffic,
};
use tern_tests::clicks::Verdict;

#[tokio::test(flavor = "multi_thread")]
async fn change_of_an_admin_killed_before_announcing_is_served() {
    let slowest = admin_killed(3).await;
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_load_inserts_all_rows_or_none() {
    load_killed(5, 20_000, rand::random()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusing_database_is_retried_slowly_and_redirects_continue() {
    let rate = database_refuses(Duration::from_secs(5)).await;
    assert!(rate < 5.0, "{rate} connections tried a second");
}

#[tokio::test(flavor = "multi_thread")]
async fn stepping_clock_loses_no_click() {
    assert_eq!(clock_steps().await, Verdict::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn crowd_after_a_restart_receives_no_wrong_answer() {
    crowd_after_restart(2_000, 20_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_traffic_delays_no_other_client() {
    malformed_traffic(500, Duration::from_secs(3), rand::random()).await;
}
