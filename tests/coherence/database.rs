//! PostgreSQL restarted, killed, frozen, failed over or stopped: redirects continue, and no change is skipped.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};
use tern_testkit::postgres::Postgres;
use tern_tests::{Fleet, eventually, limit};

/// Returns the longest time after the database's return until changes are accepted and served.
fn recovery_limit() -> Duration {
    limit(Duration::from_secs(2), Duration::from_secs(4))
}

/// Changes a link through the API until that succeeds; returns how long it took.
async fn wait_for_successful_change(fleet: &Fleet, target: &str) -> Duration {
    let started = Instant::now();
    eventually("the API takes changes again", async || {
        fleet.call(Method::PUT, "/urls/1", &json!({"original_url": target})).await.0 == 200
    })
    .await;
    started.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn database_restarted_killed_or_frozen_is_caught_up_with() {
    let fleet = Fleet::start(10, &[]).await;
    let code = fleet.code(1).await;
    for (n, what) in ["restarted", "killed", "frozen"].into_iter().enumerate() {
        match what {
            "killed" => fleet.postgres.kill9(),
            "frozen" => fleet.postgres.freeze(),
            _ => fleet.postgres.stop(),
        }
        assert_eq!(fleet.look_up(0, &code).await.0, 302, "redirects go on");
        let asked = Instant::now();
        let (status, _, body) = fleet.call(Method::PUT, "/urls/1", &json!({"is_active": true})).await;
        assert_eq!((status, &body["message"]), (503, &json!("Database is unavailable")));
        assert!(asked.elapsed() < Duration::from_millis(2500), "{:?}", asked.elapsed());

        if what == "frozen" {
            fleet.postgres.thaw();
        } else {
            fleet.postgres.start();
        }
        let back = Instant::now();
        let target = format!("https://example.com/after/{n}");
        let taken = wait_for_successful_change(&fleet, &target).await;
        for redirector in 0..2 {
            eventually("the change is served", async || {
                fleet.look_up(redirector, &code).await == (302, Some(target.clone()))
            })
            .await;
        }
        let served = back.elapsed();
        println!("{what}: changes were taken after {taken:?} and served after {served:?}");
        assert!(served < recovery_limit(), "{served:?}");
        assert_eq!(fleet.count_differing_codes().await, 0);
    }
}

/// Waits until `standby` has a beat that an admin wrote after now.
async fn wait_for_beat(fleet: &Fleet, standby: &Postgres) {
    let beat = "SELECT xid FROM failover_beats";
    let xmax = fleet.psql("SELECT pg_snapshot_xmax(pg_current_snapshot())");
    let xmax: u64 = xmax.trim().parse().expect("a transaction id");
    let is_newer = |beat: &str| beat.trim().parse::<u64>().is_ok_and(|xid| xid >= xmax);
    eventually("the standby has a new beat", async || is_newer(&standby.psql(fleet.database(), beat))).await;
}

/// The standby lags when the primary dies, so some answered and served changes are lost.
#[tokio::test(flavor = "multi_thread")]
async fn failover_that_loses_commits_removes_them_from_the_maps() {
    let mut fleet = Fleet::start_behind_relays(20, &[]).await;
    let standby = fleet.postgres.standby();
    let mut codes = Vec::new();
    for id in 1..=3 {
        codes.push(fleet.code(id).await);
    }
    wait_for_beat(&fleet, &standby).await;
    standby.stop();

    fleet.change(1, &codes[0], "https://example.com/lost").await;
    assert_eq!(fleet.call(Method::PUT, "/urls/2", &json!({"is_active": false})).await.0, 200);
    assert_eq!(fleet.call(Method::DELETE, "/urls/3", &Value::Null).await.0, 204);
    let new = json!({"user_id": 1, "original_url": "https://example.com/lost"});
    let (_, _, new) = fleet.call(Method::POST, "/urls", &new).await;
    let new = new["short_code"].as_str().unwrap();
    for redirector in 0..2 {
        for (code, status) in [(&*codes[1], 410), (&codes[2], 404), (new, 302)] {
            eventually("what is lost is served", async || fleet.look_up(redirector, code).await.0 == status).await;
        }
    }
    let rows = fleet.psql("SELECT count(*) FROM url_changes");

    fleet.postgres.kill9();
    assert_eq!(fleet.look_up(0, new).await.0, 302, "redirects go on");
    standby.start();
    standby.promote();
    fleet.fail_over_to(standby);
    let back = Instant::now();
    assert_ne!(fleet.psql("SELECT count(*) FROM url_changes"), rows, "the crash lost nothing, so nothing is tested");
    let target = "https://example.com/after";
    let taken = wait_for_successful_change(&fleet, target).await;
    for redirector in 0..2 {
        eventually("the change is served", async || {
            fleet.look_up(redirector, &codes[0]).await == (302, Some(target.to_owned()))
        })
        .await;
    }
    let served = back.elapsed();
    println!("failed over: changes were taken after {taken:?} and served after {served:?}");
    assert!(served < recovery_limit(), "{served:?}");
    for redirector in 0..2 {
        assert_eq!(fleet.look_up(redirector, new).await.0, 404, "a link that was lost");
        assert_eq!(fleet.metric(redirector, "tern_replica_snapshots_total").await, 1.0, "deltas have to do");
        assert_eq!(fleet.metric(redirector, "tern_replica_failovers_total").await, 1.0);
    }
    assert_eq!(fleet.count_differing_codes().await, 0);
    // Lost short codes and transaction ids are reused.
    for n in 0..20 {
        fleet.change(1, &codes[0], &format!("https://example.com/again/{n}")).await;
    }
    assert_eq!(fleet.count_differing_codes().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn redirector_without_database_and_redis_restarts_from_its_file() {
    let mut fleet = Fleet::start(30, &[]).await;
    let code = fleet.code(30).await;
    let file = fleet.redirector_directory(0).join("data/links.snapshot");
    eventually("the snapshot file is written", async || file.exists()).await;
    // On shutdown, the redirector writes its snapshot file.
    assert!(fleet.redirectors.remove(0).end(Signal::SIGTERM));
    let restarted = fleet.start_redirector(0);
    fleet.redirectors.insert(0, restarted);
    fleet.wait_until_ready().await;

    fleet.postgres.stop();
    fleet.redis.stop();
    let started = Instant::now();
    let mut redirects = 0;
    while started.elapsed() < Duration::from_secs(2) {
        for redirector in 0..2 {
            assert_eq!(fleet.look_up(redirector, &code).await.0, 302);
            redirects += 1;
        }
    }
    fleet.redirectors[0].signal(Signal::SIGKILL);
    let killed = Instant::now();
    fleet.restart_redirector(0);
    fleet.wait_until_ready().await;
    let served = killed.elapsed();
    println!("{redirects} redirects with both away; killed, it served from its file after {served:?}");
    assert!(served < limit(Duration::from_secs(1), Duration::from_secs(10)), "{served:?}");
    assert_eq!(fleet.look_up(0, &code).await.0, 302);

    fleet.postgres.start();
    fleet.redis.start();
    wait_for_successful_change(&fleet, "https://example.com/after").await;
    // A redirector connects a second or two after the admin does, so the change may not have waited for it.
    let changed = fleet.code(1).await;
    for redirector in 0..2 {
        eventually("redirectors follow the database again", async || {
            fleet.look_up(redirector, &changed).await.1.as_deref() == Some("https://example.com/after")
        })
        .await;
    }
    assert_eq!(fleet.count_differing_codes().await, 0);
}
