//! Random changes, loads, cascades and restores, beside continuous samples of the answers.

use std::time::Duration;

use tern_tests::checker::{check, fleet_to_check};
use tern_tests::{Fleet, limit};

/// Returns the longest accepted staleness. The promise is a second, and the stalest answer is printed; the rest is for
/// debug builds and busy machines.
fn longest_stale() -> Duration {
    limit(Duration::from_secs(5), Duration::from_secs(15))
}

/// Returns the seed from `COHERENCE_SEED`, or a random one.
#[expect(clippy::disallowed_methods, reason = "a test has no configuration")]
fn seed() -> u64 {
    std::env::var("COHERENCE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_changes_loads_cascades_and_restores_are_served_in_time() {
    let fleet = fleet_to_check().await;
    let found = check(&fleet, seed(), Duration::from_secs(20), |_| {}).await;
    print!("{found}");
    assert!(found.wrong.is_empty() && found.differing_codes == 0 && found.stalest() < longest_stale());
    assert!(found.restores == 2 && found.samples > 1_000, "too few restores or samples");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_changes_beside_cut_feeds_and_subscriptions_are_served_in_time() {
    let fleet = fleet_to_check().await;
    let mut calls = 0;
    let disturb = |fleet: &Fleet| {
        calls += 1;
        match calls % 4 {
            0 => fleet.redis.cut_subscribers(),
            1 => fleet.redis.flush_all(),
            2 => {
                let feeds = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'tern_redirector'";
                fleet.psql(feeds);
            }
            _ => drop(fleet.psql("CHECKPOINT")),
        }
    };
    let found = check(&fleet, seed(), Duration::from_secs(15), disturb).await;
    print!("{found}");
    assert!(found.wrong.is_empty() && found.differing_codes == 0 && found.stalest() < 2 * longest_stale());
}

/// The checker must detect a planted fault: changes that are not logged.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn checker_detects_changes_that_are_not_logged() {
    let fleet = fleet_to_check().await;
    for change in ["insert", "update", "delete"] {
        fleet.run_sql(&format!("ALTER TABLE urls DISABLE TRIGGER urls_changed_{change}"));
    }
    let found = check(&fleet, seed(), Duration::from_secs(8), |_| {}).await;
    print!("with a planted fault: {found}");
    assert!(found.differing_codes > 0 || found.stalest() > longest_stale(), "it found nothing");
}
