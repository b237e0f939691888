//! PostgreSQL restarted, killed, and away: redirects go on, and nothing is skipped.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::json;
use tern_tests::{Fleet, eventually};

/// Changes made through the API until one succeeds; how long that took.
async fn until_a_change_succeeds(fleet: &Fleet, target: &str) -> Duration {
    let started = Instant::now();
    eventually("the API takes changes again", async || {
        fleet.call(Method::PUT, "/urls/1", &json!({"original_url": target})).await.0 == 200
    })
    .await;
    started.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn restarted_or_killed_it_is_caught_up_with() {
    let fleet = Fleet::start(10, &[]).await;
    let code = fleet.code(1).await;
    for (n, what) in ["restarted", "killed"].into_iter().enumerate() {
        if what == "killed" {
            fleet.postgres.kill9();
        } else {
            fleet.postgres.stop();
        }
        assert_eq!(fleet.served(0, &code).await.0, 302, "redirects go on");
        let asked = Instant::now();
        let (status, _, body) = fleet.call(Method::PUT, "/urls/1", &json!({"is_active": true})).await;
        assert_eq!((status, &body["message"]), (503, &json!("Database is unavailable")));
        assert!(asked.elapsed() < Duration::from_millis(2500), "{:?}", asked.elapsed());

        fleet.postgres.start();
        let back = Instant::now();
        let target = format!("https://example.com/after/{n}");
        let taken = until_a_change_succeeds(&fleet, &target).await;
        for redirector in 0..2 {
            eventually("the change is served", async || {
                fleet.served(redirector, &code).await == (302, Some(target.clone()))
            })
            .await;
        }
        println!("{what}: changes were taken after {taken:?} and served after {:?}", back.elapsed());
        assert_eq!(fleet.differing().await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_both_away_redirects_go_on_and_a_redirector_restarts_from_its_file() {
    let mut fleet = Fleet::start(30, &[]).await;
    let code = fleet.code(30).await;
    let file = fleet.redirector_directory(0).join("data/links.snapshot");
    eventually("the snapshot file is written", async || file.exists()).await;
    // Ended in order, it writes what it knows.
    assert!(fleet.redirectors.remove(0).end(Signal::SIGTERM));
    let restarted = fleet.start_redirector(0);
    fleet.redirectors.insert(0, restarted);
    fleet.all_loaded().await;

    fleet.postgres.stop();
    fleet.redis.stop();
    let started = Instant::now();
    let mut redirects = 0;
    while started.elapsed() < Duration::from_secs(2) {
        for redirector in 0..2 {
            assert_eq!(fleet.served(redirector, &code).await.0, 302);
            redirects += 1;
        }
    }
    fleet.redirectors[0].signal(Signal::SIGKILL);
    let killed = Instant::now();
    fleet.restart_redirector(0);
    fleet.all_loaded().await;
    println!("{redirects} redirects with both away; killed, it served from its file after {:?}", killed.elapsed());
    assert_eq!(fleet.served(0, &code).await.0, 302);

    fleet.postgres.start();
    fleet.redis.start();
    until_a_change_succeeds(&fleet, "https://example.com/after").await;
    assert_eq!(fleet.differing().await, 0);
}
