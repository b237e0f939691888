//! What the redirector counts. The help texts here are the documentation of each metric.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, core::Collector};

use crate::redirect::Outcome;

/// Redirects by outcome, each counter looked up once and for all.
#[derive(Clone, Debug)]
pub struct RedirectMetrics {
    redirect: IntCounter,
    gone: IntCounter,
    not_found: IntCounter,
    not_ready: IntCounter,
    refused: IntCounter,
}

/// What became of clicks. Always: accepted = committed + pending + dropped.
#[derive(Clone, Debug)]
pub struct ClickMetrics {
    pub accepted: IntCounter,
    pub committed: IntCounter,
    dropped: IntCounterVec,
}

/// Why a click was dropped.
#[derive(Clone, Copy, Debug)]
pub enum Drop {
    /// The store was away longer than the queue lasts.
    QueueFull,
    /// The link was deleted before its click was recorded, and its events with it.
    LinkGone,
    /// The store failed on it.
    Refused,
    /// The process ended before the store took it.
    Shutdown,
}

/// How the replica fares.
#[derive(Clone, Debug)]
pub struct ReplicaMetrics {
    pub links: IntGauge,
    pub snapshots: IntCounter,
    pub deltas: IntCounter,
    pub changes: IntCounter,
    pub rejected_rows: IntCounter,
    pub store_failures: IntCounter,
    pub subscriptions: IntCounter,
    pub refused_snapshots: IntCounter,
    pub audits: IntCounter,
    pub divergent: IntCounter,
    pub file_errors: IntCounter,
    pub delta_seconds: Histogram,
    pub propagation_seconds: Histogram,
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<C>) -> C {
    let metric = metric.expect("names and labels of metrics are constants that are valid");
    registry.register(Box::new(metric.clone())).expect("each metric is registered once for each registry");
    metric
}

fn counter(registry: &Registry, name: &str, help: &str) -> IntCounter {
    registered(registry, IntCounter::new(name, help))
}

impl RedirectMetrics {
    pub fn new(registry: &Registry) -> RedirectMetrics {
        let opts = Opts::new("tern_redirects_total", "Requests for a short code, by what was decided.");
        let by_outcome = registered(registry, IntCounterVec::new(opts, &["outcome"]));
        RedirectMetrics {
            redirect: by_outcome.with_label_values(&["redirect"]),
            gone: by_outcome.with_label_values(&["gone"]),
            not_found: by_outcome.with_label_values(&["not_found"]),
            not_ready: by_outcome.with_label_values(&["not_ready"]),
            refused: by_outcome.with_label_values(&["refused"]),
        }
    }

    pub fn count(&self, outcome: &Outcome<'_>) {
        match outcome {
            Outcome::Redirect(_) => &self.redirect,
            Outcome::Gone => &self.gone,
            Outcome::NotFound => &self.not_found,
            Outcome::NotReady => &self.not_ready,
            Outcome::Refused { .. } => &self.refused,
        }
        .inc();
    }
}

impl ClickMetrics {
    pub fn new(registry: &Registry) -> ClickMetrics {
        let opts = Opts::new("tern_clicks_dropped_total", "Clicks that will never be events, by reason.");
        let metrics = ClickMetrics {
            accepted: counter(registry, "tern_clicks_accepted_total", "Redirects that were to be recorded."),
            committed: counter(registry, "tern_clicks_committed_total", "Clicks that are events in the store."),
            dropped: registered(registry, IntCounterVec::new(opts, &["reason"])),
        };
        for reason in [Drop::QueueFull, Drop::LinkGone, Drop::Refused, Drop::Shutdown] {
            // A series that appears only with its first drop would hide that drop from `rate()`.
            metrics.dropped(reason, 0);
        }
        metrics
    }

    pub fn dropped(&self, reason: Drop, clicks: u64) {
        let reason = match reason {
            Drop::QueueFull => "queue_full",
            Drop::LinkGone => "link_gone",
            Drop::Refused => "refused",
            Drop::Shutdown => "shutdown",
        };
        self.dropped.with_label_values(&[reason]).inc_by(clicks);
    }
}

impl ReplicaMetrics {
    pub fn new(registry: &Registry) -> ReplicaMetrics {
        let counter = |name: &str, help: &str| counter(registry, name, help);
        let seconds = HistogramOpts::new("tern_replica_delta_seconds", "Time from asking for a delta to serving it.")
            .buckets(vec![0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0]);
        let propagation_help = "Time from the commit of a change to serving it here. It is counted from the beginning \
            of the change's transaction, by the database's clock, or, if that is later, from the delta before the one \
            that brought it. Not counted are a snapshot, the first delta after a start, what a delta brings once more \
            after a reconnect, and what another process writes into an SQLite file.";
        let propagation = HistogramOpts::new("tern_replica_propagation_seconds", propagation_help).buckets(vec![
            0.001, 0.002, 0.003, 0.004, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
            60.0,
        ]);
        ReplicaMetrics {
            links: registered(registry, IntGauge::new("tern_replica_links", "Links in the map, active or not.")),
            snapshots: counter("tern_replica_snapshots_total", "Full loads of the map."),
            deltas: counter("tern_replica_deltas_total", "Deltas taken, with changes or without."),
            changes: counter("tern_replica_changes_total", "Changes to links that deltas brought."),
            rejected_rows: counter(
                "tern_replica_rejected_rows_total",
                "Rows of the store that cannot be served; what was served before is kept.",
            ),
            store_failures: counter("tern_replica_store_failures_total", "Snapshots and deltas that failed."),
            subscriptions: counter("tern_replica_subscriptions_total", "Subscriptions to the bus that stood."),
            refused_snapshots: counter(
                "tern_replica_refused_snapshots_total",
                "Loads and audits that would have left less than half of what is served, and were refused.",
            ),
            audits: counter("tern_replica_audits_total", "Comparisons of the whole map with the store."),
            divergent: counter(
                "tern_replica_divergent_links_total",
                "Codes that an audit found to differ from the store, and put right.",
            ),
            file_errors: counter(
                "tern_replica_file_errors_total",
                "Snapshot files that could not be written, or not be used.",
            ),
            delta_seconds: registered(registry, Histogram::with_opts(seconds)),
            propagation_seconds: registered(registry, Histogram::with_opts(propagation)),
        }
    }
}
