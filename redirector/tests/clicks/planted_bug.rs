//! A planted bug: the suite detects progress that is stored apart from the clicks.

use rusqlite::{Connection, params};

use crate::fixture::Fixture;
use crate::links::eventually;

/// Progress in a file or a transaction of its own lags behind the clicks after a crash between the two.
#[tokio::test(flavor = "multi_thread")]
async fn progress_outside_the_transaction_is_detected() {
    let fixture = Fixture::create().await;
    let journals = fixture.open(&fixture.config());
    fixture.record(&journals, 0..1_000);
    journals.check_all_shipped().await;
    let database = Connection::open(fixture.database()).unwrap();
    let before: Vec<(String, i64, i64, i64)> = database
        .prepare("SELECT journal, segment, \"offset\", sequence FROM click_journals")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    fixture.record(&journals, 1_000..2_000);
    journals.check_all_shipped().await;
    journals.close().await;
    fixture.check_exactly(0..2_000).await;

    // The last write of the progress is lost, and the clicks are not.
    database.execute("DELETE FROM click_journals", []).unwrap();
    for (journal, segment, offset, sequence) in before {
        let sql = "INSERT INTO click_journals (journal, segment, \"offset\", sequence, recorded, orphaned, parked,
                   shipped_at) VALUES (?1, ?2, ?3, ?4, 0, 0, 0, 0)";
        database.execute(sql, params![journal, segment, offset, sequence]).unwrap();
    }
    let journals = fixture.open(&fixture.config());
    eventually("some are stored twice", async || journals.metric("tern_clicks_committed_total") > 0.0).await;
    journals.check_all_shipped().await;
    let names = fixture.names().await;
    assert_eq!(names.len(), 2_000, "a click was lost");
    assert!(names.values().any(|count| *count == 2), "the suite does not find the clicks recorded twice");
}
