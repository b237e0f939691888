//! The one reader of new clicks of a process, and the listeners that it serves.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tern_common::store::{self, AdminStore, ClickTail, NewClicks};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::metrics::StreamMetrics;
use super::ring::{Batch, Ring};
use crate::shared_call::SharedCall;

/// Time between two reads: a click is seen at most so long after it is stored, and a read takes about a millisecond.
const POLL: Duration = Duration::from_millis(50);

/// Time between two reads while the store fails.
const RETRY: Duration = Duration::from_secs(1);

/// Time for which the reader continues without listeners, so that a client that reconnects finds its clicks in memory.
const LINGER: Duration = Duration::from_secs(5);

/// The most clicks of one read.
const ROWS: u32 = 500;

/// Time to wait for a read that knows an event of which another process told its client.
const CATCH_UP: Duration = Duration::from_millis(500);

/// The reader and its listeners.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) store: Arc<dyn AdminStore>,
    starting: SharedCall,
    state: Mutex<State>,
    /// Changes when listeners have something to look for.
    news: watch::Sender<()>,
    /// Changes with each read.
    reads: watch::Sender<()>,
    pub(crate) metrics: StreamMetrics,
}

#[derive(Debug)]
struct State {
    listeners: usize,
    is_running: bool,
    ring: Ring,
    /// The id up to which every click was read. `None` until transactions from before the reader have ended.
    position: Option<i64>,
    /// The last id that the store had given at the last read.
    latest: i64,
    /// The number of times that the store reported missing clicks.
    gaps: u64,
}

/// A listener until it is dropped.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) hub: Arc<Hub>,
    pub(crate) news: watch::Receiver<()>,
    /// The id up to which the listener has every click.
    pub(crate) last: i64,
    /// Whether the client named an event after which it wants clicks that may not be in memory.
    pub(crate) is_catching_up: bool,
    gaps: u64,
}

/// The next step of a listener.
#[derive(Debug)]
pub(crate) enum Next {
    Clicks(Arc<Batch>),
    /// Wait for news. The listener has every click that was read.
    Wait,
    /// The clicks after the listener's position up to this one are not in memory.
    Behind(i64),
    /// The store reported that clicks before this position may be missing.
    Gap(i64),
}

impl Hub {
    pub(crate) fn new(store: Arc<dyn AdminStore>, metrics: StreamMetrics) -> Hub {
        let ring = Ring::empty(0);
        let state = State { listeners: 0, is_running: false, ring, position: None, latest: 0, gaps: 0 };
        let (news, reads) = (watch::Sender::new(()), watch::Sender::new(()));
        Hub { store, starting: SharedCall::default(), state: Mutex::new(state), news, reads, metrics }
    }

    /// Adds a listener for clicks from now on, or after an event. Starts the reader if it does not run.
    ///
    /// # Errors
    /// If the reader has to start and the store is unavailable.
    pub(crate) async fn subscribe(self: &Arc<Hub>, after: Option<i64>) -> store::Result<Subscription> {
        self.lock().listeners += 1;
        let (last, is_catching_up, gaps) = (0, after.is_some(), 0);
        // From here on, dropping the subscription removes the listener.
        let mut subscription =
            Subscription { hub: Arc::clone(self), news: self.news.subscribe(), last, is_catching_up, gaps };
        let mut reads = self.reads.subscribe();
        if !self.lock().is_running {
            self.starting.run(async || self.start().await).await?;
        }
        if after.is_some_and(|after| after > self.lock().latest) {
            // Another process may have read the event earlier.
            let _ = timeout(CATCH_UP, reads.changed()).await;
        }
        let state = self.lock();
        let begin = state.position.unwrap_or(state.ring.after);
        subscription.gaps = state.gaps;
        subscription.last = match after {
            None => begin,
            Some(after) if after <= state.latest => after,
            // The database was replaced by one with fewer events.
            Some(_) => {
                subscription.gaps = state.gaps.wrapping_sub(1);
                begin
            }
        };
        drop(state);
        Ok(subscription)
    }

    /// Makes the first read, and starts the task that makes the others.
    async fn start(self: &Arc<Hub>) -> store::Result<()> {
        if self.lock().is_running {
            return Ok(());
        }
        let mut tail = ClickTail::default();
        self.metrics.reads.inc();
        let new = self.store.follow_clicks(&mut tail, ROWS).await?;
        let mut state = self.lock();
        state.ring = Ring::empty(tail.start().unwrap_or_default());
        state.position = None;
        state.is_running = true;
        state.note(&tail, &new);
        drop(state);
        tokio::spawn(Arc::clone(self).read(tail));
        Ok(())
    }

    /// Reads clicks until there has been no listener for some time.
    async fn read(self: Arc<Hub>, mut tail: ClickTail) {
        let mut listened_at = Instant::now();
        let mut is_read = true;
        loop {
            {
                let mut state = self.lock();
                if state.listeners > 0 {
                    listened_at = Instant::now();
                } else if listened_at.elapsed() >= LINGER {
                    state.is_running = false;
                    return;
                }
            }
            self.metrics.reads.inc();
            let read = self.store.follow_clicks(&mut tail, ROWS).await;
            match &read {
                Err(error) if is_read => {
                    tracing::warn!(%error, "reading new clicks failed; listeners wait; trying again");
                }
                Ok(_) if !is_read => tracing::info!("reading new clicks succeeds again"),
                _ => {}
            }
            is_read = read.is_ok();
            let Ok(new) = read else {
                sleep(RETRY).await;
                continue;
            };
            if new.has_gap {
                tracing::warn!(
                    "clicks may be missing from live streams, because a transaction is open for too long or the \
                     database lost commits; listeners are told; reading continues"
                );
            }
            let is_news = self.lock().note(&tail, &new);
            if is_news {
                self.news.send_replace(());
            }
            self.reads.send_replace(());
            if !new.has_more {
                sleep(POLL).await;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code can panic in the middle of a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Adds what was read. Returns whether it concerns listeners.
    fn note(&mut self, tail: &ClickTail, new: &NewClicks) -> bool {
        let was_settled = self.position.is_some();
        let lost_commits = self.position.is_some_and(|before| tail.position().is_none_or(|now| now < before));
        self.position = tail.position();
        self.latest = tail.latest();
        if lost_commits {
            self.ring = Ring::empty(tail.start().unwrap_or_default());
        }
        if new.has_gap {
            self.gaps = self.gaps.wrapping_add(1);
        }
        if !new.clicks.is_empty() {
            self.ring.push(Batch::new(&new.clicks, self.position.unwrap_or_default()));
        }
        new.has_gap || !new.clicks.is_empty() || !was_settled
    }
}

impl Subscription {
    /// Returns the next step.
    pub(crate) fn next(&mut self) -> Next {
        let state = self.hub.lock();
        if self.gaps != state.gaps {
            self.gaps = state.gaps;
            let position = state.position.unwrap_or(state.ring.after);
            if self.last > position {
                self.last = state.ring.after;
            }
            return Next::Gap(position);
        }
        if self.last < state.ring.after {
            return match state.position {
                Some(position) if self.is_catching_up => Next::Behind(position),
                None if self.is_catching_up => Next::Wait,
                _ => Next::Behind(state.ring.after),
            };
        }
        if let Some(batch) = state.ring.find(self.last) {
            self.is_catching_up = false;
            return Next::Clicks(batch);
        }
        if state.position.is_some() {
            self.is_catching_up = false;
        }
        Next::Wait
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.lock().listeners -= 1;
    }
}
