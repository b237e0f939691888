//! Metrics of the pools of connections.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGaugeVec, Opts, Registry};

use super::LinkFeed;

/// Registers the metrics of the pools of `store`.
///
/// # Errors
/// If the registry already has the pools of a store.
pub fn export_pools(store: Arc<dyn LinkFeed>, registry: &Registry) -> prometheus::Result<()> {
    let gauge = |name: &str, help: &str| IntGaugeVec::new(Opts::new(name, help), &["pool"]);
    registry.register(Box::new(Pools {
        store,
        size: gauge("tern_store_pool_size", "Open connections to the database, in use or idle.")?,
        available: gauge("tern_store_pool_available", "Idle connections to the database.")?,
        waiting: gauge("tern_store_pool_waiting", "Tasks that wait for a connection to the database.")?,
        max: gauge("tern_store_pool_max", "Largest number of connections to the database.")?,
    }))
}

/// The collector of these metrics, which reads the pools at each scrape.
#[derive(Debug)]
struct Pools {
    store: Arc<dyn LinkFeed>,
    size: IntGaugeVec,
    available: IntGaugeVec,
    waiting: IntGaugeVec,
    max: IntGaugeVec,
}

impl Pools {
    fn gauges(&self) -> [&IntGaugeVec; 4] {
        [&self.size, &self.available, &self.waiting, &self.max]
    }
}

impl Collector for Pools {
    fn desc(&self) -> Vec<&Desc> {
        self.gauges().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        for status in self.store.pools() {
            let counts = [status.size, status.available, status.waiting, status.max];
            for (gauge, count) in self.gauges().into_iter().zip(counts) {
                gauge.with_label_values(&[status.pool]).set(i64::try_from(count).unwrap_or(i64::MAX));
            }
        }
        self.gauges().into_iter().flat_map(Collector::collect).collect()
    }
}
