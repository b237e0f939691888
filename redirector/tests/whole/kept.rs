//! What a replica keeps, refuses, and finds wrong.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tern_common::Timestamp;
use tern_common::store::{AdminStore, SqliteStore};
use tern_common::url::UrlChange;

use crate::links::eventually;
use crate::scene::{Scene, drain, forget_changes, lock_out};

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_serves_from_the_file_while_the_store_is_away() {
    let mut scene = Scene::set().await;
    scene.insert("CODE12").await;
    let redirector = scene.start().await;
    redirector.loaded().await;
    scene.insert("CODE34").await;
    let fast = redirector.local_addr();
    eventually("the second is served", async || scene.status(fast, "/CODE34").await.0 == 302).await;
    drain(redirector).await;

    scene.store = Arc::new(SqliteStore::open(&scene.database()).await.unwrap());
    let lock = lock_out(&scene.database());
    let redirector = scene.start().await;
    redirector.loaded().await;
    let fast = redirector.local_addr();
    for path in ["/CODE12", "/CODE34"] {
        assert_eq!(scene.status(fast, path).await.0, 302, "{path}");
    }
    assert_eq!(scene.status(fast, "/nope").await.0, 404);
    assert_eq!(scene.status(redirector.ops_addr(), "/ready").await.0, 200);
    drop(lock);
    scene.insert("CODE56").await;
    eventually("it has caught up", async || scene.status(fast, "/CODE56").await.0 == 302).await;
    assert_eq!(scene.metric(&redirector, "tern_replica_snapshots_total").await, 0.0, "a delta was enough");
}

/// A file may be a minute old. Until the store has said what came since, or was waited for long enough, an absent code
/// says nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_came_since_the_file_was_written_is_no_wrong_404() {
    let mut scene = Scene::set().await;
    scene.insert("CODE12").await;
    let redirector = scene.start().await;
    redirector.loaded().await;
    drain(redirector).await;
    scene.insert("CODE34").await;

    scene.store = Arc::new(SqliteStore::open(&scene.database()).await.unwrap());
    let lock = lock_out(&scene.database());
    let redirector = scene.start().await;
    let fast = redirector.local_addr();
    // One look: the store waits half a second for the lock, and what it then says is that it is away.
    assert_eq!(scene.status(fast, "/CODE34").await.0, 503);
    drop(lock);
    served_without_a_404(&scene, fast).await;
    assert_eq!(scene.metric(&redirector, "tern_replica_snapshots_total").await, 0.0, "a delta was enough");
}

/// Nor does it when the store says that the file is too old, until every link has come.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_too_old_is_no_wrong_404() {
    let scene = Scene::set().await;
    scene.insert("CODE12").await;
    let redirector = scene.start().await;
    redirector.loaded().await;
    drain(redirector).await;
    scene.insert("CODE34").await;
    forget_changes(&scene.database());

    let redirector = scene.start().await;
    served_without_a_404(&scene, redirector.local_addr()).await;
    assert_eq!(scene.metric(&redirector, "tern_replica_snapshots_total").await, 1.0);
}

async fn served_without_a_404(scene: &Scene, fast: SocketAddr) {
    eventually("it is served", async || {
        let status = scene.status(fast, "/CODE34").await.0;
        assert_ne!(status, 404);
        status == 302
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_is_there_soon_after_the_first_load() {
    let scene = Scene::set().await;
    scene.insert("CODE12").await;
    let redirector = scene.start().await;
    redirector.loaded().await;
    eventually("the file is written", async || scene.snapshot_file().exists()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_told_and_the_store_asked_instead() {
    let scene = Scene::set().await;
    scene.insert("CODE12").await;
    let redirector = scene.start().await;
    redirector.loaded().await;
    drain(redirector).await;
    let mut bytes = fs::read(scene.snapshot_file()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(scene.snapshot_file(), bytes).unwrap();
    let redirector = scene.start().await;
    redirector.loaded().await;
    assert_eq!(scene.status(redirector.local_addr(), "/CODE12").await.0, 302);
    assert_eq!(scene.metric(&redirector, "tern_replica_file_errors_total").await, 1.0);
    assert_eq!(scene.metric(&redirector, "tern_replica_snapshots_total").await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn end_of_a_link_is_read_back_from_the_snapshot_file() {
    let mut scene = Scene::set().await;
    for (code, end) in [("ended", 0), ("ends", Timestamp::now().unix_seconds() + 3600)] {
        let id = scene.insert(code).await;
        let change = UrlChange { expires_at: Some(Some(Timestamp::from_unix_seconds(end))), ..UrlChange::default() };
        scene.store.update_url(id, change).await.unwrap();
    }
    let redirector = scene.start().await;
    redirector.loaded().await;
    drain(redirector).await;
    scene.store = Arc::new(SqliteStore::open(&scene.database()).await.unwrap());
    let lock = lock_out(&scene.database());
    let redirector = scene.start().await;
    let fast = redirector.local_addr();
    eventually("the file is served", async || scene.status(fast, "/ends").await.0 == 302).await;
    assert_eq!(scene.status(fast, "/ended").await.0, 410);
    assert_eq!(scene.metric(&redirector, "tern_replica_snapshots_total").await, 0.0);
    drop(lock);
}

#[tokio::test(flavor = "multi_thread")]
async fn store_that_lost_most_links_removes_none_and_changes_are_served_on() {
    let scene = Scene::set().await;
    for n in 0..10 {
        scene.insert(&format!("code{n}")).await;
    }
    let redirector = scene.start_with(&[("AUDIT_INTERVAL", "200ms")]).await;
    redirector.loaded().await;
    // As after a restore of an old backup: another history, and few of the links.
    let database = rusqlite::Connection::open(scene.database()).unwrap();
    let restored = "BEGIN; DELETE FROM urls WHERE id > 3; UPDATE urls SET is_active = 0 WHERE id = 2;
                    UPDATE replica_meta SET epoch = epoch + 1; COMMIT";
    database.execute_batch(restored).unwrap();
    let refused = "tern_replica_refused_snapshots_total";
    eventually("the loss is refused", async || scene.metric(&redirector, refused).await >= 1.0).await;
    let fast = redirector.local_addr();
    assert_eq!(scene.status(fast, "/code9").await.0, 302);
    assert_eq!(scene.status(fast, "/code1").await.0, 410, "what the store changed is served");

    // Each kind of change, after the loss.
    let id = scene.insert("fresh1").await;
    eventually("a new link is served", async || scene.status(fast, "/fresh1").await.0 == 302).await;
    let off = UrlChange { is_active: Some(false), ..UrlChange::default() };
    scene.store.update_url(id, off).await.unwrap();
    eventually("it is switched off", async || scene.status(fast, "/fresh1").await.0 == 410).await;
    scene.store.delete_url(id).await.unwrap();
    eventually("it is deleted", async || scene.status(fast, "/fresh1").await.0 == 404).await;
    eventually("audits refuse it, too", async || scene.metric(&redirector, refused).await >= 3.0).await;
    assert_eq!(scene.metric(&redirector, "tern_replica_refused_removals").await, 7.0);
    assert_eq!(scene.metric(&redirector, "tern_replica_snapshots_total").await, 2.0, "loaded once, and not again");
    assert_eq!(scene.status(fast, "/code9").await.0, 302);
    drain(redirector).await;

    let redirector = scene.start_with(&[("REPLICA_ALLOW_SHRINK", "true")]).await;
    redirector.loaded().await;
    eventually("it is believed", async || scene.status(redirector.local_addr(), "/code9").await.0 == 404).await;
    assert_eq!(scene.status(redirector.local_addr(), "/code0").await.0, 302);
    assert_eq!(scene.metric(&redirector, "tern_replica_refused_removals").await, 0.0);
}

/// The log of changes is the proof that most links were deleted.
#[tokio::test(flavor = "multi_thread")]
async fn deletion_of_most_links_in_one_transaction_is_served() {
    const LINKS: u32 = 200_000;
    let scene = Scene::set().await;
    for n in 0..10 {
        scene.insert(&format!("code{n}")).await;
    }
    let database = rusqlite::Connection::open(scene.database()).unwrap();
    let many = format!(
        "BEGIN; INSERT INTO users VALUES (2, 'bob', 'bob@mail.example', 0);
         WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {LINKS})
         INSERT INTO urls (user_id, short_code, original_url, is_active, created_at, updated_at)
         SELECT 2, 'bulk' || n, 'https://example.com/', 1, 0, 0 FROM numbers; COMMIT"
    );
    database.execute_batch(&many).unwrap();
    let redirector = scene.start().await;
    redirector.loaded().await;
    let links = async || scene.metric(&redirector, "tern_replica_links").await;
    assert_eq!(links().await, f64::from(LINKS + 10));
    database.execute_batch("BEGIN; DELETE FROM urls WHERE user_id = 2; COMMIT").unwrap();
    let deleted = Instant::now();
    eventually("all are gone", async || links().await == 10.0).await;
    println!("{LINKS} links that were deleted at once were gone after {:?}", deleted.elapsed());
    // Two seconds are promised; the rest is for a busy machine and a build that is not optimised.
    assert!(deleted.elapsed() < Duration::from_secs(20), "{:?}", deleted.elapsed());
    for (path, status) in [("/bulk1", 404), ("/bulk200000", 404), ("/code9", 302)] {
        assert_eq!(scene.status(redirector.local_addr(), path).await.0, status, "{path}");
    }
    scene.insert("fresh1").await;
    eventually("a new link is served", async || scene.status(redirector.local_addr(), "/fresh1").await.0 == 302).await;
    assert_eq!(scene.metric(&redirector, "tern_replica_snapshots_total").await, 1.0);
    assert_eq!(scene.metric(&redirector, "tern_replica_refused_snapshots_total").await, 0.0);
}

/// A checksum tells damage, and nothing of who wrote the file.
#[tokio::test(flavor = "multi_thread")]
async fn forged_file_with_right_checksum_is_put_right_soon_after_the_start() {
    let scene = Scene::set().await;
    scene.insert("CODE12").await;
    let redirector = scene.start().await;
    redirector.loaded().await;
    drain(redirector).await;
    forge(&scene.snapshot_file(), &[(b"example", b"evil-ex")]);

    let redirector = scene.start().await;
    redirector.loaded().await;
    let address = redirector.local_addr();
    eventually("the target is put right", async || location(&scene, address).await == "https://example.com/").await;
    assert_eq!(scene.metric(&redirector, "tern_replica_divergent_links_total").await, 1.0);
}

async fn location(scene: &Scene, fast: SocketAddr) -> String {
    let response = scene.client.head(format!("http://{fast}/CODE12")).send().await.unwrap();
    response.headers()["location"].to_str().unwrap().to_owned()
}

/// Replaces the first of each text by another of its length, and puts the checksum right.
fn forge(file: &Path, replacements: &[(&[u8; 7], &[u8; 7])]) {
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

/// The file of a build that did not know a field: it is served, and every link comes once the store answers.
#[tokio::test(flavor = "multi_thread")]
async fn file_without_a_field_is_served_and_completed_from_the_store() {
    let mut scene = Scene::set().await;
    scene.insert("CODE12").await;
    let redirector = scene.start().await;
    redirector.loaded().await;
    drain(redirector).await;
    // No delta brings the right target: the link does not change.
    forge(&scene.snapshot_file(), &[(b"_active", b"_sleepy"), (b"example", b"evil-ex")]);
    scene.store = Arc::new(SqliteStore::open(&scene.database()).await.unwrap());
    let lock = lock_out(&scene.database());
    let redirector = scene.start().await;
    redirector.loaded().await;
    let fast = redirector.local_addr();
    assert_eq!(location(&scene, fast).await, "https://evil-ex.com/");
    drop(lock);
    eventually("every link is loaded", async || location(&scene, fast).await == "https://example.com/").await;
    scene.insert("CODE34").await;
    eventually("deltas follow", async || scene.status(fast, "/CODE34").await.0 == 302).await;
    assert_eq!(scene.metric(&redirector, "tern_replica_snapshots_total").await, 1.0);
    assert_eq!(scene.metric(&redirector, "tern_replica_divergent_links_total").await, 0.0);
    drain(redirector).await;

    let redirector = scene.start().await;
    redirector.loaded().await;
    eventually("a delta comes", async || scene.metric(&redirector, "tern_replica_deltas_total").await >= 2.0).await;
    assert_eq!(scene.metric(&redirector, "tern_replica_snapshots_total").await, 0.0, "the new file has all fields");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_finds_and_heals_what_no_delta_brought() {
    let scene = Scene::set().await;
    let ids = [scene.insert("stale1").await, scene.insert("gone12").await, scene.insert("right1").await];
    let redirector = scene.start_with(&[("AUDIT_INTERVAL", "100ms")]).await;
    redirector.loaded().await;
    // A bug in the change log: what changes now leaves no trace there.
    let database = rusqlite::Connection::open(scene.database()).unwrap();
    let triggers = ["urls_changed_insert", "urls_changed_update", "urls_changed_delete"];
    for trigger in triggers {
        database.execute(&format!("DROP TRIGGER {trigger}"), []).unwrap();
    }
    database.execute("UPDATE urls SET is_active = 0 WHERE id = ?1", [ids[0].get()]).unwrap();
    database.execute("DELETE FROM urls WHERE id = ?1", [ids[1].get()]).unwrap();
    scene.insert("unseen").await;
    let fast = redirector.local_addr();
    eventually("all three are healed", async || {
        let statuses = ["/stale1", "/gone12", "/unseen", "/right1"].map(|path| scene.status(fast, path));
        let [stale, gone, unseen, right] = statuses;
        (stale.await.0, gone.await.0, unseen.await.0, right.await.0) == (410, 404, 302, 302)
    })
    .await;
    assert_eq!(scene.metric(&redirector, "tern_replica_divergent_links_total").await, 3.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_takes_no_change_under_way_for_a_difference() {
    let scene = Scene::set().await;
    let redirector = scene.start_with(&[("AUDIT_INTERVAL", "20ms")]).await;
    redirector.loaded().await;
    let started = Instant::now();
    let mut n = 0;
    while started.elapsed() < Duration::from_secs(2) {
        let id = scene.insert(&format!("code{n}")).await;
        let off = UrlChange { is_active: Some(false), ..UrlChange::default() };
        scene.store.update_url(id, off).await.unwrap();
        if n % 2 == 0 {
            scene.store.delete_url(id).await.unwrap();
        }
        n += 1;
    }
    let audits = scene.metric(&redirector, "tern_replica_audits_total").await;
    println!("{audits} audits during {n} links");
    assert!(audits >= 2.0, "{audits}");
    assert_eq!(scene.metric(&redirector, "tern_replica_divergent_links_total").await, 0.0);
}
