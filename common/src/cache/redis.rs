//! The cache between processes: Redis keys with a lifetime.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::redis::cmd;
use async_trait::async_trait;
use prometheus::{IntCounter, Registry};

use super::{Cache, CacheError};
use crate::redis::{Dialer, Link, RedisConfig};
use crate::seal::{SEAL_LEN, Seal};

/// The longest value that is kept or believed, in bytes.
const MAX_LEN: usize = 16 << 20;

/// Bytes of the time at which a value ends, between the seal and the value.
const END_LEN: usize = size_of::<u64>();

/// Answers in a Redis, for every process that uses it under the same prefix.
#[derive(Debug)]
pub struct RedisCache {
    link: Link,
    prefix: String,
    seal: Arc<Seal>,
    forged: IntCounter,
}

impl RedisCache {
    /// Connects when it is first used, and whenever it must; a Redis that is away is no reason to fail here.
    /// Values are sealed with `seal`, so that nobody else can put one there.
    ///
    /// # Panics
    /// Never: the name of its metric is well formed.
    pub fn new(config: &RedisConfig, seal: Arc<Seal>) -> RedisCache {
        let prefix = format!("{}tern:v2:cache:", config.prefix.as_str());
        let help = "Values in the cache that were taken for absent, since their seal did not fit.";
        let forged = IntCounter::new("tern_cache_values_forged_total", help).expect("the name is well formed");
        RedisCache { link: Link::new(Dialer::new(config)), prefix, seal, forged }
    }

    /// Shows in `registry` how many values were forged.
    ///
    /// # Errors
    /// When the registry shows those of a cache already.
    pub fn export(&self, registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(self.forged.clone()))
    }

    fn name(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// Returns the value within a sealed one, unless its seal does not fit or its time is over.
    fn open(&self, name: &str, sealed: &[u8], now_ms: u64) -> Option<Vec<u8>> {
        let opened = sealed
            .split_at_checked(SEAL_LEN)
            .filter(|(seal, content)| self.seal.fits(name, content, seal))
            .and_then(|(_, content)| content.split_first_chunk::<END_LEN>());
        let Some((end, value)) = opened else {
            self.forged.inc();
            return None;
        };
        // A value that was true once must not be put back for ever.
        (now_ms < u64::from_be_bytes(*end)).then(|| value.to_vec())
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
        // Redis takes values of half a gigabyte from its writers.
        let get = |mut connection| async move {
            cmd("GETRANGE").arg(name).arg(0).arg(MAX_LEN - 1).query_async(&mut connection).await
        };
        let sealed: Vec<u8> = self.link.run(get).await.map_err(CacheError)?;
        Ok(if sealed.is_empty() { None } else { self.open(name, &sealed, now_ms()) })
    }

    async fn put(&self, key: &str, value: Vec<u8>, ttl: Duration) -> Result<(), CacheError> {
        // Redis takes no lifetime of nothing, and none longer than it can count.
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).clamp(1, 1 << 50);
        let name = &self.name(key);
        let content = [&now_ms().saturating_add(ttl_ms).to_be_bytes()[..], &value].concat();
        let Some(seal) = self.seal.sign(name, &content) else {
            return Err(CacheError(anyhow::anyhow!("the key of seals is not known yet")));
        };
        let sealed = &[&seal[..], &content].concat();
        if sealed.len() > MAX_LEN {
            return Err(CacheError(anyhow::anyhow!("a value of {} bytes is too long", value.len())));
        }
        let set = |mut connection| async move {
            cmd("SET").arg(name).arg(sealed).arg("PX").arg(ttl_ms).exec_async(&mut connection).await
        };
        self.link.run(set).await.map_err(CacheError)
    }
}
