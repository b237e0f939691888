//! Takes clicks from the journals into the store, each once.
//!
//! A batch and the new place of its journal are one transaction of the store, so whatever happens in between, the store
//! itself says what it has. The shipper never believes its own memory against it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tern_common::click::{ClickBatch, JournalId, JournalState, Shipped};
use tern_common::store::{Store, StoreError};
use tokio::sync::watch;
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep, timeout};

use super::backlog::{Backlog, Batch};
use super::journal::{self, Lane, Space};
use super::parked;
use crate::metrics::{ClickMetrics, Drop};

/// Clicks in one transaction: with few, its cost is that of a commit; with many, others wait for it.
const SMALLEST_BATCH: usize = 1_000;
const LARGEST_BATCH: usize = 10_000;

/// A batch that took longer is followed by a smaller one.
const BATCH_TIME: Duration = Duration::from_millis(200);

/// How long clicks wait at most for others to share a transaction with.
const GATHER: Duration = Duration::from_millis(200);

/// How many times as long as the last transaction took they wait, unless it brought fewer clicks than that: one click
/// now and then is shipped at once, and many cost the store a tenth of its time, until they fill transactions.
const GATHER_FACTOR: usize = 9;

/// How long an idle shipper rests. Workers do not wake it, which would cost each of them a system call;
/// with the commit this stays well below the 50 ms in which an idle system shows a click.
const REST: Duration = Duration::from_millis(10);

/// How long to wait before a store that was away is asked again.
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(1);

/// How often journals of ended processes are looked for, and the store is asked whether it still has what it had:
/// a failover may lose the last commits.
const LOOK_AROUND: Duration = Duration::from_secs(5);

/// How long shipped segments are kept for that: longer than a standby that is promoted was ever behind.
const KEEP_SHIPPED: Duration = Duration::from_secs(15 * 60);

/// The store's end of the journals.
#[derive(Debug)]
pub struct Shipper {
    root: PathBuf,
    space: Arc<Space>,
    backlogs: Vec<Journal>,
    metrics: ClickMetrics,
    batch_limit: usize,
    look_at: Instant,
}

/// A backlog, and what is under way of it.
#[derive(Debug)]
struct Journal {
    backlog: Backlog,
    /// Whether the store was asked where it stands.
    is_located: bool,
    /// Sent, and not known to be stored or not.
    in_hand: Option<Batch>,
    /// Fewer than usual, while the store refuses something.
    limit: usize,
    /// From when on few clicks are worth a transaction.
    gather_until: Instant,
}

/// What came of trying to ship.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Some,
    None,
    /// The store does not take anything now.
    Away,
}

impl Journal {
    fn new(backlog: Backlog, is_located: bool) -> Journal {
        Journal { backlog, is_located, in_hand: None, limit: LARGEST_BATCH, gather_until: Instant::now() }
    }

    /// Whether to ship now what there is: at once if nothing was lately, else when it is worth a transaction.
    fn is_due(&self, now: Instant) -> bool {
        self.in_hand.is_some()
            || self.backlog.is_left()
            || self.backlog.pending() >= SMALLEST_BATCH as u64
            || now >= self.gather_until
    }
}

impl Shipper {
    pub(super) fn new(root: PathBuf, space: Arc<Space>, lanes: &[Arc<Lane>], metrics: ClickMetrics) -> Shipper {
        let own = |lane: &Arc<Lane>| Journal::new(Backlog::own(Arc::clone(lane), Arc::clone(&space)), true);
        Shipper {
            root,
            backlogs: lanes.iter().map(own).collect(),
            space,
            metrics,
            batch_limit: SMALLEST_BATCH,
            look_at: Instant::now(),
        }
    }

    /// Ships until `stop` names a deadline; then ships what is left until then.
    /// Gives the number of clicks that wait in the journals of this process.
    pub async fn run(mut self, store: Arc<dyn Store>, mut stop: watch::Receiver<Option<Instant>>) -> u64 {
        let mut retry = FIRST_RETRY;
        loop {
            let deadline = *stop.borrow_and_update();
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                break;
            }
            match self.round(&*store, deadline).await {
                Progress::Some => retry = FIRST_RETRY,
                Progress::None if deadline.is_some() => break,
                Progress::None => {
                    retry = FIRST_RETRY;
                    rest(&mut stop, REST).await;
                }
                Progress::Away => {
                    rest(&mut stop, retry).await;
                    retry = LAST_RETRY.min(retry * 2);
                }
            }
        }
        self.pending()
    }

    fn pending(&self) -> u64 {
        self.backlogs.iter().map(|journal| journal.backlog.pending()).sum()
    }

    /// Ships a batch of each journal that is due.
    async fn round(&mut self, store: &dyn Store, deadline: Option<Instant>) -> Progress {
        let now = Instant::now();
        if now >= self.look_at && deadline.is_none() {
            self.look_at = now + LOOK_AROUND;
            if self.look_around(store).await == Progress::Away {
                self.tell_pending();
                return Progress::Away;
            }
        }
        let mut progress = Progress::None;
        for index in 0..self.backlogs.len() {
            if deadline.is_none() && !self.backlogs[index].is_due(now) {
                continue;
            }
            match self.ship(index, store).await {
                Progress::Some => progress = Progress::Some,
                Progress::None => {}
                Progress::Away => {
                    progress = Progress::Away;
                    break;
                }
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                break;
            }
        }
        self.tell_pending();
        progress
    }

    fn tell_pending(&self) {
        let left = self.backlogs.iter().filter(|journal| journal.backlog.is_left());
        self.metrics.left_pending(left.map(|journal| journal.backlog.pending()).sum());
        let oldest = self.backlogs.iter().filter_map(|journal| journal.in_hand.as_ref()?.oldest).min();
        self.metrics.oldest_pending(oldest);
    }

    /// Gives the next batch of one journal to the store. Never cancelled: what was sent is answered first.
    async fn ship(&mut self, index: usize, store: &dyn Store) -> Progress {
        let journal = &mut self.backlogs[index];
        if !journal.is_located {
            return Progress::None;
        }
        let batch = match journal.in_hand.take() {
            Some(batch) => batch,
            None => {
                let max = journal.limit.min(self.batch_limit);
                match block_in_place(|| journal.backlog.read(max)) {
                    Ok(batch) => batch,
                    Err(error) => {
                        let journal = journal.backlog.journal;
                        tracing::error!(%journal, %error, "a journal of clicks could not be read");
                        self.metrics.read_errors.inc();
                        return Progress::None;
                    }
                }
            }
        };
        let Some(to) = batch.to else { return Progress::None };
        let (id, from) = (journal.backlog.journal, journal.backlog.stored());
        let started = Instant::now();
        let answer = store.ship_clicks(ClickBatch { journal: id, from, to, clicks: &batch.clicks }).await;
        let took = started.elapsed();
        match answer {
            Ok(Shipped::Taken(state)) => {
                self.settle(index, &batch, state);
                let times = u32::try_from(batch.clicks.len().min(GATHER_FACTOR)).unwrap_or(u32::MAX);
                self.backlogs[index].gather_until = Instant::now() + GATHER.min(took * times);
                self.adapt(batch.clicks.len(), took);
                Progress::Some
            }
            // An earlier try was committed, and its answer was lost.
            Ok(Shipped::Elsewhere(Some(state))) if state.position == to => {
                self.settle(index, &batch, state);
                Progress::Some
            }
            Ok(Shipped::Elsewhere(state)) => self.locate(index, state),
            Err(error @ StoreError::Unavailable(_)) => {
                let waiting = journal.backlog.pending();
                journal.in_hand = Some(batch);
                tracing::warn!(%error, waiting, "clicks wait for the store");
                Progress::Away
            }
            Err(error) => self.refused(index, batch, &error, store).await,
        }
    }

    fn settle(&mut self, index: usize, batch: &Batch, state: JournalState) {
        let journal = &mut self.backlogs[index];
        let reason = if journal.backlog.is_behind() { Drop::RolledBack } else { Drop::Damaged };
        let settled = journal.backlog.settle(batch, state);
        self.metrics.dropped(reason, batch.missing);
        self.metrics.committed.inc_by(settled.recorded);
        self.metrics.dropped(Drop::LinkGone, settled.orphaned);
        journal.limit = LARGEST_BATCH.min(journal.limit * 2);
    }

    /// Fewer clicks for a store that takes long, more for one that is quick.
    fn adapt(&mut self, clicks: usize, took: Duration) {
        if took > BATCH_TIME {
            self.batch_limit = SMALLEST_BATCH.max(self.batch_limit / 2);
        } else if took < BATCH_TIME / 2 && clicks == self.batch_limit {
            self.batch_limit = LARGEST_BATCH.min(self.batch_limit * 2);
        }
    }

    /// The store has the journal elsewhere than we thought.
    fn locate(&mut self, index: usize, state: Option<JournalState>) -> Progress {
        let journal = &mut self.backlogs[index];
        journal.in_hand = None;
        let id = journal.backlog.journal;
        match block_in_place(|| journal.backlog.locate(state)) {
            Ok(again) => {
                if journal.is_located {
                    let position = state.map(|state| state.position);
                    tracing::warn!(journal = %id, ?position, again, "the store has lost clicks; shipping them again");
                    self.metrics.shipped_again.inc_by(again);
                } else {
                    self.metrics.taken_over.inc_by(journal.backlog.pending());
                }
                journal.is_located = true;
                self.tell_pending();
                Progress::Some
            }
            Err(error) => {
                tracing::error!(journal = %id, %error, "a journal of clicks could not be read");
                self.metrics.read_errors.inc();
                Progress::None
            }
        }
    }

    /// The store refuses a batch for good: halve it, until the one click is found that it does not take.
    async fn refused(&mut self, index: usize, batch: Batch, error: &StoreError, store: &dyn Store) -> Progress {
        let journal = &mut self.backlogs[index];
        let (id, from) = (journal.backlog.journal, journal.backlog.stored());
        let (clicks, Some(to)) = (batch.clicks.as_slice(), batch.to) else { return Progress::None };
        if clicks.len() > 1 {
            journal.limit = clicks.len() / 2;
            return Progress::Some;
        }
        let is_its_fault = matches!(error, StoreError::Unfit(_));
        if !is_its_fault || clicks.is_empty() {
            tracing::error!(%error, journal = %id, "the store cannot take clicks");
            journal.in_hand = Some(batch);
            return Progress::Away;
        }
        for click in clicks {
            tracing::error!(%error, journal = %id, url_id = %click.url_id, "a click was refused, and is put aside");
            if let Err(error) = block_in_place(|| parked::park(&self.root, id, click, &error.to_string())) {
                tracing::error!(%error, "a refused click could not be put aside; it is tried again");
                journal.in_hand = Some(batch);
                return Progress::Away;
            }
        }
        match store.ship_clicks(ClickBatch { journal: id, from, to, clicks: &[] }).await {
            Ok(Shipped::Taken(state)) => {
                self.metrics.parked.inc_by(clicks.len() as u64);
                self.settle(index, &batch, state);
                Progress::Some
            }
            Ok(Shipped::Elsewhere(state)) => self.locate(index, state),
            Err(error) => {
                tracing::warn!(%error, "clicks wait for the store");
                journal.in_hand = Some(batch);
                Progress::Away
            }
        }
    }

    /// Takes over what ended processes have left, asks the store whether it still has what it had, and removes what
    /// nobody will ask for any more.
    async fn look_around(&mut self, store: &dyn Store) -> Progress {
        block_in_place(|| self.take_over());
        let known: Vec<JournalId> = self.backlogs.iter().map(|journal| journal.backlog.journal).collect();
        let states = match store.find_journals(&known).await {
            Ok(states) => states,
            Err(error) => {
                tracing::debug!(%error, "the store was not asked where the journals stand");
                return Progress::Away;
            }
        };
        for (index, state) in states.into_iter().enumerate() {
            let journal = &self.backlogs[index];
            let is_elsewhere = journal.backlog.stored() != state.map(|state| state.position);
            // What is in hand may have been stored or not; its answer tells.
            if !journal.is_located || (is_elsewhere && journal.in_hand.is_none()) {
                self.locate(index, state);
            }
        }
        self.space.remove_older(KEEP_SHIPPED, std::time::Instant::now());
        self.remove_finished(store).await;
        Progress::Some
    }

    fn take_over(&mut self) {
        let found = match journal::journals(&self.root) {
            Ok(found) => found,
            Err(error) => return tracing::error!(%error, "the journals of clicks could not be listed"),
        };
        for id in found {
            if self.backlogs.iter().any(|journal| journal.backlog.journal == id) {
                continue;
            }
            match journal::take_over(&self.root, id) {
                Ok(Some(left)) => {
                    tracing::info!(journal = %id, segments = left.segments.len(), "took over a journal of clicks");
                    let backlog = Backlog::left(left, Arc::clone(&self.space));
                    self.backlogs.push(Journal::new(backlog, false));
                }
                Ok(None) => {}
                Err(error) => {
                    self.metrics.read_errors.inc();
                    tracing::error!(journal = %id, %error, "a journal of clicks could not be taken over");
                }
            }
        }
    }

    async fn remove_finished(&mut self, store: &dyn Store) {
        let mut finished = Vec::new();
        self.backlogs.retain(|journal| {
            let is_finished = journal.is_located && journal.backlog.is_finished();
            if is_finished {
                finished.push((journal.backlog.journal, journal.backlog.directory().to_owned()));
            }
            !is_finished
        });
        for (id, directory) in finished {
            // The files first: without them, nobody asks for the row any more.
            match block_in_place(|| journal::remove_journal(&directory)) {
                Ok(()) => {
                    if let Err(error) = store.forget_journal(id).await {
                        tracing::warn!(journal = %id, %error, "the row of a journal that is no more was left behind");
                    }
                }
                Err(error) => tracing::error!(journal = %id, %error, "a journal could not be removed"),
            }
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
