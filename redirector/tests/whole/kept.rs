//! What a replica keeps, refuses, and finds wrong.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tern_common::store::{SqliteStore, Store};
use tern_common::url::UrlChange;

use crate::links::eventually;
use crate::scene::{Scene, drain, lock_out};

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
    for _ in 0..20 {
        assert_eq!(scene.status(fast, "/CODE34").await.0, 503);
    }
    drop(lock);
    eventually("it is served", async || {
        let status = scene.status(fast, "/CODE34").await.0;
        assert_ne!(status, 404);
        status == 302
    })
    .await;
    assert_eq!(scene.metric(&redirector, "tern_replica_snapshots_total").await, 0.0, "a delta was enough");
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
async fn a_store_that_lost_most_links_is_not_believed_unless_told_so() {
    let scene = Scene::set().await;
    for n in 0..10 {
        scene.insert(&format!("code{n}")).await;
    }
    let redirector = scene.start().await;
    redirector.loaded().await;
    // As after a restore of an old backup: another history, and few of the links.
    let database = rusqlite::Connection::open(scene.database()).unwrap();
    let restored = "BEGIN; DELETE FROM urls WHERE id > 3; UPDATE replica_meta SET epoch = epoch + 1; COMMIT";
    database.execute_batch(restored).unwrap();
    let refused = "tern_replica_refused_snapshots_total";
    eventually("the load is refused", async || scene.metric(&redirector, refused).await >= 1.0).await;
    assert_eq!(scene.status(redirector.local_addr(), "/code9").await.0, 302);
    drain(redirector).await;

    let redirector = scene.start_with(&[("REPLICA_ALLOW_SHRINK", "true")]).await;
    redirector.loaded().await;
    eventually("it is believed", async || scene.status(redirector.local_addr(), "/code9").await.0 == 404).await;
    assert_eq!(scene.status(redirector.local_addr(), "/code1").await.0, 302);
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
