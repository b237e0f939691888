//! Buses and caches that fail.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tern_common::bus::{Bus, BusError, Delivery, LocalBus, Message, ReplicaId, Subscription, Topic};
use tern_common::cache::{Cache, CacheError};
use tern_common::store::Cursor;

/// Bus that cannot be reached.
#[derive(Debug)]
pub struct UnavailableBus;

#[async_trait]
impl Bus for UnavailableBus {
    async fn publish(&self, _: Message) -> Result<(), BusError> {
        Err(BusError(anyhow::anyhow!("gone")))
    }

    async fn subscribe(&self, _: Topic) -> Result<Box<dyn Subscription>, BusError> {
        Err(BusError(anyhow::anyhow!("gone")))
    }

    async fn live(&self) -> Result<Vec<(ReplicaId, Cursor)>, BusError> {
        Err(BusError(anyhow::anyhow!("gone")))
    }
}

/// Bus whose subscriptions break after one message.
#[derive(Debug, Default)]
pub struct BreakingBus(pub LocalBus);

#[derive(Debug)]
struct BreakingSubscription(Option<Box<dyn Subscription>>);

#[async_trait]
impl Bus for BreakingBus {
    async fn publish(&self, message: Message) -> Result<(), BusError> {
        self.0.publish(message).await
    }

    async fn subscribe(&self, topic: Topic) -> Result<Box<dyn Subscription>, BusError> {
        Ok(Box::new(BreakingSubscription(Some(self.0.subscribe(topic).await?))))
    }

    async fn live(&self) -> Result<Vec<(ReplicaId, Cursor)>, BusError> {
        self.0.live().await
    }
}

#[async_trait]
impl Subscription for BreakingSubscription {
    async fn next(&mut self) -> Result<Delivery, BusError> {
        let Some(subscription) = &mut self.0 else {
            return Err(BusError(anyhow::anyhow!("broken")));
        };
        let received = subscription.next().await;
        self.0 = None;
        received
    }
}

/// Bus that works until [`HangingBus::hang`]; then no message arrives and no call returns.
#[derive(Debug, Default)]
pub struct HangingBus {
    bus: LocalBus,
    hangs: AtomicBool,
}

impl HangingBus {
    pub fn hang(&self) {
        self.hangs.store(true, Ordering::Relaxed);
    }

    async fn answer(&self) {
        if self.hangs.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl Bus for HangingBus {
    async fn publish(&self, message: Message) -> Result<(), BusError> {
        self.answer().await;
        self.bus.publish(message).await
    }

    async fn subscribe(&self, topic: Topic) -> Result<Box<dyn Subscription>, BusError> {
        self.bus.subscribe(topic).await
    }

    async fn live(&self) -> Result<Vec<(ReplicaId, Cursor)>, BusError> {
        self.answer().await;
        self.bus.live().await
    }
}

/// Cache whose writes fail and whose reads hang.
#[derive(Debug)]
pub struct UnavailableCache;

#[async_trait]
impl Cache for UnavailableCache {
    async fn get(&self, _: &str) -> Result<Option<Vec<u8>>, CacheError> {
        std::future::pending().await
    }

    async fn put(&self, _: &str, _: Vec<u8>, _: Duration) -> Result<(), CacheError> {
        Err(CacheError(anyhow::anyhow!("gone")))
    }
}

/// Cache that panics, in place of a defect.
#[derive(Debug)]
pub struct PanickingCache;

#[async_trait]
impl Cache for PanickingCache {
    async fn get(&self, _: &str) -> Result<Option<Vec<u8>>, CacheError> {
        panic!("a defect")
    }

    async fn put(&self, _: &str, _: Vec<u8>, _: Duration) -> Result<(), CacheError> {
        Ok(())
    }
}
