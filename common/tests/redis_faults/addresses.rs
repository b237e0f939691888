//! Each kind of `REDIS_URL`, against real servers.

use std::time::Duration;

use tern_common::bus::{Bus, Delivery, Message, RedisBus, ReplicaId, Topic};
use tern_common::cache::{Cache, RedisCache};
use tern_common::redis::RedisConfig;
use tern_testkit::redis::{Redis, RedisCluster, RedisSentinel};

use crate::support::{bus_at, cache_at, check_receives_again, config, config_with_authority, cursor, eventually, seal};

/// Checks that messages, presence and cached values get through.
async fn check_bus_and_cache(config: &RedisConfig) {
    let (bus, cache) = (RedisBus::new(config, seal()), RedisCache::new(config, seal()));
    let mut progress = bus.subscribe(Topic::Progress).await.unwrap();
    let (replica, cursor) = (ReplicaId::random(), cursor().await);
    let applied = Message::Progress { replica, cursor: cursor.clone() };
    // On a busy machine the first connection takes longer than a publication may.
    eventually(async || bus.publish(applied.clone()).await.ok()).await;
    assert_eq!(progress.next().await.unwrap(), Delivery::Message(applied));
    assert_eq!(bus.live().await.unwrap(), [(replica, cursor)]);
    check_receives_again(&bus).await;
    // In a cluster the keys belong to both nodes.
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
async fn password_protected_server_is_used_and_its_password_not_printed() {
    let redis = Redis::start_with_password("hunter2");
    check_bus_and_cache(&config(&redis.url())).await;
    for wrong in ["", ":wrong@"] {
        let bus = bus_at(&format!("redis://{wrong}127.0.0.1:{}", redis.port()));
        let publish = bus.publish(Message::Invalidation).await.unwrap_err();
        let subscribe = bus.subscribe(Topic::Invalidations).await.unwrap_err();
        let text = format!("{publish} {publish:?} {subscribe} {subscribe:?} {bus:?}");
        assert!(!text.contains("wrong") && !text.contains("hunter2"), "{text}");
    }
    let text = format!("{:?}", (bus_at(&redis.url()), cache_at(&redis.url())));
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbered_redis_database_is_isolated() {
    let redis = Redis::start_new();
    let url = format!("redis://127.0.0.1:{}/7", redis.port());
    check_bus_and_cache(&config(&url)).await;
    let other = cache_at(&redis.url());
    assert_eq!(other.get("key 1").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_server_is_used_and_verified() {
    let redis = Redis::start_with_tls();
    check_bus_and_cache(&config_with_authority(&redis)).await;
    // The system's certificates do not include the server's authority.
    let bus = RedisBus::new(&config(&redis.url()), seal());
    let error = bus.subscribe(Topic::Invalidations).await.unwrap_err();
    assert!(error.to_string().to_lowercase().contains("certificate"), "{error}");
    bus_at(&format!("redis://127.0.0.1:{}", redis.port())).subscribe(Topic::Invalidations).await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_after_failover_return_the_new_master() {
    let mut redis = RedisSentinel::start();
    check_bus_and_cache(&config(&redis.url())).await;
    let bus = bus_at(&redis.url());
    let mut subscription = bus.subscribe(Topic::Invalidations).await.unwrap();
    bus.publish(Message::Invalidation).await.unwrap();
    assert_eq!(subscription.next().await.unwrap(), Delivery::Message(Message::Invalidation));
    redis.fail_over();
    subscription.next().await.unwrap_err();
    check_receives_again(&bus).await;
    let cache = cache_at(&redis.url());
    eventually(async || cache.put("key", vec![1], Duration::from_secs(60)).await.ok()).await;
    // The value is a seal, an expiry and one byte.
    assert_eq!(redis.replica.command(&["STRLEN", "tern:v2:cache:key"]), "41");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_master_name_is_reported() {
    let redis = RedisSentinel::start();
    let bus = bus_at(&format!("{}x", redis.url()));
    let error = bus.subscribe(Topic::Invalidations).await.unwrap_err();
    assert_eq!(error.to_string(), "the bus is unavailable: the sentinels know no master ternx");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hanging_sentinel_is_skipped() {
    let (redis, hanging) = (RedisSentinel::start(), Redis::start_new());
    hanging.freeze();
    let bus = bus_at(&redis.url().replace("://", &format!("://127.0.0.1:{},", hanging.port())));
    check_receives_again(&bus).await;
    hanging.thaw();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cluster_nodes_receive_messages_of_each_other() {
    let redis = RedisCluster::start();
    check_bus_and_cache(&config(&redis.url())).await;
    // Subscribers of either node receive a message, whichever node its key belongs to.
    let publisher = bus_at(&redis.url());
    for node in &redis.0 {
        let listener = bus_at(&format!("redis+cluster://127.0.0.1:{}", node.port()));
        let mut subscription = listener.subscribe(Topic::Invalidations).await.unwrap();
        publisher.publish(Message::Invalidation).await.unwrap();
        assert_eq!(subscription.next().await.unwrap(), Delivery::Message(Message::Invalidation));
    }
}
