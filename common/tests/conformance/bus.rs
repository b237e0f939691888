//! Conformance tests that every bus passes.

use std::time::{Duration, Instant};

use tern_common::bus::{Bus, Delivery, Message, ReplicaId, SILENT_AFTER, Topic};

use crate::fixture;

/// Number of messages that exceeds every bus's buffer for a subscriber.
const MANY: usize = 3000;

/// Tolerance for clock differences and busy machines.
const SLACK: Duration = Duration::from_millis(50);

pub async fn subscriber_receives_messages_published_after_it_subscribed(bus: &dyn Bus) {
    bus.publish(Message::Invalidation).await.unwrap();
    let mut subscription = bus.subscribe(Topic::Invalidations).await.unwrap();
    for _ in 0..3 {
        bus.publish(Message::Invalidation).await.unwrap();
        assert_eq!(subscription.next().await.unwrap(), Delivery::Message(Message::Invalidation));
    }
}

pub async fn message_is_received_on_its_own_topic_only(bus: &dyn Bus) {
    let mut invalidations = bus.subscribe(Topic::Invalidations).await.unwrap();
    let mut progress = bus.subscribe(Topic::Progress).await.unwrap();
    let left = Message::Departure { replica: ReplicaId::random() };
    for _ in 0..2 {
        bus.publish(left.clone()).await.unwrap();
        bus.publish(Message::Invalidation).await.unwrap();
        assert_eq!(progress.next().await.unwrap(), Delivery::Message(left.clone()));
        assert_eq!(invalidations.next().await.unwrap(), Delivery::Message(Message::Invalidation));
    }
}

pub async fn message_is_received_by_every_subscriber(bus: &dyn Bus) {
    let (store, _directory) = fixture::sqlite().await;
    let (_, cursor) = fixture::snapshot(&store).await;
    let mut subscriptions = Vec::new();
    for _ in 0..5 {
        subscriptions.push(bus.subscribe(Topic::Progress).await.unwrap());
    }
    let applied = Message::Progress { replica: ReplicaId::random(), cursor };
    bus.publish(applied.clone()).await.unwrap();
    for mut subscription in subscriptions {
        assert_eq!(subscription.next().await.unwrap(), Delivery::Message(applied.clone()));
    }
}

pub async fn lagging_subscriber_is_notified_of_lost_messages(bus: &dyn Bus) {
    let mut progress = bus.subscribe(Topic::Progress).await.unwrap();
    for _ in 0..MANY {
        bus.publish(Message::Departure { replica: ReplicaId::random() }).await.unwrap();
    }
    let mut heard = 0;
    // Either every message arrives, or the subscriber learns that some did not.
    while heard < MANY {
        match progress.next().await.unwrap() {
            Delivery::Message(_) => heard += 1,
            Delivery::Loss => return,
        }
    }
}

pub async fn burst_of_invalidations_delivers_at_least_one(bus: &dyn Bus) {
    let mut invalidations = bus.subscribe(Topic::Invalidations).await.unwrap();
    for _ in 0..MANY {
        bus.publish(Message::Invalidation).await.unwrap();
    }
    let received = invalidations.next().await.unwrap();
    assert!(matches!(received, Delivery::Loss | Delivery::Message(Message::Invalidation)), "{received:?}");
}

pub async fn cancelled_wait_for_a_message_loses_none(bus: &dyn Bus) {
    let mut progress = bus.subscribe(Topic::Progress).await.unwrap();
    let mut heard = Vec::new();
    let mut sent = Vec::new();
    while sent.len() < 200 {
        let message = Message::Departure { replica: ReplicaId::random() };
        sent.push(Delivery::Message(message.clone()));
        bus.publish(message).await.unwrap();
        tokio::select! {
            received = progress.next() => heard.push(received.unwrap()),
            () = tokio::task::yield_now() => {}
        }
    }
    while heard.len() < sent.len() {
        heard.push(progress.next().await.unwrap());
    }
    assert_eq!(heard, sent);
}

pub async fn publish_without_subscribers_succeeds(bus: &dyn Bus) {
    drop(bus.subscribe(Topic::Invalidations).await.unwrap());
    bus.publish(Message::Invalidation).await.unwrap();
}

pub async fn live_replicas_are_listed_with_their_latest_cursor(bus: &dyn Bus) {
    assert_eq!(bus.live().await.unwrap(), []);
    let (store, _directory) = fixture::sqlite().await;
    let (_, before) = fixture::snapshot(&store).await;
    let user = fixture::user(&store, "ann").await;
    fixture::url(&store, user.id, "abc123").await;
    let (_, after) = fixture::snapshot(&store).await;
    let (one, other) = (ReplicaId::random(), ReplicaId::random());
    bus.publish(Message::Progress { replica: one, cursor: before.clone() }).await.unwrap();
    bus.publish(Message::Progress { replica: other, cursor: before.clone() }).await.unwrap();
    bus.publish(Message::Progress { replica: one, cursor: after.clone() }).await.unwrap();
    let mut live = bus.live().await.unwrap();
    live.sort_by_key(|(replica, _)| *replica != one);
    assert_eq!(live, [(one, after), (other, before.clone())]);

    bus.publish(Message::Departure { replica: one }).await.unwrap();
    assert_eq!(bus.live().await.unwrap(), [(other, before)]);
}

pub async fn silent_replica_is_not_live_after_its_timeout(bus: &dyn Bus) {
    let (store, _directory) = fixture::sqlite().await;
    let (_, cursor) = fixture::snapshot(&store).await;
    let (silent, loud) = (ReplicaId::random(), ReplicaId::random());
    let tell = async |replica| bus.publish(Message::Progress { replica, cursor: cursor.clone() }).await.unwrap();
    tell(silent).await;
    let told_at = Instant::now();
    loop {
        tell(loud).await;
        let live = bus.live().await.unwrap();
        let silent_for = told_at.elapsed();
        assert!(live.iter().any(|(replica, _)| *replica == loud), "{live:?}");
        if !live.iter().any(|(replica, _)| *replica == silent) {
            assert!(silent_for >= SILENT_AFTER - SLACK, "gone after {silent_for:?}");
            return;
        }
        assert!(silent_for <= SILENT_AFTER + 20 * SLACK, "still live after {silent_for:?}");
        tokio::time::sleep(SLACK).await;
    }
}
