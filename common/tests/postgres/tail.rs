//! Clicks that are followed while transactions commit in another order than that of their ids.

use std::time::{Duration, Instant};

use tern_common::Id;
use tern_common::store::{AdminStore, ClickTail, PostgresStore};
use tern_testkit::postgres::Postgres;

use crate::{connect, store, url, user};

const INSERT: &str = "INSERT INTO events (url_id, user_id, event_type, timestamp, details)
    VALUES ($1, 1, 'clicked', now(), '{}') RETURNING id";

async fn read(store: &PostgresStore, tail: &mut ClickTail) -> Vec<i64> {
    let new = store.follow_clicks(tail, 100).await.unwrap();
    assert!(!new.has_gap);
    new.clicks.iter().map(|event| event.id.get()).collect()
}

#[tokio::test]
async fn click_that_commits_late_is_returned_in_the_order_of_ids() {
    let (store, config) = store(Postgres::shared()).await;
    let owner = user(&store, "ada").await.id;
    for code in ["CODE1", "CODE2", "CODE3", "CODE4"] {
        url(&store, owner, code).await;
    }
    let [early, late, other] = [connect(&config).await, connect(&config).await, connect(&config).await];
    let mut tail = ClickTail::default();
    assert!(read(&store, &mut tail).await.is_empty());
    // Each transaction has a link of its own, since it locks the counts of the link.
    let id = async |client: &tokio_postgres::Client, link: i64| -> i64 {
        client.query_one(INSERT, &[&link]).await.unwrap().get(0)
    };
    early.batch_execute("BEGIN").await.unwrap();
    let first = id(&early, 1).await;
    late.batch_execute("BEGIN").await.unwrap();
    let second = id(&late, 2).await;
    let third = id(&other, 3).await;
    assert!(first < second && second < third);
    late.batch_execute("COMMIT").await.unwrap();
    assert!(read(&store, &mut tail).await.is_empty());
    // A later transaction does not delay the clicks before it.
    let last = connect(&config).await;
    last.batch_execute("BEGIN").await.unwrap();
    let fourth = id(&last, 4).await;
    early.batch_execute("COMMIT").await.unwrap();
    assert_eq!(read(&store, &mut tail).await, [first, second, third]);
    assert_eq!(tail.position(), Some(third));
    last.batch_execute("ROLLBACK").await.unwrap();
    let fifth = id(&other, 3).await;
    assert_eq!(fifth, fourth + 1);
    assert_eq!(read(&store, &mut tail).await, [fifth]);
}

#[tokio::test]
async fn transaction_of_a_session_without_inserts_delays_no_click() {
    let (store, config) = store(Postgres::shared()).await;
    let owner = user(&store, "ada").await.id;
    url(&store, owner, "CODE12").await;
    let idle = connect(&config).await;
    idle.batch_execute(
        "BEGIN; UPDATE users SET email = email WHERE false; SELECT count(*) FROM events; SELECT pg_current_xact_id()",
    )
    .await
    .unwrap();
    let mut tail = ClickTail::default();
    assert!(read(&store, &mut tail).await.is_empty());
    let began = Instant::now();
    let id: i64 = connect(&config).await.query_one(INSERT, &[&1_i64]).await.unwrap().get(0);
    assert_eq!(read(&store, &mut tail).await, [id]);
    assert!(began.elapsed() < Duration::from_secs(2));
    assert_eq!(tail.position(), Id::new(id).map(Id::get));
    drop(idle);
}
