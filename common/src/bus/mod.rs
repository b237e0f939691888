//! The bus: at-most-once messages between the planes.
//!
//! Messages are hints. A lost, repeated, reordered or forged message costs time, never correctness.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

mod local;
mod redis;
mod status;
mod text;

pub use local::LocalBus;
pub use redis::RedisBus;
pub use status::ReplicaStatus;

use crate::store::Cursor;

/// The time without an announcement after which a replica no longer counts as live. Replicas announce every second.
pub const SILENT_AFTER: Duration = Duration::from_secs(3);

/// The number of replicas that a process tracks at most, since announcements can be forged.
pub const MAX_REPLICAS: usize = 1024;

/// The subject of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Invalidations, for replicas.
    Invalidations,
    /// Progress of replicas, for requests that wait until a change is served.
    Progress,
}

/// A message on the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A hint that links changed. The receiver asks the store for the changes.
    Invalidation,
    /// An announcement of a live replica, with its cursor.
    Progress { replica: ReplicaId, cursor: Cursor },
    /// A report of a replica about itself, for people. No other message depends on it.
    Status { replica: ReplicaId, status: ReplicaStatus },
    /// An announcement that a replica ends, so that no request waits for it.
    Departure { replica: ReplicaId },
}

impl Message {
    pub fn topic(&self) -> Topic {
        match self {
            Message::Invalidation => Topic::Invalidations,
            Message::Progress { .. } | Message::Status { .. } | Message::Departure { .. } => Topic::Progress,
        }
    }
}

/// The id of a replica, random at each start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReplicaId(u64);

impl ReplicaId {
    /// # Panics
    /// If the operating system has no random bytes.
    pub fn random() -> ReplicaId {
        ReplicaId(getrandom::u64().expect("the operating system has random bytes"))
    }

    /// Parses 16 hexadecimal digits; returns `None` for any other text.
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

/// An item of a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    Message(Message),
    /// A report that messages were lost, so anything may have changed.
    Loss,
}

/// The error of an unavailable bus.
#[derive(Debug, thiserror::Error)]
#[error("the bus is unavailable: {0:#}")]
pub struct BusError(pub anyhow::Error);

/// A publish-subscribe channel between processes, or within one.
#[async_trait]
pub trait Bus: fmt::Debug + Send + Sync + 'static {
    /// Returns the kind of bus, as people name it.
    fn kind(&self) -> &'static str {
        "in process"
    }

    /// Sends a message to the current subscribers. Announcements of replicas are also recorded for [`Bus::live`].
    async fn publish(&self, message: Message) -> Result<(), BusError>;

    /// Returns once the subscription is active. Every later message is either delivered or reported as lost.
    /// Several pending invalidations may be delivered as one.
    async fn subscribe(&self, topic: Topic) -> Result<Box<dyn Subscription>, BusError>;

    /// Returns the live replicas, each once, with their last announced cursors; [`MAX_REPLICAS`] at most.
    ///
    /// A replica is live if it announced itself within [`SILENT_AFTER`] and did not end. The result is a hint.
    async fn live(&self) -> Result<Vec<(ReplicaId, Cursor)>, BusError>;
}

/// An active subscription.
#[async_trait]
pub trait Subscription: fmt::Debug + Send {
    /// Waits for the next message. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the connection broke. The caller subscribes again and must assume that messages were lost.
    async fn next(&mut self) -> Result<Delivery, BusError>;
}
