//! Random changes, loads, cascades and restores, beside what is served all the time.

use std::time::Duration;

use tern_tests::checker::{check, fleet_to_check};
use tern_tests::{Fleet, limit};

/// Returns the longest that a redirector may serve what was changed. A second is promised, and the stalest is printed;
/// the rest is for debug builds, and for a machine that runs other tests.
fn longest_stale() -> Duration {
    limit(Duration::from_secs(5), Duration::from_secs(15))
}

/// Reads the seed of a run that is to be repeated, or draws one.
#[expect(clippy::disallowed_methods, reason = "a test has no configuration")]
fn seed() -> u64 {
    std::env::var("COHERENCE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_changes_loads_cascades_and_restores_are_served_in_time() {
    let fleet = fleet_to_check().await;
    let found = check(&fleet, seed(), Duration::from_secs(20), |_| {}).await;
    print!("{found}");
    assert!(found.wrong.is_empty() && found.differing == 0 && found.stalest() < longest_stale());
    assert!(found.restores == 2 && found.samples > 1_000, "the scene is not set");
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
    assert!(found.wrong.is_empty() && found.differing == 0 && found.stalest() < 2 * longest_stale());
}

/// The checker finds a planted fault: changes of links leave no trace in the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn checker_finds_changes_that_are_not_logged() {
    let fleet = fleet_to_check().await;
    for change in ["insert", "update", "delete"] {
        fleet.run_sql(&format!("ALTER TABLE urls DISABLE TRIGGER urls_changed_{change}"));
    }
    let found = check(&fleet, seed(), Duration::from_secs(8), |_| {}).await;
    print!("with a planted fault: {found}");
    assert!(found.differing > 0 || found.stalest() > longest_stale(), "it found nothing");
}
