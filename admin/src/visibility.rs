//! The progress of the live redirectors, so that the answer to a change waits until they serve it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tern_common::backoff::Backoff;
use tern_common::bus::{Bus, BusError, Delivery, MAX_REPLICAS, Message, ReplicaId, SILENT_AFTER, Subscription, Topic};
use tern_common::store::{Cursor, Mark};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::fleet::Fleet;
use crate::visible_wait::{Pace, VisibleWait};

/// Time between two attempts to subscribe.
const RESUBSCRIBE_AFTER: Duration = Duration::from_millis(500);

/// The longest time for the bus to list the live replicas.
const ASK_LIMIT: Duration = Duration::from_millis(250);

/// The state of the replicas as the bus reports it.
#[derive(Debug)]
struct Progress {
    replicas: HashMap<ReplicaId, Sighting>,
    bus: BusState,
    fleet: Fleet,
}

impl Default for Progress {
    fn default() -> Progress {
        Progress { replicas: HashMap::new(), bus: BusState::Subscribing, fleet: Fleet::default() }
    }
}

/// State of the subscription, which tells whether every live replica is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BusState {
    /// The first subscription is under way.
    Subscribing,
    /// There is no subscription, so messages are missed.
    Unavailable,
    /// Every live replica is known from this time on.
    CompleteFrom(Instant),
}

/// The last announcement of a replica, and when it came.
#[derive(Debug)]
struct Sighting {
    cursor: Cursor,
    at: Instant,
}

/// The progress of the replicas. One task writes it, and each request that changes a link reads it.
#[derive(Clone, Debug)]
pub struct Visibility {
    progress: watch::Receiver<Progress>,
    bus: Arc<dyn Bus>,
    pace: Arc<Pace>,
}

/// The number of live replicas that serve a change: `2/2` or `?` in the header `Tern-Visible`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visible {
    Counted {
        confirmed: usize,
        live: usize,
    },
    /// The bus is unavailable, so the number of live replicas is unknown.
    Unknown,
}

impl Visible {
    fn is_by_all(self) -> bool {
        matches!(self, Visible::Counted { confirmed, live } if live > 0 && confirmed == live)
    }
}

impl Visibility {
    /// Follows `bus` until the last clone is dropped.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(bus: Arc<dyn Bus>) -> Visibility {
        let (sender, progress) = watch::channel(Progress::default());
        tokio::spawn(follow(Arc::clone(&bus), sender));
        Visibility { progress, bus, pace: Arc::default() }
    }

    /// Waits until a replica is known, from when on answers to changes wait for replicas.
    pub async fn first_replica(&self) {
        // An error means that the task has ended, so that no replica will ever be known.
        let _ = self.progress.clone().wait_for(|progress| !progress.replicas.is_empty()).await;
    }

    /// Returns what the redirectors last reported of themselves.
    pub(crate) fn fleet(&self) -> Fleet {
        self.progress.borrow().fleet.clone()
    }

    /// Returns whether the bus answers, and how soon.
    pub(crate) async fn check_bus(&self) -> Option<Duration> {
        let began = Instant::now();
        let answered = tokio::time::timeout(ASK_LIMIT, self.bus.live()).await;
        answered.is_ok_and(|live| live.is_ok()).then(|| began.elapsed())
    }

    /// Waits until every live replica serves the change at `mark`, whose hint was sent at `began`.
    /// The longest wait follows from the time that replicas needed lately.
    pub async fn confirm_since(&self, began: Instant, mark: &Mark, bounds: VisibleWait) -> Visible {
        let visible = self.confirm(mark, self.pace.wait(bounds)).await;
        if visible.is_by_all() {
            self.pace.observe(began.elapsed());
        } else if bounds.least < bounds.most && visible != Visible::Unknown && self.pace.begin() {
            // Without this measurement the wait could not grow while every answer ends before its confirmation.
            let (this, mark) = (self.clone(), *mark);
            tokio::spawn(async move {
                if this.confirm(&mark, bounds.most.saturating_sub(began.elapsed())).await.is_by_all() {
                    this.pace.observe(began.elapsed());
                }
                this.pace.end();
            });
        }
        visible
    }

    /// Waits until every live replica serves the change at `mark`, or the time is over.
    /// Returns at once while the bus is unavailable.
    pub async fn confirm(&self, mark: &Mark, at_most: Duration) -> Visible {
        let mut progress = self.progress.clone();
        let deadline = Instant::now() + at_most;
        loop {
            let (visible, wake_at) = count(&progress.borrow_and_update(), mark);
            match visible {
                Visible::Counted { live: 0, .. } => return self.query_bus(mark).await,
                Visible::Counted { confirmed, live } if confirmed == live => return visible,
                Visible::Unknown if wake_at.is_none() => return visible,
                _ if Instant::now() >= deadline => return visible,
                _ => {}
            }
            let until = wake_at.map_or(deadline, |at| at.min(deadline));
            let changed = tokio::time::timeout_at(until, progress.changed());
            if let Ok(Err(_)) = changed.await {
                return visible;
            }
        }
    }

    /// Queries the bus when no replica is known, because a bus that hangs reports no error for a while.
    async fn query_bus(&self, mark: &Mark) -> Visible {
        match tokio::time::timeout(ASK_LIMIT, self.bus.live()).await {
            Ok(Ok(live)) => {
                let confirmed = live.iter().filter(|(_, cursor)| cursor.covers(mark)).count();
                Visible::Counted { confirmed, live: live.len() }
            }
            Ok(Err(_)) | Err(_) => Visible::Unknown,
        }
    }
}

/// Counts the replicas that serve the change at `mark`.
/// The second value is the time to count again without a message, or `None` if a wait would not help.
fn count(progress: &Progress, mark: &Mark) -> (Visible, Option<Instant>) {
    match progress.bus {
        BusState::Subscribing => return (Visible::Unknown, Some(Instant::now() + RESUBSCRIBE_AFTER)),
        BusState::Unavailable => return (Visible::Unknown, None),
        BusState::CompleteFrom(at) if Instant::now() < at => return (Visible::Unknown, None),
        BusState::CompleteFrom(_) => {}
    }
    let live = || progress.replicas.values().filter(|sighting| !sighting.is_silent());
    let behind = || live().filter(|sighting| !sighting.cursor.covers(mark));
    let visible = Visible::Counted { confirmed: live().count() - behind().count(), live: live().count() };
    // A replica that falls silent sends no message that could wake the waiting request.
    (visible, behind().map(|sighting| sighting.at + SILENT_AFTER).min())
}

impl Sighting {
    fn is_silent(&self) -> bool {
        self.at.elapsed() >= SILENT_AFTER
    }
}

async fn follow(bus: Arc<dyn Bus>, progress: watch::Sender<Progress>) {
    let mut is_reported = false;
    let mut backoff = Backoff::new(RESUBSCRIBE_AFTER, RESUBSCRIBE_AFTER);
    loop {
        let error = match bus.subscribe(Topic::Progress).await {
            Ok(subscription) => {
                is_reported = false;
                note_live_replicas(&*bus, &progress).await;
                match receive(subscription, &progress).await {
                    Ok(()) => return,
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        progress.send_modify(|progress| progress.bus = BusState::Unavailable);
        // One entry for each outage, not one for each attempt.
        if !is_reported {
            tracing::warn!(
                %error,
                "following the progress of redirectors failed; answers to changes do not wait; subscribing again"
            );
            is_reported = true;
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.pause()) => {}
            () = progress.closed() => return,
        }
    }
}

/// Notes the replicas that announced themselves before the subscription, so that the first change waits for all of them.
/// Later announcements are received afterwards, so none is overwritten by an older one.
async fn note_live_replicas(bus: &dyn Bus, progress: &watch::Sender<Progress>) {
    let (live, complete_from) = match bus.live().await {
        Ok(live) => (live, Instant::now()),
        // Each live replica announces itself before this time has passed.
        Err(error) => {
            tracing::debug!(%error, "listing the live redirectors failed; waiting for their announcements");
            (Vec::new(), Instant::now() + SILENT_AFTER)
        }
    };
    progress.send_modify(|progress| {
        for (replica, cursor) in live {
            note(progress, Message::Progress { replica, cursor });
        }
        progress.bus = BusState::CompleteFrom(complete_from);
    });
}

/// Notes announcements until the last [`Visibility`] is dropped.
async fn receive(mut subscription: Box<dyn Subscription>, progress: &watch::Sender<Progress>) -> Result<(), BusError> {
    loop {
        let received = tokio::select! {
            received = subscription.next() => received?,
            () = progress.closed() => return Ok(()),
        };
        // The next announcement of each replica makes up for lost messages.
        if let Delivery::Message(message) = received {
            progress.send_modify(|progress| note(progress, message));
        }
    }
}

fn note(Progress { replicas, fleet, .. }: &mut Progress, message: Message) {
    match message {
        Message::Progress { replica, cursor } => {
            replicas.retain(|_, sighting| !sighting.is_silent());
            if replicas.len() < MAX_REPLICAS || replicas.contains_key(&replica) {
                replicas.insert(replica, Sighting { cursor, at: Instant::now() });
            }
        }
        Message::Status { replica, status } => fleet.note(replica, status),
        Message::Departure { replica } => {
            fleet.remove(replica);
            replicas.remove(&replica);
        }
        Message::Invalidation => {}
    }
}

impl fmt::Display for Visible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Visible::Counted { confirmed, live } => write!(f, "{confirmed}/{live}"),
            Visible::Unknown => f.write_str("?"),
        }
    }
}
