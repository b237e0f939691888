//! A server that stops, is killed, freezes, or has no room.

use std::time::Duration;

use tern_common::store::{AdminStore, ClickSink, LinkFeed, PostgresConfig, PostgresStore, StoreError};
use tern_common::{ClickBatch, JournalId, JournalPosition};
use tern_testkit::postgres::{Options, Postgres};

use crate::{check_unavailable, config, connect, eventually, new_user, store, user};

/// Returns a batch that only advances its journal.
fn empty_batch() -> ClickBatch<'static> {
    let to = JournalPosition { segment: 0, offset: 0, sequence: 0 };
    ClickBatch { journal: JournalId(1), from: None, to, clicks: &[], parked: 0 }
}

#[tokio::test]
async fn stopped_or_killed_server_is_unavailable_until_restart() {
    let server = Postgres::start_new(&Options::default());
    let (store, _) = store(&server).await;
    user(&store, "ada").await;
    for end in [Postgres::stop, Postgres::kill9] {
        end(&server);
        check_unavailable(store.ping()).await;
        check_unavailable(store.insert_user(new_user("bob"))).await;
        check_unavailable(store.snapshot()).await;
        check_unavailable(store.ship_clicks(empty_batch())).await;
        server.start();
        eventually(async || store.ping().await).await;
    }
    user(&store, "bob").await;
}

#[tokio::test]
async fn frozen_server_is_unavailable_in_time_and_recovers() {
    let server = Postgres::start_new(&Options::default());
    let (store, _) = store(&server).await;
    let snapshot = store.snapshot().await.unwrap();
    store.delta(&snapshot.cursor).await.unwrap();
    server.freeze();
    // The calls run concurrently, to save time; each has a connection of its own.
    tokio::join!(
        check_unavailable(store.ping()),
        check_unavailable(store.insert_user(new_user("ada"))),
        check_unavailable(store.delta(&snapshot.cursor)),
        check_unavailable(store.snapshot()),
        check_unavailable(store.prune_changes(Duration::ZERO)),
        check_unavailable(store.ship_clicks(empty_batch())),
    );
    check_unavailable(store.ping()).await;
    server.thaw();
    eventually(async || store.ping().await).await;
    eventually(async || store.delta(&snapshot.cursor).await).await;
    user(&store, "bob").await;
}

#[tokio::test]
async fn exhausted_pool_is_unavailable_in_time_and_recovers() {
    let config = PostgresConfig { pool_size: 2, ..config(Postgres::shared()).await };
    let store = PostgresStore::open(&config).await.unwrap();
    let other = connect(&config).await;
    other.batch_execute("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let page = tern_common::store::Page::first(1);
    tokio::join!(
        async {
            let refused = store.list_users(page).await;
            assert!(matches!(refused, Err(StoreError::TookTooLong(_))), "{refused:?}");
        },
        check_unavailable(store.insert_user(new_user("ada"))),
        check_unavailable(store.list_users(page)),
        check_unavailable(store.insert_user(new_user("bob"))),
        // These calls have connections of their own and do not wait for requests.
        async { store.ping().await.unwrap() },
        async { drop(store.list_tokens().await.unwrap()) },
        async { drop(store.snapshot().await.unwrap()) },
    );
    other.batch_execute("COMMIT").await.unwrap();
    user(&store, "ada").await;
}

#[tokio::test]
async fn server_without_free_connections_is_unavailable_in_time() {
    let server = Postgres::start_new(&Options { max_connections: 5, ..Options::default() });
    let config = config(&server).await;
    let store = PostgresStore::new(&config).unwrap();
    let mut others = Vec::new();
    while let Ok((client, connection)) = tokio_postgres::connect(&config.url, tokio_postgres::NoTls).await {
        others.push((client, tokio::spawn(connection)));
    }
    assert!(others.len() >= 2);
    check_unavailable(store.ping()).await;
    others.clear();
    eventually(async || store.ping().await).await;
}

#[tokio::test]
async fn read_only_database_refuses_writes_as_unavailable() {
    let (store, config) = store(Postgres::shared()).await;
    let other = connect(&config).await;
    let database = config.url.rsplit('/').next().unwrap();
    let read_only = format!("ALTER DATABASE {database} SET default_transaction_read_only = on");
    other.batch_execute(&read_only).await.unwrap();
    let reopened = PostgresStore::open(&config).await.unwrap();
    check_unavailable(reopened.insert_user(new_user("ada"))).await;
    reopened.ping().await.unwrap();
    drop(store);
}

#[tokio::test]
async fn cancelled_request_leaves_no_answer_for_the_next() {
    let config = PostgresConfig { pool_size: 1, ..config(Postgres::shared()).await };
    let store = PostgresStore::open(&config).await.unwrap();
    let ada = user(&store, "ada").await;
    let bob = user(&store, "bob").await;
    for _ in 0..50 {
        tokio::select! {
            biased;
            _ = store.find_user(ada.id) => {}
            () = tokio::task::yield_now() => {}
        }
        assert_eq!(store.find_user(bob.id).await.unwrap().as_ref(), Some(&bob));
    }
}
