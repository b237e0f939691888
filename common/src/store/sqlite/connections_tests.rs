//! Tests of reads that never end by themselves, and of other work at the same time.

use std::sync::Arc;

use tempfile::TempDir;
use tokio::time::timeout;

use super::*;
use crate::store::{AdminStore, ClickSink, LinkFeed, SqliteStore};
use crate::user::{Email, NewUser, Username};
use crate::{Id, JournalId};

/// Far less than the longest wait for a connection, and enough for a busy machine.
const SOON: Duration = Duration::from_secs(1);

async fn store() -> (Arc<SqliteStore>, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&directory.path().join("tern.db")).await.unwrap();
    (Arc::new(store), directory)
}

/// Runs a query that never ends.
async fn endless(store: &SqliteStore) -> Result<i64> {
    let sql = "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    store.connections.read(Lane::Lists, move |db| Ok(db.query_row(sql, [], |row| row.get(0))?)).await
}

async fn list(store: &SqliteStore) {
    let page = crate::store::Page::first(1);
    store.list_users(page).await.unwrap();
}

#[tokio::test]
async fn read_beyond_its_time_limit_ends_and_releases_its_connection() {
    let (store, _directory) = store().await;
    let began = Instant::now();
    let (ended, ..) = tokio::join!(endless(&store), endless(&store), endless(&store), endless(&store));
    assert!(matches!(ended, Err(StoreError::TookTooLong(_))), "{ended:?}");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    list(&store).await;
}

#[tokio::test]
async fn dropped_read_ends_at_once() {
    let (store, _directory) = store().await;
    for _ in 0..20 {
        assert!(timeout(Duration::from_millis(20), endless(&store)).await.is_err());
    }
    let began = Instant::now();
    list(&store).await;
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_lists_delay_no_other_kind_of_work() {
    let (store, _directory) = store().await;
    let snapshot = store.snapshot().await.unwrap();
    let crowd: Vec<_> = (0..32)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                loop {
                    let _ = endless(&store).await;
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    for n in 0..10 {
        let began = Instant::now();
        let name = format!("user{n}");
        let email = Email::parse(&format!("{name}@mail.example")).unwrap();
        let user = NewUser { username: Username::parse(&name).unwrap(), email };
        store.insert_user(user).await.unwrap();
        store.find_user(Id::new(1).unwrap()).await.unwrap();
        store.ping().await.unwrap();
        store.list_tokens().await.unwrap();
        store.find_journals(&[JournalId(1)]).await.unwrap();
        store.delta(&snapshot.cursor).await.unwrap();
        drop(store.snapshot().await.unwrap());
        store.run_upkeep().await.unwrap();
        assert!(began.elapsed() < SOON, "round {n}: {:?}", began.elapsed());
    }
    for client in crowd {
        client.abort();
    }
}
