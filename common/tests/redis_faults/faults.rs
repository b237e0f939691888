//! The bus and the cache while Redis is killed, flushed, stopped, frozen or cut off.

use std::time::{Duration, Instant};

use tern_common::bus::{Bus, Delivery, Message, ReplicaId, Subscription, Topic};
use tern_common::cache::Cache;
use tern_testkit::redis::Redis;
use tern_testkit::relay::{Relay, Stall};
use tokio::time::timeout;

use crate::support::{bus_at, cache_at, check_receives_again, cursor, eventually, subscribe_to_invalidations};

/// Three seconds of silence, and a tolerance of half a second for a busy machine.
const LOSS_NOTICED_WITHIN: Duration = Duration::from_millis(3500);

const AT_ONCE: Duration = Duration::from_millis(500);

/// Longest time of one publication while Redis does not answer.
const FAILS_WITHIN: Duration = Duration::from_millis(300);

/// Publishes until the subscription breaks, and checks that it does so within `limit`.
async fn check_breaks_within(limit: Duration, bus: &dyn Bus, subscription: &mut Box<dyn Subscription>) {
    let publishing = async {
        loop {
            let _ =
                timeout(FAILS_WITHIN, bus.publish(Message::Invalidation)).await.expect("the call does not fail fast");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let breaking = async { while subscription.next().await.is_ok() {} };
    tokio::select! {
        () = publishing => {}
        broken = timeout(limit, breaking) => broken.expect("the lost connection is not noticed"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscription_to_killed_server_breaks_at_once_and_recovers() {
    let mut redis = Redis::start_new();
    let bus = bus_at(&redis.url());
    let mut subscription = subscribe_to_invalidations(&bus).await;
    bus.publish(Message::Invalidation).await.unwrap();
    redis.kill9();
    // The kernel closes the killed server's connections.
    check_breaks_within(AT_ONCE, &bus, &mut subscription).await;
    let refused = bus.subscribe(Topic::Invalidations).await.unwrap_err();
    assert!(refused.to_string().starts_with("the bus is unavailable: "), "{refused}");
    redis.start();
    check_receives_again(&bus).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscription_to_stopped_server_breaks_at_once_and_recovers() {
    let mut redis = Redis::start_new();
    let bus = bus_at(&redis.url());
    let mut subscription = subscribe_to_invalidations(&bus).await;
    redis.stop();
    check_breaks_within(AT_ONCE, &bus, &mut subscription).await;
    redis.start();
    check_receives_again(&bus).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flushed_server_forgets_replicas_until_their_next_heartbeat() {
    let redis = Redis::start_new();
    let bus = bus_at(&redis.url());
    let mut subscription = subscribe_to_invalidations(&bus).await;
    let applied = Message::Progress { replica: ReplicaId::random(), cursor: cursor().await };
    bus.publish(applied.clone()).await.unwrap();
    assert_eq!(bus.live().await.unwrap().len(), 1);
    redis.flush_all();
    assert_eq!(bus.live().await.unwrap(), []);
    bus.publish(Message::Invalidation).await.unwrap();
    assert_eq!(subscription.next().await.unwrap(), Delivery::Message(Message::Invalidation));
    bus.publish(applied).await.unwrap();
    assert_eq!(bus.live().await.unwrap().len(), 1, "the instance is not live after its next heartbeat");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscription_to_frozen_server_breaks_in_time_and_recovers() {
    let redis = Redis::start_new();
    let bus = bus_at(&redis.url());
    let mut subscription = subscribe_to_invalidations(&bus).await;
    let frozen_at = Instant::now();
    redis.freeze();
    check_breaks_within(LOSS_NOTICED_WITHIN, &bus, &mut subscription).await;
    // A subscription requested now succeeds once the server resumes, or fails.
    let still_frozen = bus.subscribe(Topic::Invalidations);
    tokio::time::sleep_until((frozen_at + Duration::from_secs(5)).into()).await;
    redis.thaw();
    drop(still_frozen.await);
    check_receives_again(&bus).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscription_cut_by_the_server_breaks_at_once_and_recovers() {
    let redis = Redis::start_new();
    let bus = bus_at(&redis.url());
    let mut subscription = subscribe_to_invalidations(&bus).await;
    redis.cut_subscribers();
    check_breaks_within(AT_ONCE, &bus, &mut subscription).await;
    check_receives_again(&bus).await;
}

async fn check_half_open(stall: Stall) {
    let redis = Redis::start_new();
    let relay = Relay::to(redis.port());
    let bus = bus_at(&redis.url_through(relay.port()));
    let mut subscription = subscribe_to_invalidations(&bus).await;
    bus.publish(Message::Invalidation).await.unwrap();
    relay.stall(stall);
    check_breaks_within(LOSS_NOTICED_WITHIN, &bus, &mut subscription).await;
    relay.resume();
    check_receives_again(&bus).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscription_half_open_in_both_directions_breaks_in_time_and_recovers() {
    check_half_open(Stall::Both).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscription_half_open_towards_server_breaks_in_time_and_recovers() {
    check_half_open(Stall::ToServer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscription_half_open_towards_client_breaks_in_time_and_recovers() {
    check_half_open(Stall::ToClient).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_broken_while_idle_loses_no_message() {
    let redis = Redis::start_new();
    let relay = Relay::to(redis.port());
    let direct = bus_at(&redis.url());
    let mut subscription = subscribe_to_invalidations(&direct).await;
    let bus = bus_at(&redis.url_through(relay.port()));
    bus.publish(Message::Invalidation).await.unwrap();
    subscription.next().await.unwrap();
    // At most one connection is tried a second, so the next one is due.
    tokio::time::sleep(Duration::from_millis(1050)).await;
    relay.cut();
    bus.publish(Message::Invalidation).await.unwrap();
    assert_eq!(subscription.next().await.unwrap(), Delivery::Message(Message::Invalidation));
    assert_eq!(relay.accepted(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failing_connection_is_tried_at_most_once_a_second() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let bus = bus_at(&format!("redis://{}", listener.local_addr().unwrap()));
    let hang_up = async {
        let mut attempts = Vec::new();
        loop {
            drop(listener.accept().await.unwrap());
            attempts.push(Instant::now());
            if attempts.len() == 4 {
                return attempts;
            }
        }
    };
    let publish = async {
        loop {
            assert!(bus.publish(Message::Invalidation).await.is_err());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let attempts = tokio::select! {
        attempts = hang_up => attempts,
        () = publish => unreachable!("it publishes for ever"),
    };
    // The listener sees an attempt slightly later than it began.
    let apart: Vec<_> = attempts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(apart.iter().all(|apart| *apart > Duration::from_millis(900)), "{apart:?}");
    assert!(apart.iter().all(|apart| *apart < Duration::from_millis(2000)), "{apart:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hanging_cache_slows_few_requests() {
    let redis = Redis::start_new();
    let cache = cache_at(&redis.url());
    cache.put("key", b"value".to_vec(), Duration::from_secs(60)).await.unwrap();
    redis.freeze();
    let began = Instant::now();
    let mut slow = 0;
    let mut asked = 0;
    while began.elapsed() < Duration::from_secs(3) {
        let mut answer = cache.get("key");
        if timeout(Duration::from_millis(20), &mut answer).await.is_err() {
            timeout(FAILS_WITHIN, answer).await.expect("the call does not fail fast").unwrap_err();
            slow += 1;
        }
        asked += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(asked > 20 && slow <= 3, "{slow} of {asked} requests were slow");
    redis.thaw();
    let value = eventually(async || cache.get("key").await.ok()).await;
    assert_eq!(value, Some(b"value".to_vec()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unavailable_cache_fails_and_recovers() {
    let mut redis = Redis::start_new();
    let cache = cache_at(&redis.url());
    cache.put("key", b"value".to_vec(), Duration::from_secs(60)).await.unwrap();
    redis.kill9();
    let error = cache.get("key").await.unwrap_err();
    assert!(error.to_string().starts_with("the cache is unavailable: "), "{error}");
    redis.start();
    assert_eq!(eventually(async || cache.get("key").await.ok()).await, None, "an entry was kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_that_refuses_writes_still_carries_messages() {
    let redis = Redis::start_new();
    let bus = bus_at(&redis.url());
    let mut progress = bus.subscribe(Topic::Progress).await.unwrap();
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let applied = Message::Progress { replica: ReplicaId::random(), cursor: cursor().await };
    assert!(bus.publish(applied.clone()).await.is_err(), "the key could not be kept");
    assert_eq!(progress.next().await.unwrap(), Delivery::Message(applied));
    bus.publish(Message::Invalidation).await.unwrap();
}
