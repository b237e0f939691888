//! Opening database files: ours, nobody's, and other people's.

#![expect(clippy::unwrap_used, reason = "a scene that cannot be set is a failed test")]

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use tern_common::store::{SqliteStore, Store, StoreError};
use tern_common::user::{Email, NewUser, Username};

fn new_user(name: &str) -> NewUser {
    NewUser { username: Username::parse(name).unwrap(), email: Email::parse(&format!("{name}@mail.example")).unwrap() }
}

/// Opening `path` fails with `reason`, and changes nothing in its directory.
async fn check_refused(path: &Path, reason: &str) {
    let listing = |directory: &Path| -> Vec<_> {
        let mut files: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect();
        files.sort();
        files
    };
    let directory = path.parent().unwrap();
    let before = listing(directory);
    let refused = SqliteStore::open(path).await.unwrap_err();
    assert_eq!(refused.to_string(), format!("{} {reason}", path.display()));
    assert_eq!(listing(directory), before, "a file that is not ours was touched");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_untouched() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tern.db");
    fs::write(&path, "a shopping list").unwrap();
    check_refused(&path, "is not a SQLite database").await;
    fs::write(&path, vec![7; 8192]).unwrap();
    check_refused(&path, "is not a SQLite database").await;
}

#[tokio::test]
async fn another_programs_database_is_refused_untouched() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tern.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE users (id INTEGER)").unwrap();
    check_refused(&path, "is a SQLite database of another program").await;
}

#[tokio::test]
async fn a_newer_terns_database_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tern.db");
    drop(SqliteStore::open(&path).await.unwrap());
    let newer = "INSERT INTO refinery_schema_history
                 SELECT 9999, 'from_the_future', applied_on, checksum FROM refinery_schema_history LIMIT 1";
    assert_eq!(Connection::open(&path).unwrap().execute(newer, []).unwrap(), 1);
    let refused = SqliteStore::open(&path).await.unwrap_err();
    assert_eq!(refused.to_string(), format!("{} was made by a newer version of Tern", path.display()));
}

#[tokio::test]
async fn a_path_that_cannot_be_opened_is_refused_in_a_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let refused = SqliteStore::open(directory.path()).await.unwrap_err();
    assert!(refused.to_string().contains("Is a directory"), "{refused}");
    fs::write(directory.path().join("file"), "").unwrap();
    let refused = SqliteStore::open(&directory.path().join("file/tern.db")).await.unwrap_err();
    assert!(!refused.to_string().contains('\n'), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_is_there_after_reopening_and_many_may_open_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("made/on/the/way/tern.db");
    let opening: Vec<_> = (0..8)
        .map(|n| {
            let path = path.clone();
            tokio::spawn(async move {
                let store = SqliteStore::open(&path).await.unwrap();
                store.insert_user(new_user(&format!("user{n}"))).await.unwrap();
            })
        })
        .collect();
    for task in opening {
        task.await.unwrap();
    }
    let reopened = SqliteStore::open(&path).await.unwrap();
    let page = tern_common::store::Page { number: 1, size: 100 };
    assert_eq!(reopened.list_users(page).await.unwrap().rows.len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_lock_held_elsewhere_is_unavailability_within_two_seconds_and_heals() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tern.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let started = std::time::Instant::now();
    let refused = store.insert_user(new_user("ada")).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))));
    assert!(started.elapsed() < std::time::Duration::from_secs(2));
    store.ping().await.unwrap();
    other.execute_batch("COMMIT").unwrap();
    store.insert_user(new_user("ada")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_file_is_unavailability_and_no_empty_one_takes_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("odd name? #100%.db");
    let store = SqliteStore::open(&path).await.unwrap();
    store.insert_user(new_user("ada")).await.unwrap();
    fs::remove_file(&path).unwrap();
    // The first reader connects only now.
    assert!(matches!(store.ping().await, Err(StoreError::Unavailable(_))));
    assert!(!path.exists());
}
