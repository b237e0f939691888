//! The shipper: moves clicks from the journals into the store, each once.
//!
//! A batch and the new position of its journal are one transaction of the store. Only the store therefore knows which
//! clicks it has, and its answer overrides the shipper's own state.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tern_common::backoff::Backoff;
use tern_common::click::{ClickBatch, JournalPosition, JournalState, ShipOutcome};
use tern_common::store::{ClickSink, StoreError};
use tokio::sync::watch;
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep, timeout};

use super::backlog::{Backlog, Batch, ClickCounts};
use super::country_file::CountryFileReader;
use super::event_budget::EventBudget;
use super::parked::park;
use crate::clicks::drop_reason::DropReason;
use crate::clicks::journal::{JournalConfig, Lane, Space, directory};
use crate::countries::Countries;
use crate::metrics::ClickMetrics;
use crate::misses::Misses;

/// The limit of clicks in one transaction of a slow store. A smaller transaction would take hardly less time.
const SMALLEST_BATCH: usize = 1_000;

/// The limit of clicks in one transaction of a quick store. With more clicks, other transactions would wait too long.
const LARGEST_BATCH: usize = 10_000;

/// The time of a batch beyond which the next one is smaller: the time for which other transactions wait.
const BATCH_TIME: Duration = Duration::from_millis(200);

/// The longest time that clicks wait for more clicks to share a transaction with.
const GATHER: Duration = Duration::from_millis(200);

/// The largest ratio of the wait for more clicks to the time of the last transaction. The number of clicks
/// of that transaction limits the ratio too, so the wait after a single click is short. With many clicks, the store
/// works for a tenth of the time.
const GATHER_FACTOR: usize = 9;

/// The pause of an idle shipper. Workers do not wake the shipper, since that would cost each of them a system call. The
/// pause and a commit take well below the 50 ms in which an idle system shows a click.
const IDLE_PAUSE: Duration = Duration::from_millis(10);

/// The first pause before an unavailable store is tried again. Each pause is longer than the one before.
const FIRST_RETRY: Duration = Duration::from_millis(50);

/// The longest pause before an unavailable store is tried again.
const LAST_RETRY: Duration = Duration::from_secs(1);

/// The time between two rounds of upkeep. Each compares all journals with the store, since a failover may lose commits.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// The age at which the row of an idle journal is refreshed. The store removes rows that are a year old.
const REFRESH: Duration = Duration::from_secs(24 * 60 * 60);

/// The number of refused clicks in a row after which the store may be at fault. Then only one click a second is parked.
const MANY_PARKED: u32 = 100;

/// The task that ships the journals to the store.
#[derive(Debug)]
pub struct Shipper {
    pub(super) root: PathBuf,
    pub(super) keep_shipped: Duration,
    pub(super) space: Arc<Space>,
    pub(super) journals: Vec<Journal>,
    event_budget: EventBudget,
    pub(super) country_file: CountryFileReader,
    pub(super) misses: Arc<Misses>,
    pub(super) metrics: ClickMetrics,
    parked_in_a_row: u32,
    pub(super) upkeep_at: Instant,
}

/// A backlog, and the times at which it is shipped.
#[derive(Debug)]
pub(super) struct Journal {
    pub(super) backlog: Backlog,
    /// The limit of clicks in a batch. It adapts to the speed of the store, and shrinks when the store refuses a click.
    limit: usize,
    /// The time until which clicks wait for more clicks, unless there are enough for a transaction.
    gather_until: Instant,
    /// The time of the next try, after a failure of this journal.
    pause_until: Instant,
    pub(super) refresh_at: Instant,
    /// The time of the oldest click that waits after a failure or in a long backlog, or of the first failed read.
    waiting_since: Option<SystemTime>,
}

/// The result of an attempt to ship.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Made,
    Idle,
    StoreUnavailable,
}

impl Journal {
    pub(super) fn new(backlog: Backlog) -> Journal {
        let now = Instant::now();
        let refresh_at = now + REFRESH;
        Journal { backlog, limit: SMALLEST_BATCH, gather_until: now, pause_until: now, refresh_at, waiting_since: None }
    }

    /// Returns whether the journal is to be shipped now. A journal of this process gathers clicks for some time, unless
    /// there are enough. A failure pauses any journal.
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
    pub fn new(
        config: &JournalConfig,
        space: Arc<Space>,
        lanes: &[Arc<Lane>],
        misses: Arc<Misses>,
        countries: Arc<Countries>,
        metrics: ClickMetrics,
    ) -> Shipper {
        let mut country_file = CountryFileReader::new(config.geoip_file.clone(), countries);
        // The first redirects may ask for countries.
        country_file.refresh();
        let own = |lane: &Arc<Lane>| Journal::new(Backlog::own(Arc::clone(lane), Arc::clone(&space)));
        Shipper {
            root: config.root.clone(),
            keep_shipped: config.keep_shipped,
            journals: lanes.iter().map(own).collect(),
            space,
            event_budget: EventBudget::new(config.events_per_network),
            country_file,
            misses,
            metrics,
            parked_in_a_row: 0,
            upkeep_at: Instant::now(),
        }
    }

    /// Ships until `stop` names a deadline, and then the remaining clicks until the deadline.
    /// Returns the number of clicks that wait in the journals of this process and in adopted ones.
    ///
    /// The future may be dropped at any time. The next shipper asks the store whether it took the last batch.
    pub async fn run(mut self, store: Arc<dyn ClickSink>, mut stop: watch::Receiver<Option<Instant>>) -> u64 {
        if let Err(error) = block_in_place(|| directory::remove_partial(&self.root)) {
            tracing::warn!(%error, "partial directories of click journals not removed; shipping continues; the next start tries again");
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
                Progress::Made => backoff.reset(),
                Progress::Idle if deadline.is_some() => {
                    self.store_misses(&*store).await;
                    break;
                }
                // The journals retain clicks that an unavailable store does not take, so the process need not wait.
                Progress::StoreUnavailable if deadline.is_some() => break,
                Progress::Idle => {
                    backoff.reset();
                    pause(&mut stop, IDLE_PAUSE).await;
                }
                Progress::StoreUnavailable => pause(&mut stop, backoff.pause()).await,
            }
        }
        self.journals.iter().map(|journal| journal.backlog.pending()).sum()
    }

    /// Ships a batch of each journal that is due.
    async fn round(&mut self, store: &dyn ClickSink, deadline: Option<Instant>) -> Progress {
        let now = Instant::now();
        let mut progress = Progress::Idle;
        if now >= self.upkeep_at && deadline.is_none() {
            self.upkeep_at = now + UPKEEP_INTERVAL;
            progress = self.upkeep(store).await;
        }
        for index in 0..self.journals.len() {
            if progress == Progress::StoreUnavailable || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                break;
            }
            let journal = &self.journals[index];
            if journal.backlog.is_located() && (deadline.is_some() || journal.is_due(now)) {
                match self.ship(index, store).await {
                    Progress::Idle => {}
                    shipped => progress = shipped,
                }
            }
        }
        progress
    }

    /// Updates the metrics of waiting clicks.
    fn export_waiting(&self) {
        let orphans = self.journals.iter().filter(|journal| journal.backlog.is_orphan());
        self.metrics.set_orphans_pending(orphans.map(|journal| journal.backlog.pending()).sum());
        self.metrics.set_oldest_pending(self.journals.iter().filter_map(|journal| journal.waiting_since).min());
    }

    /// Ships the next batch of one journal.
    async fn ship(&mut self, index: usize, store: &dyn ClickSink) -> Progress {
        let journal = &mut self.journals[index];
        let mut batch = match block_in_place(|| journal.backlog.read(journal.limit)) {
            Ok(batch) => batch,
            Err(error) => return self.report_unreadable(index, &error),
        };
        let Some(to) = batch.to else {
            self.metrics.count_dropped(DropReason::Missing, journal.backlog.take_missing());
            if journal.backlog.pending() == 0 {
                journal.waiting_since = None;
            }
            return Progress::Idle;
        };
        let planned = self.event_budget.plan(&mut batch.clicks);
        batch.clicks.iter_mut().for_each(|click| self.country_file.complete(click));
        let started = Instant::now();
        let answer = self.send(index, store, to, &batch, 0).await;
        let took = started.elapsed();
        match answer {
            Ok(ShipOutcome::Committed(state)) => {
                self.parked_in_a_row = 0;
                self.event_budget.spend(planned);
                self.on_taken(index, state, batch.newest);
                let times = u32::try_from(batch.clicks.len().min(GATHER_FACTOR)).unwrap_or(u32::MAX);
                let journal = &mut self.journals[index];
                journal.gather_until = Instant::now() + GATHER.min(took * times);
                // A long way to the store makes a batch slow for this process alone, and a smaller one would not help.
                journal.adapt(batch.clicks.len(), store.locking_time().unwrap_or(took));
                Progress::Made
            }
            Ok(ShipOutcome::Mismatch(state)) => self.locate(index, state),
            Err(error @ (StoreError::Unavailable(_) | StoreError::Busy(_))) => {
                // The store may have taken the batch. The answer to the next try shows it.
                self.journals[index].adapt(0, took);
                self.wait(index, &batch, &error)
            }
            Err(error) => self.split_or_park(index, store, to, batch, &error).await,
        }
    }

    /// Sends a batch to the store, or only the number of parked clicks if there are any.
    pub(super) async fn send(
        &self,
        index: usize,
        store: &dyn ClickSink,
        to: JournalPosition,
        batch: &Batch,
        parked: u64,
    ) -> Result<ShipOutcome, StoreError> {
        let backlog = &self.journals[index].backlog;
        let clicks = if parked > 0 { &[] } else { batch.clicks.as_slice() };
        store.ship_clicks(ClickBatch { journal: backlog.journal, from: backlog.stored(), to, clicks, parked }).await
    }

    /// Logs that the store is unavailable, and that the clicks of the batch wait.
    fn wait(&mut self, index: usize, batch: &Batch, error: &StoreError) -> Progress {
        let journal = &mut self.journals[index];
        journal.waiting_since = batch.oldest;
        tracing::warn!(%error, waiting = journal.backlog.pending(), "store unavailable; clicks wait in their journals; trying again");
        Progress::StoreUnavailable
    }

    /// Pauses this journal alone, after a failure that may not affect other journals.
    fn pause_journal(&mut self, index: usize, batch: &Batch) -> Progress {
        let journal = &mut self.journals[index];
        journal.waiting_since = batch.oldest;
        journal.pause_until = Instant::now() + LAST_RETRY;
        Progress::Idle
    }

    /// Counts a failed read of a journal and pauses the journal.
    fn report_unreadable(&mut self, index: usize, error: &std::io::Error) -> Progress {
        let journal = &mut self.journals[index];
        journal.pause_until = Instant::now() + LAST_RETRY;
        // The times of its clicks are unknown, so their age is counted from the first failure.
        journal.waiting_since.get_or_insert_with(SystemTime::now);
        tracing::error!(
            journal = %journal.backlog.journal, %error,
            "click journal cannot be read; its clicks wait; trying again in a second; check the disk"
        );
        self.metrics.read_errors.inc();
        Progress::Idle
    }

    /// Records that the store took a batch.
    pub(super) fn on_taken(&mut self, index: usize, state: JournalState, newest: Option<SystemTime>) {
        let journal = &mut self.journals[index];
        let counts = journal.backlog.advance(state);
        // The waiting clicks are not read yet, and no older than the newest one that was taken.
        journal.waiting_since = newest.filter(|_| journal.backlog.pending() > 0);
        journal.refresh_at = Instant::now() + REFRESH;
        self.count(counts);
    }

    fn count(&self, counts: ClickCounts) {
        self.metrics.committed.inc_by(counts.recorded);
        self.metrics.without_event.inc_by(counts.without_event);
        self.metrics.parked.inc_by(counts.parked);
        self.metrics.shipped_again.inc_by(counts.lost);
        self.metrics.count_dropped(DropReason::LinkGone, counts.orphaned);
        self.metrics.count_dropped(DropReason::Missing, counts.missing);
    }

    /// Moves a journal to its position in the store.
    ///
    /// It is called after a lost answer, after lost commits of the store, and for a journal that is new to the process.
    pub(super) fn locate(&mut self, index: usize, state: Option<JournalState>) -> Progress {
        let journal = &mut self.journals[index];
        let (id, is_new) = (journal.backlog.journal, !journal.backlog.is_located());
        match block_in_place(|| journal.backlog.locate(state)) {
            Ok(counts) => {
                let pending = journal.backlog.pending();
                if pending == 0 {
                    journal.waiting_since = None;
                }
                self.export_waiting();
                if is_new {
                    self.metrics.taken_over.inc_by(pending);
                }
                if counts.lost > 0 {
                    let clicks = counts.lost;
                    tracing::warn!(journal = %id, clicks, "store lost clicks that it had; shipping them again");
                }
                self.count(counts);
                Progress::Made
            }
            Err(error) => self.report_unreadable(index, &error),
        }
    }

    /// Halves a batch that the store refuses, until a single click is found that the store refuses, and parks it.
    async fn split_or_park(
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
            return Progress::Made;
        }
        let (StoreError::Unfit(_), [click]) = (error, batch.clicks.as_slice()) else {
            // The store is at fault and not the click.
            tracing::error!(
                %error, journal = %id,
                "store cannot take clicks; they wait in their journal; trying again in a second; check the database"
            );
            return self.pause_journal(index, &batch);
        };
        self.parked_in_a_row += 1;
        if self.parked_in_a_row > MANY_PARKED {
            journal.pause_until = Instant::now() + LAST_RETRY;
        }
        tracing::error!(%error, journal = %id, url_id = %click.url_id, "store refused a click; parking it in parked.ndjson with the reason; shipping continues");
        if let Err(error) = block_in_place(|| park(&self.root, id, to.sequence, click, &error.to_string())) {
            tracing::error!(%error, "refused click not parked; its journal waits; trying again in a second; check the disk");
            return self.pause_journal(index, &batch);
        }
        match self.send(index, store, to, &batch, 1).await {
            Ok(ShipOutcome::Committed(state)) => {
                self.on_taken(index, state, batch.newest);
                Progress::Made
            }
            Ok(ShipOutcome::Mismatch(state)) => self.locate(index, state),
            Err(error) => self.wait(index, &batch, &error),
        }
    }
}

/// Waits for `time`, or until `stop` changes.
async fn pause(stop: &mut watch::Receiver<Option<Instant>>, time: Duration) {
    // After the sender is dropped, `changed` returns at once, which must not make the shipper spin.
    if let Ok(Err(_)) = timeout(time, stop.changed()).await {
        sleep(time).await;
    }
}
