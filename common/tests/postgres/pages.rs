//! The cost of a page of a list.

use tern_common::event::EventFilter;
use tern_common::store::{AdminStore, ListCursor, Page, PageCursor as _, PageStart, Total};
use tern_testkit::postgres::Postgres;

use crate::{connect, eventually, store, url, user};

/// Number of pages after which PostgreSQL may switch from custom plans to a generic plan.
const PAGES: i64 = 10;

#[tokio::test]
async fn page_of_a_rare_value_reads_few_index_rows() {
    let (store, config) = store(Postgres::shared()).await;
    let db = connect(&config).await;
    let owner = user(&store, "ada").await.id;
    url(&store, owner, "AAAAAA").await;
    let events = "INSERT INTO events (url_id, user_id, event_type, timestamp, details)
                  SELECT 1, 1, CASE n % 2 WHEN 0 THEN 'seen' ELSE 'shared' END, now(), '{}' FROM generate_series(1, 20000) AS n;
                  ANALYZE events";
    db.batch_execute(events).await.unwrap();
    for start in [PageStart::Number(1), PageStart::After(ListCursor::START), PageStart::Before(ListCursor::END)] {
        for _ in 0..PAGES {
            let filter = EventFilter { event_type: Some("created".to_owned()), ..EventFilter::default() };
            let listing = store.list_events(filter, Page { start, size: 20 }).await.unwrap();
            assert_eq!((listing.rows.len(), listing.total), (1, Total::Exactly(1)));
        }
    }
    // A session reports its statistics when it ends.
    drop(store);
    let sql =
        "SELECT sum(idx_scan)::bigint, sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE relname = 'events_0'";
    let read = eventually(async || {
        let row = db.query_one(sql, &[]).await.unwrap();
        let (scans, read): (i64, i64) = (row.get(0), row.get(1));
        if scans >= 3 * PAGES { Ok(read) } else { Err(scans) }
    })
    .await;
    assert!(read < 10 * PAGES, "{read} rows of indexes were read for {} pages", 3 * PAGES);
}
