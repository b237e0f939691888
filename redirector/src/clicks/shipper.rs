//! Takes clicks from the queue into the store.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tern_common::Click;
use tern_common::store::{Store, StoreError};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::Queue;
use crate::metrics::{ClickMetrics, Drop};

/// Clicks in one transaction.
const BATCH: usize = 1_000;

/// How long an idle shipper rests. Workers do not wake it, which would cost each of them a system call;
/// with the commit this stays well below the 50 ms in which an idle system shows a click.
const REST: Duration = Duration::from_millis(10);

/// How long to wait before a store that was away is asked again.
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(1);

/// The store's end of the queue.
#[derive(Debug)]
pub struct Shipper {
    queue: Arc<Queue>,
    metrics: ClickMetrics,
    /// Taken from the queue and not yet in the store.
    batch: Vec<Click>,
}

impl Shipper {
    pub(super) fn new(queue: Arc<Queue>, metrics: ClickMetrics) -> Shipper {
        Shipper { queue, metrics, batch: Vec::new() }
    }

    /// Ships until `stop` names a deadline; then ships what is left, and gives the number of clicks that the deadline
    /// cut off.
    pub async fn run(mut self, store: Arc<dyn Store>, mut stop: watch::Receiver<Option<Instant>>) -> usize {
        let mut retry = FIRST_RETRY;
        loop {
            let deadline = *stop.borrow_and_update();
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                break;
            }
            self.fill();
            if self.batch.is_empty() {
                if deadline.is_some() {
                    break;
                }
                rest(&mut stop, REST).await;
            } else if self.ship(&*store).await {
                retry = FIRST_RETRY;
            } else {
                rest(&mut stop, retry).await;
                retry = LAST_RETRY.min(retry * 2);
            }
        }
        let cut = self.queue.pending();
        self.metrics.dropped(Drop::Shutdown, cut as u64);
        if cut > 0 {
            tracing::error!(clicks = cut, "clicks were still waiting for the store when the process had to end");
        }
        cut
    }

    fn fill(&mut self) {
        if self.batch.is_empty() {
            let waiting = std::iter::from_fn(|| self.queue.waiting.pop());
            self.batch.extend(waiting.take(BATCH));
            self.queue.in_hand.store(self.batch.len(), Ordering::Relaxed);
        }
    }

    /// Gives the batch to the store; false if the store is away. Never cancelled:
    /// a transaction whose answer was not waited for would be sent a second time.
    async fn ship(&mut self, store: &dyn Store) -> bool {
        match store.record_clicks(&self.batch).await {
            Ok(outcome) => {
                self.metrics.committed.inc_by(outcome.recorded);
                self.metrics.dropped(Drop::LinkGone, outcome.orphaned);
            }
            Err(error @ StoreError::Unavailable(_)) => {
                let waiting = self.queue.pending();
                tracing::warn!(%error, waiting, "clicks wait for the store");
                return false;
            }
            Err(error) => {
                tracing::error!(%error, clicks = self.batch.len(), "the store refused clicks");
                self.metrics.dropped(Drop::Refused, self.batch.len() as u64);
            }
        }
        self.batch.clear();
        self.queue.in_hand.store(0, Ordering::Relaxed);
        true
    }
}

/// Waits for `time`, or until `stop` changes.
async fn rest(stop: &mut watch::Receiver<Option<Instant>>, time: Duration) {
    // A closed channel means that nobody is left to stop us, and must not make this loop spin.
    if let Ok(Err(_)) = timeout(time, stop.changed()).await {
        sleep(time).await;
    }
}
