//! A healthy fleet: propagation times, and answers that are never stale.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tern_testkit::postgres::Options;
use tern_tests::propagation::{fleet_with_commit_times, measure};
use tern_tests::{Fleet, FleetOptions, limit, percentile};

/// `make bench-propagation` does the same for a minute, with an optimised build on an idle machine.
#[tokio::test(flavor = "multi_thread")]
async fn changes_in_a_healthy_fleet_are_served_soon() {
    let fleet = Arc::new(fleet_with_commit_times().await);
    let propagation = measure(&fleet, 100, Duration::from_secs(5)).await;
    print!("{propagation}");
    // Bound for a busy machine: the change was found by its hint or by the poll.
    assert!(percentile(&propagation.since_commit, 0.99) < Duration::from_secs(3));
    let changes = propagation.since_commit.len() / 2;
    for own in &propagation.histograms {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let counted = own["+Inf"] as usize;
        assert_eq!(counted, changes, "each change is counted once");
    }
    assert_eq!(fleet.count_differing_codes().await, 0);
}

const ROUNDS: usize = 1000;

/// Number of concurrent clients, each with links of its own.
const CLIENTS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn change_confirmed_by_two_of_two_is_never_stale() {
    // A long wait for a busy machine; the subject is staleness, not time.
    let fleet = Arc::new(Fleet::start(0, &[("VISIBLE_WAIT", "5s")]).await);
    let clients = (0..CLIENTS).map(|client| {
        let fleet = Arc::clone(&fleet);
        tokio::spawn(async move {
            let mut confirmed = 0;
            for round in (client..ROUNDS).step_by(CLIENTS) {
                confirmed += change_and_check(&fleet, &format!("https://example.com/{round}")).await;
            }
            confirmed
        })
    });
    let mut confirmed = 0;
    for client in clients.collect::<Vec<_>>() {
        confirmed += client.await.unwrap();
    }
    println!(
        "{ROUNDS} links made, switched off and deleted: {confirmed} of {} answers said 2/2, none was stale",
        3 * ROUNDS
    );
    assert!(confirmed > 2 * ROUNDS, "{confirmed} of {}", 3 * ROUNDS);
    assert_eq!(fleet.count_differing_codes().await, 0);
}

/// Creates, deactivates and deletes a link, and follows it whenever an answer is `2/2`. Returns how often that was.
async fn change_and_check(fleet: &Fleet, target: &str) -> usize {
    let body = json!({"user_id": 1, "original_url": target});
    let (status, visible, link) = fleet.call(Method::POST, "/urls", &body).await;
    assert_eq!(status, 201);
    let code = link["short_code"].as_str().expect("a link has a code");
    let path = format!("/urls/{}", link["id"]);
    let check = async |visible: Option<String>, expected: (u16, Option<String>)| {
        if visible.as_deref() == Some("2/2") {
            for redirector in 0..2 {
                assert_eq!(fleet.look_up(redirector, code).await, expected, "{target}");
            }
            return 1;
        }
        0
    };
    let mut confirmed = check(visible, (302, Some(target.to_owned()))).await;
    let (_, visible, _) = fleet.call(Method::PUT, &path, &json!({"is_active": false})).await;
    confirmed += check(visible, (410, None)).await;
    let (status, visible, _) = fleet.call(Method::DELETE, &path, &Value::Null).await;
    assert_eq!(status, 204);
    confirmed + check(visible, (404, None)).await
}

/// A cursor lists every open transaction; with many of them it is long, and must still be read.
#[tokio::test(flavor = "multi_thread")]
async fn change_beside_many_open_transactions_awaits_both_redirectors() {
    let postgres = Options::default().set("max_prepared_transactions", "1200");
    let fleet = Fleet::start_with(FleetOptions {
        links: 1,
        postgres,
        settings: &[("VISIBLE_WAIT", "5s")],
        ..FleetOptions::default()
    })
    .await;
    // Prepared transactions stay open without a connection. A snapshot lists them once a later one has ended.
    let open: String =
        (0..1200).map(|n| format!("BEGIN; SELECT pg_current_xact_id(); PREPARE TRANSACTION 'open{n}';")).collect();
    fleet.run_sql(&(open + "SELECT pg_current_xact_id();"));
    let snapshot = fleet.psql("SELECT pg_current_snapshot()");
    assert!(snapshot.len() > 5000, "{}", snapshot.len());
    let code = fleet.code(1).await;
    let (mut confirmed, target) = (0, |n| format!("https://example.com/beside/{n}"));
    for n in 0..20 {
        let (status, visible, _) = fleet.call(Method::PUT, "/urls/1", &json!({"original_url": target(n)})).await;
        assert_eq!(status, 200);
        if visible.as_deref() == Some("2/2") {
            confirmed += 1;
            assert_eq!(fleet.look_up(0, &code).await, (302, Some(target(n))));
        }
    }
    println!(
        "beside 1200 open transactions (a snapshot of {} bytes) {confirmed} of 20 answers said 2/2",
        snapshot.len()
    );
    assert!(confirmed > 10, "{confirmed}");
    assert_eq!(fleet.count_differing_codes().await, 0);
}

/// `make soak-coherence` leaves it open for ten minutes.
#[tokio::test(flavor = "multi_thread")]
async fn long_transaction_delays_no_other_change() {
    let fleet = Fleet::start(5, &[("VISIBLE_WAIT", "0")]).await;
    let code = fleet.code(1).await;
    let open = fleet.begin("UPDATE urls SET is_active = false WHERE id = 2");
    let mut times = Vec::new();
    for n in 0..100 {
        times.push(fleet.change(1, &code, &format!("https://example.com/{n}")).await.since_sent);
    }
    let p99 = percentile(&times, 0.99);
    println!("beside an open transaction: p50 {:?}, p99 {p99:?}", percentile(&times, 0.5));
    assert!(p99 < limit(Duration::from_millis(50), Duration::from_secs(1)), "{p99:?}");
    let second = fleet.code(2).await;
    assert_eq!(fleet.look_up(0, &second).await.0, 302, "not committed yet");
    open.commit();
    for redirector in 0..2 {
        tern_tests::eventually("what it changed is served", async || fleet.look_up(redirector, &second).await.0 == 410)
            .await;
    }
    assert_eq!(fleet.count_differing_codes().await, 0);
}
