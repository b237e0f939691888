//! What every bus does.

use tern_common::bus::{Bus, Message, Received, ReplicaId, Topic};

use crate::fixture;

pub async fn a_subscriber_hears_what_is_published_after_it_subscribed(bus: &dyn Bus) {
    bus.publish(Message::Invalidation).await.unwrap();
    let mut subscription = bus.subscribe(Topic::Invalidations).await.unwrap();
    for _ in 0..3 {
        bus.publish(Message::Invalidation).await.unwrap();
        assert_eq!(subscription.next().await.unwrap(), Received::Message(Message::Invalidation));
    }
}

pub async fn topics_are_apart(bus: &dyn Bus) {
    let mut invalidations = bus.subscribe(Topic::Invalidations).await.unwrap();
    let mut progress = bus.subscribe(Topic::Progress).await.unwrap();
    let left = Message::Left { replica: ReplicaId::random() };
    bus.publish(Message::Invalidation).await.unwrap();
    bus.publish(left.clone()).await.unwrap();
    bus.publish(Message::Invalidation).await.unwrap();
    assert_eq!(progress.next().await.unwrap(), Received::Message(left));
    for _ in 0..2 {
        assert_eq!(invalidations.next().await.unwrap(), Received::Message(Message::Invalidation));
    }
}

pub async fn every_subscriber_hears_everything(bus: &dyn Bus) {
    let (store, _directory) = fixture::sqlite().await;
    let (_, cursor) = fixture::snapshot(&store).await;
    let mut subscriptions = Vec::new();
    for _ in 0..5 {
        subscriptions.push(bus.subscribe(Topic::Progress).await.unwrap());
    }
    let applied = Message::Applied { replica: ReplicaId::random(), cursor };
    bus.publish(applied.clone()).await.unwrap();
    for mut subscription in subscriptions {
        assert_eq!(subscription.next().await.unwrap(), Received::Message(applied.clone()));
    }
}

pub async fn a_subscriber_that_lags_is_told_so(bus: &dyn Bus) {
    let mut subscription = bus.subscribe(Topic::Invalidations).await.unwrap();
    for _ in 0..10_000 {
        bus.publish(Message::Invalidation).await.unwrap();
    }
    let mut heard = 0;
    // Either every message arrives, or the subscriber learns that some did not.
    while heard < 10_000 {
        match subscription.next().await.unwrap() {
            Received::Message(_) => heard += 1,
            Received::Lost => return,
        }
    }
}

pub async fn nobody_listening_is_no_failure(bus: &dyn Bus) {
    drop(bus.subscribe(Topic::Invalidations).await.unwrap());
    bus.publish(Message::Invalidation).await.unwrap();
}
