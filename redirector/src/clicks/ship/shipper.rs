//! Takes clicks from the journals into the store, each once.
//!
//! A batch and the new place of its journal are one transaction of the store, so whatever happens in between, the store
//! itself says what it has. The shipper never believes its own memory against it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tern_common::backoff::Backoff;
use tern_common::click::{ClickBatch, JournalPosition, JournalState, Shipped};
use tern_common::store::{ClickSink, StoreError};
use tokio::sync::watch;
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep, timeout};

use super::backlog::{Backlog, Batch, Fates};
use super::event_budget::EventBudget;
use super::parked::park;
use crate::clicks::drop_reason::DropReason;
use crate::clicks::journal::{JournalConfig, Lane, Space, directory};
use crate::metrics::ClickMetrics;

/// Clicks in one transaction: with few, its cost is that of a commit; with many, others wait for it.
const SMALLEST_BATCH: usize = 1_000;
const LARGEST_BATCH: usize = 10_000;

/// A batch that took longer is followed by a smaller one.
const BATCH_TIME: Duration = Duration::from_millis(200);

/// The longest time that clicks wait for others to share a transaction with.
const GATHER: Duration = Duration::from_millis(200);

/// The wait as a multiple of the last transaction's time, but at most its number of clicks.
///
/// A single click is shipped at once. Many clicks cost the store a tenth of its time, until they fill transactions.
const GATHER_FACTOR: usize = 9;

/// The rest of an idle shipper. Workers do not wake it, since that would cost each of them a system call.
///
/// With the commit this is well below the 50 ms in which an idle system shows a click.
const REST: Duration = Duration::from_millis(10);

/// The pauses before an unavailable store is asked again.
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(1);

/// The time between two rounds of upkeep. A failover may lose the last commits, so the store is asked each time.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// The time after which the row of an idle journal is refreshed. The store removes rows that are a year old.
const REFRESH: Duration = Duration::from_secs(24 * 60 * 60);

/// The refused clicks in a row after which the store itself may be at fault. Then one click a second is parked.
const MANY_PARKED: u32 = 100;

/// The store's end of the journals.
#[derive(Debug)]
pub struct Shipper {
    pub(super) root: PathBuf,
    pub(super) keep_shipped: Duration,
    pub(super) space: Arc<Space>,
    pub(super) journals: Vec<Journal>,
    event_budget: EventBudget,
    pub(super) metrics: ClickMetrics,
    parked_in_a_row: u32,
    pub(super) upkeep_at: Instant,
}

/// A backlog, and when to ship of it.
#[derive(Debug)]
pub(super) struct Journal {
    pub(super) backlog: Backlog,
    /// The largest batch. Adapts to the speed of the store, and is smaller than usual while the store refuses a click.
    limit: usize,
    /// The time from which few clicks are worth a transaction.
    gather_until: Instant,
    /// The time of the next try after a failure of this journal.
    pause_until: Instant,
    pub(super) refresh_at: Instant,
    /// The time of the oldest click that the store did not take.
    waiting_since: Option<SystemTime>,
}

/// The result of a try to ship.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Some,
    None,
    /// The store is unavailable.
    Away,
}

impl Journal {
    pub(super) fn new(backlog: Backlog) -> Journal {
        let now = Instant::now();
        let refresh_at = now + REFRESH;
        Journal { backlog, limit: SMALLEST_BATCH, gather_until: now, pause_until: now, refresh_at, waiting_since: None }
    }

    /// Whether the journal is to be shipped now: at once if it was idle, else when a transaction is worth it.
    fn is_due(&self, now: Instant) -> bool {
        now >= self.pause_until
            && (self.backlog.is_orphan() || self.backlog.pending() >= SMALLEST_BATCH as u64 || now >= self.gather_until)
    }

    /// Makes batches smaller for a slow store, and larger for a quick one.
    fn adapt(&mut self, clicks: usize, took: Duration) {
        if clicks == self.limit && (clicks < SMALLEST_BATCH || took < BATCH_TIME / 2) {
            self.limit = LARGEST_BATCH.min(self.limit * 2);
        } else if took > BATCH_TIME {
            self.limit = self.limit.min(SMALLEST_BATCH.max(self.limit / 2));
        }
    }
}

impl Shipper {
    pub fn new(config: &JournalConfig, space: Arc<Space>, lanes: &[Arc<Lane>], metrics: ClickMetrics) -> Shipper {
        let own = |lane: &Arc<Lane>| Journal::new(Backlog::own(Arc::clone(lane), Arc::clone(&space)));
        Shipper {
            root: config.root.clone(),
            keep_shipped: config.keep_shipped,
            journals: lanes.iter().map(own).collect(),
            space,
            event_budget: EventBudget::new(config.events_per_network),
            metrics,
            parked_in_a_row: 0,
            upkeep_at: Instant::now(),
        }
    }

    /// Ships until `stop` names a deadline; then ships what is left until then.
    /// Gives the number of clicks that wait in the journals that this process has.
    ///
    /// It may be dropped at any time. The next shipper asks the store what became of a batch without an answer.
    pub async fn run(mut self, store: Arc<dyn ClickSink>, mut stop: watch::Receiver<Option<Instant>>) -> u64 {
        if let Err(error) = block_in_place(|| directory::remove_partial(&self.root)) {
            tracing::warn!(%error, "partial directories of journals could not be removed; going on; the next start tries again");
        }
        let mut backoff = Backoff::new(FIRST_RETRY, LAST_RETRY);
        loop {
            let deadline = *stop.borrow_and_update();
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                break;
            }
            let progress = self.round(&*store, deadline).await;
            self.export_waiting();
            match progress {
                Progress::Some => backoff.reset(),
                // What a store that is away does not take is safe in its journal, and others may wait for this process to end.
                Progress::None | Progress::Away if deadline.is_some() => break,
                Progress::None => {
                    backoff.reset();
                    rest(&mut stop, REST).await;
                }
                Progress::Away => rest(&mut stop, backoff.pause()).await,
            }
        }
        self.journals.iter().map(|journal| journal.backlog.pending()).sum()
    }

    /// Ships a batch of each journal that is due.
    async fn round(&mut self, store: &dyn ClickSink, deadline: Option<Instant>) -> Progress {
        let now = Instant::now();
        let mut progress = Progress::None;
        if now >= self.upkeep_at && deadline.is_none() {
            self.upkeep_at = now + UPKEEP_INTERVAL;
            progress = self.upkeep(store).await;
        }
        for index in 0..self.journals.len() {
            if progress == Progress::Away || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                break;
            }
            let journal = &self.journals[index];
            if journal.backlog.is_located() && (deadline.is_some() || journal.is_due(now)) {
                match self.ship(index, store).await {
                    Progress::None => {}
                    shipped => progress = shipped,
                }
            }
        }
        progress
    }

    fn export_waiting(&self) {
        let orphans = self.journals.iter().filter(|journal| journal.backlog.is_orphan());
        self.metrics.set_orphans_pending(orphans.map(|journal| journal.backlog.pending()).sum());
        self.metrics.set_oldest_pending(self.journals.iter().filter_map(|journal| journal.waiting_since).min());
    }

    /// Gives the next batch of one journal to the store.
    async fn ship(&mut self, index: usize, store: &dyn ClickSink) -> Progress {
        let journal = &mut self.journals[index];
        let mut batch = match block_in_place(|| journal.backlog.read(journal.limit)) {
            Ok(batch) => batch,
            Err(error) => return self.unreadable(index, &error),
        };
        let Some(to) = batch.to else {
            self.metrics.count_dropped(DropReason::Missing, journal.backlog.take_missing());
            return Progress::None;
        };
        let planned = self.event_budget.plan(&mut batch.clicks);
        let started = Instant::now();
        let answer = self.send(index, store, to, &batch, 0).await;
        let took = started.elapsed();
        match answer {
            Ok(Shipped::Taken(state)) => {
                self.parked_in_a_row = 0;
                self.event_budget.spend(planned);
                self.on_taken(index, state, batch.newest);
                let times = u32::try_from(batch.clicks.len().min(GATHER_FACTOR)).unwrap_or(u32::MAX);
                let journal = &mut self.journals[index];
                journal.gather_until = Instant::now() + GATHER.min(took * times);
                journal.adapt(batch.clicks.len(), took);
                Progress::Some
            }
            Ok(Shipped::Elsewhere(state)) => self.locate(index, state),
            Err(error @ (StoreError::Unavailable(_) | StoreError::Busy(_))) => {
                // Whether it was stored is not known: the next try is told.
                self.journals[index].adapt(0, took);
                self.wait(index, &batch, &error)
            }
            Err(error) => self.refused(index, store, to, batch, &error).await,
        }
    }

    pub(super) async fn send(
        &self,
        index: usize,
        store: &dyn ClickSink,
        to: JournalPosition,
        batch: &Batch,
        parked: u64,
    ) -> Result<Shipped, StoreError> {
        let backlog = &self.journals[index].backlog;
        let clicks = if parked > 0 { &[] } else { batch.clicks.as_slice() };
        store.ship_clicks(ClickBatch { journal: backlog.journal, from: backlog.stored(), to, clicks, parked }).await
    }

    fn wait(&mut self, index: usize, batch: &Batch, error: &StoreError) -> Progress {
        let journal = &mut self.journals[index];
        journal.waiting_since = batch.oldest;
        tracing::warn!(%error, waiting = journal.backlog.pending(), "clicks wait for the store");
        Progress::Away
    }

    /// Pauses this journal alone, after a failure that may not affect others.
    fn pause(&mut self, index: usize, batch: &Batch) -> Progress {
        let journal = &mut self.journals[index];
        journal.waiting_since = batch.oldest;
        journal.pause_until = Instant::now() + LAST_RETRY;
        Progress::None
    }

    fn unreadable(&mut self, index: usize, error: &std::io::Error) -> Progress {
        let journal = &mut self.journals[index];
        journal.pause_until = Instant::now() + LAST_RETRY;
        tracing::error!(journal = %journal.backlog.journal, %error, "a journal of clicks could not be read");
        self.metrics.read_errors.inc();
        Progress::None
    }

    /// Takes note that the store took a batch.
    pub(super) fn on_taken(&mut self, index: usize, state: JournalState, newest: Option<SystemTime>) {
        let journal = &mut self.journals[index];
        let fates = journal.backlog.advance(state);
        // What is left is younger than what was taken, and not yet read.
        journal.waiting_since = newest.filter(|_| journal.backlog.pending() > 0);
        journal.refresh_at = Instant::now() + REFRESH;
        self.count(fates);
    }

    fn count(&self, fates: Fates) {
        self.metrics.committed.inc_by(fates.recorded);
        self.metrics.without_event.inc_by(fates.without_event);
        self.metrics.parked.inc_by(fates.parked);
        self.metrics.shipped_again.inc_by(fates.lost);
        self.metrics.count_dropped(DropReason::LinkGone, fates.orphaned);
        self.metrics.count_dropped(DropReason::Missing, fates.missing);
    }

    /// Moves to where the journal stands in the store.
    ///
    /// The store took an earlier batch without an answer, lost its last commits, or was not asked yet.
    pub(super) fn locate(&mut self, index: usize, state: Option<JournalState>) -> Progress {
        let journal = &mut self.journals[index];
        let (id, is_new) = (journal.backlog.journal, !journal.backlog.is_located());
        match block_in_place(|| journal.backlog.locate(state)) {
            Ok(fates) => {
                let pending = journal.backlog.pending();
                if pending == 0 {
                    journal.waiting_since = None;
                }
                self.export_waiting();
                if is_new {
                    self.metrics.taken_over.inc_by(pending);
                }
                if fates.lost > 0 {
                    let clicks = fates.lost;
                    tracing::warn!(journal = %id, clicks, "the store has lost clicks; they are shipped again");
                }
                self.count(fates);
                Progress::Some
            }
            Err(error) => self.unreadable(index, &error),
        }
    }

    /// Halves a batch that the store refuses, until the one click is found that the store does not take, and parks it.
    async fn refused(
        &mut self,
        index: usize,
        store: &dyn ClickSink,
        to: JournalPosition,
        batch: Batch,
        error: &StoreError,
    ) -> Progress {
        let journal = &mut self.journals[index];
        let id = journal.backlog.journal;
        if batch.clicks.len() > 1 {
            journal.limit = batch.clicks.len() / 2;
            return Progress::Some;
        }
        let (StoreError::Unfit(_), [click]) = (error, batch.clicks.as_slice()) else {
            // Not the click is at fault.
            tracing::error!(%error, journal = %id, "the store cannot take clicks");
            return self.pause(index, &batch);
        };
        self.parked_in_a_row += 1;
        if self.parked_in_a_row > MANY_PARKED {
            journal.pause_until = Instant::now() + LAST_RETRY;
        }
        tracing::error!(%error, journal = %id, url_id = %click.url_id, "a click was refused, and is put aside");
        if let Err(error) = block_in_place(|| park(&self.root, id, to.sequence, click, &error.to_string())) {
            tracing::error!(%error, "a refused click could not be put aside; it is tried again");
            return self.pause(index, &batch);
        }
        match self.send(index, store, to, &batch, 1).await {
            Ok(Shipped::Taken(state)) => {
                self.on_taken(index, state, batch.newest);
                Progress::Some
            }
            Ok(Shipped::Elsewhere(state)) => self.locate(index, state),
            Err(error) => self.wait(index, &batch, &error),
        }
    }
}

/// Waits for `time`, or until `stop` changes.
async fn rest(stop: &mut watch::Receiver<Option<Instant>>, time: Duration) {
    // A closed channel means that nobody is left to stop us, and must not make this loop spin.
    if let Ok(Err(_)) = timeout(time, stop.changed()).await {
        sleep(time).await;
    }
}
