//! The bus within one process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{Receiver, Sender, channel};
use tokio::time::Instant;

use super::{Bus, BusError, Delivery, MAX_REPLICAS, Message, ReplicaId, SILENT_AFTER, Subscription, Topic};
use crate::store::Cursor;

/// The number of messages that a subscriber may lag behind before it loses some.
const CAPACITY: usize = 1024;

/// A bus for the tasks of this process.
#[derive(Debug)]
pub struct LocalBus {
    invalidations: Sender<Message>,
    progress: Sender<Message>,
    /// The last announcement of each replica, and its time. The next announcement removes silent replicas.
    live: Mutex<HashMap<ReplicaId, (Cursor, Instant)>>,
}

#[derive(Debug)]
struct LocalSubscription(Receiver<Message>);

impl LocalBus {
    pub fn new() -> LocalBus {
        LocalBus { invalidations: channel(CAPACITY).0, progress: channel(CAPACITY).0, live: Mutex::default() }
    }

    fn live(&self) -> MutexGuard<'_, HashMap<ReplicaId, (Cursor, Instant)>> {
        // No code under the lock can panic between two dependent changes.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, message: &Message) {
        match message {
            Message::Invalidation | Message::Status { .. } => {}
            Message::Progress { replica, cursor } => {
                let mut live = self.live();
                live.retain(|_, (_, at)| at.elapsed() < SILENT_AFTER);
                if live.len() < MAX_REPLICAS || live.contains_key(replica) {
                    live.insert(*replica, (cursor.clone(), Instant::now()));
                }
            }
            Message::Departure { replica } => drop(self.live().remove(replica)),
        }
    }

    fn sender(&self, topic: Topic) -> &Sender<Message> {
        match topic {
            Topic::Invalidations => &self.invalidations,
            Topic::Progress => &self.progress,
        }
    }
}

impl Default for LocalBus {
    fn default() -> LocalBus {
        LocalBus::new()
    }
}

#[async_trait]
impl Bus for LocalBus {
    async fn publish(&self, message: Message) -> Result<(), BusError> {
        self.record(&message);
        // Sending fails only without subscribers, which is no error.
        let _ = self.sender(message.topic()).send(message);
        Ok(())
    }

    async fn subscribe(&self, topic: Topic) -> Result<Box<dyn Subscription>, BusError> {
        Ok(Box::new(LocalSubscription(self.sender(topic).subscribe())))
    }

    async fn live(&self) -> Result<Vec<(ReplicaId, Cursor)>, BusError> {
        let live = self.live();
        let recent = live.iter().filter(|(_, (_, at))| at.elapsed() < SILENT_AFTER);
        Ok(recent.map(|(replica, (cursor, _))| (*replica, cursor.clone())).collect())
    }
}

#[async_trait]
impl Subscription for LocalSubscription {
    async fn next(&mut self) -> Result<Delivery, BusError> {
        match self.0.recv().await {
            Ok(message) => Ok(Delivery::Message(message)),
            Err(RecvError::Lagged(_)) => Ok(Delivery::Loss),
            Err(RecvError::Closed) => Err(BusError(anyhow::anyhow!("the bus was closed"))),
        }
    }
}
