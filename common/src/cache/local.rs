//! The cache within one process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::{Cache, CacheError};

/// How many answers are kept; the least recently used make room.
const CAPACITY: u64 = 10_000;

/// Answers in this process's memory.
#[derive(Debug)]
pub struct LocalCache(moka::sync::Cache<String, Entry>);

#[derive(Clone, Debug)]
struct Entry {
    value: Arc<[u8]>,
    ttl: Duration,
}

/// Tells moka that each entry carries its own lifetime.
#[derive(Debug)]
struct OwnLifetime;

impl moka::Expiry<String, Entry> for OwnLifetime {
    fn expire_after_create(&self, _: &String, entry: &Entry, _: Instant) -> Option<Duration> {
        Some(entry.ttl)
    }

    fn expire_after_update(&self, _: &String, entry: &Entry, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(entry.ttl)
    }
}

impl LocalCache {
    pub fn new() -> LocalCache {
        LocalCache(moka::sync::Cache::builder().max_capacity(CAPACITY).expire_after(OwnLifetime).build())
    }
}

impl Default for LocalCache {
    fn default() -> LocalCache {
        LocalCache::new()
    }
}

#[async_trait]
impl Cache for LocalCache {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, CacheError> {
        Ok(self.0.get(key).map(|entry| entry.value.to_vec()))
    }

    async fn put(&self, key: &str, value: Vec<u8>, ttl: Duration) -> Result<(), CacheError> {
        self.0.insert(key.to_owned(), Entry { value: value.into(), ttl });
        Ok(())
    }
}
