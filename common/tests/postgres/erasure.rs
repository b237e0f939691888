//! The deletion of a user, and what is left in the tables.

use tern_common::Id;
use tern_common::store::AdminStore;
use tern_testkit::postgres::Postgres;
use tokio_postgres::Client;

use crate::{connect, store};

#[path = "../support/erasure.rs"]
mod support;

/// Returns each row of each table that contains a text or has the id of a user in a column for it.
async fn traces(client: &Client, text: &str, user: Id) -> Vec<String> {
    let tables = "SELECT table_name::text FROM information_schema.tables
        WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'";
    let mut traces = Vec::new();
    for table in client.query(tables, &[]).await.unwrap() {
        let table: String = table.get(0);
        if table == support::CHANGE_LOG {
            continue;
        }
        let sql = format!("SELECT row_to_json(t)::text FROM {table} AS t");
        for row in client.query(&sql, &[]).await.unwrap() {
            let row: String = row.get(0);
            let has_id = row.contains(&format!("\"user_id\":{user},")) || row.contains(&format!("\"user_id={user}\""));
            if row.contains(text) || has_id {
                traces.push(format!("{table}: {row}"));
            }
        }
    }
    traces
}

#[tokio::test]
async fn deleted_user_leaves_no_trace_in_any_table() {
    let (store, config) = store(Postgres::shared()).await;
    let client = connect(&config).await;
    let (user, other) = support::fill(&store).await;
    let before = traces(&client, support::SECRET, user).await;
    for table in ["users", "urls", "url_tags", "events", "click_counts", "tokens", "audit_entries", "row_count"] {
        assert!(before.iter().any(|trace| trace.starts_with(table)), "{table}: {before:?}");
    }
    store.delete_user(user, true).await.unwrap().unwrap();
    support::check_answers(&store, user, other).await;
    // The totals of lists that are empty now go with the upkeep, which runs every minute, and those of hours with the next
    // one after the hour.
    for _ in 0..2 {
        store.run_upkeep().await.unwrap();
    }
    assert_eq!(traces(&client, support::SECRET, user).await, [""; 0]);
}
