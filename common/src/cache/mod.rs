//! The cache: answers kept for a while, never the only copy of anything.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

mod local;
mod redis;

pub use local::LocalCache;
pub use redis::RedisCache;

/// The cache cannot be reached; the caller does without.
#[derive(Debug, thiserror::Error)]
#[error("the cache is unavailable: {0:#}")]
pub struct CacheError(pub anyhow::Error);

/// The third seam.
#[async_trait]
pub trait Cache: fmt::Debug + Send + Sync + 'static {
    /// What was put under `key`, unless its time is over.
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, CacheError>;

    /// Keeps `value` under `key` for `ttl`, in place of what was there.
    async fn put(&self, key: &str, value: Vec<u8>, ttl: Duration) -> Result<(), CacheError>;
}
