//! Forged messages and keys by a client that can reach Redis: they cost a hint, and nothing else.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use tern_common::bus::{Bus, Delivery, Message, ReplicaId, Topic};
use tern_common::store::Cursor;
use tern_testkit::redis::Redis;

use crate::support::{bus_at, bus_with_prefix, connect_raw, cursor, drain_messages, subscribe_to_invalidations};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_messages_are_ignored_and_counted() {
    let redis = Redis::start_new();
    let bus = bus_at(&redis.url());
    let mut invalidations = subscribe_to_invalidations(&bus).await;
    let mut progress = bus.subscribe(Topic::Progress).await.unwrap();
    let mut forger = connect_raw(&redis.url()).await;
    let left = format!("left {}", ReplicaId::random());
    let megabyte = vec![b'x'; 1 << 20];
    let forged: [(&str, &[u8]); 9] = [
        ("tern:v1:invalidations", b""),
        ("tern:v1:invalidations", b"garbage"),
        ("tern:v1:invalidations", &[0, 159, 255, b'\r', b'\n']),
        ("tern:v1:invalidations", &megabyte),
        ("tern:v1:invalidations", left.as_bytes()),
        ("tern:v2:progress", b"applied 0123456789abcdef not-a-cursor"),
        ("tern:v2:progress", b"invalidation"),
        // Other versions of Tern use other channels, so these two are not received.
        ("tern:v2:invalidations", b"invalidation"),
        ("tern:v1:progress", left.as_bytes()),
    ];
    for (channel, message) in forged {
        redis::cmd("PUBLISH").arg(channel).arg(message).exec_async(&mut forger).await.unwrap();
    }
    bus.publish(Message::Invalidation).await.unwrap();
    let goodbye = Message::Departure { replica: ReplicaId::random() };
    bus.publish(goodbye.clone()).await.unwrap();
    assert_eq!(invalidations.next().await.unwrap(), Delivery::Message(Message::Invalidation));
    assert_eq!(progress.next().await.unwrap(), Delivery::Message(goodbye));
    assert!(drain_messages(&mut invalidations).await.is_empty());
    let registry = prometheus::Registry::new();
    bus.export(&registry).unwrap();
    let metrics = tern_common::telemetry::metrics_text(&registry);
    assert!(metrics.contains("tern_bus_messages_ignored_total{reason=\"too long\"} 1"), "{metrics}");
    assert!(metrics.contains("tern_bus_messages_ignored_total{reason=\"unreadable\"} 4"), "{metrics}");
    assert!(metrics.contains("tern_bus_messages_ignored_total{reason=\"forged\"} 2"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_keys_are_not_listed_as_live_replicas() {
    let redis = Redis::start_new();
    let bus = bus_at(&redis.url());
    let cursor: Cursor = cursor().await;
    let replica = ReplicaId::random();
    bus.publish(Message::Progress { replica, cursor: cursor.clone() }).await.unwrap();
    let mut forger = connect_raw(&redis.url()).await;
    let mut forged = redis::pipe();
    for id in ["", "x", "0123456789abcdef", "fedcba9876543210"] {
        forged.cmd("SADD").arg("{tern:v2:live}").arg(id).ignore();
    }
    forged.cmd("SET").arg("{tern:v2:live}:fedcba9876543210").arg("not a cursor").ignore();
    forged.exec_async(&mut forger).await.unwrap();
    assert_eq!(bus.live().await.unwrap(), [(replica, cursor.clone())]);
    // A readable cursor without a seal, and another replica's cursor with its seal, are ignored as well.
    let key = format!("{{tern:v2:live}}:{replica}");
    let sealed = redis.command(&["GET", &key]);
    redis.command(&["SADD", "{tern:v2:live}", "fedcba9876543210"]);
    for forged in [cursor.to_string(), sealed] {
        redis.command(&["SET", "{tern:v2:live}:fedcba9876543210", &forged]);
        assert_eq!(bus.live().await.unwrap(), [(replica, cursor.clone())]);
    }
    redis.command(&["DEL", "{tern:v2:live}"]);
    redis.command(&["SET", "{tern:v2:live}", "a text"]);
    bus.live().await.unwrap_err();
    bus.publish(Message::Invalidation).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buses_with_different_prefixes_are_isolated() {
    let redis = Redis::start_new();
    let (one, other) = (bus_with_prefix(&redis.url(), "one:"), bus_with_prefix(&redis.url(), "other:"));
    let mut heard_by_other = subscribe_to_invalidations(&other).await;
    one.publish(Message::Invalidation).await.unwrap();
    one.publish(Message::Progress { replica: ReplicaId::random(), cursor: cursor().await }).await.unwrap();
    assert_eq!(other.live().await.unwrap(), []);
    assert!(drain_messages(&mut heard_by_other).await.is_empty());
}

const FLOOD: Duration = Duration::from_secs(3);
const PER_SECOND: usize = 100_000;

/// Publishes `message` a hundred thousand times a second and returns how many were published.
fn flood(port: u16, channel: &str, message: &str) -> usize {
    const BATCH: usize = 1000;
    let command =
        format!("*3\r\n$7\r\nPUBLISH\r\n${}\r\n{channel}\r\n${}\r\n{message}\r\n", channel.len(), message.len());
    let batch = command.repeat(BATCH);
    // One subscriber receives each message, so the reply to each command is `:1`.
    let mut answers = vec![0; BATCH * ":1\r\n".len()];
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let began = Instant::now();
    let mut published = 0;
    while began.elapsed() < FLOOD {
        if published < began.elapsed().as_millis() as usize * PER_SECOND / 1000 {
            socket.write_all(batch.as_bytes()).unwrap();
            socket.read_exact(&mut answers).unwrap();
            published += BATCH;
        } else {
            std::thread::yield_now();
        }
    }
    published
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Floods `channel` of a new server while a subscriber of `topic` reads nothing; returns the messages that it reads
/// afterwards.
#[expect(clippy::print_stdout, reason = "what was measured")]
async fn flood_and_drain(topic: Topic, channel: &'static str, message: String) -> Vec<Delivery> {
    let redis = Redis::start_new();
    let bus = bus_at(&redis.url());
    let mut subscription = bus.subscribe(topic).await.unwrap();
    let (port, before) = (redis.port(), resident_bytes());
    let published = tokio::task::spawn_blocking(move || flood(port, channel, &message)).await.unwrap();
    let grown = resident_bytes().saturating_sub(before);
    println!("{channel}: {published} messages in {FLOOD:?}; the process grew by {} KiB", grown / 1024);
    assert!(grown < 32 << 20, "the process grew by {grown} bytes");
    let taken = drain_messages(&mut subscription).await;
    // The subscription still works after the flood.
    let replica = ReplicaId::random();
    let next = if topic == Topic::Progress { Message::Departure { replica } } else { Message::Invalidation };
    bus.publish(next.clone()).await.unwrap();
    assert_eq!(subscription.next().await.unwrap(), Delivery::Message(next));
    taken
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flood_of_invalidations_uses_bounded_memory() {
    let taken = flood_and_drain(Topic::Invalidations, "tern:v1:invalidations", "invalidation".to_owned()).await;
    // One hint, or a few on a busy machine where messages are still arriving.
    assert!(taken.len() < 1000, "{}", taken.len());
    assert_eq!(taken[0], Delivery::Message(Message::Invalidation));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flood_of_forged_announcements_is_ignored() {
    let applied = format!("applied {} {}", ReplicaId::random(), cursor().await);
    let taken = flood_and_drain(Topic::Progress, "tern:v2:progress", applied).await;
    assert!(taken.is_empty(), "{}", taken.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriber_in_a_flood_still_receives_messages() {
    let redis = Redis::start_new();
    let bus = bus_at(&redis.url());
    let mut subscription = subscribe_to_invalidations(&bus).await;
    let port = redis.port();
    let mut flood = tokio::task::spawn_blocking(move || flood(port, "tern:v1:invalidations", "invalidation"));
    let mut heard = 0;
    let mut longest_wait = Duration::ZERO;
    let published = loop {
        let waited_since = Instant::now();
        tokio::select! {
            received = subscription.next() => {
                assert_eq!(received.unwrap(), Delivery::Message(Message::Invalidation));
                heard += 1;
                longest_wait = longest_wait.max(waited_since.elapsed());
            }
            published = &mut flood => break published.unwrap(),
        }
    };
    println!("{heard} of {published} received one by one, at most {longest_wait:?} between two");
    assert!(heard > 0 && longest_wait < Duration::from_secs(1), "{heard}, {longest_wait:?}");
    drain_messages(&mut subscription).await;
    bus.publish(Message::Invalidation).await.unwrap();
    assert_eq!(subscription.next().await.unwrap(), Delivery::Message(Message::Invalidation));
}
