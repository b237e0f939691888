//! Metrics of the admin API.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use prometheus::{
    HistogramVec, IntCounterVec, IntGauge, Registry, register_histogram_vec_with_registry,
    register_int_counter_vec_with_registry, register_int_gauge_with_registry,
};
use tern_common::telemetry;

/// Upper bounds of the buckets of request durations, in seconds. Reads take about a millisecond, writes wait for
/// redirectors, and imports take seconds.
const SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// The metrics of one admin, and the registry that exports them.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    seconds: HistogramVec,
    pub(crate) retention_refused: IntGauge,
}

impl Metrics {
    /// Registers the metrics of the admin API in `registry`.
    ///
    /// # Errors
    /// When the registry already has the metrics of an admin.
    pub fn register(registry: &Registry) -> prometheus::Result<Metrics> {
        let requests = register_int_counter_vec_with_registry!(
            "tern_admin_http_requests_total",
            "Requests to the admin API by matched route, method and status.",
            &["route", "method", "status"],
            registry
        )?;
        let seconds = register_histogram_vec_with_registry!(
            "tern_admin_http_request_duration_seconds",
            "Seconds from the start of a request until the answer of the admin API was ready.",
            &["route"],
            SECONDS.to_vec(),
            registry
        )?;
        let retention_refused = register_int_gauge_with_registry!(
            "tern_admin_retention_refused",
            "1 while EVENT_RETENTION deletes nothing because even the newest event is older, else 0.",
            registry
        )?;
        Ok(Metrics { registry: registry.clone(), requests, seconds, retention_refused })
    }

    /// Writes every metric of the registry in the text format of Prometheus.
    pub(crate) fn text(&self) -> String {
        telemetry::metrics_text(&self.registry)
    }

    /// Counts a request and its duration. `route` is the matched route and not the path, since each label value creates
    /// a time series.
    pub(crate) fn observe(&self, route: &str, method: &Method, status: StatusCode, took: Duration) {
        self.requests.with_label_values(&[route, method_label(method), status.as_str()]).inc();
        self.seconds.with_label_values(&[route]).observe(took.as_secs_f64());
    }
}

/// Returns the value of the label `method`. Unknown methods share one value, since each value creates a time series.
fn method_label(method: &Method) -> &str {
    match method.as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "PATCH" | "OPTIONS") => known,
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_registered_twice_in_one_registry_are_an_error() {
        let registry = Registry::new();
        assert!(Metrics::register(&registry).is_ok());
        assert!(Metrics::register(&registry).is_err());
    }
}
