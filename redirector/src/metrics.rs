//! What the redirector counts. The help texts here are the documentation of each metric.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use crossbeam_utils::CachePadded;
use prometheus::{
    Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, core::Collector,
};

use crate::clicks::drop_reason::DropReason;
use crate::outcome::Kind;

/// Redirects by outcome, and how long they took. Each worker counts on cache lines of its own, so that none waits for
/// another's; whoever asks adds them up.
#[derive(Debug)]
pub struct RedirectCounters(Box<[CachePadded<OfOneWorker>]>);

#[derive(Debug, Default)]
struct OfOneWorker {
    outcomes: [AtomicU64; Kind::ALL.len()],
    /// How many took no longer than each bound and longer than the one before; the last took longer than all.
    durations: [AtomicU64; RedirectCounters::BOUNDS.len() + 1],
    /// All durations together.
    micros: AtomicU64,
}

/// How long redirects took, as a histogram has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Durations {
    /// Bounds in seconds, and how many took no longer.
    pub cumulative: [(f64, u64); RedirectCounters::BOUNDS.len()],
    pub count: u64,
    pub sum_seconds: f64,
}

/// What became of clicks.
///
/// Always: accepted + taken over + shipped again = committed + pending + dropped + parked. What is accepted and pending
/// is read from the journals.
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
    /// Clicks in adopted journals that are not in the store. Written by the shipper.
    orphans_pending: Arc<AtomicU64>,
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
    pub refused_removals: IntGauge,
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

impl RedirectCounters {
    /// In microseconds. Ten are enough unless the disk of the journal holds one up, and nobody notices ten milliseconds.
    const BOUNDS: [u64; 10] = [10, 25, 50, 100, 1_000, 10_000, 50_000, 100_000, 500_000, 2_500_000];

    /// For `workers` that count beside each other.
    pub fn new(workers: usize) -> RedirectCounters {
        RedirectCounters((0..workers.max(1)).map(|_| CachePadded::default()).collect())
    }

    fn of(&self, affinity: usize) -> &OfOneWorker {
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

    /// Returns the label and the number of requests of each kind of outcome. Kinds may share a label.
    pub fn totals(&self) -> [(&'static str, u64); Kind::ALL.len()] {
        Kind::ALL.map(|kind| {
            let counts = self.0.iter().map(|counters| counters.outcomes[kind as usize].load(Ordering::Relaxed));
            (kind.label(), counts.sum())
        })
    }

    pub fn durations(&self) -> Durations {
        let sum = |counter: &dyn Fn(&OfOneWorker) -> &AtomicU64| -> u64 {
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
        let opts = Opts::new("tern_clicks_dropped_total", "Clicks that will never be events, by reason.");
        let dropped = registered(registry, IntCounterVec::new(opts, &["reason"]));
        let oldest = "Age of the oldest click that waits for the store; 0 when none waits long.";
        ClickMetrics {
            committed: counter("tern_clicks_committed_total", "Clicks that the store took and counted."),
            without_event: counter(
                "tern_clicks_without_event_total",
                "Committed clicks that are counted and have no event, beyond CLICK_EVENTS_PER_NETWORK.",
            ),
            taken_over: counter(
                "tern_clicks_taken_over_total",
                "Clicks found waiting in journals of processes that have ended.",
            ),
            shipped_again: counter(
                "tern_clicks_shipped_again_total",
                "Clicks that the store had and lost, as a failover may, and that wait for it again.",
            ),
            parked: counter(
                "tern_clicks_parked_total",
                "Clicks that the store refuses for what they hold; they are in parked.ndjson beside the journals.",
            ),
            read_errors: counter("tern_clicks_read_errors_total", "Journals that could not be read or taken over."),
            journal_errors: counter(
                "tern_clicks_sync_errors_total",
                "Failed writes and syncs of click journals; a power cut may cost more clicks than those of the last 100 ms.",
            ),
            oldest_pending: registered(registry, Gauge::new("tern_clicks_oldest_pending_seconds", oldest)),
            // Each with a value from the start: a series that appears with its first drop would hide it from `rate()`.
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

    /// Sets the number of clicks that adopted journals have for the store.
    pub fn set_orphans_pending(&self, clicks: u64) {
        self.orphans_pending.store(clicks, Ordering::Relaxed);
    }

    pub fn orphans_pending(&self) -> u64 {
        self.orphans_pending.load(Ordering::Relaxed)
    }

    /// Sets the age of the oldest click that waits for the store, by the time at which it was answered.
    pub fn set_oldest_pending(&self, at: Option<SystemTime>) {
        let age = at.and_then(|at| SystemTime::now().duration_since(at).ok()).unwrap_or_default();
        self.oldest_pending.set(age.as_secs_f64());
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
            subscriptions: counter("tern_replica_subscriptions_total", "Subscriptions to the bus that succeeded."),
            refused_snapshots: counter(
                "tern_replica_refused_snapshots_total",
                "Loads and audits that would have left less than half of what is served, and whose removals were refused.",
            ),
            refused_removals: registered(
                registry,
                IntGauge::new(
                    "tern_replica_refused_removals",
                    "Links that are served although the last load or audit did not find them in the store, since they \
                     were more than half of all.",
                ),
            ),
            audits: counter("tern_replica_audits_total", "Comparisons of the whole map with the store."),
            divergent: counter(
                "tern_replica_divergent_links_total",
                "Codes whose served link differed from the store; an audit found and corrected each.",
            ),
            file_errors: counter("tern_replica_file_errors_total", "Snapshot files that could not be written or used."),
            delta_seconds: registered(registry, Histogram::with_opts(seconds)),
            propagation_seconds: registered(registry, Histogram::with_opts(propagation)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_add_up() {
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
