//! Each kind of `REDIS_URL`, against real servers.

use std::time::Duration;

use tern_common::bus::{Bus, Delivery, Message, RedisBus, ReplicaId, Topic};
use tern_common::cache::{Cache, RedisCache};
use tern_common::redis::RedisConfig;
use tern_testkit::redis::{Redis, RedisCluster, RedisSentinel};

use crate::support::{bus_at, cache_at, config, config_with_authority, cursor, eventually, hear_again, seal};

/// Whether messages, presence and cached answers get through.
async fn works(config: &RedisConfig) {
    let (bus, cache) = (RedisBus::new(config, seal()), RedisCache::new(config, seal()));
    let mut progress = bus.subscribe(Topic::Progress).await.unwrap();
    let (replica, cursor) = (ReplicaId::random(), cursor().await);
    let applied = Message::Progress { replica, cursor: cursor.clone() };
    // On a busy machine the first connection takes longer than a publication may.
    eventually(async || bus.publish(applied.clone()).await.ok()).await;
    assert_eq!(progress.next().await.unwrap(), Delivery::Message(applied));
    assert_eq!(bus.live().await.unwrap(), [(replica, cursor)]);
    hear_again(&bus).await;
    // In a cluster these belong to both nodes.
    for key in 0..20 {
        let name = format!("key {key}");
        eventually(async || cache.put(&name, vec![key], Duration::from_secs(60)).await.ok()).await;
    }
    for key in 0..20 {
        assert_eq!(cache.get(&format!("key {key}")).await.unwrap(), Some(vec![key]));
    }
    bus.publish(Message::Departure { replica }).await.unwrap();
    assert_eq!(bus.live().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_a_password() {
    let redis = Redis::start_with_password("hunter2");
    works(&config(&redis.url())).await;
    for wrong in ["", ":wrong@"] {
        let bus = bus_at(&format!("redis://{wrong}127.0.0.1:{}", redis.port()));
        let publish = bus.publish(Message::Invalidation).await.unwrap_err();
        let subscribe = bus.subscribe(Topic::Invalidations).await.unwrap_err();
        let told = format!("{publish} {publish:?} {subscribe} {subscribe:?} {bus:?}");
        assert!(!told.contains("wrong") && !told.contains("hunter2"), "{told}");
    }
    let told = format!("{:?}", (bus_at(&redis.url()), cache_at(&redis.url())));
    assert!(!told.contains("hunter2"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_its_own() {
    let redis = Redis::start_new();
    let url = format!("redis://127.0.0.1:{}/7", redis.port());
    works(&config(&url)).await;
    let other = cache_at(&redis.url());
    assert_eq!(other.get("key 1").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_tls() {
    let redis = Redis::start_with_tls();
    works(&config_with_authority(&redis)).await;
    // Nobody whom the system trusts vouches for it.
    let bus = RedisBus::new(&config(&redis.url()), seal());
    let error = bus.subscribe(Topic::Invalidations).await.unwrap_err();
    assert!(error.to_string().to_lowercase().contains("certificate"), "{error}");
    bus_at(&format!("redis://127.0.0.1:{}", redis.port())).subscribe(Topic::Invalidations).await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_lead_to_the_new_master() {
    let mut redis = RedisSentinel::start();
    works(&config(&redis.url())).await;
    let bus = bus_at(&redis.url());
    let mut subscription = bus.subscribe(Topic::Invalidations).await.unwrap();
    bus.publish(Message::Invalidation).await.unwrap();
    assert_eq!(subscription.next().await.unwrap(), Delivery::Message(Message::Invalidation));
    redis.fail_over();
    subscription.next().await.unwrap_err();
    hear_again(&bus).await;
    let cache = cache_at(&redis.url());
    eventually(async || cache.put("key", vec![1], Duration::from_secs(60)).await.ok()).await;
    // The seal, the end of its time, and the byte.
    assert_eq!(redis.replica.command(&["STRLEN", "tern:v2:cache:key"]), "41");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_that_know_no_such_master_are_told_of() {
    let redis = RedisSentinel::start();
    let bus = bus_at(&format!("{}x", redis.url()));
    let error = bus.subscribe(Topic::Invalidations).await.unwrap_err();
    assert_eq!(error.to_string(), "the bus is unavailable: the sentinels know no master ternx");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinel_that_hangs_is_passed_over() {
    let (redis, hanging) = (RedisSentinel::start(), Redis::start_new());
    hanging.freeze();
    let bus = bus_at(&redis.url().replace("://", &format!("://127.0.0.1:{},", hanging.port())));
    hear_again(&bus).await;
    hanging.thaw();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_of_a_cluster_hear_each_other() {
    let redis = RedisCluster::start();
    works(&config(&redis.url())).await;
    // Whichever node a key or a message belongs to, subscribers of either hear it.
    let publisher = bus_at(&redis.url());
    for node in &redis.0 {
        let listener = bus_at(&format!("redis+cluster://127.0.0.1:{}", node.port()));
        let mut subscription = listener.subscribe(Topic::Invalidations).await.unwrap();
        publisher.publish(Message::Invalidation).await.unwrap();
        assert_eq!(subscription.next().await.unwrap(), Delivery::Message(Message::Invalidation));
    }
}
