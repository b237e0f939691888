//! The parts of an admin plane, and the announcement of a change.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRef;
use prometheus::Registry;
use tern_common::bus::{Bus, LocalBus, Message, RedisBus};
use tern_common::cache::{Cache, LocalCache, RedisCache};
use tern_common::redis::RedisConfig;
use tern_common::seal::Seal;
use tern_common::store::{AdminStore, Mark, WatchedStore};
use tokio::time::Instant;

use crate::access::Access;
use crate::config::AdminConfig;
use crate::http::body::BodyLimit;
use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::streams::Streams;
use crate::visibility::Visibility;

/// The longest time that publishing a hint may take. Redirectors poll anyway, so a bus that hangs must not delay answers.
const PUBLISH_LIMIT: Duration = Duration::from_millis(250);

/// The header `Tern-Visible`: how many of the live redirectors serve a change.
pub(crate) type VisibleHeader = [(&'static str, String); 1];

/// The three seams of an admin plane.
#[derive(Clone, Debug)]
pub struct Seams {
    pub store: Arc<dyn AdminStore>,
    pub bus: Arc<dyn Bus>,
    pub cache: Arc<dyn Cache>,
}

impl Seams {
    /// Builds a bus and a cache within this process.
    pub fn in_process(store: Arc<dyn AdminStore>) -> Seams {
        Seams { store, bus: Arc::new(LocalBus::new()), cache: Arc::new(LocalCache::new()) }
    }

    /// Builds a bus and a cache on the Redis that all processes over `store` share, and registers their metrics.
    ///
    /// # Errors
    /// When the registry has the metrics of a bus or a cache already.
    pub fn over_redis(
        store: Arc<dyn AdminStore>,
        redis: &RedisConfig,
        registry: &Registry,
    ) -> prometheus::Result<Seams> {
        let seal = Seal::follow(store.clone());
        let bus = RedisBus::new(redis, Arc::clone(&seal));
        bus.export(registry)?;
        let cache = RedisCache::new(redis, seal);
        cache.export(registry)?;
        Ok(Seams { store, bus: Arc::new(bus), cache: Arc::new(cache) })
    }
}

/// The parts of an admin plane that its handlers and layers use.
#[derive(Debug)]
pub struct AppState {
    pub store: Arc<dyn AdminStore>,
    pub bus: Arc<dyn Bus>,
    pub cache: Arc<dyn Cache>,
    pub visibility: Visibility,
    pub config: AdminConfig,
    pub access: Arc<Access>,
    pub readiness: Readiness,
    /// The log file, which `GET /logs` reads; `None` if the log goes to a stream.
    pub log_file: Option<PathBuf>,
    pub metrics: Metrics,
    pub streams: Streams,
}

impl AppState {
    /// Builds an admin plane: reads the tokens, follows the replicas, and registers the metrics.
    ///
    /// # Errors
    /// When `ADMIN_AUTH` needs a token that the store does not have. The message tells the operator how to create one.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn build(
        seams: Seams,
        config: AdminConfig,
        log_file: Option<PathBuf>,
        registry: &Registry,
    ) -> anyhow::Result<AppState> {
        let Seams { store, bus, cache } = seams;
        let access = Access::open(Arc::clone(&store), &config, registry).await?;
        let store: Arc<dyn AdminStore> = Arc::new(WatchedStore::new(store, config.slow_query));
        let concurrency = config.access.token_concurrency;
        let streams = Streams::new(Arc::clone(&store), Arc::clone(&access), concurrency, registry)?;
        Ok(AppState {
            store,
            streams,
            cache,
            visibility: Visibility::start(Arc::clone(&bus)),
            bus,
            config,
            access,
            readiness: Readiness::default(),
            log_file,
            metrics: Metrics::register(registry)?,
        })
    }

    /// Publishes a hint about a committed change, and waits for the redirectors to serve the change.
    /// An error of the bus does not fail the request, whose change is committed.
    pub(crate) async fn announce(&self, mark: &Mark) -> VisibleHeader {
        let began = Instant::now();
        match tokio::time::timeout(PUBLISH_LIMIT, self.bus.publish(Message::Invalidation)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "publishing a hint failed; redirectors find the change when they poll")
            }
            Err(_) => tracing::warn!("publishing a hint took too long; redirectors find the change when they poll"),
        }
        let visible = self.visibility.confirm_since(began, mark, self.config.visible_wait).await;
        [("tern-visible", visible.to_string())]
    }
}

impl FromRef<Arc<AppState>> for BodyLimit {
    fn from_ref(state: &Arc<AppState>) -> BodyLimit {
        BodyLimit(state.config.body_limit)
    }
}
