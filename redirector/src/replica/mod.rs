//! The replica: keeps the map equal to the store. The only writer of the map.
//!
//! A snapshot fills the map; from then on deltas change it, at the hint of the bus or at the next poll.
//! [`state_machine`] decides what is done when; this module does it.

mod announcer;
mod audit;
mod fetch;
pub mod file;
mod freshness;
mod in_flight;
mod loss;
mod snapshot_schedule;
pub mod state_machine;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tern_common::bus::{Bus, BusError, Received, Subscription, Topic};
use tern_common::store::{AgedChange, Cursor, LinkChange, Store, StoreError};
use tokio::sync::watch;

use self::announcer::Announcer;
use self::audit::Audit;
use self::fetch::{Asked, Fetched, fetch, log_rejected};
pub use self::freshness::Freshness;
use self::in_flight::{interval, next_message, next_tick, present, reached, stopped};
use self::state_machine::{Action, Core, Event, Pace};
use crate::link_map::LinkMapWriter;
use crate::metrics::ReplicaMetrics;

/// How often the snapshot file is written, if anything changed: what a restart without a store is behind at most.
const KEEP_EVERY: Duration = Duration::from_secs(60);

/// How soon an audit that failed is begun again, if the next one is not due before.
const AUDIT_RETRY: Duration = Duration::from_secs(10);

/// How long a start from the file waits for the store's next word of what came since: a code that is not in the file may
/// exist by now, and one that is may lead elsewhere. A store that is away is not waited for any longer.
const WAIT_FOR_STORE: Duration = Duration::from_secs(1);

/// How a replica keeps what it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaConfig {
    /// The snapshot file; without one, a restart has to wait for the store.
    pub file: Option<PathBuf>,
    /// How often the whole map is compared with the store; zero is never.
    pub audit_every: Duration,
    /// Whether to believe that more than half of the links that are served are gone.
    pub allow_shrink: bool,
}

/// One replica of the store's links.
#[derive(Debug)]
pub struct Replica {
    store: Arc<dyn Store>,
    bus: Arc<dyn Bus>,
    writer: LinkMapWriter,
    config: ReplicaConfig,
    cursor: Option<Cursor>,
    /// Whether anything changed since the file was last begun.
    is_unsaved: bool,
    audit: Option<Audit>,
    /// When the last snapshot, or delta that left nothing, was asked for: it had all that was committed by then.
    /// `None` after a start from the file.
    seen_until: Option<Instant>,
    freshness: Arc<Freshness>,
    metrics: ReplicaMetrics,
}

impl Replica {
    pub fn new(
        store: Arc<dyn Store>,
        bus: Arc<dyn Bus>,
        writer: LinkMapWriter,
        config: ReplicaConfig,
        freshness: Arc<Freshness>,
        metrics: ReplicaMetrics,
    ) -> Replica {
        let (cursor, is_unsaved, audit, seen_until) = (None, false, None, None);
        Replica { store, bus, writer, config, cursor, is_unsaved, audit, seen_until, freshness, metrics }
    }

    /// Follows the store until `stop` says so.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut kept = self.read_file().await;
        let mut is_kept_back = kept.is_some();
        // A file proves its own integrity and not that of its links: it is compared as soon as the store has caught up.
        let mut is_unaudited = kept.is_some();
        // `None` while the store, which has answered, is sending all links.
        let mut serve_anyway_at = Some(tokio::time::Instant::now() + WAIT_FOR_STORE);
        let mut core = Core::new(Pace::default(), self.cursor.is_none(), rand::random(), Instant::now());
        let mut subscription: Option<Box<dyn Subscription>> = None;
        let mut subscribing = None;
        let mut fetching = None;
        let mut comparing = None;
        let mut keeping = None;
        let announcer = Announcer::start(Arc::clone(&self.bus));
        let mut keep = interval(KEEP_EVERY);
        let mut audit = (!self.config.audit_every.is_zero()).then(|| interval(self.config.audit_every));
        loop {
            while let Some(action) = core.next_action(Instant::now()) {
                match action {
                    Action::Subscribe => {
                        let bus = Arc::clone(&self.bus);
                        subscribing = Some(Box::pin(async move { bus.subscribe(Topic::Invalidations).await }));
                    }
                    Action::TakeSnapshot => fetching = Some(Box::pin(fetch(Arc::clone(&self.store), None, false))),
                    Action::TakeDelta => {
                        let ends_audit = self.audit.as_ref().is_some_and(Audit::awaits_delta);
                        fetching = Some(Box::pin(fetch(Arc::clone(&self.store), self.cursor.clone(), ends_audit)));
                    }
                }
            }
            let wake_at = core.wake_at().unwrap_or_else(|| Instant::now() + KEEP_EVERY);
            let event = tokio::select! {
                () = stopped(&mut stop) => break,
                subscribed = present(&mut subscribing) => {
                    subscribing = None;
                    Some(self.subscribed(subscribed, &mut subscription))
                }
                received = next_message(&mut subscription) => Some(match received {
                    Ok(Received::Message(_) | Received::Lost) => Event::Hint,
                    Err(error) => {
                        tracing::warn!(%error, "the subscription to the bus broke");
                        subscription = None;
                        Event::Unsubscribed
                    }
                }),
                (asked, fetched) = present(&mut fetching) => {
                    fetching = None;
                    self.adopt(kept.take());
                    let event = self.apply(asked, fetched);
                    match event {
                        Event::DeltaApplied { more: true, .. } => {
                            serve_anyway_at = Some(tokio::time::Instant::now() + WAIT_FOR_STORE);
                        }
                        Event::CursorTooOld => serve_anyway_at = None,
                        _ if is_kept_back => {
                            is_kept_back = false;
                            self.serve_kept(event != Event::StoreFailed);
                        }
                        _ => {}
                    }
                    if is_unaudited && matches!(event, Event::DeltaApplied { more: false, .. }) {
                        is_unaudited = false;
                        if let Some(audit) = &mut audit {
                            audit.reset_immediately();
                        }
                    }
                    Some(event)
                }
                () = reached(serve_anyway_at), if is_kept_back => {
                    self.adopt(kept.take());
                    is_kept_back = false;
                    // Old links are better than none.
                    self.serve_kept(false);
                    None
                }
                compared = present(&mut comparing) => {
                    comparing = None;
                    let event = self.compared(compared);
                    if let (None, Some(audit)) = (event, &mut audit) {
                        audit.reset_after(AUDIT_RETRY.min(audit.period()));
                    }
                    event
                }
                written = present(&mut keeping) => {
                    keeping = None;
                    self.written(written);
                    None
                }
                _ = keep.tick() => {
                    keeping = keeping.or_else(|| self.write_file().map(Box::pin));
                    None
                }
                () = next_tick(&mut audit) => {
                    if self.audit.is_none() && self.writer.map().is_loaded() {
                        self.audit = Some(Audit::default());
                        let map = Arc::clone(self.writer.map());
                        // A task of its own: changes are not to wait behind millions of links.
                        let task = tokio::spawn(audit::compare(Arc::clone(&self.store), map));
                        comparing = Some(Box::pin(async {
                            task.await.unwrap_or_else(|error| Err(StoreError::Internal(error.into())))
                        }));
                    }
                    None
                }
                () = tokio::time::sleep_until(wake_at.into()) => None,
            };
            announcer.applied(self.cursor.as_ref());
            if let Some(event) = event {
                core.handle(event, Instant::now());
                if event == Event::SnapshotApplied {
                    keep.reset_immediately();
                }
            }
        }
        announcer.leave().await;
        if let Some(keeping) = keeping {
            self.written(keeping.await);
        }
        if let Some(keeping) = self.write_file() {
            self.written(keeping.await);
        }
    }

    fn subscribed(
        &self,
        subscribed: Result<Box<dyn Subscription>, BusError>,
        subscription: &mut Option<Box<dyn Subscription>>,
    ) -> Event {
        match subscribed {
            Ok(standing) => {
                *subscription = Some(standing);
                self.metrics.subscriptions.inc();
                Event::Subscribed
            }
            Err(error) => {
                tracing::warn!(%error, "no subscription to the bus; the poll goes on");
                Event::Unsubscribed
            }
        }
    }

    fn apply(&mut self, asked: Asked, fetched: Result<Fetched, StoreError>) -> Event {
        let event = match fetched {
            Ok(Fetched::Snapshot { links, rejected, cursor }) => {
                self.metrics.rejected_rows.inc_by(rejected);
                tracing::info!(links = links.len(), rejected, "every link was loaded");
                self.metrics.snapshots.inc();
                // Millions of links take their time, and this thread has other tasks.
                tokio::task::block_in_place(|| self.commit_without_loss(links));
                // An audit under way is about a map that is no more.
                if let Some(audit) = &mut self.audit {
                    audit.void();
                }
                self.cursor = Some(cursor);
                self.is_unsaved = true;
                self.freshness.mark(asked.at);
                self.seen_until = Some(asked.since);
                Event::SnapshotApplied
            }
            Ok(Fetched::Delta { changes, cursor, more }) => {
                let count = changes.len();
                self.metrics.deltas.inc();
                self.metrics.changes.inc_by(count as u64);
                self.is_unsaved |= count > 0;
                // A change may have to make the table grow, which takes as long as a load.
                tokio::task::block_in_place(|| {
                    for AgedChange { change, age } in changes {
                        self.apply_change(change);
                        self.measure(age, asked.answered);
                    }
                    self.writer.sweep();
                });
                self.cursor = Some(cursor);
                if !more {
                    self.seen_until = Some(asked.since);
                    self.freshness.mark(asked.at);
                    if asked.ends_audit {
                        self.conclude_audit();
                    }
                }
                self.metrics.delta_seconds.observe(asked.since.elapsed().as_secs_f64());
                Event::DeltaApplied { changes: count, more }
            }
            Ok(Fetched::TooOld) => {
                tracing::info!("the change log does not reach back to our cursor; loading every link");
                return Event::CursorTooOld;
            }
            Err(error) => {
                tracing::warn!(%error, "the store did not answer; redirects go on from what is loaded");
                self.metrics.store_failures.inc();
                return Event::StoreFailed;
            }
        };
        self.metrics.links.set(count(self.writer.map().len()));
        event
    }

    /// Notes how long it took from a commit until now, when the change is served.
    fn measure(&self, age: Option<Duration>, read_at: Instant) {
        // Whatever its age, what the last delta did not bring was not committed yet when that was asked for.
        if let (Some(age), Some(seen_until)) = (age, self.seen_until) {
            let took = seen_until.elapsed().min(age + read_at.elapsed());
            self.metrics.propagation_seconds.observe(took.as_secs_f64());
        }
    }

    fn apply_change(&mut self, change: LinkChange) {
        if let Some(audit) = &mut self.audit {
            audit.touch(change.short_code());
        }
        match change {
            LinkChange::Put(row) => {
                if let Err(error) = self.writer.put(&row) {
                    log_rejected(row.url_id, error);
                    self.metrics.rejected_rows.inc();
                    // What cannot be served leaves what was; but switching a link off needs no target.
                    if !row.is_active {
                        self.writer.deactivate(&row.short_code);
                    }
                }
            }
            LinkChange::Removed { short_code } => self.writer.remove(&short_code),
        }
    }
}

/// A gauge's form of a count.
fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
