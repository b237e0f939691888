//! Which redirectors live and how far they have come, so that a change is answered when they serve it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tern_common::backoff::Backoff;
use tern_common::bus::{Bus, BusError, Delivery, MAX_REPLICAS, Message, ReplicaId, SILENT_AFTER, Subscription, Topic};
use tern_common::store::{Cursor, Mark};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::visible_wait::{Pace, VisibleWait};

/// Between two attempts to subscribe.
const RESUBSCRIBE_AFTER: Duration = Duration::from_millis(500);

/// How long the bus may take to say that no replica is there.
const ASK_LIMIT: Duration = Duration::from_millis(250);

/// Knowledge of the replicas, from the bus.
#[derive(Debug)]
struct Progress {
    replicas: HashMap<ReplicaId, Sighting>,
    bus: BusState,
}

/// State of the subscription: whether every live replica has been heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BusState {
    /// The first subscription is under way.
    Joining,
    /// Messages are missed.
    Away,
    /// Each replica that lives has been heard of from this time on.
    FollowedFrom(Instant),
}

/// The last that was heard of a replica.
#[derive(Debug)]
struct Sighting {
    cursor: Cursor,
    at: Instant,
}

/// Follows the progress of the replicas. Written by one task, read by every request that changes a link.
#[derive(Clone, Debug)]
pub struct Visibility {
    progress: watch::Receiver<Progress>,
    bus: Arc<dyn Bus>,
    pace: Arc<Pace>,
}

/// How many of the live replicas serve a change: `2/2` or `?` in the header `Tern-Visible`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visible {
    Counted {
        confirmed: usize,
        live: usize,
    },
    /// The bus cannot tell which replicas live: there may be any number of them.
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
        let (sender, progress) = watch::channel(Progress { replicas: HashMap::new(), bus: BusState::Joining });
        tokio::spawn(follow(Arc::clone(&bus), sender));
        Visibility { progress, bus, pace: Arc::default() }
    }

    /// Waits until any replica was heard of, so that changes are waited for from then on.
    pub async fn first_replica(&self) {
        // A task that ended will hear of none; whoever waits has nothing to wait for.
        let _ = self.progress.clone().wait_for(|progress| !progress.replicas.is_empty()).await;
    }

    /// Waits until every live replica serves the change at `mark`, which was announced at `began`, for as long as replicas
    /// have needed lately.
    pub async fn confirm_since(&self, began: Instant, mark: &Mark, bounds: VisibleWait) -> Visible {
        let visible = self.confirm(mark, self.pace.wait(bounds)).await;
        if visible.is_by_all() {
            self.pace.observe(began.elapsed());
        } else if bounds.least < bounds.most && visible != Visible::Unknown && self.pace.begin() {
            // What they need is not known while every answer gives up before.
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
    /// Does not wait while the bus is away.
    pub async fn confirm(&self, mark: &Mark, at_most: Duration) -> Visible {
        let mut progress = self.progress.clone();
        let deadline = Instant::now() + at_most;
        loop {
            let (visible, wake_at) = count(&progress.borrow_and_update(), mark);
            match visible {
                Visible::Counted { live: 0, .. } => return self.ask(mark).await,
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

    /// Asks the bus itself, when no replica is known: a bus that hangs brings no messages, and no error for a while.
    async fn ask(&self, mark: &Mark) -> Visible {
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
/// Returns also when to look again though no message has come, if there is anything to wait for.
fn count(progress: &Progress, mark: &Mark) -> (Visible, Option<Instant>) {
    match progress.bus {
        BusState::Joining => return (Visible::Unknown, Some(Instant::now() + RESUBSCRIBE_AFTER)),
        BusState::Away => return (Visible::Unknown, None),
        BusState::FollowedFrom(at) if Instant::now() < at => return (Visible::Unknown, None),
        BusState::FollowedFrom(_) => {}
    }
    let live = || progress.replicas.values().filter(|sighting| !sighting.is_silent());
    let behind = || live().filter(|sighting| !sighting.cursor.covers(mark));
    let visible = Visible::Counted { confirmed: live().count() - behind().count(), live: live().count() };
    // A replica that falls silent sends no message to wake us with.
    (visible, behind().map(|sighting| sighting.at + SILENT_AFTER).min())
}

impl Sighting {
    fn is_silent(&self) -> bool {
        self.at.elapsed() >= SILENT_AFTER
    }
}

async fn follow(bus: Arc<dyn Bus>, progress: watch::Sender<Progress>) {
    let mut bus_is_away = false;
    let mut backoff = Backoff::new(RESUBSCRIBE_AFTER, RESUBSCRIBE_AFTER);
    loop {
        let error = match bus.subscribe(Topic::Progress).await {
            Ok(subscription) => {
                bus_is_away = false;
                greet(&*bus, &progress).await;
                match listen(subscription, &progress).await {
                    Ok(()) => return,
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        progress.send_modify(|progress| progress.bus = BusState::Away);
        // One entry each time the bus goes away, not one for each attempt.
        if !bus_is_away {
            tracing::warn!(%error, "the progress of the redirectors cannot be followed");
            bus_is_away = true;
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.pause()) => {}
            () = progress.closed() => return,
        }
    }
}

/// Notes the replicas that told of themselves before we listened, so that the first change waits for all of them.
/// What they told since is still to be received, so nothing newer is overwritten.
async fn greet(bus: &dyn Bus, progress: &watch::Sender<Progress>) {
    let (live, heard_of_all) = match bus.live().await {
        Ok(live) => (live, Instant::now()),
        // Each of them tells of itself within a second.
        Err(error) => {
            tracing::debug!(%error, "the live redirectors are not known yet");
            (Vec::new(), Instant::now() + SILENT_AFTER)
        }
    };
    progress.send_modify(|progress| {
        for (replica, cursor) in live {
            note(&mut progress.replicas, Message::Progress { replica, cursor });
        }
        progress.bus = BusState::FollowedFrom(heard_of_all);
    });
}

/// Ends without an error when nobody wants to know any more.
async fn listen(mut subscription: Box<dyn Subscription>, progress: &watch::Sender<Progress>) -> Result<(), BusError> {
    loop {
        let received = tokio::select! {
            received = subscription.next() => received?,
            () = progress.closed() => return Ok(()),
        };
        // Of what was lost the next message of each replica makes up.
        if let Delivery::Message(message) = received {
            progress.send_modify(|progress| note(&mut progress.replicas, message));
        }
    }
}

fn note(replicas: &mut HashMap<ReplicaId, Sighting>, message: Message) {
    match message {
        Message::Progress { replica, cursor } => {
            replicas.retain(|_, sighting| !sighting.is_silent());
            if replicas.len() < MAX_REPLICAS || replicas.contains_key(&replica) {
                replicas.insert(replica, Sighting { cursor, at: Instant::now() });
            }
        }
        Message::Departure { replica } => {
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
