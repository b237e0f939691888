//! Faults of Redis cost time, never correctness: every change is served within a second.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use tern_testkit::relay::Stall;
use tern_tests::{BusListener, CHANNELS, Fleet, Forger, Visible, eventually, limit};

/// Returns the longest time of a change: a poll of half a second, plus or minus a fifth, and its delta.
fn longest_change() -> Duration {
    limit(Duration::from_secs(1), Duration::from_secs(3))
}

/// Makes changes one after another, checks how soon each is served, and returns the slowest.
async fn check_changes(fleet: &Fleet, what: &str, changes: usize) -> Duration {
    let code = fleet.code(1).await;
    let mut slowest = Duration::ZERO;
    for n in 0..changes {
        let target = format!("https://example.com/{what}/{n}").replace(' ', "-");
        let Visible { since_answered, .. } = fleet.change(1, &code, &target).await;
        slowest = slowest.max(since_answered);
    }
    println!("{what}: the slowest of {changes} changes was served {slowest:?} after its answer");
    assert!(slowest < longest_change(), "{what}: {slowest:?}");
    slowest
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_killed_flushed_frozen_or_cut_off_delays_no_change_for_long() {
    let mut fleet = Fleet::start(10, &[("VISIBLE_WAIT", "0")]).await;
    check_changes(&fleet, "healthy", 5).await;

    fleet.redis.cut_subscribers();
    check_changes(&fleet, "subscribers cut", 5).await;
    assert_eq!(fleet.count_differing_codes().await, 0);

    fleet.redis.flush_all();
    check_changes(&fleet, "emptied", 5).await;
    assert_eq!(fleet.count_differing_codes().await, 0);

    fleet.redis.freeze();
    check_changes(&fleet, "frozen", 5).await;
    fleet.redis.thaw();
    assert_eq!(fleet.count_differing_codes().await, 0);

    fleet.redis.kill9();
    check_changes(&fleet, "killed", 5).await;
    fleet.redis.start();
    check_changes(&fleet, "back", 5).await;
    assert_eq!(fleet.count_differing_codes().await, 0);
}

/// Messages are lost and nothing is closed, in one direction or in both.
#[tokio::test(flavor = "multi_thread")]
async fn redis_half_open_delays_no_change_for_long() {
    let fleet = Fleet::start_behind_relays(10, &[("VISIBLE_WAIT", "0")]).await;
    let redis = &fleet.relays.as_ref().unwrap().redis;
    for (what, stall) in [
        ("half-open towards Redis", Stall::ToServer),
        ("half-open towards the planes", Stall::ToClient),
        ("half-open both ways", Stall::Both),
    ] {
        redis.stall(stall);
        check_changes(&fleet, what, 5).await;
        redis.resume();
        assert_eq!(fleet.count_differing_codes().await, 0);
    }
}

/// The planes' own messages repeated and reversed, forged messages in their form, and messages of a megabyte.
#[tokio::test(flavor = "multi_thread")]
async fn repeated_reordered_forged_and_huge_messages_cause_no_wrong_redirect() {
    let fleet = Fleet::start(10, &[]).await;
    let bus_listener = BusListener::new(&fleet.redis);
    check_changes(&fleet, "before", 20).await;
    let heard = bus_listener.end();
    assert!(CHANNELS.iter().all(|channel| heard.iter().any(|(on, _)| on == channel)), "{heard:?}");

    let mut replay = heard.clone();
    replay.reverse();
    // An announcement of one replica is sent for another, which never existed.
    let replica_of = |message: &[u8]| String::from_utf8_lossy(message).split(' ').nth(1).map(str::to_owned);
    let replicas: Vec<String> = heard.iter().filter_map(|(_, message)| replica_of(message)).collect();
    let forged = heard.iter().map(|(channel, message)| {
        let message = String::from_utf8_lossy(message);
        (
            *channel,
            replica_of(message.as_bytes()).map_or_else(Vec::new, |id| message.replace(&id, "0123456789abcdef").into()),
        )
    });
    // Announcements that a replica has left, and cursors beyond every possible one.
    let left = replicas.iter().map(|id| (CHANNELS[1], format!("left {id}").into_bytes()));
    let future = heard.iter().filter_map(|(channel, message)| {
        let (head, _) = std::str::from_utf8(message).ok()?.rsplit_once('/')?;
        Some((*channel, format!("{head}/18446744073709551614:18446744073709551615:").into_bytes()))
    });
    let lies: Vec<_> = forged.chain(left).chain(future).collect();
    let megabytes = CHANNELS.map(|channel| (channel, vec![b'x'; 1 << 20]));

    for (what, messages) in [("repeated and reordered", replay), ("forged", lies), ("huge", megabytes.to_vec())] {
        let forgery = Forger::new(&fleet.redis).repeat(messages);
        check_changes(&fleet, what, 10).await;
        println!("beside {} messages, {what}", forgery.end());
        assert_eq!(fleet.count_differing_codes().await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn flood_of_forged_messages_costs_few_deltas_and_no_wrong_redirect() {
    let fleet = Fleet::start(10, &[("VISIBLE_WAIT", "0")]).await;
    let before = fleet.metric(0, "tern_replica_deltas_total").await;
    let started = Instant::now();
    let flood = Forger::new(&fleet.redis).flood(Duration::from_secs(3));
    check_changes(&fleet, "flooded", 10).await;
    let flood = flood.join().unwrap();
    let seconds = started.elapsed().as_secs_f64();
    let deltas = fleet.metric(0, "tern_replica_deltas_total").await - before;
    println!("{:.0} forged messages a second: {:.0} deltas a second", flood.per_second(), deltas / seconds);
    // Fifty a second, the polls, and one for each real change.
    assert!(deltas <= 60.0 * seconds + 20.0, "{deltas} deltas in {seconds} s");
    assert_eq!(fleet.count_differing_codes().await, 0);
}

/// A frozen redirector serves nothing, whatever its announcements claim, and only admins fill the cache.
#[tokio::test(flavor = "multi_thread")]
async fn forged_progress_and_forged_products_are_ignored() {
    let fleet = Fleet::start(10, &[("VISIBLE_WAIT", "300ms")]).await;
    let bus_listener = BusListener::new(&fleet.redis);
    let code = fleet.code(1).await;
    fleet.change(1, &code, "https://example.com/before").await;
    let heard = bus_listener.end();
    // A future cursor of each replica: with its old seal, with a wrong seal, and without one.
    let applied = heard.iter().filter(|(_, message)| message.starts_with(b"applied "));
    let forged: Vec<_> = applied
        .flat_map(|(channel, message)| {
            let message = std::str::from_utf8(message).unwrap();
            let (text, seal) = message.rsplit_once(' ').unwrap();
            let (head, _) = text.rsplit_once('/').unwrap();
            let future = format!("{head}/18446744073709551614:18446744073709551615:");
            let nobodys = format!("{future} {}", "0".repeat(64));
            [format!("{future} {seal}"), nobodys, future].map(|text| (*channel, text.into_bytes()))
        })
        .collect();
    assert!(!forged.is_empty());
    let body = |n: usize| serde_json::json!({"original_url": format!("https://example.com/forged/{n}")});
    let visible = async |n: usize| fleet.call(reqwest::Method::PUT, "/urls/1", &body(n)).await.1.unwrap();
    assert_eq!(visible(0).await, "2/2");
    fleet.redirectors[0].signal(nix::sys::signal::Signal::SIGSTOP);
    let forgery = Forger::new(&fleet.redis).repeat(forged);
    for n in 1..=3 {
        assert_eq!(visible(n).await, "1/2");
    }
    assert!(forgery.end() > 0);
    fleet.redirectors[0].signal(nix::sys::signal::Signal::SIGCONT);

    let product = r#"[{"id":1,"name":"forged","category":"x","price":1.00,"stock":1}]"#;
    for key in ["tern:v1:cache:products", "tern:v2:cache:products"] {
        fleet.redis.command(&["SET", key, product]);
    }
    let products = fleet.client().get(format!("http://{}/products", fleet.admin.addresses[0])).send().await.unwrap();
    assert_eq!(products.headers()["x-cache"], "MISS");
    assert_eq!(products.text().await.unwrap(), "[]");
}

/// Without Redis the number of redirectors that serve a change is unknown: they keep serving the old link.
#[tokio::test(flavor = "multi_thread")]
async fn change_without_redis_has_unknown_visibility() {
    let mut fleet = Fleet::start(3, &[]).await;
    let change = async |fleet: &Fleet, method: Method, path: &str| {
        let body = json!({"user_id": 1, "original_url": "https://example.com/changed"});
        let (status, visible, answer) = fleet.call(method, path, &body).await;
        assert!((200..300).contains(&status), "{path}: {answer}");
        visible.unwrap()
    };
    assert_eq!(change(&fleet, Method::PUT, "/urls/1").await, "2/2");

    fleet.redis.freeze();
    let frozen = Instant::now();
    let mut seen = Vec::new();
    while frozen.elapsed() < Duration::from_secs(6) {
        let visible = change(&fleet, Method::PUT, "/urls/1").await;
        if seen.last() != Some(&visible) {
            seen.push(visible);
        }
    }
    println!("while Redis was frozen: {seen:?}");
    assert_eq!(seen.last().map(String::as_str), Some("?"));
    assert!(!seen.contains(&"0/0".to_owned()), "{seen:?}");
    fleet.redis.thaw();
    eventually("both are heard of", async || change(&fleet, Method::PUT, "/urls/1").await == "2/2").await;

    fleet.redis.kill9();
    eventually("Redis is missed", async || change(&fleet, Method::PUT, "/urls/1").await == "?").await;
    assert_eq!(change(&fleet, Method::POST, "/urls").await, "?");
    assert_eq!(change(&fleet, Method::DELETE, "/urls/2").await, "?");
    assert_eq!(change(&fleet, Method::DELETE, "/users/1?cascade=true").await, "?");
    fleet.redis.start();
}
