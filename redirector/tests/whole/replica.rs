//! The replica: its snapshot file, its refusal of losses, and its audits.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tern_common::routing::{Rules, Split};
use tern_common::store::{AdminStore, SqliteStore};
use tern_common::url::UrlChange;
use tern_common::{LinkOptionsChange, RedirectStatus, TargetUrl, Timestamp};

use crate::fixture::{Fixture, drain, forget_changes, lock_out};
use crate::links::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn restart_without_store_serves_from_the_snapshot_file() {
    let mut fixture = Fixture::create().await;
    fixture.insert("CODE12").await;
    let redirector = fixture.start().await;
    redirector.loaded().await;
    fixture.insert("CODE34").await;
    let fast = redirector.local_addr();
    eventually("the second is served", async || fixture.status(fast, "/CODE34").await.0 == 302).await;
    drain(redirector).await;

    fixture.store = Arc::new(SqliteStore::open(&fixture.database()).await.unwrap());
    let lock = lock_out(&fixture.database());
    let redirector = fixture.start().await;
    redirector.loaded().await;
    let fast = redirector.local_addr();
    for path in ["/CODE12", "/CODE34"] {
        assert_eq!(fixture.status(fast, path).await.0, 302, "{path}");
    }
    assert_eq!(fixture.status(fast, "/nope").await.0, 404);
    assert_eq!(fixture.status(redirector.ops_addr(), "/ready").await.0, 200);
    drop(lock);
    fixture.insert("CODE56").await;
    eventually("the replica has caught up", async || fixture.status(fast, "/CODE56").await.0 == 302).await;
    assert_eq!(
        fixture.metric(&redirector, "tern_replica_snapshots_total").await,
        0.0,
        "a snapshot was loaded where a delta is enough"
    );
}

/// A snapshot file may be a minute old. Until the store has returned later changes, or for a bounded time, an absent
/// code is answered 503.
#[tokio::test(flavor = "multi_thread")]
async fn link_newer_than_the_snapshot_file_is_never_answered_404() {
    let mut fixture = Fixture::create().await;
    fixture.insert("CODE12").await;
    let redirector = fixture.start().await;
    redirector.loaded().await;
    drain(redirector).await;
    fixture.insert("CODE34").await;

    fixture.store = Arc::new(SqliteStore::open(&fixture.database()).await.unwrap());
    let lock = lock_out(&fixture.database());
    let redirector = fixture.start().await;
    let fast = redirector.local_addr();
    // One request: the store waits half a second for the lock, and then fails as unavailable.
    assert_eq!(fixture.status(fast, "/CODE34").await.0, 503);
    drop(lock);
    check_served_without_404(&fixture, fast).await;
    assert_eq!(
        fixture.metric(&redirector, "tern_replica_snapshots_total").await,
        0.0,
        "a snapshot was loaded where a delta is enough"
    );
}

/// An absent code is answered 503 until every link is loaded, too, if the file is too old for a delta.
#[tokio::test(flavor = "multi_thread")]
async fn link_missing_from_a_too_old_file_is_never_answered_404() {
    let fixture = Fixture::create().await;
    fixture.insert("CODE12").await;
    let redirector = fixture.start().await;
    redirector.loaded().await;
    drain(redirector).await;
    fixture.insert("CODE34").await;
    forget_changes(&fixture.database());

    let redirector = fixture.start().await;
    check_served_without_404(&fixture, redirector.local_addr()).await;
    assert_eq!(fixture.metric(&redirector, "tern_replica_snapshots_total").await, 1.0);
}

async fn check_served_without_404(fixture: &Fixture, fast: SocketAddr) {
    eventually("the link is served", async || {
        let status = fixture.status(fast, "/CODE34").await.0;
        assert_ne!(status, 404);
        status == 302
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshot_file_is_written_soon_after_the_first_load() {
    let fixture = Fixture::create().await;
    fixture.insert("CODE12").await;
    let redirector = fixture.start().await;
    redirector.loaded().await;
    eventually("the file is written", async || fixture.snapshot_file().exists()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_snapshot_file_is_counted_and_replaced_by_the_store() {
    let fixture = Fixture::create().await;
    fixture.insert("CODE12").await;
    let redirector = fixture.start().await;
    redirector.loaded().await;
    drain(redirector).await;
    let mut bytes = fs::read(fixture.snapshot_file()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(fixture.snapshot_file(), bytes).unwrap();
    let redirector = fixture.start().await;
    redirector.loaded().await;
    assert_eq!(fixture.status(redirector.local_addr(), "/CODE12").await.0, 302);
    assert_eq!(fixture.metric(&redirector, "tern_replica_file_errors_total").await, 1.0);
    assert_eq!(fixture.metric(&redirector, "tern_replica_snapshots_total").await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn options_of_links_are_read_from_the_snapshot_file() {
    let mut fixture = Fixture::create().await;
    let at = |seconds| Some(Some(Timestamp::from_unix_seconds(Timestamp::now().unix_seconds() + seconds)));
    let over = TargetUrl::parse("https://example.com/over").unwrap();
    let rules = Rules::parse(r#"[{"target":"https://example.com/ü","if":[{"type":"query_any","key":"x"}]}]"#).unwrap();
    let split = r#"[{"target":"https://example.com/a","weight":1},{"target":"https://example.com/a","weight":99}]"#;
    let split = Split::parse(split).unwrap();
    let none = LinkOptionsChange::default;
    let permanent = RedirectStatus::parse("308").unwrap();
    for (code, options) in [
        ("ended", LinkOptionsChange { expires_at: at(-3600), ..none() }),
        ("moved", LinkOptionsChange { expires_at: at(-3600), expired_url: Some(Some(over)), ..none() }),
        ("ends", LinkOptionsChange { starts_at: at(-3600), expires_at: at(3600), ..none() }),
        ("starts", LinkOptionsChange { starts_at: at(3600), ..none() }),
        ("status", LinkOptionsChange { redirect_status: Some(Some(permanent)), ..none() }),
        ("query", LinkOptionsChange { forward_query: Some(Some(true)), ..none() }),
        ("rules", LinkOptionsChange { rules: Some(rules), ..none() }),
        ("split", LinkOptionsChange { split: Some(split), ..none() }),
    ] {
        let id = fixture.insert(code).await;
        fixture.store.update_url(id, UrlChange { options, ..UrlChange::default() }).await.unwrap();
    }
    let template = TargetUrl::parse("https://example.com/{1}?q={query:q}").unwrap();
    let id = fixture.insert("jira").await;
    let change = UrlChange { original_url: Some(template), ..UrlChange::default() };
    fixture.store.update_url(id, change).await.unwrap();
    let redirector = fixture.start().await;
    redirector.loaded().await;
    drain(redirector).await;
    fixture.store = Arc::new(SqliteStore::open(&fixture.database()).await.unwrap());
    let lock = lock_out(&fixture.database());
    let redirector = fixture.start().await;
    let fast = redirector.local_addr();
    eventually("the file is served", async || fixture.status(fast, "/ends").await.0 == 302).await;
    let target = fixture.follow(fast, "/ends").await.1;
    for (path, expected) in [
        ("/ended", (410, None)),
        ("/moved", (302, Some("https://example.com/over".to_owned()))),
        ("/starts", (404, None)),
        ("/status", (308, target.clone())),
        ("/jira/ABC-1?q=a%2Fb", (302, Some("https://example.com/ABC-1?q=a%2Fb".to_owned()))),
        ("/rules", (302, target.clone())),
        ("/rules?x", (302, Some("https://example.com/%C3%BC".to_owned()))),
        ("/split", (302, Some("https://example.com/a".to_owned()))),
        ("/query?x=1", (302, target.map(|target| format!("{target}?x=1")))),
    ] {
        assert_eq!(fixture.follow(fast, path).await, expected, "{path}");
    }
    assert_eq!(fixture.metric(&redirector, "tern_replica_snapshots_total").await, 0.0);
    drop(lock);
}

#[tokio::test(flavor = "multi_thread")]
async fn store_that_lost_most_links_removes_none_while_changes_apply() {
    let fixture = Fixture::create().await;
    for n in 0..10 {
        fixture.insert(&format!("code{n}")).await;
    }
    let redirector = fixture.start_with(&[("AUDIT_INTERVAL", "200ms")]).await;
    redirector.loaded().await;
    // A restored old backup: another history, and few of the links.
    let database = rusqlite::Connection::open(fixture.database()).unwrap();
    let restored = "BEGIN; DELETE FROM urls WHERE id > 3; UPDATE urls SET is_active = 0 WHERE id = 2;
                    UPDATE replica_meta SET epoch = epoch + 1; COMMIT";
    database.execute_batch(restored).unwrap();
    let refused = "tern_replica_refused_snapshots_total";
    eventually("the loss is refused", async || fixture.metric(&redirector, refused).await >= 1.0).await;
    let fast = redirector.local_addr();
    assert_eq!(fixture.status(fast, "/code9").await.0, 302);
    assert_eq!(fixture.status(fast, "/code1").await.0, 410, "a change of the store is not served");

    // Each kind of change after the loss.
    let id = fixture.insert("fresh1").await;
    eventually("a new link is served", async || fixture.status(fast, "/fresh1").await.0 == 302).await;
    let off = UrlChange { is_active: Some(false), ..UrlChange::default() };
    fixture.store.update_url(id, off).await.unwrap();
    eventually("the link is inactive", async || fixture.status(fast, "/fresh1").await.0 == 410).await;
    fixture.store.delete_url(id, None).await.unwrap();
    eventually("the link is deleted", async || fixture.status(fast, "/fresh1").await.0 == 404).await;
    eventually("audits refuse it, too", async || fixture.metric(&redirector, refused).await >= 3.0).await;
    assert_eq!(fixture.metric(&redirector, "tern_replica_refused_removals").await, 7.0);
    assert_eq!(
        fixture.metric(&redirector, "tern_replica_snapshots_total").await,
        2.0,
        "the snapshot was loaded more than once"
    );
    assert_eq!(fixture.status(fast, "/code9").await.0, 302);
    drain(redirector).await;

    let redirector = fixture.start_with(&[("REPLICA_ALLOW_SHRINK", "true")]).await;
    redirector.loaded().await;
    eventually("the removal is accepted", async || fixture.status(redirector.local_addr(), "/code9").await.0 == 404)
        .await;
    assert_eq!(fixture.status(redirector.local_addr(), "/code0").await.0, 302);
    assert_eq!(fixture.metric(&redirector, "tern_replica_refused_removals").await, 0.0);
}

/// The log of changes proves that most links were deleted.
#[tokio::test(flavor = "multi_thread")]
async fn logged_deletion_of_most_links_is_applied() {
    const LINKS: u32 = 200_000;
    let fixture = Fixture::create().await;
    for n in 0..10 {
        fixture.insert(&format!("code{n}")).await;
    }
    let database = rusqlite::Connection::open(fixture.database()).unwrap();
    let many = format!(
        "BEGIN; INSERT INTO users VALUES (2, 'bob', 'bob@mail.example', 0);
         WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {LINKS})
         INSERT INTO urls (user_id, short_code, original_url, is_active, created_at, updated_at)
         SELECT 2, 'bulk' || n, 'https://example.com/', 1, 0, 0 FROM numbers; COMMIT"
    );
    database.execute_batch(&many).unwrap();
    let redirector = fixture.start().await;
    redirector.loaded().await;
    let links = async || fixture.metric(&redirector, "tern_replica_links").await;
    assert_eq!(links().await, f64::from(LINKS + 10));
    database.execute_batch("BEGIN; DELETE FROM urls WHERE user_id = 2; COMMIT").unwrap();
    let deleted = Instant::now();
    eventually("all are gone", async || links().await == 10.0).await;
    println!("{LINKS} links that were deleted at once were gone after {:?}", deleted.elapsed());
    // Two seconds are promised; the rest is for a busy machine and a debug build.
    assert!(deleted.elapsed() < Duration::from_secs(20), "{:?}", deleted.elapsed());
    for (path, status) in [("/bulk1", 404), ("/bulk200000", 404), ("/code9", 302)] {
        assert_eq!(fixture.status(redirector.local_addr(), path).await.0, status, "{path}");
    }
    fixture.insert("fresh1").await;
    eventually("a new link is served", async || fixture.status(redirector.local_addr(), "/fresh1").await.0 == 302)
        .await;
    assert_eq!(fixture.metric(&redirector, "tern_replica_snapshots_total").await, 1.0);
    assert_eq!(fixture.metric(&redirector, "tern_replica_refused_snapshots_total").await, 0.0);
}

/// A checksum detects damage, and not who wrote the file.
#[tokio::test(flavor = "multi_thread")]
async fn forged_snapshot_file_is_corrected_by_the_first_audit() {
    let fixture = Fixture::create().await;
    fixture.insert("CODE12").await;
    let redirector = fixture.start().await;
    redirector.loaded().await;
    drain(redirector).await;
    forge_file(&fixture.snapshot_file(), &[(b"example", b"evil-ex")]);

    let redirector = fixture.start().await;
    redirector.loaded().await;
    let address = redirector.local_addr();
    eventually("the target is put right", async || location(&fixture, address).await == "https://example.com/").await;
    assert_eq!(fixture.metric(&redirector, "tern_replica_divergent_links_total").await, 1.0);
}

async fn location(fixture: &Fixture, fast: SocketAddr) -> String {
    let response = fixture.client.head(format!("http://{fast}/CODE12")).send().await.unwrap();
    response.headers()["location"].to_str().unwrap().to_owned()
}

/// Replaces the first occurrence of each text by another of its length, and updates the checksum.
pub fn forge_file(file: &Path, replacements: &[(&[u8; 7], &[u8; 7])]) {
    let mut bytes = fs::read(file).unwrap();
    for (from, to) in replacements {
        let at = bytes.windows(from.len()).position(|bytes| bytes == *from).unwrap();
        bytes[at..at + to.len()].copy_from_slice(*to);
    }
    let content = bytes.len() - 4;
    let checksum = crc32c::crc32c(&bytes[..content]);
    bytes[content..].copy_from_slice(&checksum.to_le_bytes());
    fs::write(file, bytes).unwrap();
}

/// A file by a build that lacked a field is served, and every link is loaded once the store answers.
#[tokio::test(flavor = "multi_thread")]
async fn snapshot_file_without_a_field_is_served_then_completed() {
    let mut fixture = Fixture::create().await;
    fixture.insert("CODE12").await;
    let redirector = fixture.start().await;
    redirector.loaded().await;
    drain(redirector).await;
    // No delta corrects the target, since the link does not change.
    forge_file(&fixture.snapshot_file(), &[(b"_active", b"_sleepy"), (b"example", b"evil-ex")]);
    fixture.store = Arc::new(SqliteStore::open(&fixture.database()).await.unwrap());
    let lock = lock_out(&fixture.database());
    let redirector = fixture.start().await;
    redirector.loaded().await;
    let fast = redirector.local_addr();
    assert_eq!(location(&fixture, fast).await, "https://evil-ex.com/");
    drop(lock);
    eventually("every link is loaded", async || location(&fixture, fast).await == "https://example.com/").await;
    fixture.insert("CODE34").await;
    eventually("deltas follow", async || fixture.status(fast, "/CODE34").await.0 == 302).await;
    assert_eq!(fixture.metric(&redirector, "tern_replica_snapshots_total").await, 1.0);
    assert_eq!(fixture.metric(&redirector, "tern_replica_divergent_links_total").await, 0.0);
    drain(redirector).await;

    let redirector = fixture.start().await;
    redirector.loaded().await;
    eventually("a delta comes", async || fixture.metric(&redirector, "tern_replica_deltas_total").await >= 2.0).await;
    assert_eq!(fixture.metric(&redirector, "tern_replica_snapshots_total").await, 0.0, "the new file lacks a field");
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_corrects_links_that_no_delta_delivered() {
    let fixture = Fixture::create().await;
    let ids = [fixture.insert("stale1").await, fixture.insert("gone12").await, fixture.insert("right1").await];
    let redirector = fixture.start_with(&[("AUDIT_INTERVAL", "100ms")]).await;
    redirector.loaded().await;
    // A bug in the change log: later changes are not logged.
    let database = rusqlite::Connection::open(fixture.database()).unwrap();
    let triggers = ["urls_changed_insert", "urls_changed_update", "urls_changed_delete"];
    for trigger in triggers {
        database.execute(&format!("DROP TRIGGER {trigger}"), []).unwrap();
    }
    database.execute("UPDATE urls SET is_active = 0 WHERE id = ?1", [ids[0].get()]).unwrap();
    database.execute("DELETE FROM urls WHERE id = ?1", [ids[1].get()]).unwrap();
    fixture.insert("unseen").await;
    let fast = redirector.local_addr();
    eventually("all three are healed", async || {
        let statuses = ["/stale1", "/gone12", "/unseen", "/right1"].map(|path| fixture.status(fast, path));
        let [stale, gone, unseen, right] = statuses;
        (stale.await.0, gone.await.0, unseen.await.0, right.await.0) == (410, 404, 302, 302)
    })
    .await;
    assert_eq!(fixture.metric(&redirector, "tern_replica_divergent_links_total").await, 3.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_beside_changes_reports_no_divergence() {
    let fixture = Fixture::create().await;
    let redirector = fixture.start_with(&[("AUDIT_INTERVAL", "20ms")]).await;
    redirector.loaded().await;
    let started = Instant::now();
    let mut n = 0;
    while started.elapsed() < Duration::from_secs(2) {
        let id = fixture.insert(&format!("code{n}")).await;
        let off = UrlChange { is_active: Some(false), ..UrlChange::default() };
        fixture.store.update_url(id, off).await.unwrap();
        if n % 2 == 0 {
            fixture.store.delete_url(id, None).await.unwrap();
        }
        n += 1;
    }
    let audits = fixture.metric(&redirector, "tern_replica_audits_total").await;
    println!("{audits} audits during {n} links");
    assert!(audits >= 2.0, "{audits}");
    assert_eq!(fixture.metric(&redirector, "tern_replica_divergent_links_total").await, 0.0);
}
