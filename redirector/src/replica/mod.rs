//! The replica: the only writer of the map, which it keeps equal to the store.
//!
//! A snapshot fills the map. From then on deltas change it, after a hint of the bus or at the next poll.
//!
//! ```text
//! mod                   the loop: starts due work and handles completed work
//!   state_machine       decides which work is due; pure
//!   in_flight           work in progress, and timers
//!   fetch, audit        requests to the store
//!     map_sums          the sums of the map while it changes
//!     touched           the codes that change during an audit
//!   map_updater, loss   apply the answers of the store to the map
//!     freshness         the age of the served links
//!   unsaved             the changes that the snapshot file does not have yet
//!   snapshot_schedule   reads and writes the snapshot file
//!     file              the format of the snapshot file
//!   announcer           announces the cursor on the bus
//! ```

mod announcer;
mod audit;
mod fetch;
pub mod file;
mod freshness;
mod in_flight;
mod loss;
mod map_sums;
mod map_updater;
mod snapshot_schedule;
mod state_machine;
mod touched;
mod unsaved;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tern_common::bus::{Bus, BusError, Delivery, Subscription, Topic};
use tern_common::link_digest::DigestKey;
use tern_common::store::{LinkFeed, StoreError};
use tokio::sync::watch;
use tokio::time::Instant;

use self::announcer::Announcer;
pub use self::announcer::StatusSource;
use self::audit::Suspects;
use self::fetch::{FetchTimes, StoreAnswer, fetch};
use self::file::{FileContents, SnapshotFile, Written};
pub use self::freshness::Freshness;
use self::in_flight::{Completion, InFlight, Work, WriteResult};
use self::map_updater::MapUpdater;
use self::snapshot_schedule::{PAUSE, WRITE_EVERY};
use self::state_machine::{Action, Event, Start, StateMachine};
use self::unsaved::Unsaved;
use crate::link_map::LinkMapWriter;
use crate::metrics::ReplicaMetrics;

/// Time for which a start from the snapshot file waits for each answer of the store.
///
/// The file may lack new codes and have old targets. After this time, its links are served as they are.
const WAIT_FOR_STORE: Duration = Duration::from_secs(1);

/// Longest time between two queries of the state machine.
const IDLE: Duration = Duration::from_secs(60);

/// Settings of a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaConfig {
    /// The snapshot file. Without one, a restart has to wait for the store.
    pub file: Option<PathBuf>,
    /// Interval of the audits; zero disables them.
    pub audit_every: Duration,
    /// Whether a snapshot or an audit may remove more than half of the served links.
    pub allow_shrink: bool,
}

/// The places where a replica reports its progress, and the redirector whose state it announces.
#[derive(Clone, Debug)]
pub struct ReplicaReports {
    pub freshness: Arc<Freshness>,
    pub metrics: ReplicaMetrics,
    pub status: Arc<dyn StatusSource>,
}

/// Keeps the map of `writer` equal to the store until `stop` becomes true.
pub async fn follow(
    store: Arc<dyn LinkFeed>,
    bus: Arc<dyn Bus>,
    writer: LinkMapWriter,
    config: ReplicaConfig,
    reports: ReplicaReports,
    mut stop: watch::Receiver<bool>,
) {
    let ReplicaReports { freshness, metrics, status } = reports;
    let updater = MapUpdater::new(writer, config.allow_shrink, freshness, metrics.clone());
    let mut replica = Replica::start(store, Arc::clone(&bus), config, updater, metrics).await;
    let announcer = Announcer::start(bus, status);
    loop {
        replica.begin_due();
        match replica.next(&mut stop).await {
            Completion::Stopped => break,
            completion => replica.handle(completion),
        }
        announcer.announce(replica.updater.cursor());
    }
    announcer.withdraw().await;
    replica.write_last().await;
}

/// Links of the snapshot file that are not served yet.
struct PendingFile {
    /// The links, until they are in the map.
    stored: Option<FileContents>,
    /// Time at which the links are served without an answer of the store. `None` while the store sends all links.
    serve_at: Option<Instant>,
}

/// A replica of the store's links.
struct Replica {
    store: Arc<dyn LinkFeed>,
    bus: Arc<dyn Bus>,
    /// The snapshot file. `None` without one, and while it is written.
    file: Option<SnapshotFile>,
    updater: MapUpdater,
    metrics: ReplicaMetrics,
    machine: StateMachine,
    in_flight: InFlight,
    pending: Option<PendingFile>,
    /// Whether an audit follows as soon as the map has caught up.
    ///
    /// The checksum of the file proves integrity, not origin, so an audit compares its links with the store.
    audits_first: bool,
}

impl Replica {
    async fn start(
        store: Arc<dyn LinkFeed>,
        bus: Arc<dyn Bus>,
        config: ReplicaConfig,
        mut updater: MapUpdater,
        metrics: ReplicaMetrics,
    ) -> Replica {
        let (file, stored) = snapshot_schedule::read(config.file.map(SnapshotFile::new), &metrics).await;
        let start = match &stored {
            None => Start::Empty,
            Some(stored) if stored.has_all_fields => Start::Restored,
            Some(_) => Start::RestoredInPart,
        };
        if let Some(stored) = &stored {
            updater.continue_from(stored.cursor.clone());
        }
        let serve_at = Some(Instant::now() + WAIT_FOR_STORE);
        Replica {
            machine: StateMachine::new(start, rand::random(), std::time::Instant::now()),
            in_flight: InFlight::new(WRITE_EVERY, config.audit_every),
            pending: stored.map(|stored| PendingFile { stored: Some(stored), serve_at }),
            audits_first: start == Start::Restored,
            file,
            store,
            bus,
            updater,
            metrics,
        }
    }

    /// Starts the work that is due.
    fn begin_due(&mut self) {
        while let Some(action) = self.machine.next_action(std::time::Instant::now()) {
            match action {
                Action::Subscribe => {
                    let bus = Arc::clone(&self.bus);
                    let subscribing = async move { bus.subscribe(Topic::Invalidations).await };
                    self.in_flight.subscribing = Some(Box::pin(subscribing));
                }
                Action::TakeSnapshot => {
                    self.in_flight.fetching = Some(Box::pin(fetch(Arc::clone(&self.store), None, false)));
                }
                Action::TakeDelta => {
                    let updater = &self.updater;
                    let (cursor, ends_audit) = (updater.cursor().cloned(), updater.awaits_delta());
                    let store = Arc::clone(&self.store);
                    self.in_flight.fetching = Some(Box::pin(fetch(store, cursor, ends_audit)));
                }
            }
        }
    }

    async fn next(&mut self, stop: &mut watch::Receiver<bool>) -> Completion {
        let serve_at = self.pending.as_ref().and_then(|pending| pending.serve_at);
        let wake_at = self.machine.wake_at().map_or_else(|| Instant::now() + IDLE, Instant::from_std);
        self.in_flight.next(serve_at, wake_at, stop).await
    }

    fn handle(&mut self, completion: Completion) {
        let mut event = None;
        match completion {
            Completion::Subscribed(subscribed) => event = Some(self.on_subscribed(subscribed)),
            Completion::Delivery(received) => event = Some(self.on_received(received)),
            Completion::Fetched(times, answer) => event = Some(self.on_fetched(times, answer)),
            Completion::DigestKey(key) => self.on_digest_key(key),
            Completion::Compared(compared) => event = self.on_compared(compared),
            Completion::Saved(saved) => self.note_saved(saved),
            Completion::WriteDue if self.in_flight.writing.is_none() => self.in_flight.writing = self.begin_write(),
            Completion::AuditDue => self.on_audit_due(),
            Completion::ServeDue => self.on_serve_due(),
            Completion::Stopped | Completion::WakeUp | Completion::WriteDue => {}
        }
        if let Some(event) = event {
            self.machine.handle(event, std::time::Instant::now());
        }
    }

    fn on_subscribed(&mut self, subscribed: Result<Box<dyn Subscription>, BusError>) -> Event {
        match subscribed {
            Ok(subscription) => {
                self.in_flight.subscription = Some(subscription);
                self.metrics.subscriptions.inc();
                Event::Subscribed
            }
            Err(error) => {
                tracing::warn!(%error, "subscribing to the bus failed; polls continue, and the subscription is tried again");
                Event::Unsubscribed
            }
        }
    }

    fn on_received(&mut self, received: Result<Delivery, BusError>) -> Event {
        match received {
            Ok(Delivery::Message(_) | Delivery::Loss) => Event::Hint,
            Err(error) => {
                tracing::warn!(%error, "subscription to the bus broke; polls continue, and the subscription is tried again");
                self.in_flight.subscription = None;
                Event::Unsubscribed
            }
        }
    }

    fn on_fetched(&mut self, times: FetchTimes, answer: Result<StoreAnswer, StoreError>) -> Event {
        self.restore_pending();
        let event = self.updater.apply(times, answer);
        if let Some(pending) = &mut self.pending {
            match event {
                Event::DeltaApplied { more: true, .. } => pending.serve_at = Some(Instant::now() + WAIT_FOR_STORE),
                Event::CursorTooOld => pending.serve_at = None,
                _ => {
                    self.pending = None;
                    self.updater.serve(event != Event::StoreFailed);
                }
            }
        }
        if self.audits_first && matches!(event, Event::DeltaApplied { more: false, .. }) {
            self.audits_first = false;
            self.in_flight.audit_soon();
        }
        if event == Event::SnapshotApplied || self.updater.unsaved().is_much() {
            self.in_flight.write_soon();
        }
        event
    }

    /// Serves the links of the file because the store has not answered in time: old links are better than none.
    fn on_serve_due(&mut self) {
        self.restore_pending();
        self.pending = None;
        self.updater.serve(false);
    }

    fn restore_pending(&mut self) {
        if let Some(stored) = self.pending.as_mut().and_then(|pending| pending.stored.take()) {
            self.updater.restore(stored);
        }
    }

    fn on_audit_due(&mut self) {
        if self.updater.is_auditable() && self.in_flight.beginning_audit.is_none() {
            let store = Arc::clone(&self.store);
            self.in_flight.beginning_audit = Some(Box::pin(async move { store.digest_key().await }));
        }
    }

    /// Begins an audit at the present position of the map.
    fn on_digest_key(&mut self, key: Result<Option<DigestKey>, StoreError>) {
        let key = match key {
            Ok(key) => key,
            Err(error) => return self.on_failed_audit(&error),
        };
        match self.updater.begin_audit(key) {
            Some(start) => {
                // The comparison runs in its own task, so that deltas are applied meanwhile.
                let task = tokio::spawn(audit::compare(Arc::clone(&self.store), start));
                let compared = async { task.await.unwrap_or_else(|error| Err(StoreError::Internal(error.into()))) };
                self.in_flight.comparing = Some(Box::pin(compared));
            }
            // The map has not caught up, so the audit is retried.
            None => self.in_flight.retry_audit(),
        }
    }

    fn on_failed_audit(&mut self, error: &StoreError) {
        tracing::warn!(%error, "audit failed; trying again in 10 s or less");
        self.in_flight.retry_audit();
    }

    fn on_compared(&mut self, compared: Result<Suspects, StoreError>) -> Option<Event> {
        let suspects = compared.inspect_err(|error| self.on_failed_audit(error)).ok();
        let event = suspects.is_some().then_some(Event::Hint);
        self.updater.take_suspects(suspects);
        event
    }

    /// Starts a write of the snapshot file if the map has changed since the last write began, or if the base is a day
    /// old and has a tail.
    fn begin_write(&mut self) -> Option<Work<WriteResult>> {
        let file = self.file.take()?;
        if file.is_old() {
            self.updater.mark_unsaved();
        }
        let Some(save) = self.updater.take_unsaved() else {
            self.file = Some(file);
            return None;
        };
        Some(snapshot_schedule::write(file, save))
    }

    /// Notes the outcome of a write.
    fn note_saved(&mut self, (file, written): WriteResult) {
        self.file = Some(file);
        match written {
            Ok(Written::Base(bytes)) => self.metrics.file_base_bytes.inc_by(bytes),
            Ok(Written::Record(bytes)) => self.metrics.file_tail_bytes.inc_by(bytes),
            Ok(Written::Nothing) => {
                tracing::debug!("another process writes the snapshot file; this process does not write it now");
                self.updater.mark_unsaved();
                return;
            }
            Err(error) => {
                self.updater.mark_unsaved();
                self.metrics.file_errors.inc();
                tracing::error!(%error, "snapshot file was not written; a start uses an older one until a write succeeds");
            }
        }
        if matches!(self.updater.unsaved(), Unsaved::Everything) {
            self.in_flight.postpone_write(PAUSE);
        }
    }

    /// Waits for a write in progress, and writes the snapshot file a last time.
    async fn write_last(mut self) {
        let under_way = self.in_flight.writing.take();
        if let Some(writing) = under_way {
            self.note_saved(writing.await);
        }
        if let Some(writing) = self.begin_write() {
            self.note_saved(writing.await);
        }
    }
}
