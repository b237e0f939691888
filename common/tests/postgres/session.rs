//! Settings that an administrator gave to the database or to a role for other programs.

use tern_common::event::{Details, EventFilter, EventType, NewEvent};
use tern_common::store::postgres::migrate;
use tern_common::store::{AdminStore, LinkFeed, Page, PostgresConfig, PostgresStore, StoreError};
use tern_common::url::{Title, UrlChange, UrlFilter};
use tern_common::user::{Email, UserRow, Username};
use tern_common::{HourClicks, Id, StatsQuery, StatsScope, Timestamp};
use tern_testkit::postgres::Postgres;

use crate::{new_user, url, user};

/// Settings that would change answers or make work fail. PostgreSQL 15 has no `transaction_timeout`.
const SETTINGS: [(&str, &str); 13] = [
    ("default_transaction_isolation", "serializable"),
    ("default_transaction_deferrable", "on"),
    ("lock_timeout", "1ms"),
    ("statement_timeout", "150ms"),
    ("idle_in_transaction_session_timeout", "1ms"),
    ("idle_session_timeout", "80ms"),
    ("TimeZone", "Asia/Kolkata"),
    ("DateStyle", "German"),
    ("IntervalStyle", "sql_standard"),
    ("bytea_output", "escape"),
    ("standard_conforming_strings", "off"),
    ("extra_float_digits", "-15"),
    ("array_nulls", "off"),
];

/// Creates a database with `settings` before Tern's schema is in it.
async fn database_with(settings: &[(&str, &str)]) -> PostgresConfig {
    let server = Postgres::shared();
    let config = PostgresConfig::new(server.create_database());
    let name = config.url.rsplit('/').next().unwrap();
    for (setting, value) in settings {
        server.psql("postgres", &format!("ALTER DATABASE {name} SET {setting} = '{value}'"));
    }
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_changes_despite_database_settings_succeed() {
    let config = database_with(&SETTINGS).await;
    migrate(&config).await.unwrap();
    let store = std::sync::Arc::new(PostgresStore::open(&config).await.unwrap());
    let owner = user(&*store, "ada").await.id;
    for code in ["AAAAAA", "BBBBBB", "CCCCCC"] {
        url(&*store, owner, code).await;
    }
    // Longer than `idle_session_timeout` of this database.
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let changes: Vec<_> = (0..24)
        .map(|n| {
            let store = std::sync::Arc::clone(&store);
            tokio::spawn(async move {
                for round in 0..10 {
                    let title = Title::parse(&format!("{n} {round}")).unwrap();
                    let change = UrlChange { title: Some(Some(title)), ..UrlChange::default() };
                    store.update_url(Id::new(1 + n % 3).unwrap(), change).await.unwrap().unwrap();
                }
            })
        })
        .collect();
    for change in changes {
        change.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_despite_database_settings_are_unchanged() {
    let config = database_with(&SETTINGS).await;
    migrate(&config).await.unwrap();
    let store = PostgresStore::open(&config).await.unwrap();
    let owner = user(&store, "ada").await.id;
    url(&store, owner, "AAAAAA").await;
    let row = UserRow {
        id: None,
        username: Username::parse(r"back\slash").unwrap(),
        email: Email::parse("b@mail.example").unwrap(),
        created_at: Some(Timestamp::parse("2024-03-10 23:45:09").unwrap()),
    };
    store.import_users(vec![row.clone()]).await.unwrap();
    let found = store.find_user(Id::new(2).unwrap()).await.unwrap().unwrap();
    assert_eq!((found.username.as_str(), found.created_at), (r"back\slash", row.created_at.unwrap()));
    let event = NewEvent {
        url_id: Id::new(1).unwrap(),
        user_id: None,
        event_type: EventType::parse("clicked").unwrap(),
        details: Details::parse(r#"{"a":"\\ é"}"#).unwrap(),
    };
    let event = store.insert_event(event).await.unwrap();
    let hour = event.timestamp.unix_seconds().div_euclid(3600) * 3600;
    let query = StatsQuery {
        from: Timestamp::from_unix_seconds(hour),
        to: Timestamp::from_unix_seconds(hour + 3600),
        ..StatsQuery::of_all_time(StatsScope::Link(event.url_id))
    };
    let stats = store.statistics(query.clone()).await.unwrap().unwrap();
    assert_eq!(stats.hours, [HourClicks { at: query.from, humans: 1, bots: 0 }]);
    assert_eq!(store.seal_key().await.unwrap(), PostgresStore::open(&config).await.unwrap().seal_key().await.unwrap());
    let mut rows = store.snapshot().await.unwrap().rows;
    assert_eq!(rows.recv().await.unwrap().unwrap()[0].short_code, "AAAAAA");
    store.run_upkeep().await.unwrap();
}

/// Managed services set it when the disk is full, and administrators while they move a database.
#[tokio::test]
async fn read_only_database_serves_reads_and_refuses_changes() {
    let config = database_with(&[]).await;
    migrate(&config).await.unwrap();
    user(&PostgresStore::open(&config).await.unwrap(), "ada").await;
    let name = config.url.rsplit('/').next().unwrap();
    Postgres::shared().psql("postgres", &format!("ALTER DATABASE {name} SET default_transaction_read_only = on"));
    let store = PostgresStore::open(&config).await.unwrap();
    let page = Page::first(10);
    assert_eq!(store.list_users(page).await.unwrap().rows.len(), 1);
    assert!(
        store
            .list_urls(UrlFilter::default(), Default::default(), Page::first(page.size))
            .await
            .unwrap()
            .rows
            .is_empty()
    );
    assert!(store.list_events(EventFilter::default(), page).await.unwrap().rows.is_empty());
    store.ping().await.unwrap();
    let refused = store.insert_user(new_user("bob")).await;
    assert!(matches!(&refused, Err(StoreError::Unavailable(cause)) if format!("{cause:#}").contains("read-only")));
}
