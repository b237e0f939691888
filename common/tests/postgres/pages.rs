//! The cost of a page of a list.

use tern_common::audit::AuditFilter;
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

#[tokio::test]
async fn page_behind_every_list_leads_to_the_newest_rows_without_reading_the_others() {
    const ENTRIES: i64 = 40_000;
    let (store, config) = store(Postgres::shared()).await;
    let db = connect(&config).await;
    let entries = format!(
        "INSERT INTO audit_entries (url_id, user_id, action, after, at)
         SELECT 1, 1, 'created', '{{}}', now() FROM generate_series(1, {ENTRIES}) AS n;
         ANALYZE audit_entries"
    );
    db.batch_execute(&entries).await.unwrap();
    let page = Page { start: PageStart::Number(u64::MAX), size: 50 };
    let behind = store.list_audit(AuditFilter::default(), page).await.unwrap();
    assert_eq!((behind.rows.len(), behind.total, behind.has_previous), (0, Total::MANY, true));
    let page = Page { start: PageStart::Before(behind.first), size: 50 };
    let newest = store.list_audit(AuditFilter::default(), page).await.unwrap();
    assert_eq!(newest.rows.last().unwrap().id.get(), ENTRIES);
    // A session reports its statistics when it ends.
    drop(store);
    let sql = "SELECT seq_tup_read + (SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE relname = 'audit_entries')
               FROM pg_stat_user_tables WHERE relname = 'audit_entries'";
    let before_analysis = Total::COUNTED.cast_signed();
    let read = eventually(async || {
        let read: i64 = db.query_one(sql, &[]).await.unwrap().get(0);
        if read >= before_analysis { Ok(read) } else { Err(read) }
    })
    .await;
    // Each of the two pages counts up to its limit.
    assert!(read < 2 * before_analysis + 1_000, "{read} rows were read");
}
