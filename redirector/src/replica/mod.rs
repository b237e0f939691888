//! The replica: keeps the map equal to the store. The only writer of the map.
//!
//! A snapshot fills the map; from then on deltas change it, at the hint of the bus or at the next poll.
//! [`core`] decides what is done when; this module does it.

pub mod core;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tern_common::ShortCode;
use tern_common::bus::{Bus, BusError, Message, Received, ReplicaId, Subscription, Topic};
use tern_common::link::{Link, LinkRow};
use tern_common::store::{Cursor, Delta, LinkChange, Store, StoreError};
use tokio::sync::watch;

use self::core::{Action, Core, Event, Pace};
use crate::link_map::LinkMapWriter;
use crate::metrics::ReplicaMetrics;

/// How often a replica tells that it lives. Those who wait for it forget it after 3 s.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// When the map was last known to equal the store. Written by the replica, read by the ops port.
#[derive(Debug, Default)]
pub struct Freshness {
    /// Microseconds since the epoch; 0 for never.
    equal_at: AtomicU64,
}

impl Freshness {
    fn mark(&self, at: SystemTime) {
        let micros = at.duration_since(UNIX_EPOCH).map_or(1, |since| since.as_micros());
        self.equal_at.store(u64::try_from(micros).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How long ago that was; `None` before the first load.
    pub fn staleness(&self) -> Option<Duration> {
        let micros = self.equal_at.load(Ordering::Relaxed);
        let at = UNIX_EPOCH + Duration::from_micros(micros);
        (micros > 0).then(|| SystemTime::now().duration_since(at).unwrap_or_default())
    }
}

/// One replica of the store's links.
#[derive(Debug)]
pub struct Replica {
    id: ReplicaId,
    store: Arc<dyn Store>,
    bus: Arc<dyn Bus>,
    writer: LinkMapWriter,
    cursor: Option<Cursor>,
    freshness: Arc<Freshness>,
    metrics: ReplicaMetrics,
}

/// What the store gave, not yet in the map.
enum Fetched {
    Snapshot { links: HashMap<ShortCode, Link>, rejected: u64, cursor: Cursor },
    Delta { changes: Vec<LinkChange>, cursor: Cursor, more: bool },
    TooOld,
}

impl Replica {
    pub fn new(
        store: Arc<dyn Store>,
        bus: Arc<dyn Bus>,
        writer: LinkMapWriter,
        freshness: Arc<Freshness>,
        metrics: ReplicaMetrics,
    ) -> Replica {
        Replica { id: ReplicaId::random(), store, bus, writer, cursor: None, freshness, metrics }
    }

    /// Follows the store until `stop` says so.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut core = Core::new(Pace::default(), rand::random(), Instant::now());
        let mut subscription: Option<Box<dyn Subscription>> = None;
        let mut subscribing = None;
        let mut fetching = None;
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            while let Some(action) = core.next_action(Instant::now()) {
                match action {
                    Action::Subscribe => {
                        let bus = Arc::clone(&self.bus);
                        subscribing = Some(Box::pin(async move { bus.subscribe(Topic::Invalidations).await }));
                    }
                    Action::TakeSnapshot => fetching = Some(Box::pin(fetch(Arc::clone(&self.store), None))),
                    Action::TakeDelta => {
                        fetching = Some(Box::pin(fetch(Arc::clone(&self.store), self.cursor.clone())));
                    }
                }
            }
            let wake_at = core.wake_at().unwrap_or_else(|| Instant::now() + HEARTBEAT);
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
                (asked_at, fetched) = present(&mut fetching) => {
                    fetching = None;
                    Some(self.apply(asked_at, fetched).await)
                }
                _ = heartbeat.tick() => {
                    self.announce().await;
                    None
                }
                () = tokio::time::sleep_until(wake_at.into()) => None,
            };
            if let Some(event) = event {
                core.handle(event, Instant::now());
            }
        }
        self.tell(Message::Left { replica: self.id }).await;
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

    async fn apply(&mut self, asked_at: SystemTime, fetched: Result<Fetched, StoreError>) -> Event {
        let event = match fetched {
            Ok(Fetched::Snapshot { links, rejected, cursor }) => {
                tracing::info!(links = links.len(), rejected, "every link was loaded");
                self.metrics.rejected_rows.inc_by(rejected);
                self.metrics.snapshots.inc();
                // Millions of links take their time, and this thread has other tasks.
                tokio::task::block_in_place(|| self.writer.replace(links));
                self.cursor = Some(cursor);
                self.freshness.mark(asked_at);
                Event::SnapshotApplied
            }
            Ok(Fetched::Delta { changes, cursor, more }) => {
                let count = changes.len();
                self.metrics.deltas.inc();
                self.metrics.changes.inc_by(count as u64);
                for change in changes {
                    self.apply_change(change);
                }
                self.cursor = Some(cursor);
                if !more {
                    self.freshness.mark(asked_at);
                }
                let took = SystemTime::now().duration_since(asked_at).unwrap_or_default();
                self.metrics.delta_seconds.observe(took.as_secs_f64());
                Event::DeltaApplied { changes: count, more }
            }
            Ok(Fetched::TooOld) => {
                tracing::info!("the change log does not reach back to our cursor; loading every link");
                Event::CursorTooOld
            }
            Err(error) => {
                tracing::warn!(%error, "the store did not answer; redirects go on from what is loaded");
                self.metrics.store_failures.inc();
                return Event::StoreFailed;
            }
        };
        self.metrics.links.set(i64::try_from(self.writer.map().len()).unwrap_or(i64::MAX));
        self.announce().await;
        event
    }

    fn apply_change(&mut self, change: LinkChange) {
        match change {
            LinkChange::Put(row) => match checked(row) {
                Some((code, link)) => self.writer.put(code, link),
                None => self.metrics.rejected_rows.inc(),
            },
            LinkChange::Removed { short_code } => self.writer.remove(&short_code),
        }
    }

    async fn announce(&self) {
        if let Some(cursor) = &self.cursor {
            self.tell(Message::Applied { replica: self.id, cursor: cursor.clone() }).await;
        }
    }

    async fn tell(&self, message: Message) {
        // Nobody hears of our progress; they wait in vain for a moment, and go on.
        if let Err(error) = self.bus.publish(message).await {
            tracing::debug!(%error, "an announcement was lost");
        }
    }
}

/// A delta since `cursor`, or a snapshot without one, and when it was asked for:
/// at that moment at the latest, the map will equal the store.
async fn fetch(store: Arc<dyn Store>, cursor: Option<Cursor>) -> (SystemTime, Result<Fetched, StoreError>) {
    let asked_at = SystemTime::now();
    let fetched = match cursor {
        Some(cursor) => store.delta(&cursor).await.map(|delta| match delta {
            Delta::Changes { changes, cursor, more } => Fetched::Delta { changes, cursor, more },
            Delta::TooOld => Fetched::TooOld,
        }),
        None => fetch_snapshot(&*store).await,
    };
    (asked_at, fetched)
}

async fn fetch_snapshot(store: &dyn Store) -> Result<Fetched, StoreError> {
    let mut snapshot = store.snapshot().await?;
    let mut links = HashMap::new();
    let mut rejected = 0;
    while let Some(rows) = snapshot.rows.recv().await {
        for row in rows? {
            match checked(row) {
                Some((code, link)) => drop(links.insert(code, link)),
                None => rejected += 1,
            }
        }
    }
    Ok(Fetched::Snapshot { links, rejected, cursor: snapshot.cursor })
}

/// The row as a link; a row that cannot be served is told about and left out.
fn checked(row: LinkRow) -> Option<(ShortCode, Link)> {
    let url_id = row.url_id;
    row.into_link().inspect_err(|error| tracing::warn!(url_id = url_id.get(), %error, "a row cannot be served")).ok()
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone stops us too.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// What the pending future gives; for ever pending without one.
async fn present<F: Future + Unpin>(future: &mut Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

async fn next_message(subscription: &mut Option<Box<dyn Subscription>>) -> Result<Received, BusError> {
    match subscription {
        Some(subscription) => subscription.next().await,
        None => std::future::pending().await,
    }
}
