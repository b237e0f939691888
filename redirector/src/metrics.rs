//! Metrics of the redirector. Their help texts document them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use crossbeam_utils::CachePadded;
use prometheus::{
    Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, core::Collector,
};

use crate::clicks::drop_reason::DropReason;
use crate::outcome::Kind;

/// Counts of requests by outcome, and a histogram of their durations.
///
/// Each worker counts on cache lines of its own. A reader adds them up.
#[derive(Debug)]
pub struct RedirectCounters(Box<[CachePadded<WorkerCounters>]>);

#[derive(Debug, Default)]
struct WorkerCounters {
    outcomes: [AtomicU64; Kind::ALL.len()],
    /// Requests between each bound and the one before it; the last counter has those above every bound.
    durations: [AtomicU64; RedirectCounters::BOUNDS.len() + 1],
    /// Sum of all durations.
    micros: AtomicU64,
    dropped_queries: AtomicU64,
    ignored_clicks: AtomicU64,
}

/// Durations of requests in the form of a histogram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Durations {
    /// Each bound in seconds, and the number of requests that took no longer.
    pub cumulative: [(f64, u64); RedirectCounters::BOUNDS.len()],
    pub count: u64,
    pub sum_seconds: f64,
}

/// Counts of clicks on their way to the store.
///
/// Always: accepted + taken over + shipped again = committed + pending + dropped + parked. The journals count accepted
/// and pending clicks.
#[derive(Clone, Debug)]
pub struct ClickMetrics {
    pub committed: IntCounter,
    pub without_event: IntCounter,
    pub taken_over: IntCounter,
    pub shipped_again: IntCounter,
    pub parked: IntCounter,
    pub read_errors: IntCounter,
    pub journal_errors: IntCounter,
    oldest_pending: Gauge,
    dropped: [IntCounter; DropReason::ALL.len()],
    /// Clicks of adopted journals that the store does not have. Written by the shipper.
    orphans_pending: Arc<AtomicU64>,
}

/// Metrics of the replica.
#[derive(Clone, Debug)]
pub struct ReplicaMetrics {
    pub links: IntGauge,
    pub snapshots: IntCounter,
    pub deltas: IntCounter,
    pub changes: IntCounter,
    pub failovers: IntCounter,
    pub rejected_rows: IntCounter,
    pub store_failures: IntCounter,
    pub subscriptions: IntCounter,
    pub refused_snapshots: IntCounter,
    pub refused_removals: IntGauge,
    pub audits: IntCounter,
    pub audit_rows: IntCounter,
    pub divergent: IntCounter,
    pub file_errors: IntCounter,
    pub file_base_bytes: IntCounter,
    pub file_tail_bytes: IntCounter,
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

impl RedirectCounters {
    /// Upper bounds in microseconds. A request takes less than ten unless the disk of the journal delays it.
    const BOUNDS: [u64; 10] = [10, 25, 50, 100, 1_000, 10_000, 50_000, 100_000, 500_000, 2_500_000];

    /// Creates counters for `workers` that count concurrently.
    pub fn new(workers: usize) -> RedirectCounters {
        RedirectCounters((0..workers.max(1)).map(|_| CachePadded::default()).collect())
    }

    fn of(&self, affinity: usize) -> &WorkerCounters {
        &self.0[affinity % self.0.len()]
    }

    /// Counts one request, by its outcome and by the time that it took.
    pub fn count(&self, outcome: Kind, duration: Duration, affinity: usize) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let index = RedirectCounters::BOUNDS.iter().take_while(|bound| micros > **bound).count();
        let counters = self.of(affinity);
        counters.outcomes[outcome as usize].fetch_add(1, Ordering::Relaxed);
        counters.durations[index].fetch_add(1, Ordering::Relaxed);
        counters.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Counts one query that could not be merged into the target of a link.
    pub fn count_dropped_query(&self, affinity: usize) {
        self.of(affinity).dropped_queries.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one click that is not recorded, because of the network of its client.
    pub fn count_ignored_click(&self, affinity: usize) {
        self.of(affinity).ignored_clicks.fetch_add(1, Ordering::Relaxed);
    }

    pub fn ignored_clicks(&self) -> u64 {
        self.0.iter().map(|counters| counters.ignored_clicks.load(Ordering::Relaxed)).sum()
    }

    pub fn dropped_queries(&self) -> u64 {
        self.0.iter().map(|counters| counters.dropped_queries.load(Ordering::Relaxed)).sum()
    }

    /// Returns the label and the number of requests of each kind of outcome. Kinds may share a label.
    pub fn totals(&self) -> [(&'static str, u64); Kind::ALL.len()] {
        Kind::ALL.map(|kind| {
            let counts = self.0.iter().map(|counters| counters.outcomes[kind as usize].load(Ordering::Relaxed));
            (kind.label(), counts.sum())
        })
    }

    pub fn durations(&self) -> Durations {
        let sum = |counter: &dyn Fn(&WorkerCounters) -> &AtomicU64| -> u64 {
            self.0.iter().map(|counters| counter(counters).load(Ordering::Relaxed)).sum()
        };
        let mut count = 0;
        let cumulative = std::array::from_fn(|index| {
            count += sum(&|counters| &counters.durations[index]);
            (seconds(RedirectCounters::BOUNDS[index]), count)
        });
        count += sum(&|counters| &counters.durations[RedirectCounters::BOUNDS.len()]);
        Durations { cumulative, count, sum_seconds: seconds(sum(&|counters| &counters.micros)) }
    }
}

fn seconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64()
}

impl ClickMetrics {
    pub fn new(registry: &Registry) -> ClickMetrics {
        let counter = |name: &str, help: &str| counter(registry, name, help);
        let opts = Opts::new("tern_clicks_dropped_total", "Clicks that were lost, by reason.");
        let dropped = registered(registry, IntCounterVec::new(opts, &["reason"]));
        let oldest = "Age in seconds of the oldest click that the store does not have yet; 0 if there is none.";
        ClickMetrics {
            committed: counter("tern_clicks_committed_total", "Clicks that the store has counted."),
            without_event: counter(
                "tern_clicks_without_event_total",
                "Committed clicks that are counted without an event, because their network exceeded CLICK_EVENTS_PER_NETWORK.",
            ),
            taken_over: counter(
                "tern_clicks_taken_over_total",
                "Clicks in adopted journals of processes that have ended.",
            ),
            shipped_again: counter(
                "tern_clicks_shipped_again_total",
                "Clicks that the store lost, for example in a failover, and that are shipped again.",
            ),
            parked: counter(
                "tern_clicks_parked_total",
                "Clicks that the store refuses for their contents. They are in parked.ndjson beside the journals.",
            ),
            read_errors: counter("tern_clicks_read_errors_total", "Journals that could not be read or adopted."),
            journal_errors: counter(
                "tern_clicks_sync_errors_total",
                "Failed writes and syncs of click journals; a power cut may cost more clicks than those of the last 100 ms.",
            ),
            oldest_pending: registered(registry, Gauge::new("tern_clicks_oldest_pending_seconds", oldest)),
            // Each series exists from the start: `rate()` misses the first increment of a new series.
            dropped: DropReason::ALL.map(|reason| dropped.with_label_values(&[reason.label()])),
            orphans_pending: Arc::default(),
        }
    }

    /// Counts dropped clicks.
    pub fn count_dropped(&self, reason: DropReason, clicks: u64) {
        self.dropped[reason as usize].inc_by(clicks);
    }

    /// Returns how many clicks no lane could append.
    pub fn not_journalled(&self) -> u64 {
        DropReason::OF_LANES.map(|reason| self.dropped[reason as usize].get()).iter().sum()
    }

    /// Sets the number of clicks of adopted journals that the store does not have.
    pub fn set_orphans_pending(&self, clicks: u64) {
        self.orphans_pending.store(clicks, Ordering::Relaxed);
    }

    pub fn orphans_pending(&self) -> u64 {
        self.orphans_pending.load(Ordering::Relaxed)
    }

    /// Returns the number of dropped clicks, over all reasons.
    pub fn dropped(&self) -> u64 {
        self.dropped.iter().map(IntCounter::get).sum()
    }

    /// Returns the age of the oldest pending click; zero if none is pending.
    pub fn oldest_pending(&self) -> Duration {
        Duration::try_from_secs_f64(self.oldest_pending.get()).unwrap_or_default()
    }

    /// Sets the age of the oldest pending click, by the time of its redirect.
    pub fn set_oldest_pending(&self, at: Option<SystemTime>) {
        let age = at.and_then(|at| SystemTime::now().duration_since(at).ok()).unwrap_or_default();
        self.oldest_pending.set(age.as_secs_f64());
    }
}

impl ReplicaMetrics {
    pub fn new(registry: &Registry) -> ReplicaMetrics {
        let counter = |name: &str, help: &str| counter(registry, name, help);
        let seconds = HistogramOpts::new(
            "tern_replica_delta_seconds",
            "Seconds from the request for a delta until it is served.",
        )
        .buckets(vec![0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0]);
        let propagation_help = "Seconds from the commit of a change until this redirector serves it. They start with \
            the transaction of the change, by the database's clock, or with the previous delta, if that is later. \
            Snapshots, the first delta after a start, changes that a delta repeats after a reconnect, and changes that \
            another process writes into an SQLite file are not measured.";
        let propagation = HistogramOpts::new("tern_replica_propagation_seconds", propagation_help).buckets(vec![
            0.001, 0.002, 0.003, 0.004, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
            60.0,
        ]);
        ReplicaMetrics {
            links: registered(registry, IntGauge::new("tern_replica_links", "Links in the map, active or not.")),
            snapshots: counter("tern_replica_snapshots_total", "Full loads of the map."),
            deltas: counter("tern_replica_deltas_total", "Deltas applied, with or without changes."),
            changes: counter("tern_replica_changes_total", "Changes of links in deltas."),
            failovers: counter(
                "tern_replica_failovers_total",
                "Failovers of the database over which deltas continued, without a full load.",
            ),
            rejected_rows: counter(
                "tern_replica_rejected_rows_total",
                "Rows of the store that cannot be served. A delta retains their earlier links; a load of all links \
                 omits them.",
            ),
            store_failures: counter(
                "tern_replica_store_failures_total",
                "Requests for snapshots and deltas that failed.",
            ),
            subscriptions: counter("tern_replica_subscriptions_total", "Subscriptions to the bus that succeeded."),
            refused_snapshots: counter(
                "tern_replica_refused_snapshots_total",
                "Snapshots and audits whose removals were refused, because less than half of the served links would be left.",
            ),
            refused_removals: registered(
                registry,
                IntGauge::new(
                    "tern_replica_refused_removals",
                    "Links that are still served although the last snapshot or audit did not find them in the store, \
                     because they were more than half of all links.",
                ),
            ),
            audits: counter(
                "tern_replica_audits_total",
                "Comparisons of the whole map with the store that were completed.",
            ),
            audit_rows: counter(
                "tern_replica_audit_rows_total",
                "Links that audits read from the store: over PostgreSQL those of buckets whose sums differ, else all.",
            ),
            divergent: counter(
                "tern_replica_divergent_links_total",
                "Codes whose link differed from the store. An audit found and corrected each.",
            ),
            file_errors: counter(
                "tern_replica_file_errors_total",
                "Snapshot files that could not be written, or could not be read to the end.",
            ),
            file_base_bytes: counter(
                "tern_replica_file_base_bytes_total",
                "Bytes of snapshot files that were written with every link.",
            ),
            file_tail_bytes: counter(
                "tern_replica_file_tail_bytes_total",
                "Bytes of changes that were appended to the snapshot file.",
            ),
            delta_seconds: registered(registry, Histogram::with_opts(seconds)),
            propagation_seconds: registered(registry, Histogram::with_opts(propagation)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_all_workers_are_added_up() {
        let counters = RedirectCounters::new(2);
        for (micros, affinity) in [(0, 0), (10, 1), (11, 2), (700_000, 0), (9_000_000, 1)] {
            counters.count(Kind::Redirect, Duration::from_micros(micros), affinity);
        }
        let durations = counters.durations();
        let upto = |bound: f64| durations.cumulative.iter().find(|(seconds, _)| *seconds == bound).unwrap().1;
        assert_eq!([0.000_01, 0.000_025, 0.5, 2.5].map(upto), [2, 3, 3, 4]);
        assert_eq!(durations.count, 5);
        assert!((durations.sum_seconds - 9.700_021).abs() < 1e-9, "{durations:?}");
    }
}
