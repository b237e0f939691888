//! A bounded queue between the socket of a subscription and its subscriber.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::redis::{PushInfo, PushKind, Value};
use prometheus::{IntCounterVec, Opts};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::bus::{Delivery, Message, Topic, text};
use crate::seal::Seal;

/// The number of announcements that may be queued. Any number of queued invalidations is one flag.
const CAPACITY: usize = 1024;

/// The number of bytes of queued announcements. A forged announcement may be long.
const CAPACITY_BYTES: usize = 4 << 20;

/// The reason to ignore an announcement whose seal is invalid.
pub(super) const FORGED: &str = "forged";

/// Returns a new counter of ignored bus messages, by reason.
pub(super) fn ignored_messages() -> IntCounterVec {
    let help = "Bus messages that were ignored: too long, unreadable, forged, or more than the receiver could queue.";
    IntCounterVec::new(Opts::new("tern_bus_messages_ignored_total", help), &["reason"])
        .expect("the name and the label are well formed")
}

/// The queue of one subscription. The task of the socket fills it, and the subscriber empties it.
#[derive(Debug)]
pub(super) struct Inbox {
    topic: Topic,
    channel: String,
    seal: Arc<Seal>,
    ignored: IntCounterVec,
    contents: Mutex<Contents>,
    arrived: Notify,
}

#[derive(Debug)]
struct Contents {
    invalidated: bool,
    /// Queued announcements, each with the length of its text.
    announcements: VecDeque<(Message, usize)>,
    announced_bytes: usize,
    lost: bool,
    /// The reason why no further message will arrive.
    closed: Option<String>,
    active_at: Instant,
}

impl Inbox {
    pub(super) fn new(topic: Topic, channel: String, seal: Arc<Seal>, ignored: IntCounterVec) -> Inbox {
        let contents = Contents {
            invalidated: false,
            announcements: VecDeque::new(),
            announced_bytes: 0,
            lost: false,
            closed: None,
            active_at: Instant::now(),
        };
        Inbox { topic, channel, seal, ignored, contents: Mutex::new(contents), arrived: Notify::new() }
    }

    /// Handles a push message of the server, without blocking.
    pub(super) fn receive(&self, push: &PushInfo) {
        self.record_activity();
        match push.kind {
            PushKind::Disconnection => self.close("the connection broke"),
            PushKind::Message => {
                if let [_channel, Value::BulkString(text)] = &*push.data {
                    self.deliver(text);
                }
            }
            _ => {}
        }
    }

    fn deliver(&self, text: &[u8]) {
        if text.len() > text::MAX_LEN {
            return self.ignore("too long");
        }
        let text = match self.topic {
            // A forged invalidation costs one delta. Replicas limit the number of deltas per second.
            Topic::Invalidations => text,
            Topic::Progress => match text::open(&self.seal, &self.channel, text) {
                Some(text) => text,
                None => return self.ignore(FORGED),
            },
        };
        let Some(message) = text::read(text).filter(|message| message.topic() == self.topic) else {
            return self.ignore("unreadable");
        };
        let mut contents = self.contents();
        match message {
            Message::Invalidation => contents.invalidated = true,
            announcement if contents.has_room_for(text.len()) => {
                contents.announced_bytes += text.len();
                contents.announcements.push_back((announcement, text.len()));
            }
            _ => {
                contents.lost = true;
                self.ignore("too many");
            }
        }
        drop(contents);
        self.arrived.notify_one();
    }

    fn ignore(&self, reason: &str) {
        self.ignored.with_label_values(&[reason]).inc();
    }

    /// Records that the server is alive.
    pub(super) fn record_activity(&self) {
        self.contents().active_at = Instant::now();
    }

    pub(super) fn active_at(&self) -> Instant {
        self.contents().active_at
    }

    pub(super) fn close(&self, reason: &str) {
        self.contents().closed.get_or_insert_with(|| reason.to_owned());
        self.arrived.notify_one();
    }

    /// Waits for the next message. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The reason why no further message will arrive, once the queue is empty.
    pub(super) async fn next(&self) -> Result<Delivery, String> {
        loop {
            if let Some(next) = self.contents().next() {
                return next;
            }
            self.arrived.notified().await;
        }
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        // No code under the lock can panic between two dependent changes.
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    fn has_room_for(&self, len: usize) -> bool {
        self.announcements.len() < CAPACITY && self.announced_bytes + len <= CAPACITY_BYTES
    }

    fn next(&mut self) -> Option<Result<Delivery, String>> {
        if std::mem::take(&mut self.lost) {
            Some(Ok(Delivery::Loss))
        } else if std::mem::take(&mut self.invalidated) {
            Some(Ok(Delivery::Message(Message::Invalidation)))
        } else if let Some((announcement, len)) = self.announcements.pop_front() {
            self.announced_bytes -= len;
            Some(Ok(Delivery::Message(announcement)))
        } else {
            self.closed.clone().map(Err)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::ReplicaId;
    use crate::seal::SealKey;

    const CHANNEL: &str = "tern:v2:progress";
    const KEY: SealKey = SealKey::from_bytes([7; 32]);

    fn inbox_of(topic: Topic, ignored: IntCounterVec) -> Inbox {
        Inbox::new(topic, CHANNEL.to_owned(), Seal::with_key(KEY), ignored)
    }

    fn sealed(text: &str) -> PushInfo {
        message(text::seal(&Seal::with_key(KEY), CHANNEL, text).unwrap().as_bytes())
    }

    fn message(text: &[u8]) -> PushInfo {
        let channel = Value::BulkString(CHANNEL.as_bytes().to_vec());
        PushInfo { kind: PushKind::Message, data: vec![channel, Value::BulkString(text.to_vec())] }
    }

    #[tokio::test]
    async fn invalidations_without_a_reader_become_one() {
        let inbox = inbox_of(Topic::Invalidations, ignored_messages());
        for _ in 0..100_000 {
            inbox.receive(&message(b"invalidation"));
        }
        inbox.close("gone");
        assert_eq!(inbox.next().await, Ok(Delivery::Message(Message::Invalidation)));
        assert_eq!(inbox.next().await, Err("gone".to_owned()));
        assert_eq!(inbox.next().await, Err("gone".to_owned()), "the inbox remains closed");
    }

    #[tokio::test]
    async fn announcements_beyond_the_capacity_are_reported_as_lost() {
        let ignored = ignored_messages();
        let inbox = inbox_of(Topic::Progress, ignored.clone());
        let left = Message::Departure { replica: ReplicaId::random() };
        for _ in 0..CAPACITY + 10 {
            inbox.receive(&sealed(&text::write(&left)));
        }
        assert_eq!(inbox.next().await, Ok(Delivery::Loss));
        for _ in 0..CAPACITY {
            assert_eq!(inbox.next().await, Ok(Delivery::Message(left.clone())));
        }
        assert!(inbox.contents().next().is_none());
        assert_eq!(ignored.with_label_values(&["too many"]).get(), 10);
    }

    #[tokio::test]
    async fn long_announcements_beyond_the_byte_limit_are_dropped() {
        let inbox = inbox_of(Topic::Progress, ignored_messages());
        let open: Vec<String> = (1000..3000).map(|xid| xid.to_string()).collect();
        let cursor = format!("ff-00000001-5-4000-{:032x}/1/1/1000:3000:{}", 1, open.join(","));
        let long = format!("applied {} {cursor}", ReplicaId::random());
        for _ in 0..CAPACITY {
            inbox.receive(&sealed(&long));
        }
        assert_eq!(inbox.next().await, Ok(Delivery::Loss));
        let waiting = inbox.contents().announcements.len();
        assert_eq!(waiting, CAPACITY_BYTES / long.len());
    }

    #[tokio::test]
    async fn message_of_another_channel_is_ignored_and_counted() {
        let ignored = ignored_messages();
        let inbox = inbox_of(Topic::Progress, ignored.clone());
        inbox.receive(&sealed("invalidation"));
        assert!(inbox.contents().next().is_none());
        assert_eq!(ignored.with_label_values(&["unreadable"]).get(), 1);
    }

    #[tokio::test]
    async fn announcement_with_an_invalid_seal_is_ignored_and_counted() {
        let ignored = ignored_messages();
        let inbox = inbox_of(Topic::Progress, ignored.clone());
        let left = text::write(&Message::Departure { replica: ReplicaId::random() });
        let of_another_channel = text::seal(&Seal::with_key(KEY), "tern:v2:other", &left).unwrap();
        let of_another_key = text::seal(&Seal::with_key(SealKey::random()), CHANNEL, &left).unwrap();
        let unsealed = [left.clone(), format!("{left} "), format!("{left} {}", "0".repeat(64)), String::new()];
        for forged in unsealed.into_iter().chain([of_another_channel, of_another_key]) {
            inbox.receive(&message(forged.as_bytes()));
        }
        assert!(inbox.contents().next().is_none());
        assert_eq!(ignored.with_label_values(&[FORGED]).get(), 6);
    }
}
