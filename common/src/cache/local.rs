//! The cache within one process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::{Cache, CacheError};

/// The number of entries. Beyond it, the least recently used entries are evicted.
const CAPACITY: u64 = 10_000;

/// A cache in the memory of this process.
#[derive(Debug)]
pub struct LocalCache(moka::sync::Cache<String, Entry>);

#[derive(Clone, Debug)]
struct Entry {
    value: Arc<[u8]>,
    ttl: Duration,
}

/// The expiry policy: each entry has its own lifetime.
#[derive(Debug)]
struct EntryLifetime;

impl moka::Expiry<String, Entry> for EntryLifetime {
    fn expire_after_create(&self, _: &String, entry: &Entry, _: Instant) -> Option<Duration> {
        Some(entry.ttl)
    }

    fn expire_after_update(&self, _: &String, entry: &Entry, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(entry.ttl)
    }
}

impl LocalCache {
    pub fn new() -> LocalCache {
        LocalCache(moka::sync::Cache::builder().max_capacity(CAPACITY).expire_after(EntryLifetime).build())
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
