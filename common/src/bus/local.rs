//! The bus within one process.

use async_trait::async_trait;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{Receiver, Sender, channel};

use super::{Bus, BusError, Message, Received, Subscription, Topic};

/// How many messages a slow subscriber may lag behind before it is told that it lost some.
const CAPACITY: usize = 1024;

/// Messages to the tasks of this process.
#[derive(Debug)]
pub struct LocalBus {
    invalidations: Sender<Message>,
    progress: Sender<Message>,
}

#[derive(Debug)]
struct LocalSubscription(Receiver<Message>);

impl LocalBus {
    pub fn new() -> LocalBus {
        LocalBus { invalidations: channel(CAPACITY).0, progress: channel(CAPACITY).0 }
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
        // Sending fails only when nobody listens, which is no failure of a bus.
        let _ = self.sender(message.topic()).send(message);
        Ok(())
    }

    async fn subscribe(&self, topic: Topic) -> Result<Box<dyn Subscription>, BusError> {
        Ok(Box::new(LocalSubscription(self.sender(topic).subscribe())))
    }
}

#[async_trait]
impl Subscription for LocalSubscription {
    async fn next(&mut self) -> Result<Received, BusError> {
        match self.0.recv().await {
            Ok(message) => Ok(Received::Message(message)),
            Err(RecvError::Lagged(_)) => Ok(Received::Lost),
            Err(RecvError::Closed) => Err(BusError(anyhow::anyhow!("the bus was closed"))),
        }
    }
}
