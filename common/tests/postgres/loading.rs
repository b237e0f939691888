//! Loads and id sequences beside other writers.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tern_common::Id;
use tern_common::store::{AdminStore, Load, LoadOutcome, NumberedRow, StoreError};
use tern_common::user::{Email, UserRow, Username};
use tern_testkit::postgres::Postgres;
use tokio::sync::mpsc;

use crate::{connect, new_user, store, store_with_long_timeouts};

fn row(given: Option<i64>, name: &str) -> UserRow {
    UserRow {
        id: given.and_then(Id::new),
        username: Username::parse(name).unwrap(),
        email: Email::parse(&format!("{name}@mail.example")).unwrap(),
        created_at: None,
    }
}

#[tokio::test]
async fn load_waiting_for_its_source_has_no_open_transaction() {
    let (store, config) = store(Postgres::shared()).await;
    let other = connect(&config).await;
    let (sender, batches) = mpsc::channel(1);
    let source = async {
        for n in 0..3 {
            sender.send(Ok(vec![NumberedRow { line: n + 2, row: row(None, &format!("user{n}")) }])).await.unwrap();
        }
        // The channel has room for one batch, so at least one is staged.
        let sql = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'";
        let mut open = -1;
        for _ in 0..500 {
            open = other.query_one(sql, &[]).await.unwrap().get::<_, i64>(0);
            if open == 0 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert_eq!(open, 0, "a transaction stays open while the source is slow");
        sender.send(Ok(Vec::new())).await.unwrap();
    };
    let (loaded, ()) = tokio::join!(store.load(Load::Users(batches), None), source);
    assert_eq!(loaded.unwrap(), LoadOutcome::Inserted(3));
}

/// Ids are assigned, given and given far ahead concurrently, and half of the assigned rows are deleted at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ids_assigned_beside_imports_with_ids_are_unique() {
    let (store, _) = store_with_long_timeouts(Postgres::shared()).await;
    let store = Arc::new(store);
    let greatest = Arc::new(AtomicI64::new(0));
    let mut posting = Vec::new();
    for poster in 0..6 {
        let (store, greatest) = (Arc::clone(&store), Arc::clone(&greatest));
        posting.push(tokio::spawn(async move {
            let mut ids = Vec::new();
            for n in 0..150 {
                match store.insert_user(new_user(&format!("posted{poster}-{n}"))).await {
                    Ok(user) => {
                        greatest.fetch_max(user.id.get(), Ordering::Relaxed);
                        ids.push(user.id);
                        if n % 2 == 0 {
                            store.delete_user(user.id, false).await.unwrap();
                        }
                    }
                    // A file gave the id that the sequence assigned.
                    Err(StoreError::Unavailable(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            ids
        }));
    }
    let mut importing = Vec::new();
    for importer in 0..3 {
        let (store, greatest) = (Arc::clone(&store), Arc::clone(&greatest));
        importing.push(tokio::spawn(async move {
            for n in 0..100 {
                let ahead = if n % 20 == importer { 150_000 } else { 2 + n % 5 };
                let given = greatest.load(Ordering::Relaxed) + ahead;
                match store.import_users(vec![row(Some(given), &format!("given{importer}-{n}"))]).await {
                    Ok(_) | Err(StoreError::Unavailable(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }));
    }
    let mut ids = Vec::new();
    for task in posting {
        ids.extend(task.await.unwrap());
    }
    for task in importing {
        task.await.unwrap();
    }
    let distinct: HashSet<Id> = ids.iter().copied().collect();
    assert!(ids.len() > 300, "{}", ids.len());
    assert_eq!(distinct.len(), ids.len(), "an id was given twice");
}
