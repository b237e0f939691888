//! A long log of changes: cut feeds, restarts and a large transaction are followed by deltas alone.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::json;

use crate::{Fleet, eventually};

/// Cuts of the feed, and restarts of one redirector.
const CUTS: usize = 20;
const RESTARTS: usize = 5;

/// Figures of one run. Memory is that of one redirector, in MiB.
#[derive(Clone, Copy, Debug)]
pub struct LongLog {
    /// Entries of the log at the end.
    pub entries: u64,
    /// Time until a transaction that changed existing links was served.
    pub followed: Duration,
    pub memory_before: u64,
    pub memory_most: u64,
    /// The longest time from a start to readiness.
    pub slowest_restart: Duration,
    /// Full loads of all redirectors after their first one.
    pub loads: u64,
    pub differing_codes: usize,
}

/// Starts a fleet with `links` links of the second user, which were inserted in one transaction.
pub async fn fleet_with_bulk(links: u32) -> Fleet {
    let fleet = Fleet::start(10, &[("VISIBLE_WAIT", "0")]).await;
    fleet.run_sql("INSERT INTO users (username, email, created_at) VALUES ('bob', 'bob@mail.example', now())");
    fleet.run_sql(&format!(
        "INSERT INTO urls (user_id, short_code, original_url, is_active, created_at, updated_at)
         SELECT 2, 'bulk' || n, 'https://example.com/1', true, now(), now() FROM generate_series(1, {links}) AS n"
    ));
    fleet
}

/// Changes `changed` of the links in one transaction, then cuts feeds and restarts a redirector.
pub async fn follow_long_log(fleet: &mut Fleet, changed: u32) -> LongLog {
    let (table, mut restarts) = (fleet.psql("SELECT count(*) FROM urls").trim().parse::<f64>().unwrap(), Vec::new());
    for redirector in 0..fleet.redirectors.len() {
        await_metric(fleet, redirector, "tern_replica_links", table).await;
    }
    let before = count_loads(fleet).await;
    let changes = fleet.metric(0, "tern_replica_changes_total").await;
    let memory_before = fleet.redirectors[0].memory() >> 10;
    let mut memory_most = memory_before;
    let sql = format!(
        "UPDATE urls SET original_url = 'https://example.com/2'
         WHERE id IN (SELECT id FROM urls WHERE user_id = 2 ORDER BY id LIMIT {changed})"
    );
    fleet.run_sql(&sql);
    let began = Instant::now();
    while fleet.metric(0, "tern_replica_changes_total").await < changes + f64::from(changed) {
        memory_most = memory_most.max(fleet.redirectors[0].memory() >> 10);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let followed = began.elapsed();
    await_metric(fleet, 1, "tern_replica_changes_total", changes + f64::from(changed)).await;

    let code = fleet.code(1).await;
    for n in 0..CUTS {
        fleet.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'tern_redirector'");
        eventually("the change is taken", async || {
            let body = json!({"original_url": format!("https://example.com/cut/{n}")});
            fleet.call(Method::PUT, "/urls/1", &body).await.0 == 200
        })
        .await;
    }
    fleet.change(1, &code, "https://example.com/after/cuts").await;
    let mut loads = count_loads(fleet).await - before;
    for n in 0..RESTARTS {
        let signal = if n % 2 == 0 { Signal::SIGTERM } else { Signal::SIGKILL };
        restarts.push(fleet.restart_redirector_in_place(0, signal).await);
        fleet.change(1, &code, &format!("https://example.com/restart/{n}")).await;
        // The first load of the process before is not among the loads of this one.
        loads += fleet.metric(0, "tern_replica_snapshots_total").await;
    }
    LongLog {
        entries: fleet.psql("SELECT count(*) FROM url_changes").trim().parse().unwrap(),
        followed,
        memory_before,
        memory_most,
        slowest_restart: restarts.into_iter().max().unwrap(),
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        loads: loads as u64,
        differing_codes: count_differing_samples(fleet).await,
    }
}

async fn await_metric(fleet: &Fleet, redirector: usize, series: &str, least: f64) {
    eventually(series, async || fleet.metric(redirector, series).await >= least).await;
}

/// Returns the full loads of all running redirectors.
async fn count_loads(fleet: &Fleet) -> f64 {
    let mut loads = 0.0;
    for redirector in 0..fleet.redirectors.len() {
        loads += fleet.metric(redirector, "tern_replica_snapshots_total").await;
    }
    loads
}

/// Returns how many of 2,000 random links are answered with another target than that of the table.
async fn count_differing_samples(fleet: &Fleet) -> usize {
    let sample = "SELECT short_code, original_url FROM urls
                  WHERE id IN (SELECT (random() * (SELECT max(id) FROM urls))::bigint FROM generate_series(1, 2000))";
    let mut differing = 0;
    for row in fleet.psql(sample).lines() {
        let (code, target) = row.split_once('|').unwrap();
        for redirector in 0..fleet.redirectors.len() {
            let is_equal = fleet.look_up(redirector, code).await == (302, Some(target.to_owned()));
            differing += usize::from(!is_equal);
        }
    }
    differing
}
