//! The events table: its partitions, its references without foreign keys, and its counts.

use std::sync::Arc;
use std::time::Duration;

use tern_common::event::EventFilter;
use tern_common::store::{AdminStore, Page, RetentionOutcome, Total};
use tern_common::{Id, StatsQuery, StatsScope};
use tern_testkit::postgres::Postgres;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::{connect, eventually, store, store_with_long_timeouts, url, user};

const PAGE: Page = Page::first(1);

async fn query_number(db: &Client, sql: &str) -> i64 {
    db.query_one(sql, &[]).await.unwrap().get(0)
}

async fn check_refused(db: &Client, sql: &str, constraint: &str) {
    let error = db.batch_execute(sql).await.unwrap_err();
    assert_eq!(error.as_db_error().and_then(|refused| refused.constraint()), Some(constraint), "{error:?}");
}

/// Returns the first id of each partition and its number of events.
async fn partitions(db: &Client) -> Vec<(i64, i64)> {
    let mut partitions = Vec::new();
    for row in db.query("SELECT first_id FROM event_partitions ORDER BY first_id", &[]).await.unwrap() {
        let first: i64 = row.get(0);
        partitions.push((first, query_number(db, &format!("SELECT count(*) FROM events_{first}")).await));
    }
    partitions
}

#[tokio::test]
async fn every_event_id_has_a_partition_and_empty_partitions_are_dropped() {
    const EACH: i64 = 1 << 24;
    const FAR: i64 = 1 << 50;
    let (store, config) = store(Postgres::shared()).await;
    let db = connect(&config).await;
    let owner = user(&store, "ada").await.id;
    assert_eq!(partitions(&db).await, [(0, 0), (EACH, 0)]);
    url(&store, owner, "AAAAAA").await;
    store.run_upkeep().await.unwrap();
    store.run_upkeep().await.unwrap();
    assert_eq!(partitions(&db).await, [(0, 1), (EACH, 0), (2 * EACH, 0)]);

    let old = |id: i64| {
        format!(
            "INSERT INTO events (id, url_id, user_id, event_type, timestamp, details)
             VALUES ({id}, 1, 1, 'clicked', now() - interval '9 days', '{{}}');
             SELECT move_past('events_id_seq', {id});"
        )
    };
    db.batch_execute(&[old(1000), old(EACH + 1), old(FAR)].concat()).await.unwrap();
    url(&store, owner, "BBBBBB").await;
    assert_eq!(partitions(&db).await, [(0, 2), (EACH, 1), (2 * EACH, 2)], "the last partition has an end");
    store.run_upkeep().await.unwrap();
    let next = FAR + 1 + EACH;
    assert_eq!(partitions(&db).await, [(0, 2), (EACH, 1), (2 * EACH, 2), (next, 0)]);
    db.batch_execute(&format!("SELECT setval('events_id_seq', {next})")).await.unwrap();
    url(&store, owner, "CCCCCC").await;

    // Rows are ordered by id across partitions.
    let listing = store.list_events(EventFilter::default(), Page::first(100)).await.unwrap();
    let ids: Vec<i64> = listing.rows.iter().map(|event| event.id.get()).collect();
    assert_eq!(ids, [1, 1000, EACH + 1, FAR, FAR + 1, next + 1]);

    assert_eq!(store.delete_old_events(Duration::from_secs(86_400)).await.unwrap(), RetentionOutcome::Deleted(3));
    assert_eq!(store.list_events(EventFilter::default(), PAGE).await.unwrap().total, Total::Exactly(3));
    assert_eq!(partitions(&db).await, [(0, 1), (2 * EACH, 1), (next, 1)], "the empty partition is still there");
    db.batch_execute(&old(EACH + 1)).await.unwrap();
    assert_eq!(partitions(&db).await[0], (0, 2), "an id of the removed partition is not accepted");
    db.batch_execute("DELETE FROM urls").await.unwrap();
    store.delete_old_events(Duration::from_secs(86_400)).await.unwrap();
    assert_eq!(partitions(&db).await, [(0, 0), (next, 0)]);
    assert_eq!(query_number(&db, "SELECT pg_relation_size('events_0')").await, 0);
}

/// Retention may run for hours, and new ids need partitions meanwhile.
#[tokio::test]
async fn partitions_are_created_while_another_process_forgets_events() {
    let (store, config) = store(Postgres::shared()).await;
    let db = connect(&config).await;
    let forgetting = i64::from_be_bytes(*b"TERNFRGT");
    db.batch_execute(&format!("SELECT pg_advisory_lock({forgetting})")).await.unwrap();
    let owner = user(&store, "ada").await.id;
    url(&store, owner, "AAAAAA").await;
    db.batch_execute("UPDATE events SET timestamp = now() - interval '9 days'").await.unwrap();
    assert_eq!(
        store.delete_old_events(Duration::from_secs(86_400)).await.unwrap(),
        RetentionOutcome::Deleted(0),
        "the other does"
    );
    store.run_upkeep().await.unwrap();
    assert_eq!(partitions(&db).await.len(), 3);
}

#[tokio::test]
async fn event_by_direct_sql_must_reference_existing_rows() {
    let (store, config) = store(Postgres::shared()).await;
    let db = connect(&config).await;
    let owner = user(&store, "ada").await.id;
    user(&store, "bob").await;
    url(&store, owner, "AAAAAA").await;
    let insert = |url: i64, user: i64| {
        format!(
            "INSERT INTO events (url_id, user_id, event_type, timestamp, details)
             VALUES (1, 1, 'clicked', now(), '{{}}'), ({url}, {user}, 'clicked', now(), '{{}}')"
        )
    };
    check_refused(&db, &insert(9, 1), "events_url_id_fkey").await;
    check_refused(&db, &insert(1, 9), "events_user_id_fkey").await;
    db.batch_execute(&insert(1, 2)).await.unwrap();
    check_refused(&db, "UPDATE events SET url_id = 9 WHERE id > 1", "events_url_id_fkey").await;
    let sql = "SELECT sum(clicks)::bigint FROM click_counts";
    assert_eq!(query_number(&db, sql).await, 2);
    db.batch_execute("UPDATE events SET event_type = 'seen' WHERE user_id = 2").await.unwrap();
    assert_eq!(query_number(&db, sql).await, 1);
    assert_eq!(query_number(&db, "SELECT row_total('events', 'event_type=seen')").await, 1);
    db.batch_execute("DELETE FROM users WHERE id = 2").await.unwrap();
    assert_eq!(query_number(&db, "SELECT count(*) FROM events").await, 2);

    for truncate in ["TRUNCATE urls CASCADE", "TRUNCATE urls, events", "TRUNCATE users CASCADE"] {
        db.batch_execute(truncate).await.unwrap();
        let rows = "SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM click_counts)
                        + (SELECT count(*) FROM click_totals) + (SELECT count(*) FROM late_click_counts)";
        assert_eq!(query_number(&db, rows).await, 0, "{truncate}");
        assert_eq!(query_number(&db, "SELECT row_total('events', '')").await, 0, "{truncate}");
        let user = query_number(
            &db,
            "INSERT INTO users (username, email, created_at) VALUES ('u', 'u@x.example', now())
                                ON CONFLICT (username) DO UPDATE SET email = excluded.email RETURNING id",
        )
        .await;
        let row = store.find_user(Id::new(user).unwrap()).await.unwrap().unwrap();
        url(&store, row.id, "DDDDDD").await;
    }
}

/// Deleting an event must not scan the other hours of its link.
#[tokio::test]
async fn deleted_event_reads_only_its_own_counts() {
    let (store, config) = store(Postgres::shared()).await;
    let db = connect(&config).await;
    let owner = user(&store, "ada").await.id;
    url(&store, owner, "AAAAAA").await;
    db.batch_execute(
        "INSERT INTO events (url_id, user_id, event_type, timestamp, details, visitor, referrer)
         SELECT 1, 1, 'clicked', timestamptz '2025-01-01 00:00:00Z' + n * interval '1 hour', '{}', 'Firefox', 'a.example'
         FROM generate_series(1, 5000) AS n;
         ANALYZE",
    )
    .await
    .unwrap();
    let counts = "SELECT count(*) FROM click_counts";
    assert_eq!(query_number(&db, counts).await, 10_000);
    let read = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'click_counts'";
    db.batch_execute("BEGIN").await.unwrap();
    let before = query_number(&db, read).await;
    db.batch_execute("DELETE FROM events WHERE id = 2500").await.unwrap();
    let read = query_number(&db, read).await - before;
    assert!(read < 100, "{read} rows of counts were read");
    assert_eq!(query_number(&db, counts).await, 9_998);
}

#[tokio::test]
async fn update_of_an_id_is_refused() {
    let (store, config) = store(Postgres::shared()).await;
    let db = connect(&config).await;
    let owner = user(&store, "ada").await.id;
    url(&store, owner, "AAAAAA").await;
    for table in ["users", "urls"] {
        let refused = db.batch_execute(&format!("UPDATE {table} SET id = 9")).await.unwrap_err();
        assert_eq!(refused.code(), Some(&SqlState::FOREIGN_KEY_VIOLATION), "{refused}");
        db.batch_execute(&format!("UPDATE {table} SET id = id")).await.unwrap();
    }
}

/// Waits until `expected` connections of the database wait for a lock.
async fn wait_for_lock_waiters(db: &Client, expected: i64) {
    eventually(async || {
        let sql = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let found = query_number(db, sql).await;
        if found == expected { Ok(()) } else { Err(found) }
    })
    .await;
}

/// The deletion locks the link and needs its events; retention locks the events and needs the link's counts. Without an
/// order they would deadlock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forget_events_beside_deletion_of_link_does_not_deadlock() {
    // The deletion waits for this test, so it needs long timeouts on a slow machine.
    let (store, config) = store_with_long_timeouts(Postgres::shared()).await;
    let (store, db, other) = (Arc::new(store), connect(&config).await, connect(&config).await);
    let owner = user(&*store, "ada").await.id;
    url(&*store, owner, "AAAAAA").await;
    url(&*store, owner, "BBBBBB").await;
    db.batch_execute(
        "INSERT INTO events (url_id, user_id, event_type, timestamp, details)
         SELECT 1 + n % 2, 1, 'clicked', now() - interval '9 days', '{}' FROM generate_series(1, 100) AS n",
    )
    .await
    .unwrap();
    db.batch_execute("BEGIN; SELECT FROM click_counts FOR UPDATE").await.unwrap();
    let deleting = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.delete_url(Id::new(1).unwrap(), None).await }
    });
    wait_for_lock_waiters(&other, 1).await;
    let forgetting = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.delete_old_events(Duration::from_secs(86_400)).await }
    });
    wait_for_lock_waiters(&other, 2).await;
    db.batch_execute("COMMIT").await.unwrap();
    assert!(deleting.await.unwrap().unwrap().is_some());
    // The other link's events, and this link's if retention came first.
    let forgotten = forgetting.await.unwrap().unwrap();
    assert!([50, 100].map(RetentionOutcome::Deleted).contains(&forgotten), "{forgotten:?}");
    assert_eq!(query_number(&other, "SELECT count(*) FROM click_counts").await, 0);
    assert_eq!(query_number(&other, "SELECT sum(clicks)::bigint FROM click_totals").await, 0);
    assert_eq!(store.list_events(EventFilter::default(), PAGE).await.unwrap().total, Total::Exactly(1));
}

/// Each statement stays within the request timeout, while the whole deletion takes many times as long.
#[tokio::test]
async fn user_with_200_000_links_is_deleted_within_statement_timeouts() {
    let (store, config) = store(Postgres::shared()).await;
    let db = connect(&config).await;
    let owner = user(&store, "ada").await.id;
    db.batch_execute(
        "INSERT INTO urls (user_id, short_code, original_url, is_active, created_at, updated_at)
         SELECT 1, 'code' || n, 'https://example.com/', true, now(), now() FROM generate_series(1, 200000) AS n",
    )
    .await
    .unwrap();
    store.run_upkeep().await.unwrap();
    // A call that timed out on a busy machine is continued by the next one.
    eventually(async || store.delete_user(owner, true).await).await.unwrap();
    assert_eq!(query_number(&db, "SELECT count(*) FROM urls").await, 0);
    assert_eq!(query_number(&db, "SELECT row_total('urls', '') + row_total('users', '')").await, 0);
}

/// Plans of pages and of single events must not scan more rows than they return.
#[tokio::test]
async fn event_pages_are_read_from_indexes() {
    let (store, config) = store(Postgres::shared()).await;
    let db = connect(&config).await;
    let owner = user(&store, "ada").await.id;
    url(&store, owner, "AAAAAA").await;
    store.run_upkeep().await.unwrap();
    db.batch_execute(
        "INSERT INTO events (id, url_id, user_id, event_type, timestamp, details)
         SELECT n * 4000, 1, 1, 'clicked', now(), '{}' FROM generate_series(1, 15000) AS n;
         ANALYZE",
    )
    .await
    .unwrap();
    for condition in ["", "WHERE url_id = 1", "WHERE user_id = 1", "WHERE event_type = 'clicked'", "WHERE id = 4000"] {
        let sql = format!("EXPLAIN (ANALYZE, TIMING OFF) SELECT * FROM events {condition} ORDER BY id LIMIT 21");
        let plan: Vec<String> = db.query(&sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
        let plan = plan.join("\n");
        assert!(!plan.contains("Sort") && !plan.contains("Seq Scan on events_0 "), "{condition}: {plan}");
    }
    let scope = StatsScope::Link(Id::new(1).unwrap());
    let stats = store.statistics(StatsQuery::of_all_time(scope)).await.unwrap().unwrap();
    assert_eq!(stats.humans, 15_000);
}
