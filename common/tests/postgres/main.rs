//! Tests of PostgreSQL alone: its schema, its faults, and direct SQL on its tables.

#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

use std::time::{Duration, Instant};

use tern_common::Id;
use tern_common::ShortCode;
use tern_common::TargetUrl;
use tern_common::store::postgres::migrate;
use tern_common::store::{AdminStore, Mark, PostgresConfig, PostgresStore, StoreError};
use tern_common::url::NewUrl;
use tern_common::user::{Email, NewUser, User, Username};
use tern_testkit::postgres::Postgres;
use tokio_postgres::{Client, NoTls};

#[path = "../support/replica.rs"]
mod replica;

mod backlog;
mod cancelled_requests;
mod clicks;
mod erasure;
mod events_table;
mod failover;
mod faults;
mod feed;
mod hosts;
mod interrupted_migration;
mod link_sums;
mod loading;
mod opening;
mod pages;
mod pooler;
mod roles;
mod session;
mod tail;
mod totals;

async fn config(server: &Postgres) -> PostgresConfig {
    let config = PostgresConfig::new(server.create_database());
    migrate(&config).await.unwrap();
    config
}

async fn store(server: &Postgres) -> (PostgresStore, PostgresConfig) {
    let config = config(server).await;
    (PostgresStore::open(&config).await.unwrap(), config)
}

/// Opens a store whose timeouts suit a slow machine.
async fn store_with_long_timeouts(server: &Postgres) -> (PostgresStore, PostgresConfig) {
    let timeout = Duration::from_secs(60);
    let config = PostgresConfig { statement_timeout: timeout, request_timeout: timeout, ..config(server).await };
    (PostgresStore::open(&config).await.unwrap(), config)
}

/// Opens a connection for direct SQL.
async fn connect(config: &PostgresConfig) -> Client {
    let (client, connection) = tokio_postgres::connect(&config.url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn new_user(name: &str) -> NewUser {
    NewUser { username: Username::parse(name).unwrap(), email: Email::parse(&format!("{name}@mail.example")).unwrap() }
}

async fn user(store: &dyn AdminStore, name: &str) -> User {
    store.insert_user(new_user(name)).await.unwrap()
}

async fn url(store: &dyn AdminStore, owner: Id, code: &str) -> Mark {
    let url = NewUrl {
        user_id: owner,
        short_code: ShortCode::parse(code).unwrap(),
        original_url: TargetUrl::parse("https://example.com/").unwrap(),
        title: None,
        is_active: true,
        options: Default::default(),
        labels: Default::default(),
    };
    store.insert_url(url).await.unwrap().mark
}

/// Checks that `work` fails as unavailable within the two seconds of the contract.
async fn check_unavailable<T: std::fmt::Debug>(work: impl Future<Output = Result<T, StoreError>>) {
    let started = Instant::now();
    let answer = work.await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

/// Waits until `work` succeeds, for two seconds and a tolerance for busy machines.
async fn eventually<T, E: std::fmt::Debug>(work: impl AsyncFn() -> Result<T, E>) -> T {
    let started = Instant::now();
    loop {
        match work().await {
            Ok(done) => return done,
            Err(error) => assert!(started.elapsed() < Duration::from_secs(4), "{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
