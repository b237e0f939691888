//! Clicks survive processes and databases that fail under load. `make soak` does the same for longer.

use std::time::Duration;

use tern_tests::clicks::{
    Verdict, database_away, disk_full, fail_over, fail_over_without_links, kill_database, kill_redirector, lag,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_redirector_killed_a_hundred_times_loses_no_click_and_doubles_none() {
    assert_eq!(kill_redirector(100).await, Verdict::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_killed_in_the_middle_of_batches_loses_no_click_and_doubles_none() {
    assert_eq!(kill_database(8).await, Verdict::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_away_clicks_wait_on_the_disk() {
    assert_eq!(database_away(Duration::from_secs(5), 2_000).await, Verdict::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_redirects_go_on_and_each_dropped_click_is_counted() {
    disk_full().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_that_loses_commits_loses_no_click() {
    assert_eq!(fail_over().await, Verdict::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn failover_that_loses_links_counts_their_clicks_on_no_other_link() {
    fail_over_without_links().await;
}

/// 50 ms are promised on an idle system, and two seconds on a busy one; the figures are printed. How busy this machine is
/// with others, nobody knows: what they take may cost one try, and not all.
#[tokio::test(flavor = "multi_thread")]
async fn a_click_is_an_event_within_two_seconds() {
    for rate in [None, Some(2_000)] {
        let mut tries = 0..3;
        let is_kept = async || lag(50, rate).await[1] < Duration::from_secs(2);
        while !is_kept().await {
            assert!(tries.next().is_some(), "beside {rate:?} clicks a second");
        }
    }
}
