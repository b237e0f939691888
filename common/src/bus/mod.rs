//! The bus: at-most-once messages between the planes.
//!
//! It carries hints. Losing, repeating, reordering or forging every message costs time, never correctness.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

mod local;
mod redis;
mod text;

pub use local::LocalBus;
pub use redis::RedisBus;

use crate::store::Cursor;

/// A replica that has told nothing for so long does not count as live. It tells of itself every second.
pub const SILENT_AFTER: Duration = Duration::from_secs(3);

/// Announcements can be forged; nobody need remember more replicas than this.
pub const MAX_REPLICAS: usize = 1024;

/// What a subscriber wants to hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Invalidations, for replicas.
    Invalidations,
    /// Progress of replicas, for those who wait for a change to be served.
    Progress,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Something changed: ask the store what.
    Invalidation,
    /// A replica tells that it lives, and how far it has come.
    Applied { replica: ReplicaId, cursor: Cursor },
    /// A replica takes its leave: nobody need wait for it any more.
    Left { replica: ReplicaId },
}

impl Message {
    pub fn topic(&self) -> Topic {
        match self {
            Message::Invalidation => Topic::Invalidations,
            Message::Applied { .. } | Message::Left { .. } => Topic::Progress,
        }
    }
}

/// Names one replica among the live ones; drawn anew at each start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReplicaId(u64);

impl ReplicaId {
    /// # Panics
    /// If the operating system has no randomness to give.
    pub fn random() -> ReplicaId {
        ReplicaId(getrandom::u64().expect("the operating system gives random bytes"))
    }

    /// Reads 16 hexadecimal digits; `None` for anything else.
    fn parse(text: &str) -> Option<ReplicaId> {
        let is_id = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        is_id.then(|| u64::from_str_radix(text, 16).ok().map(ReplicaId)).flatten()
    }
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What a subscription brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    Message(Message),
    /// Messages were lost: anything may have changed.
    Lost,
}

/// The bus cannot be reached.
#[derive(Debug, thiserror::Error)]
#[error("the bus is unavailable: {0:#}")]
pub struct BusError(pub anyhow::Error);

/// The second seam.
#[async_trait]
pub trait Bus: fmt::Debug + Send + Sync + 'static {
    /// Sends to whoever listens at this moment.
    ///
    /// What replicas tell of themselves is also kept, for [`Bus::live`].
    async fn publish(&self, message: Message) -> Result<(), BusError>;

    /// Returns once the subscription stands: what is published from then on is either received or told as lost.
    /// Invalidations that nobody has taken yet may arrive as one: any number says no more.
    async fn subscribe(&self, topic: Topic) -> Result<Box<dyn Subscription>, BusError>;

    /// The replicas that told of themselves within [`SILENT_AFTER`] and have not left, each once,
    /// and how far they had come: for whoever has only now begun to listen.
    /// A hint like any message, and no more than [`MAX_REPLICAS`] of them.
    async fn live(&self) -> Result<Vec<(ReplicaId, Cursor)>, BusError>;
}

/// A standing subscription.
#[async_trait]
pub trait Subscription: fmt::Debug + Send {
    /// Waits for the next message. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the connection is gone: subscribe again, and expect to have missed anything.
    async fn next(&mut self) -> Result<Received, BusError>;
}
