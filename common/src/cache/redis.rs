//! The cache between processes: Redis keys with a lifetime.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::redis::cmd;
use async_trait::async_trait;
use prometheus::{IntCounter, Registry};

use super::{Cache, CacheError};
use crate::redis::{Dialer, Link, RedisConfig};
use crate::seal::{SEAL_LEN, Seal};

/// The longest value that is stored or read, in bytes.
const MAX_LEN: usize = 16 << 20;

/// The length of the expiry time, which is between the seal and the value, in bytes.
const EXPIRY_LEN: usize = size_of::<u64>();

/// A cache for all processes that use the same Redis with the same prefix.
#[derive(Debug)]
pub struct RedisCache {
    link: Link,
    prefix: String,
    seal: Arc<Seal>,
    forged: IntCounter,
}

impl RedisCache {
    /// Returns a cache that connects at its first use, and again after a failure.
    /// `seal` signs the values, so that no other program can forge one.
    ///
    /// # Panics
    /// Never: the name of its metric is well formed.
    pub fn new(config: &RedisConfig, seal: Arc<Seal>) -> RedisCache {
        let prefix = format!("{}tern:v2:cache:", config.prefix.as_str());
        let help = "Values in the cache that were ignored because their seal was invalid.";
        let forged = IntCounter::new("tern_cache_values_forged_total", help).expect("the name is well formed");
        RedisCache { link: Link::new(Dialer::new(config)), prefix, seal, forged }
    }

    /// Registers the number of forged values in `registry`.
    ///
    /// # Errors
    /// When it is registered already.
    pub fn export(&self, registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(self.forged.clone()))
    }

    fn name(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// Returns the value within a sealed one; `None` if its seal is invalid or its lifetime is over.
    fn open(&self, name: &str, sealed: &[u8], now_ms: u64) -> Option<Vec<u8>> {
        let opened = sealed
            .split_at_checked(SEAL_LEN)
            .filter(|(seal, content)| self.seal.verify(name, content, seal))
            .and_then(|(_, content)| content.split_first_chunk::<EXPIRY_LEN>());
        let Some((expiry, value)) = opened else {
            self.forged.inc();
            return None;
        };
        // Another program may write an old value again, so its expiry time is part of the sealed content.
        (now_ms < u64::from_be_bytes(*expiry)).then(|| value.to_vec())
    }
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

#[async_trait]
impl Cache for RedisCache {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, CacheError> {
        let name = &self.name(key);
        // Redis accepts values of half a gigabyte, also from other programs.
        let get = |mut connection| async move {
            cmd("GETRANGE").arg(name).arg(0).arg(MAX_LEN - 1).query_async(&mut connection).await
        };
        let sealed: Vec<u8> = self.link.run(get).await.map_err(CacheError)?;
        Ok(if sealed.is_empty() { None } else { self.open(name, &sealed, now_ms()) })
    }

    async fn put(&self, key: &str, value: Vec<u8>, ttl: Duration) -> Result<(), CacheError> {
        // Redis refuses a lifetime of zero, and one beyond its range.
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).clamp(1, 1 << 50);
        let name = &self.name(key);
        let content = [&now_ms().saturating_add(ttl_ms).to_be_bytes()[..], &value].concat();
        let Some(seal) = self.seal.sign(name, &content) else {
            return Err(CacheError(anyhow::anyhow!("the seal key has not been read from the database yet")));
        };
        let sealed = &[&seal[..], &content].concat();
        if sealed.len() > MAX_LEN {
            return Err(CacheError(anyhow::anyhow!("a value of {} bytes is too long for the cache", value.len())));
        }
        let set = |mut connection| async move {
            cmd("SET").arg(name).arg(sealed).arg("PX").arg(ttl_ms).exec_async(&mut connection).await
        };
        self.link.run(set).await.map_err(CacheError)
    }
}
