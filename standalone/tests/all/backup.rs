//! Backups of a data directory: under load, without a server, and restored elsewhere.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{Tern, eventually, run, tern, text};

/// Returns every row of a list by its id.
async fn rows(server: &Tern, path: &str) -> BTreeMap<u64, Value> {
    let mut rows = BTreeMap::new();
    let mut next = Some(format!("{path}?per_page=100"));
    while let Some(path) = next {
        let response = server.get(&server.api, &path).await;
        let link = response.headers().get("link").map(|link| link.to_str().unwrap().to_owned());
        next = link.and_then(|link| {
            Some(link.split(", ").find(|link| link.ends_with("rel=\"next\""))?[1..].split_once('>')?.0.to_owned())
        });
        let page: Vec<Value> = response.json().await.unwrap();
        rows.extend(page.into_iter().map(|row| (row["id"].as_u64().unwrap(), row)));
    }
    rows
}

/// Removes what depends on the address and on clicks after the copy.
fn durable(mut link: Value) -> Value {
    let fields = link.as_object_mut().unwrap();
    ["short_url", "clicks", "last_clicked_at"].iter().for_each(|field| drop(fields.remove(*field)));
    link
}

fn backup(server: &Tern, directory: &Path) -> Output {
    run(&mut tern(server.directory.path(), &["backup", directory.to_str().unwrap()]))
}

fn restore(data_of: &Path, backup: &Path, more: &[&str]) -> Output {
    run(&mut tern(data_of, &[&["restore", backup.to_str().unwrap()], more].concat()))
}

#[track_caller]
fn check_success(output: &Output) {
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn backup_under_load_has_the_same_rows_and_loses_no_click() {
    let server = Arc::new(Tern::start(&[]));
    let ada = server.create_user("ada").await;
    let first = server.create_link(ada, "https://example.com/first").await;
    let is_over = Arc::new(AtomicBool::new(false));
    let clicks = Arc::new(AtomicU64::new(0));
    let path = first["short_code"].as_str().unwrap().to_owned();
    let mut load = Vec::new();
    for _ in 0..2 {
        let (server, is_over, clicks, path) =
            (Arc::clone(&server), Arc::clone(&is_over), Arc::clone(&clicks), path.clone());
        load.push(tokio::spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                assert_eq!(server.follow(&server.fast, &path).await.0, 302);
                clicks.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    let creations = {
        let (server, is_over) = (Arc::clone(&server), Arc::clone(&is_over));
        tokio::spawn(async move {
            let mut made = 0;
            while !is_over.load(Ordering::Relaxed) {
                server.create_link(ada, "https://example.com/").await;
                made += 1;
            }
            made
        })
    };
    eventually("the load runs", async || server.count_events("clicked").await > 500).await;
    let before = rows(&server, "/urls").await;
    let backups = tempfile::tempdir().unwrap();
    let copy = backups.path().join("monday");
    let output = {
        let (server, copy) = (Arc::clone(&server), copy.clone());
        tokio::task::spawn_blocking(move || backup(&server, &copy)).await.unwrap()
    };
    check_success(&output);
    assert!(text(&output.stderr).contains("a server runs"), "{}", text(&output.stderr));
    assert!(!server.directory.path().join("data/tern.new").exists());
    let later = backup(&server, &copy);
    assert!(!later.status.success() && text(&later.stderr).contains("is not empty"), "{}", text(&later.stderr));
    is_over.store(true, Ordering::Relaxed);
    for task in load {
        task.await.unwrap();
    }
    let made: u64 = creations.await.unwrap();
    assert!(made > 0);
    let acknowledged = clicks.load(Ordering::Relaxed);
    eventually("each click is an event", async || server.count_events("clicked").await == acknowledged).await;

    // The copy is that of one moment: what was there before is in it, and nothing is in it that the server does not have.
    let elsewhere = tempfile::tempdir().unwrap();
    check_success(&restore(elsewhere.path(), &copy, &[]));
    let restored = Tern::start_in(elsewhere, &[], &[]);
    let (urls, events) = (rows(&server, "/urls").await, rows(&server, "/events").await);
    let (copied_urls, copied_events) = (rows(&restored, "/urls").await, rows(&restored, "/events").await);
    assert!(copied_urls.len() >= before.len() && copied_urls.len() <= urls.len());
    assert!(copied_urls.len() < urls.len(), "the load went on during the backup");
    for (id, link) in &copied_urls {
        assert_eq!(durable(link.clone()), durable(urls[id].clone()));
    }
    assert!(before.keys().all(|id| copied_urls.contains_key(id)));
    assert!(copied_events.len() >= 500);
    let last = *copied_events.keys().last().unwrap();
    assert_eq!(copied_events, events.into_iter().filter(|(id, _)| *id <= last).collect());
    // The copied counts are those of the copied events.
    let id = first["id"].as_u64().unwrap();
    let stats = restored.get_json(&format!("/urls/{id}/stats")).await;
    let is_click = |event: &&Value| event["event_type"] == "clicked" && event["url_id"] == id;
    assert_eq!(stats["total"].as_u64().unwrap() as usize, copied_events.values().filter(is_click).count());
    // The restored server goes on with new ids.
    let link = restored.create_link(ada, "https://example.com/new").await;
    assert!(link["id"].as_u64().unwrap() > *copied_urls.keys().last().unwrap());
    assert_eq!(restored.follow(&restored.fast, &path).await.0, 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn backup_without_a_server_has_the_clicks_that_are_not_stored_yet() {
    // The database takes no click: each waits in a journal.
    let server = Tern::start(&[]);
    let ada = server.create_user("ada").await;
    let link = server.create_link(ada, "https://example.com/").await;
    let path = link["short_code"].as_str().unwrap().to_owned();
    let database = server.directory.path().join("data/tern.db");
    let lock = rusqlite::Connection::open(&database).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    for _ in 0..50 {
        assert_eq!(server.follow(&server.fast, &path).await.0, 302);
    }
    let (_, directory) = server.end(Signal::SIGKILL);
    drop(lock);
    let backups = tempfile::tempdir().unwrap();
    let copy = backups.path().join("copy");
    check_success(&run(&mut tern(directory.path(), &["backup", copy.to_str().unwrap()])));
    let elsewhere = tempfile::tempdir().unwrap();
    check_success(&restore(elsewhere.path(), &copy, &[]));
    // The copy and the original each have every click, once.
    for directory in [elsewhere, directory] {
        let server = Tern::start_in(directory, &[], &[]);
        eventually("the clicks are stored", async || server.count_events("clicked").await == 50).await;
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        assert_eq!(server.count_events("clicked").await, 50);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn restore_refuses_what_it_would_damage() {
    let server = Tern::start(&[]);
    let ada = server.create_user("ada").await;
    let link = server.create_link(ada, "https://example.com/").await;
    let path = link["short_code"].as_str().unwrap().to_owned();
    let backups = tempfile::tempdir().unwrap();
    let copy = backups.path().join("copy");
    check_success(&backup(&server, &copy));
    let refused = |output: Output, code: i32, reason: &str| {
        let error = text(&output.stderr);
        assert!(output.status.code() == Some(code) && error.contains(reason), "{reason}: {error}");
    };
    let directory = server.directory.path().to_owned();
    refused(restore(&directory, &copy, &["--replace"]), 1, "a server runs");
    assert_eq!(server.delete_link(&link["id"]).await.status(), 204);
    let (status, kept) = server.end(Signal::SIGTERM);
    assert!(status.success());
    refused(restore(&directory, &copy, &[]), 1, "is not empty");
    refused(restore(&directory, backups.path(), &["--replace"]), 66, "is no backup");
    refused(run(&mut tern(backups.path(), &["backup", "x"])), 66, "there is no store");
    let shared = run(tern(&directory, &["backup", "x"]).env("DATABASE_URL", "postgres://u:p@127.0.0.1:1/d"));
    refused(shared, 1, "pg_dump");
    // A damaged copy changes nothing.
    let damaged = backups.path().join("damaged");
    std::fs::create_dir(&damaged).unwrap();
    let mut bytes = std::fs::read(copy.join("tern.db")).unwrap();
    let half = bytes.len() / 2;
    bytes[half..].fill(0xff);
    std::fs::write(damaged.join("tern.db"), bytes).unwrap();
    refused(restore(&directory, &damaged, &["--replace"]), 1, "tern.new");
    assert!(!directory.join("data/tern.new").exists());

    let replaced = restore(&directory, &copy, &["--replace"]);
    check_success(&replaced);
    assert!(text(&replaced.stderr).contains("the former database is in"), "{}", text(&replaced.stderr));
    let aside = std::fs::read_dir(directory.join("data")).unwrap().map(|entry| entry.unwrap().path());
    let aside =
        aside.into_iter().find(|path| path.file_name().unwrap().to_str().unwrap().starts_with("replaced-")).unwrap();
    assert!(aside.join("tern.db").exists());
    // The deleted link is back, and redirects: no snapshot of the former database hides it.
    let server = Tern::start_in(kept, &[], &[]);
    assert_eq!(server.follow(&server.fast, &path).await.0, 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn restored_api_needs_tokens_as_the_original_did() {
    let server = Tern::start_with(&[], &[("ADMIN_AUTH", "tokens")]);
    let secret = std::fs::read_to_string(server.directory.path().join("data/admin.token")).unwrap();
    let backups = tempfile::tempdir().unwrap();
    let copy = backups.path().join("copy");
    check_success(&backup(&server, &copy));
    assert!(!copy.join("admin.token").exists(), "a backup has no token in plain text");
    let elsewhere = tempfile::tempdir().unwrap();
    check_success(&restore(elsewhere.path(), &copy, &[]));
    let restored = Tern::start_in(elsewhere, &[], &[]);
    assert_eq!(restored.get(&restored.api, "/users").await.status(), 401);
    let bearer = format!("Bearer {}", secret.trim());
    assert_eq!(restored.get_with(&[("authorization", &bearer)], &restored.api, "/users").await.status(), 200);
}
