//! Metrics of streams.

use prometheus::{
    IntCounter, IntGaugeVec, Registry, register_int_counter_with_registry, register_int_gauge_vec_with_registry,
};

/// The metrics of the streams of a process.
#[derive(Clone, Debug)]
pub(crate) struct StreamMetrics {
    /// Open streams by kind.
    pub(crate) open: IntGaugeVec,
    /// Reads of the store for all listeners together.
    pub(crate) reads: IntCounter,
    /// Notices to listeners that clicks are missing from their stream.
    pub(crate) missed: IntCounter,
    pub(crate) failed_exports: IntCounter,
}

impl StreamMetrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<StreamMetrics> {
        Ok(StreamMetrics {
            open: register_int_gauge_vec_with_registry!(
                "tern_admin_streams",
                "Open answers that last long: clicks as they are stored (live) and exports (export).",
                &["kind"],
                registry
            )?,
            reads: register_int_counter_with_registry!(
                "tern_admin_live_reads_total",
                "Reads of new clicks from the store, for all listeners together.",
                registry
            )?,
            missed: register_int_counter_with_registry!(
                "tern_admin_live_missed_total",
                "Notices to listeners that clicks are missing, because they read too slowly or the store was late.",
                registry
            )?,
            failed_exports: register_int_counter_with_registry!(
                "tern_admin_exports_failed_total",
                "Exports that ended before their last row because of the store or a revoked token.",
                registry
            )?,
        })
    }
}
