//! With everything up: how fast, and never stale.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tern_tests::{Fleet, percentile};

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_served_within_milliseconds() {
    let fleet = Fleet::start(20, &[("VISIBLE_WAIT", "0")]).await;
    let mut codes = Vec::new();
    for id in 1..=20 {
        codes.push(fleet.code(id).await);
    }
    let (mut sent, mut answered) = (Vec::new(), Vec::new());
    let mut pace = tokio::time::interval(Duration::from_millis(10));
    for n in 0..500 {
        pace.tick().await;
        let link = n % codes.len();
        let visible = fleet.change(link + 1, &codes[link], &format!("https://example.com/changed/{n}")).await;
        sent.push(visible.since_sent);
        answered.push(visible.since_answered);
    }
    for (from, times) in [("the request", &sent), ("the answer", &answered)] {
        let [p50, p99] = [0.5, 0.99].map(|share| percentile(times, share));
        println!("served by both redirectors after {from}: p50 {p50:?}, p99 {p99:?}");
    }
    assert!(percentile(&sent, 0.99) < Duration::from_secs(1));
    assert_eq!(fleet.differing().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_says_two_of_two_is_never_stale() {
    let fleet = Fleet::start(0, &[]).await;
    let (mut confirmed, mut rounds) = (0, 0);
    let started = Instant::now();
    while rounds < 300 && started.elapsed() < Duration::from_secs(60) {
        let target = format!("https://example.com/{rounds}");
        let (status, visible, link) =
            fleet.call(Method::POST, "/urls", &json!({"user_id": 1, "original_url": target})).await;
        assert_eq!(status, 201);
        let code = link["short_code"].as_str().unwrap();
        let path = format!("/urls/{}", link["id"]);
        let check = async |visible: Option<String>, expected: (u16, Option<String>)| {
            if visible.as_deref() == Some("2/2") {
                for redirector in 0..2 {
                    assert_eq!(fleet.served(redirector, code).await, expected, "round {rounds}");
                }
                return 1;
            }
            0
        };
        confirmed += check(visible, (302, Some(target))).await;
        let (_, visible, _) = fleet.call(Method::PUT, &path, &json!({"is_active": false})).await;
        confirmed += check(visible, (410, None)).await;
        let (status, visible, _) = fleet.call(Method::DELETE, &path, &Value::Null).await;
        assert_eq!(status, 204);
        confirmed += check(visible, (404, None)).await;
        rounds += 1;
    }
    println!("{confirmed} of {} answers said 2/2, and none of them was stale", 3 * rounds);
    assert!(confirmed > 2 * rounds, "{confirmed} of {}", 3 * rounds);
    assert_eq!(fleet.differing().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_transaction_holds_up_no_other_change() {
    let fleet = Fleet::start(5, &[("VISIBLE_WAIT", "0")]).await;
    let code = fleet.code(1).await;
    let held = fleet.hold("UPDATE urls SET is_active = false WHERE id = 2");
    let mut times = Vec::new();
    for n in 0..100 {
        times.push(fleet.change(1, &code, &format!("https://example.com/{n}")).await.since_sent);
    }
    println!("beside an open transaction: p50 {:?}, p99 {:?}", percentile(&times, 0.5), percentile(&times, 0.99));
    assert!(percentile(&times, 0.99) < Duration::from_secs(1));
    let second = fleet.code(2).await;
    assert_eq!(fleet.served(0, &second).await.0, 302, "not committed yet");
    held.commit();
    for redirector in 0..2 {
        tern_tests::eventually("what it changed is served", async || fleet.served(redirector, &second).await.0 == 410)
            .await;
    }
    assert_eq!(fleet.differing().await, 0);
}
