//! Buses and caches at an address, and waiting for their messages.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use tern_common::bus::{Bus, Delivery, Message, RedisBus, Subscription, Topic};
use tern_common::cache::RedisCache;
use tern_common::config::{Reader, Setting, Variables};
use tern_common::redis::{Authorities, Prefix, RedisConfig};
use tern_common::seal::{Seal, SealKey};
use tern_common::store::{Cursor, LinkFeed, SqliteStore};
use tern_testkit::redis::Redis;

pub fn config(url: &str) -> RedisConfig {
    let variables = Variables::from([("REDIS_URL".to_owned(), url.to_owned())]);
    let mut reader = Reader::new(&variables);
    let config = RedisConfig::read(&mut reader).unwrap();
    reader.finish(config).unwrap()
}

/// Returns the seal that every bus and cache of these tests uses.
pub fn seal() -> Arc<Seal> {
    Seal::with_key(SealKey::from_bytes([7; 32]))
}

pub fn bus_at(url: &str) -> RedisBus {
    RedisBus::new(&config(url), seal())
}

/// Returns a configuration that trusts the authority of a private server.
pub fn config_with_authority(redis: &Redis) -> RedisConfig {
    let authorities = Authorities::parse(&redis.authority());
    RedisConfig { authorities, ..config(&redis.url()) }
}

pub fn bus_with_prefix(url: &str, prefix: &str) -> RedisBus {
    RedisBus::new(&RedisConfig { prefix: Prefix::parse(prefix).unwrap(), ..config(url) }, seal())
}

pub fn cache_at(url: &str) -> RedisCache {
    RedisCache::new(&config(url), seal())
}

/// Opens a connection for arbitrary commands.
pub async fn connect_raw(url: &str) -> MultiplexedConnection {
    redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap()
}

pub async fn subscribe_to_invalidations(bus: &dyn Bus) -> Box<dyn Subscription> {
    bus.subscribe(Topic::Invalidations).await.unwrap()
}

/// Returns every message that has arrived or arrives within 100 ms.
pub async fn drain_messages(subscription: &mut Box<dyn Subscription>) -> Vec<Delivery> {
    let mut taken = Vec::new();
    while let Ok(received) = tokio::time::timeout(Duration::from_millis(100), subscription.next()).await {
        taken.push(received.unwrap());
    }
    taken
}

/// Subscribes as soon as that succeeds again and checks that a publication is received.
pub async fn check_receives_again(bus: &dyn Bus) {
    let mut subscription = eventually(async || bus.subscribe(Topic::Invalidations).await.ok()).await;
    eventually(async || bus.publish(Message::Invalidation).await.ok()).await;
    let heard = tokio::time::timeout(Duration::from_secs(1), subscription.next()).await;
    assert_eq!(heard.expect("the message does not arrive at once").unwrap(), Delivery::Message(Message::Invalidation));
}

/// Returns an arbitrary cursor.
pub async fn cursor() -> Cursor {
    let directory = tempfile::tempdir().unwrap();
    SqliteStore::open(&directory.path().join("tern.db")).await.unwrap().snapshot().await.unwrap().cursor
}

/// Waits until `look` returns a value, for 20 seconds at most.
pub async fn eventually<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < deadline, "the condition was not met within 20 seconds");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
