//! One client that receives clicks as they are stored.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use futures_util::{Stream, stream};
use tern_common::event::{EventFilter, EventType};
use tern_serving::PortState;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};

use super::hub::{Next, Subscription};
use super::limits::StreamPermit;
use super::ring::write_click;
use crate::access::{Access, Caller};

/// Time between two signs of life of a stream without clicks. nginx and other proxies close it after a minute.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Time between two checks of the client's token. The list of tokens is read every second.
const CHECK: Duration = Duration::from_secs(1);

/// A comment, which clients ignore.
const COMMENT: &[u8] = b":\n\n";

/// The clicks from before the listener came that are read at a time.
const ROWS: u32 = 200;

/// A listener, and what ends its stream.
#[derive(Debug)]
pub(crate) struct Listener {
    subscription: Subscription,
    filter: EventFilter,
    caller: Caller,
    access: Arc<Access>,
    port: PortState,
    turn: Arc<Semaphore>,
    has_begun: bool,
    sent_at: Instant,
    checked_at: Instant,
    _permit: StreamPermit,
}

impl Listener {
    pub(crate) fn new(
        subscription: Subscription,
        filter: EventFilter,
        caller: Caller,
        access: Arc<Access>,
        port: PortState,
        turn: Arc<Semaphore>,
        permit: StreamPermit,
    ) -> Listener {
        let filter = EventFilter { event_type: Some(EventType::CLICKED.to_owned()), ..filter };
        let (sent_at, checked_at) = (Instant::now(), Instant::now());
        Listener {
            subscription,
            filter,
            caller,
            access,
            port,
            turn,
            has_begun: false,
            sent_at,
            checked_at,
            _permit: permit,
        }
    }

    /// Returns the parts of the stream, each when the client has taken the one before.
    pub(crate) fn into_stream(self) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
        stream::unfold(self, |mut listener| async move { Some((Ok(listener.next_part().await?), listener)) })
    }

    /// Returns the next part; `None` ends the stream.
    async fn next_part(&mut self) -> Option<Bytes> {
        if !self.has_begun {
            self.has_begun = true;
            return Some(Bytes::from_static(COMMENT));
        }
        loop {
            if self.port.is_draining() {
                return None;
            }
            if self.checked_at.elapsed() >= CHECK {
                if !self.access.still_admits(&self.caller) {
                    return None;
                }
                self.checked_at = Instant::now();
            }
            let part = self.find_part().await?;
            if let Some(part) = part.filter(|part| !part.is_empty()) {
                self.sent_at = Instant::now();
                return Some(part);
            }
        }
    }

    /// Takes one step. Returns a part for the client, or `None` to take another step; an outer `None` ends the stream.
    async fn find_part(&mut self) -> Option<Option<Bytes>> {
        let last = self.subscription.last;
        match self.subscription.next() {
            Next::Clicks(batch) => {
                self.subscription.last = batch.up_to;
                Some(Some(batch.text(&self.filter, last)))
            }
            Next::Behind(position) if self.subscription.is_catching_up => self.read_older(position).await.map(Some),
            Next::Behind(position) => {
                self.subscription.last = position;
                Some(Some(self.missed(last, position)))
            }
            Next::Gap(position) => Some(Some(self.missed(last.min(position), position))),
            Next::Wait => {
                let next_check = (self.checked_at + CHECK).min(self.sent_at + HEARTBEAT);
                tokio::select! {
                    biased;
                    () = self.port.drain_began() => return None,
                    changed = self.subscription.news.changed() => if changed.is_err() { return None },
                    () = sleep_until(next_check) => {}
                }
                let is_silent = self.sent_at.elapsed() >= HEARTBEAT;
                Some(is_silent.then(|| Bytes::from_static(COMMENT)))
            }
        }
    }

    /// Reads clicks that are not in memory, up to a position. An error of the store ends the stream: the client connects
    /// again and names the last click that it has.
    async fn read_older(&mut self, position: i64) -> Option<Bytes> {
        let (hub, last) = (&self.subscription.hub, self.subscription.last);
        let turn = self.turn.acquire().await;
        let clicks = hub.store.walk_events(self.filter.clone(), last, ROWS).await;
        drop(turn);
        let clicks = clicks
            .inspect_err(|error| tracing::warn!(%error, "reading earlier clicks failed; the live stream ends"))
            .ok()?;
        let is_last = clicks.len() < ROWS as usize;
        let mut text = Vec::new();
        for click in clicks.iter().filter(|click| click.id.get() <= position) {
            write_click(click, &mut text);
        }
        let read_up_to = clicks.last().map_or(position, |click| click.id.get());
        self.subscription.last = if is_last { position } else { read_up_to.min(position) };
        Some(text.into())
    }

    /// Returns the notice that clicks between two ids may be missing.
    fn missed(&self, after: i64, up_to: i64) -> Bytes {
        self.subscription.hub.metrics.missed.inc();
        format!("event: missed\ndata: {{\"after\":{after},\"up_to\":{up_to}}}\n\n").into()
    }
}
