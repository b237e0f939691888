//! Totals that many writers change while they are folded.

use std::sync::Arc;
use std::time::Duration;

use tern_common::store::{AdminStore, Page, Total};
use tern_testkit::postgres::Postgres;

use crate::{connect, eventually, store, url, user};

const PAGE: Page = Page::first(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn totals_while_folded_stay_exact() {
    let (store, config) = store(Postgres::shared()).await;
    let (store, other) = (Arc::new(store), connect(&config).await);
    let owner = user(&*store, "ada").await.id;
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for n in 0..100 {
                    url(&*store, owner, &format!("w{writer}-{n}")).await;
                }
            })
        })
        .collect();
    while writers.iter().any(|writer| !writer.is_finished()) {
        // One statement reads all three counts, as the store does.
        let sql = "SELECT count(*), row_total('urls', ''), row_total('urls', 'user_id=1') FROM urls";
        let row = other.query_one(sql, &[]).await.unwrap();
        let counted: i64 = row.get(0);
        assert_eq!([1, 2].map(|column| row.get::<_, i64>(column)), [counted; 2]);
        store.prune_changes(Duration::from_secs(3600)).await.unwrap();
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(
        store.list_urls(Default::default(), Default::default(), Page::first(1)).await.unwrap().total,
        Total::Exactly(400)
    );
}

#[tokio::test]
async fn total_of_many_parts_is_folded_when_read() {
    let (store, config) = store(Postgres::shared()).await;
    let other = connect(&config).await;
    for n in 0..150 {
        user(&store, &format!("user{n}")).await;
    }
    assert_eq!(store.list_users(PAGE).await.unwrap().total, Total::Exactly(150));
    eventually(async || {
        let left: i64 = other.query_one("SELECT count(*) FROM row_count_deltas", &[]).await.unwrap().get(0);
        if left == 0 { Ok(()) } else { Err(left) }
    })
    .await;
    assert_eq!(store.list_users(PAGE).await.unwrap().total, Total::Exactly(150));
    other.batch_execute("DELETE FROM users").await.unwrap();
    store.prune_changes(Duration::from_secs(3600)).await.unwrap();
    let left: i64 = other.query_one("SELECT count(*) FROM row_counts", &[]).await.unwrap().get(0);
    assert_eq!(left, 0, "a total of zero has a row");
}

#[tokio::test]
async fn truncated_table_counts_from_zero() {
    let (store, config) = store(Postgres::shared()).await;
    let owner = user(&store, "ada").await.id;
    url(&store, owner, "AAAAAA").await;
    connect(&config).await.batch_execute("TRUNCATE urls CASCADE").await.unwrap();
    assert_eq!(
        store.list_urls(Default::default(), Default::default(), Page::first(1)).await.unwrap().total,
        Total::Exactly(0)
    );
    assert_eq!(store.list_events(Default::default(), PAGE).await.unwrap().total, Total::Exactly(0));
    url(&store, owner, "AAAAAA").await;
    assert_eq!(
        store.list_urls(Default::default(), Default::default(), Page::first(1)).await.unwrap().total,
        Total::Exactly(1)
    );
    assert_eq!(store.list_users(PAGE).await.unwrap().total, Total::Exactly(1));
}
