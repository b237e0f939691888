//! The bus: at-most-once messages between the planes.
//!
//! It carries hints. Losing, repeating, reordering or forging every message costs time, never correctness.

use std::fmt;

use async_trait::async_trait;

mod local;

pub use local::LocalBus;

use crate::store::Cursor;

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
    async fn publish(&self, message: Message) -> Result<(), BusError>;

    /// Returns once the subscription stands: what is published from then on is either received or told as lost.
    async fn subscribe(&self, topic: Topic) -> Result<Box<dyn Subscription>, BusError>;
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
