//! A long log of changes is followed by deltas: no deletion, cut or restart makes a redirector load every link.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;
use tern_tests::long_log::{fleet_with_bulk, follow_long_log};
use tern_tests::{Fleet, eventually};

/// Inserts `links` links of the second user by direct SQL, in one transaction.
fn insert(fleet: &Fleet, links: u32) {
    fleet.run_sql(&format!(
        "INSERT INTO urls (user_id, short_code, original_url, is_active, created_at, updated_at)
         SELECT 2, 'bulk' || n, 'https://example.com/', true, now(), now() FROM generate_series(1, {links}) AS n"
    ));
}

async fn start(links: usize) -> Fleet {
    let fleet = Fleet::start(links, &[("VISIBLE_WAIT", "0")]).await;
    fleet.run_sql("INSERT INTO users (username, email, created_at) VALUES ('bob', 'bob@mail.example', now())");
    fleet
}

/// Waits until every redirector has `links` links; returns how long that took.
///
/// The promise is two seconds, and the tests print the time; debug builds on a busy machine take longer.
async fn wait_for_links(fleet: &Fleet, links: u32) -> Duration {
    let started = Instant::now();
    for redirector in 0..fleet.redirectors.len() {
        eventually("the redirector has all links", async || {
            fleet.metric(redirector, "tern_replica_links").await == f64::from(links)
        })
        .await;
    }
    started.elapsed()
}

async fn count_loads(fleet: &Fleet) -> f64 {
    let mut loads = 0.0;
    for redirector in 0..fleet.redirectors.len() {
        loads += fleet.metric(redirector, "tern_replica_snapshots_total").await;
        assert_eq!(fleet.metric(redirector, "tern_replica_refused_snapshots_total").await, 0.0);
    }
    loads
}

#[tokio::test(flavor = "multi_thread")]
async fn cascade_of_200_000_links_is_served_by_deltas() {
    const LINKS: u32 = 200_000;
    let fleet = start(20).await;
    let (code, before) = (fleet.code(1).await, count_loads(&fleet).await);
    for how in ["in one transaction past Tern", "through the API"] {
        insert(&fleet, LINKS);
        println!("{LINKS} links were served after {:?}", wait_for_links(&fleet, LINKS + 20).await);
        let started = Instant::now();
        if how.ends_with("API") {
            // A busy machine may time a call out; the next call continues.
            eventually("the user is deleted", async || {
                fleet.call(Method::DELETE, "/users/2?cascade=true", &Value::Null).await.0 == 204
            })
            .await;
        } else {
            fleet.run_sql("DELETE FROM urls WHERE user_id = 2");
        }
        let deleted = started.elapsed();
        let served = wait_for_links(&fleet, 20).await;
        println!("deleted {how} within {deleted:?}, they were gone {served:?} later");
        fleet.change(1, &code, &format!("https://example.com/{}", how.len())).await;
    }
    assert_eq!(count_loads(&fleet).await, before, "deltas have to do");
    assert_eq!(fleet.count_differing_codes().await, 0);
}

/// Changes after a transaction of many links do not wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn change_beside_a_large_transaction_does_not_wait_for_its_end() {
    const LINKS: u32 = 200_000;
    let fleet = start(1).await;
    let code = fleet.code(1).await;
    insert(&fleet, LINKS);
    let started = Instant::now();
    let (mut slowest, mut changes) = (Duration::ZERO, 0);
    let links = f64::from(LINKS + 1);
    while fleet.metric(0, "tern_replica_links").await < links || fleet.metric(1, "tern_replica_links").await < links {
        let visible = fleet.change(1, &code, &format!("https://example.com/{changes}")).await;
        (slowest, changes) = (slowest.max(visible.since_sent), changes + 1);
    }
    println!("beside a transaction of {LINKS} links the slowest of {changes} changes was served after {slowest:?}");
    // Read in order, the change would have waited for the whole transaction.
    assert!(changes > 3 && slowest < started.elapsed() / 2, "{slowest:?} of {:?}", started.elapsed());
    assert_eq!(fleet.metric(0, "tern_replica_snapshots_total").await, 1.0);
}

/// The short form of `tern-measure long-log`.
#[tokio::test(flavor = "multi_thread")]
async fn cut_feeds_and_restarts_beside_a_long_log_load_no_snapshot() {
    const LINKS: u32 = 60_000;
    let mut fleet = fleet_with_bulk(LINKS).await;
    let figures = follow_long_log(&mut fleet, LINKS).await;
    println!("{figures:?}");
    assert!(figures.entries > 2 * u64::from(LINKS), "{figures:?}");
    assert_eq!((figures.loads, figures.differing_codes), (0, 0));
    assert!(figures.memory_most < figures.memory_before + 64, "{figures:?}");
    // Each of these links would otherwise have to be requested.
    fleet.run_sql("DELETE FROM urls WHERE user_id = 2");
    wait_for_links(&fleet, 10).await;
    assert_eq!(fleet.count_differing_codes().await, 0);
}
