//! Stores that lose, refuse and reply too late; disks that damage segments.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tern_common::JournalId;
use tern_common::store::SqliteStore;
use tern_redirector::clicks::JournalConfig;
use tern_redirector::clicks::journal::directory::journals;
use tern_redirector::clicks::journal::{NewClick, segments};

use crate::fixture::{Fixture, Journals};
use crate::links::eventually;

/// Returns the segments of all journals.
fn segment_files(fixture: &Fixture) -> Vec<PathBuf> {
    let root = fixture.config().root;
    let of = |journal: JournalId| {
        let directory = root.join(journal.to_string());
        let numbers = segments(&directory).unwrap();
        numbers.into_iter().map(move |number| directory.join(format!("{number:010}.clicks")))
    };
    journals(&root).unwrap().into_iter().flat_map(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn store_that_lost_last_commits_receives_the_clicks_again() {
    let mut fixture = Fixture::create().await;
    let journals = fixture.open(&fixture.config());
    fixture.record(&journals, 0..3_000);
    journals.check_all_shipped().await;
    // A consistent state of the past, as a lagging standby has it.
    let behind = fixture.directory.path().join("behind.db");
    rusqlite::Connection::open(fixture.database())
        .unwrap()
        .execute("VACUUM INTO ?1", [behind.to_str().unwrap()])
        .unwrap();
    fixture.record(&journals, 3_000..6_000);
    journals.check_all_shipped().await;
    let (left, ahead) = (journals.close().await, fixture.names().await.len());
    assert_eq!((left, ahead), (0, 6_000));

    fixture.store = Arc::new(SqliteStore::open(&behind).await.unwrap());
    fixture.check_exactly(0..3_000).await;
    let journals = fixture.open(&fixture.config());
    fixture.record(&journals, 6_000..6_100);
    eventually("they are shipped again", async || journals.metric("tern_clicks_taken_over_total") as u64 == 3_000)
        .await;
    journals.check_all_shipped().await;
    fixture.check_exactly(0..6_100).await;
}

/// The restored database assigns the ids of the lost links to new ones.
#[tokio::test(flavor = "multi_thread")]
async fn clicks_on_links_missing_from_a_backup_are_counted_on_no_other_link() {
    let mut fixture = Fixture::create().await;
    let backup = fixture.directory.path().join("backup.db");
    rusqlite::Connection::open(fixture.database())
        .unwrap()
        .execute("VACUUM INTO ?1", [backup.to_str().unwrap()])
        .unwrap();
    let lost = fixture.insert_url("LOST12").await;
    let journals = fixture.open(&fixture.config());
    for number in 0..100 {
        let name = number.to_string();
        assert!(journals.recorder.record(&NewClick { url_id: lost, short_code: "LOST12", ..fixture.click(&name) }, 0));
    }
    journals.check_all_shipped().await;
    assert_eq!(journals.close().await, 0);

    fixture.store = Arc::new(SqliteStore::open(&backup).await.unwrap());
    assert_eq!(fixture.insert_url("NEW123").await, lost);
    let journals = fixture.open(&fixture.config());
    let gone = || journals.metric("tern_clicks_dropped_total{reason=\"link_gone\"}") as u64;
    eventually("they are counted as dropped", async || gone() == 100).await;
    journals.check_all_shipped().await;
    fixture.check_exactly(0..0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn store_that_lost_clicks_under_a_running_process_receives_them_again() {
    let fixture = Fixture::create().await;
    let journals = fixture.open(&fixture.config());
    fixture.record(&journals, 0..1_000);
    journals.check_all_shipped().await;
    let database = rusqlite::Connection::open(fixture.database()).unwrap();
    // A failover loses events and journal positions together.
    database
        .execute_batch("BEGIN; DELETE FROM events WHERE event_type = 'clicked'; DELETE FROM click_journals; COMMIT")
        .unwrap();
    eventually("the loss is seen", async || journals.metric("tern_clicks_shipped_again_total") as u64 == 1_000).await;
    journals.check_all_shipped().await;
    fixture.check_exactly(0..1_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn click_refused_by_the_store_is_parked_alone() {
    let fixture = Fixture::create().await;
    rusqlite::Connection::open(fixture.database())
        .unwrap()
        .execute_batch(
            "CREATE TRIGGER picky BEFORE INSERT ON events WHEN new.details LIKE '%\"13%' OR new.details LIKE '%\"777\"%'
             BEGIN SELECT RAISE(ABORT, 'not this one'); END",
        )
        .unwrap();
    let journals = fixture.open(&fixture.config());
    fixture.record(&journals, 0..1_000);
    journals.check_all_shipped().await;
    let is_refused = |number: usize| number.to_string().starts_with("13") || number == 777;
    fixture.check_exactly((0..1_000).filter(|number| !is_refused(*number))).await;
    let refused = (0..1_000).filter(|number| is_refused(*number)).count();
    assert_eq!(journals.metric("tern_clicks_parked_total") as usize, refused);
    let parked = fs::read_to_string(fixture.config().root.join("parked.ndjson")).unwrap();
    let referrers: Vec<String> = parked
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["referrer"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(referrers.len(), refused);
    assert!(referrers.contains(&"777".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_store_parks_no_click() {
    let fixture = Fixture::create().await;
    let database = rusqlite::Connection::open(fixture.database()).unwrap();
    database.execute_batch("ALTER TABLE events RENAME TO hidden").unwrap();
    let journals = fixture.open(&fixture.config());
    fixture.record(&journals, 0..500);
    eventually("a write was tried", async || journals.metric("tern_clicks_oldest_pending_seconds") > 0.0).await;
    assert_eq!(journals.recorder.pending(), 500);
    database.execute_batch("ALTER TABLE hidden RENAME TO events").unwrap();
    journals.check_all_shipped().await;
    fixture.check_exactly(0..500).await;
    assert_eq!(journals.metric("tern_clicks_parked_total") as u64, 0);
}

/// Waits until all `recorded` clicks are events or counted as missing; returns the events by name and the number
/// missing. The counters of adopted journals may be complete before the last journal is adopted.
async fn wait_for_events(fixture: &Fixture, journals: &Journals, recorded: usize) -> (BTreeMap<String, usize>, usize) {
    let missing = || journals.metric("tern_clicks_dropped_total{reason=\"missing\"}") as usize;
    eventually("each click is an event or missing", async || fixture.names().await.len() + missing() == recorded).await;
    (fixture.names().await, missing())
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_segment_costs_only_damaged_clicks_and_they_are_counted() {
    let fixture = Fixture::create().await;
    let journals = fixture.open_unshipped(&fixture.config());
    fixture.record(&journals, 0..4_000);
    journals.close().await;
    // Overwrites two to four records in the middle of a finished segment.
    let files = segment_files(&fixture);
    let file = OpenOptions::new().write(true).open(&files[0]).unwrap();
    file.write_all_at(&[0xa5; 300], 30_000).unwrap();
    let journals = fixture.open(&fixture.config());
    eventually("the others are taken over", async || journals.metric("tern_clicks_taken_over_total") > 0.0).await;
    let (names, damaged) = wait_for_events(&fixture, &journals, 4_000).await;
    assert!((2..=4).contains(&damaged), "{damaged}");
    assert!(names.values().all(|count| *count == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn torn_record_at_the_end_is_no_click() {
    let fixture = Fixture::create().await;
    let journals = fixture.open_unshipped(&fixture.config());
    fixture.record(&journals, 0..10);
    journals.end_as_if_killed().await;
    // A power cut left half of a record: its length and a part of its content.
    let mut torn = 0;
    for path in segment_files(&fixture) {
        let mut bytes = fs::read(&path).unwrap();
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) + 1;
        if end > 64 {
            bytes[end - 20..].fill(0);
            fs::write(&path, bytes).unwrap();
            torn += 1;
        }
    }
    let journals = fixture.open(&fixture.config());
    eventually("the rest is taken over", async || {
        journals.metric("tern_clicks_taken_over_total") as usize == 10 - torn
    })
    .await;
    journals.check_all_shipped().await;
    fixture.check_exactly(0..10 - torn).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn segment_without_header_yields_its_records() {
    let fixture = Fixture::create().await;
    let journals = fixture.open_unshipped(&fixture.config());
    fixture.record(&journals, 0..2_000);
    journals.close().await;
    for path in segment_files(&fixture) {
        // A lost block: the header and the first records.
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&[0; 4096], 0).unwrap();
    }
    let journals = fixture.open(&fixture.config());
    eventually("they are taken over", async || journals.metric("tern_clicks_committed_total") > 1_000.0).await;
    let (names, missing) = wait_for_events(&fixture, &journals, 2_000).await;
    println!("{} clicks read, {missing} missing", names.len());
    assert!(names.values().all(|count| *count == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_segment_is_counted_and_skipped() {
    let fixture = Fixture::create().await;
    let journals = fixture.open_unshipped(&fixture.config());
    fixture.record(&journals, 0..4_000);
    journals.close().await;
    let files = segment_files(&fixture);
    fs::remove_file(&files[1]).unwrap();
    let journals = fixture.open(&fixture.config());
    eventually("the others are taken over", async || journals.metric("tern_clicks_committed_total") > 2_000.0).await;
    let (_, missing) = wait_for_events(&fixture, &journals, 4_000).await;
    assert!(missing > 100, "{missing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_last_segment_is_counted() {
    let fixture = Fixture::create().await;
    let journals = fixture.open_unshipped(&fixture.config());
    fixture.record(&journals, 0..4_000);
    journals.close().await;
    let lock = rusqlite::Connection::open(fixture.database()).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let journals = fixture.open(&fixture.config());
    eventually("they are taken over", async || journals.metric("tern_clicks_taken_over_total") as u64 == 4_000).await;
    // Removes the last segment of each journal after the shipper has read its numbers.
    for directory in journals_of(&fixture) {
        let numbers = segments(&directory).unwrap();
        if numbers.len() > 2 {
            fs::remove_file(directory.join(format!("{:010}.clicks", numbers.last().unwrap()))).unwrap();
        }
    }
    lock.execute_batch("ROLLBACK").unwrap();
    journals.check_all_shipped().await;
    let missing = journals.metric("tern_clicks_dropped_total{reason=\"missing\"}") as usize;
    assert!(missing > 0, "{missing}");
    assert_eq!(fixture.names().await.len(), 4_000 - missing);
    eventually("no click waits", async || journals.metric("tern_clicks_oldest_pending_seconds") == 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn age_of_oldest_click_is_reported_while_a_backlog_drains() {
    let fixture = Fixture::create().await;
    let journals = fixture.open_unshipped(&fixture.config());
    fixture.record(&journals, 0..30_000);
    journals.close().await;
    let journals = fixture.open(&fixture.config());
    // The clicks' times are three years in the past.
    eventually("some are stored", async || {
        let is_reported = journals.metric("tern_clicks_oldest_pending_seconds") > 1e7;
        journals.metric("tern_clicks_committed_total") > 0.0 && (is_reported || journals.recorder.pending() == 0)
    })
    .await;
    assert!(journals.metric("tern_clicks_oldest_pending_seconds") > 1e7);
    journals.check_all_shipped().await;
    eventually("none is old", async || journals.metric("tern_clicks_oldest_pending_seconds") == 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn segment_of_another_journal_is_quarantined() {
    let fixture = Fixture::create().await;
    let journals = fixture.open_unshipped(&fixture.config());
    fixture.record(&journals, 0..100);
    journals.close().await;
    // Under another name no record is valid, and none must be deleted.
    let first = journals_of(&fixture).remove(0);
    let renamed = fixture.config().root.join("00000000000000000000000000000001");
    fs::rename(&first, &renamed).unwrap();
    let others = journals_of(&fixture).len() - 1;
    let journals = fixture.open(&JournalConfig { keep_shipped: Duration::ZERO, ..fixture.config() });
    eventually("the other is taken over", async || journals.metric("tern_clicks_committed_total") > 0.0).await;
    journals.check_all_shipped().await;
    eventually("the other is removed", async || journals_of(&fixture).len() == 2 + 1).await;
    assert_eq!(others, 1);
    let is_quarantined =
        |entry: &fs::DirEntry| entry.path().extension().is_some_and(|extension| extension == "damaged");
    // The segment with clicks, and perhaps one that was preallocated.
    assert!(fs::read_dir(&renamed).unwrap().any(|entry| is_quarantined(entry.as_ref().unwrap())));
}

/// Returns the directories of all journals.
fn journals_of(fixture: &Fixture) -> Vec<PathBuf> {
    let root = fixture.config().root;
    journals(&root).unwrap().into_iter().map(|journal| root.join(journal.to_string())).collect()
}
