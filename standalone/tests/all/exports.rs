//! Exports of many rows, and live clicks, from a real process.

use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::Tern;

/// Rows of the export, unless `TERN_EXPORT_ROWS` is set.
const ROWS: u64 = 150_000;

/// The most bytes by which an export may increase the memory of the process: buffers, pages of the database, and the
/// allocator. The whole export has many times as many.
const MOST_GROWTH: u64 = 32 << 20;

fn fill(database: &Path, rows: u64) {
    let db = rusqlite::Connection::open(database).unwrap();
    db.busy_timeout(Duration::from_secs(10)).unwrap();
    // The totals of these events do not matter.
    db.execute_batch(&format!(
        "BEGIN IMMEDIATE;
         DROP TRIGGER events_counted_insert;
         WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
         INSERT INTO events (url_id, user_id, event_type, timestamp, details)
         SELECT 1, 1, 'viewed', i, json_object('n', i, 'x', printf('%0400d', i)) FROM n;
         COMMIT"
    ))
    .unwrap();
}

#[tokio::test]
async fn export_of_many_rows_takes_constant_memory_and_delays_no_list() {
    let rows = std::env::var_os("TERN_EXPORT_ROWS").map_or(ROWS, |rows| rows.to_str().unwrap().parse().unwrap());
    // By default the allocator spreads its blocks over a reserved range, which hides the memory that is in use.
    let tern = Tern::start_with(&[], &[("MIMALLOC_ARENA_EAGER_COMMIT", "0")]);
    let owner = tern.create_user("ann").await;
    tern.create_link(owner, "https://example.com/").await;
    fill(&tern.directory.path().join("data/tern.db"), rows);
    // A client that reads nothing has its first part in buffers, and holds nothing else.
    let mut unread = TcpStream::connect(&tern.api).await.unwrap();
    unread.write_all(b"GET /events/export?format=json HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    // The first export fills the caches of the process.
    let mut first = tern.get(&tern.api, "/events/export?format=ndjson").await;
    while first.chunk().await.unwrap().is_some() {}
    let (before, began) = (tern.resident_bytes(), Instant::now());
    let (mut bytes, mut lines, mut most, mut slowest) = (0, 0, before, Duration::ZERO);
    let mut export = tern.get(&tern.api, "/events/export?format=ndjson").await;
    let mut checked_at = Instant::now();
    while let Some(chunk) = export.chunk().await.unwrap() {
        bytes += chunk.len() as u64;
        lines += chunk.iter().filter(|byte| **byte == b'\n').count() as u64;
        if checked_at.elapsed() > Duration::from_millis(50) {
            most = most.max(tern.resident_bytes());
            let asked = Instant::now();
            assert_eq!(tern.get(&tern.api, "/events?per_page=20").await.status(), 200);
            slowest = slowest.max(asked.elapsed());
            checked_at = Instant::now();
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{rows} rows, {bytes} bytes, {seconds:.1} s; memory {before} to {most}; slowest list {slowest:?}");
    assert_eq!(lines, rows + 1);
    assert!(bytes > 2 * MOST_GROWTH, "{bytes} bytes prove nothing");
    assert!(most - before < MOST_GROWTH, "from {before} to {most} bytes for {bytes} bytes of rows");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    let mut head = [0; 15];
    unread.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
}

#[tokio::test]
async fn redirect_is_sent_to_a_live_listener_and_a_stop_ends_the_stream() {
    let tern = Tern::start(&[]);
    let owner = tern.create_user("ann").await;
    let link = tern.create_link(owner, "https://example.com/").await;
    let mut live = tern.get(&tern.api, &format!("/urls/{}/live", link["id"])).await;
    assert_eq!(live.chunk().await.unwrap().as_deref(), Some(&b":\n\n"[..]));
    tern.follow(&tern.fast, link["short_code"].as_str().unwrap()).await;
    let began = Instant::now();
    let click = live.chunk().await.unwrap().unwrap();
    let took = began.elapsed();
    assert!(String::from_utf8_lossy(&click).starts_with("event: click\nid: 2\ndata: {\"id\":2,"), "{click:?}");
    // Tern promises 200 ms after the click is stored; a busy machine gets more.
    assert!(took < Duration::from_secs(2), "{took:?}");
    tern.signal(Signal::SIGTERM);
    let began = Instant::now();
    assert_eq!(live.chunk().await.unwrap(), None);
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    let (status, _directory) = tern.end(Signal::SIGTERM);
    assert!(status.success(), "{status:?}");
}
