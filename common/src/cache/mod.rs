//! The cache: answers with a lifetime. It never has the only copy of a value.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

mod local;
mod redis;

pub use local::LocalCache;
pub use redis::RedisCache;

/// The error of an unavailable cache. The caller computes the value instead.
#[derive(Debug, thiserror::Error)]
#[error("the cache is unavailable: {0:#}")]
pub struct CacheError(pub anyhow::Error);

/// A key-value cache, shared by processes or within one.
#[async_trait]
pub trait Cache: fmt::Debug + Send + Sync + 'static {
    /// Returns the value of `key`; `None` if there is none or its lifetime is over.
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, CacheError>;

    /// Stores `value` under `key` for `ttl`, and replaces a former value.
    async fn put(&self, key: &str, value: Vec<u8>, ttl: Duration) -> Result<(), CacheError>;
}
