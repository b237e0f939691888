//! Which redirectors live and how far they have come, so that a change is answered when they serve it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderValue;
use axum::response::{IntoResponseParts, ResponseParts};
use tern_common::bus::{Bus, BusError, MAX_REPLICAS, Message, Received, ReplicaId, SILENT_AFTER, Subscription, Topic};
use tern_common::store::{Cursor, Mark};
use tokio::sync::watch;
use tokio::time::Instant;

/// Between two attempts to subscribe.
const RESUBSCRIBE_AFTER: Duration = Duration::from_millis(500);

type Replicas = HashMap<ReplicaId, Sighting>;

/// The last that was heard of a replica.
#[derive(Debug)]
struct Sighting {
    cursor: Cursor,
    at: Instant,
}

/// Follows the progress of the replicas. Written by one task, read by every request that changes a link.
#[derive(Clone, Debug)]
pub struct Visibility {
    replicas: watch::Receiver<Replicas>,
}

/// How many of the live replicas serve a change: `2/2` in the header `Tern-Visible`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visible {
    pub confirmed: usize,
    pub live: usize,
}

impl Visibility {
    /// Follows `bus` until the last clone is dropped.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(bus: Arc<dyn Bus>) -> Visibility {
        let (sender, replicas) = watch::channel(Replicas::new());
        tokio::spawn(follow(bus, sender));
        Visibility { replicas }
    }

    /// Waits until any replica was heard of, so that changes are waited for from then on.
    pub async fn first_replica(&self) {
        // A task that ended will hear of none; whoever waits has nothing to wait for.
        let _ = self.replicas.clone().wait_for(|replicas| !replicas.is_empty()).await;
    }

    /// Waits until every live replica serves the change at `mark`, or the time is over.
    pub async fn confirm(&self, mark: &Mark, at_most: Duration) -> Visible {
        let mut replicas = self.replicas.clone();
        let deadline = Instant::now() + at_most;
        loop {
            let (visible, next_silent) = count(&replicas.borrow_and_update(), mark);
            if visible.confirmed == visible.live || Instant::now() >= deadline {
                return visible;
            }
            // A replica that falls silent sends no message to wake us with.
            let until = next_silent.map_or(deadline, |silent| silent.min(deadline));
            let changed = tokio::time::timeout_at(until, replicas.changed());
            if let Ok(Err(_)) = changed.await {
                return visible;
            }
        }
    }
}

/// Also tells when the first of those that are waited for counts as silent.
fn count(replicas: &Replicas, mark: &Mark) -> (Visible, Option<Instant>) {
    let live = || replicas.values().filter(|sighting| !sighting.is_silent());
    let behind = || live().filter(|sighting| !sighting.cursor.covers(mark));
    let visible = Visible { confirmed: live().count() - behind().count(), live: live().count() };
    (visible, behind().map(|sighting| sighting.at + SILENT_AFTER).min())
}

impl Sighting {
    fn is_silent(&self) -> bool {
        self.at.elapsed() >= SILENT_AFTER
    }
}

async fn follow(bus: Arc<dyn Bus>, replicas: watch::Sender<Replicas>) {
    let mut bus_is_away = false;
    loop {
        let error = match bus.subscribe(Topic::Progress).await {
            Ok(subscription) => {
                bus_is_away = false;
                greet(&*bus, &replicas).await;
                match listen(subscription, &replicas).await {
                    Ok(()) => return,
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        // One entry each time the bus goes away, not one for each attempt.
        if !bus_is_away {
            tracing::warn!(%error, "the progress of the redirectors cannot be followed");
            bus_is_away = true;
        }
        tokio::select! {
            () = tokio::time::sleep(RESUBSCRIBE_AFTER) => {}
            () = replicas.closed() => return,
        }
    }
}

/// Notes the replicas that told of themselves before we listened, so that the first change waits for all of them.
/// What they told since is still to be received, so nothing newer is overwritten.
async fn greet(bus: &dyn Bus, replicas: &watch::Sender<Replicas>) {
    match bus.live().await {
        Ok(live) => replicas.send_modify(|replicas| {
            for (replica, cursor) in live {
                note(replicas, Message::Applied { replica, cursor });
            }
        }),
        // Each of them tells of itself within a second.
        Err(error) => tracing::debug!(%error, "the live redirectors are not known yet"),
    }
}

/// Ends without an error when nobody wants to know any more.
async fn listen(mut subscription: Box<dyn Subscription>, replicas: &watch::Sender<Replicas>) -> Result<(), BusError> {
    loop {
        let received = tokio::select! {
            received = subscription.next() => received?,
            () = replicas.closed() => return Ok(()),
        };
        // Of what was lost the next message of each replica makes up.
        if let Received::Message(message) = received {
            replicas.send_modify(|replicas| note(replicas, message));
        }
    }
}

fn note(replicas: &mut Replicas, message: Message) {
    match message {
        Message::Applied { replica, cursor } => {
            replicas.retain(|_, sighting| !sighting.is_silent());
            if replicas.len() < MAX_REPLICAS || replicas.contains_key(&replica) {
                replicas.insert(replica, Sighting { cursor, at: Instant::now() });
            }
        }
        Message::Left { replica } => {
            replicas.remove(&replica);
        }
        Message::Invalidation => {}
    }
}

impl fmt::Display for Visible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.confirmed, self.live)
    }
}

impl IntoResponseParts for Visible {
    type Error = Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Infallible> {
        if let Ok(value) = HeaderValue::try_from(self.to_string()) {
            parts.headers_mut().insert("tern-visible", value);
        }
        Ok(parts)
    }
}
