//! No limited link redirects more often than its limit, whatever is killed. `make soak` runs the same drills for longer.

use std::time::Duration;

use tern_tests::limits::{fail_over, follow_fast, kill_at_random, lose_synchronous_standby};

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_while_redirectors_and_database_are_killed() {
    let judgement = kill_at_random(Duration::from_secs(30)).await;
    assert_eq!(judgement.excess, 0, "{judgement:?}");
    assert!(judgement.wasted <= judgement.under_way, "{judgement:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn limit_after_a_failover_that_lost_takes_counts_the_clicks_that_are_shipped_again() {
    fail_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn take_that_a_synchronous_standby_lacks_is_not_granted() {
    lose_synchronous_standby().await;
}

/// The figures are printed; `tern-soak limit-rate` checks them on a machine of its own. Beside other programs, a take may be
/// late.
#[tokio::test(flavor = "multi_thread")]
async fn many_requests_for_one_limited_link_are_redirected() {
    let run = follow_fast(1_000, 2, Duration::from_secs(2)).await;
    assert!(run.failed * 10 < run.requests, "{run:?}");
}
