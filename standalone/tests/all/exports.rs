//! Exports of many rows, and live clicks, from a real process.

use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tern_common::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::Tern;

/// Rows of the export, unless `TERN_EXPORT_ROWS` is set.
const ROWS: u64 = 150_000;

/// The most bytes by which an export may increase the memory of the process: buffers, pages of the database, and the
/// allocator. The whole export has many times as many.
const MOST_GROWTH: u64 = 32 << 20;

/// The clicks whose time to the listener is measured.
const CLICKS: usize = 20;

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

/// The rows of an export as a client reads them: block by block, each row compared with the one that was inserted.
struct Reader {
    format: &'static str,
    rest: Vec<u8>,
    bytes: u64,
    rows: u64,
}

impl Reader {
    /// Reads the whole lines of what has arrived, and retains the rest.
    fn take(&mut self, chunk: &[u8]) {
        self.bytes += chunk.len() as u64;
        self.rest.extend_from_slice(chunk);
        let end = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let rest = self.rest.split_off(end);
        let block = std::mem::replace(&mut self.rest, rest);
        self.read(&block);
    }

    fn finish(&mut self) {
        let last = std::mem::take(&mut self.rest);
        self.read(&last);
    }

    fn read(&mut self, block: &[u8]) {
        if self.format == "csv" {
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(block);
            for record in reader.records().map(Result::unwrap) {
                let fields: Vec<&str> = record.iter().collect();
                if self.rows == 0 && fields[0] == "id" {
                    assert_eq!(fields, ["id", "url_id", "user_id", "event_type", "timestamp", "details"]);
                    continue;
                }
                let [id, url_id, user_id, event_type, timestamp, details] = fields.try_into().unwrap();
                self.check([id, url_id, user_id], event_type, timestamp, serde_json::from_str(details).unwrap());
            }
            return;
        }
        for line in block.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            // An array has its brackets and commas at the ends of lines.
            let line = line.strip_prefix(b"[").unwrap_or(line);
            let line = line.strip_suffix(b",").or(line.strip_suffix(b"]")).unwrap_or(line);
            let row: Value = serde_json::from_slice(line).unwrap();
            let ids = ["id", "url_id", "user_id"].map(|name| row[name].to_string());
            let text = |name: &str| row[name].as_str().unwrap();
            self.check(
                ids.each_ref().map(String::as_str),
                text("event_type"),
                text("timestamp"),
                row["details"].clone(),
            );
        }
    }

    /// Compares a row with the one of this number: the link's first event, then those of [`fill`].
    fn check(&mut self, ids: [&str; 3], event_type: &str, timestamp: &str, details: Value) {
        let n = self.rows;
        self.rows += 1;
        assert_eq!(ids, [&*(n + 1).to_string(), "1", "1"]);
        if n == 0 {
            assert_eq!(event_type, "created");
            return;
        }
        assert_eq!(event_type, "viewed");
        assert_eq!(timestamp, Timestamp::from_unix_seconds(n.cast_signed()).to_string());
        assert_eq!(details, json!({ "n": n, "x": format!("{n:0400}") }));
    }
}

#[tokio::test]
async fn export_of_many_rows_has_each_row_takes_constant_memory_and_delays_no_list() {
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
    let before = tern.resident_bytes();
    for format in ["csv", "ndjson", "json"] {
        let (mut most, mut slowest, began) = (before, Duration::ZERO, Instant::now());
        let mut reader = Reader { format, rest: Vec::new(), bytes: 0, rows: 0 };
        let mut export = tern.get(&tern.api, &format!("/events/export?format={format}")).await;
        let mut checked_at = Instant::now();
        while let Some(chunk) = export.chunk().await.unwrap() {
            reader.take(&chunk);
            if checked_at.elapsed() > Duration::from_millis(50) {
                most = most.max(tern.resident_bytes());
                let asked = Instant::now();
                assert_eq!(tern.get(&tern.api, "/events?per_page=20").await.status(), 200);
                slowest = slowest.max(asked.elapsed());
                checked_at = Instant::now();
            }
        }
        reader.finish();
        let (seconds, bytes) = (began.elapsed().as_secs_f64(), reader.bytes);
        println!(
            "{format}: {rows} rows, {bytes} bytes, {seconds:.1} s; memory {before} to {most}; slowest list {slowest:?}"
        );
        assert_eq!(reader.rows, rows + 1, "{format}");
        assert!(bytes > 2 * MOST_GROWTH, "{format}: {bytes} bytes prove nothing");
        assert!(most - before < MOST_GROWTH, "{format}: from {before} to {most} bytes for {bytes} bytes of rows");
        assert!(slowest < Duration::from_secs(2), "{format}: {slowest:?}");
    }
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
    let click = live.chunk().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&click).starts_with("event: click\nid: 2\ndata: {\"id\":2,"), "{click:?}");
    let mut times = Vec::new();
    for _ in 0..CLICKS {
        // The shipper waits longer after a click than after an idle time.
        tokio::time::sleep(Duration::from_millis(250)).await;
        let began = Instant::now();
        tern.follow(&tern.fast, link["short_code"].as_str().unwrap()).await;
        live.chunk().await.unwrap().unwrap();
        times.push(began.elapsed());
    }
    times.sort_unstable();
    let (quick, median, slowest) = (times[CLICKS / 4], times[CLICKS / 2], times[CLICKS - 1]);
    println!(
        "from the request to the listener: a quarter within {quick:?}, half within {median:?}, all within {slowest:?}"
    );
    // The promise is for an idle system. On a busy one, most clicks may come later.
    assert!(quick < Duration::from_millis(200), "{times:?}");
    assert!(slowest < Duration::from_secs(5), "{times:?}");
    tern.signal(Signal::SIGTERM);
    let began = Instant::now();
    assert_eq!(live.chunk().await.unwrap(), None);
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    let (status, _directory) = tern.end(Signal::SIGTERM);
    assert!(status.success(), "{status:?}");
}
