//! Cancelled requests, slow connections, and the requests beside them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tern_common::store::{AdminStore, LinkFeed, Page, PostgresConfig, PostgresStore, StoreError};
use tern_common::user::UserChange;
use tern_testkit::postgres::{Options, Postgres};
use tern_testkit::relay::{Relay, Stall};
use tokio_postgres::Client;

use crate::{check_unavailable, config, connect, eventually, store, user};

const PAGE: Page = Page::first(1);

/// Returns the server processes of the store's connections.
async fn backends(other: &Client) -> BTreeSet<i32> {
    let sql = "SELECT pid FROM pg_stat_activity WHERE application_name = 'tern' AND datname = current_database()";
    other.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// Counts the store's connections that wait for a lock.
async fn count_lock_waiters(other: &Client) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity
               WHERE application_name = 'tern' AND datname = current_database() AND wait_event_type = 'Lock'";
    other.query_one(sql, &[]).await.unwrap().get(0)
}

/// Polls `work` for `time` and then drops it.
async fn cancel_after<T>(time: Duration, work: impl Future<Output = T>) {
    assert!(tokio::time::timeout(time, work).await.is_err(), "the request was not cancelled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_requests_cost_no_connection_and_fail_no_other() {
    let (store, config) = store(Postgres::shared()).await;
    let (store, other) = (Arc::new(store), connect(&config).await);
    let ada = user(&*store, "ada").await;
    let until = Instant::now() + Duration::from_secs(4);
    let hanging_up: Vec<_> = (0..200)
        .map(|client: u64| {
            let (store, id) = (Arc::clone(&store), ada.id);
            tokio::spawn(async move {
                for n in client.. {
                    if Instant::now() > until {
                        break;
                    }
                    let time = Duration::from_micros(n * 7919 % 3000);
                    let change = UserChange { email: None, username: None };
                    tokio::select! {
                        _ = store.update_user(id, change), if n % 2 == 0 => {}
                        _ = store.find_user(id), if n % 2 == 1 => {}
                        () = tokio::time::sleep(time) => {}
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = backends(&other).await;
    let mut served = 0;
    while Instant::now() < until {
        assert_eq!(store.find_user(ada.id).await.unwrap().as_ref(), Some(&ada), "after {served}");
        served += 1;
    }
    for client in hanging_up {
        client.await.unwrap();
    }
    let after = backends(&other).await;
    println!("{served} other requests were served meanwhile");
    assert!(before.is_subset(&after), "connections were closed: {before:?}, then {after:?}");
}

#[tokio::test]
async fn cancelled_statement_ends_and_its_connection_is_reused() {
    // No statement ends by itself.
    let statement_timeout = Duration::from_secs(60);
    let config = PostgresConfig { pool_size: 2, statement_timeout, ..config(Postgres::shared()).await };
    let store = PostgresStore::open(&config).await.unwrap();
    let other = connect(&config).await;
    let ada = user(&store, "ada").await;
    store.list_users(PAGE).await.unwrap();
    let before = backends(&other).await;
    other.batch_execute("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE").await.unwrap();
    for _ in 0..5 {
        cancel_after(Duration::from_millis(60), store.find_user(ada.id)).await;
        cancel_after(Duration::from_millis(60), store.list_users(PAGE)).await;
    }
    // The lock is still held by the transaction; the statements have ended.
    let ended =
        async || if count_lock_waiters(&other).await == 0 { Ok(()) } else { Err("statements wait for the lock") };
    eventually(ended).await;
    other.batch_execute("COMMIT").await.unwrap();
    store.find_user(ada.id).await.unwrap();
    store.list_users(PAGE).await.unwrap();
    // The store cancels over its two control connections.
    let after = backends(&other).await;
    assert!(before.is_subset(&after) && after.len() <= before.len() + 2, "{before:?}, then {after:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancellation_of_an_ended_statement_spares_the_next_statement_of_its_connection() {
    let server = Postgres::start_new(&Options::default());
    let config = PostgresConfig { pool_size: 2, ..config(&server).await };
    let store = Arc::new(PostgresStore::open(&config).await.unwrap());
    let other = connect(&config).await;
    let ada = user(&*store, "ada").await;
    store.ping().await.unwrap();
    let lock = "BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE";
    other.batch_execute(lock).await.unwrap();
    // A cancel request over a connection of its own would be read only after the thaw.
    server.freeze_postmaster();
    cancel_after(Duration::from_millis(10), store.find_user(ada.id)).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    other.batch_execute("COMMIT").await.unwrap();
    store.find_user(ada.id).await.unwrap();
    other.batch_execute(lock).await.unwrap();
    let next = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.find_user(ada.id).await }
    });
    while count_lock_waiters(&other).await == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.thaw();
    tokio::time::sleep(Duration::from_millis(200)).await;
    other.batch_execute("COMMIT").await.unwrap();
    assert_eq!(next.await.unwrap().unwrap().as_ref(), Some(&ada));
}

#[tokio::test]
async fn timed_out_request_closes_no_other_connection() {
    // The slow request runs into `request_timeout`.
    let base = config(Postgres::shared()).await;
    let config = PostgresConfig { request_timeout: Duration::from_millis(400), pool_size: 6, ..base };
    let store = Arc::new(PostgresStore::open(&config).await.unwrap());
    let other = connect(&config).await;
    let ada = user(&*store, "ada").await;
    let three = tokio::join!(store.find_user(ada.id), store.find_user(ada.id), store.find_user(ada.id));
    three.0.unwrap();
    let before = backends(&other).await;
    other.batch_execute("BEGIN; LOCK TABLE products IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let slow = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.list_products().await }
    });
    while !slow.is_finished() {
        store.find_user(ada.id).await.unwrap();
    }
    assert!(matches!(slow.await.unwrap(), Err(StoreError::Unavailable(_))));
    other.batch_execute("COMMIT").await.unwrap();
    store.list_products().await.unwrap();
    let after = backends(&other).await;
    assert!(before.is_subset(&after), "{before:?}, then {after:?}");
}

#[tokio::test]
async fn slow_list_fails_as_too_long_and_retains_its_connection() {
    let config = PostgresConfig {
        statement_timeout: Duration::from_millis(200),
        pool_size: 2,
        ..config(Postgres::shared()).await
    };
    let store = PostgresStore::open(&config).await.unwrap();
    let other = connect(&config).await;
    store.list_users(PAGE).await.unwrap();
    let before = backends(&other).await;
    other.batch_execute("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let refused = store.list_users(PAGE).await;
    assert!(matches!(refused, Err(StoreError::TookTooLong(_))), "{refused:?}");
    other.batch_execute("COMMIT").await.unwrap();
    store.list_users(PAGE).await.unwrap();
    assert_eq!(backends(&other).await, before);
}

#[tokio::test]
async fn slow_connections_are_made_two_at_a_time_beyond_request_timeout() {
    let config = config(Postgres::shared()).await;
    let server = Postgres::shared().port();
    let relay = Relay::to(server);
    let url = config.url.replace(&format!(":{server}/"), &format!(":{}/", relay.port()));
    let store = Arc::new(PostgresStore::new(&PostgresConfig { url, ..config }).unwrap());
    relay.stall(Stall::ToClient);
    let began = Instant::now();
    let waiting: Vec<_> = (0..50)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { check_unavailable(store.list_products()).await })
        })
        .collect();
    for request in waiting {
        request.await.unwrap();
    }
    // The connections are made after 2.5 s, longer than any request waits.
    tokio::time::sleep(Duration::from_millis(2500).saturating_sub(began.elapsed())).await;
    assert_eq!(relay.accepted(), 2);
    relay.resume();
    eventually(async || store.list_products().await).await;
    assert_eq!(relay.accepted(), 2, "the other connections do not serve");
}

#[tokio::test]
async fn existing_connections_serve_while_no_new_one_can_be_made() {
    let server = Postgres::start_new(&Options { max_connections: 8, ..Options::default() });
    let config = config(&server).await;
    let store = Arc::new(PostgresStore::open(&config).await.unwrap());
    let ada = user(&*store, "ada").await;
    let mut others = Vec::new();
    while let Ok((client, connection)) = tokio_postgres::connect(&config.url, tokio_postgres::NoTls).await {
        others.push((client, tokio::spawn(connection)));
    }
    for _ in 0..20 {
        let requests: Vec<_> = (0..20)
            .map(|_| {
                let (store, id) = (Arc::clone(&store), ada.id);
                tokio::spawn(async move { store.find_user(id).await })
            })
            .collect();
        for request in requests {
            assert_eq!(request.await.unwrap().unwrap().as_ref(), Some(&ada));
        }
    }
}
