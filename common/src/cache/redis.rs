//! The cache between processes: Redis keys with a lifetime.

use std::time::Duration;

use ::redis::cmd;
use async_trait::async_trait;

use super::{Cache, CacheError};
use crate::redis::{Dialer, Link, RedisConfig};

/// Answers in a Redis, for every process that uses it under the same prefix.
#[derive(Debug)]
pub struct RedisCache {
    link: Link,
    prefix: String,
}

impl RedisCache {
    /// Connects when it is first used, and whenever it must; a Redis that is away is no reason to fail here.
    pub fn new(config: &RedisConfig) -> RedisCache {
        let prefix = format!("{}tern:v1:cache:", config.prefix.as_str());
        RedisCache { link: Link::new(Dialer::new(config)), prefix }
    }

    fn name(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }
}

#[async_trait]
impl Cache for RedisCache {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, CacheError> {
        let name = &self.name(key);
        let get = |mut connection| async move { cmd("GET").arg(name).query_async(&mut connection).await };
        self.link.run(get).await.map_err(CacheError)
    }

    async fn put(&self, key: &str, value: Vec<u8>, ttl: Duration) -> Result<(), CacheError> {
        // Redis takes no lifetime of nothing, and none longer than it can count.
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).clamp(1, 1 << 50);
        let (name, value) = (&self.name(key), &value);
        let set = |mut connection| async move {
            cmd("SET").arg(name).arg(value).arg("PX").arg(ttl_ms).exec_async(&mut connection).await
        };
        self.link.run(set).await.map_err(CacheError)
    }
}
