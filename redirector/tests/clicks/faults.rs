//! Stores that lose, refuse, and answer too late; disks that damage.

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

use crate::desk::{Desk, Journals};
use crate::links::eventually;

/// The segments of all journals.
fn segment_files(desk: &Desk) -> Vec<PathBuf> {
    let root = desk.config().root;
    let of = |journal: JournalId| {
        let directory = root.join(journal.to_string());
        let numbers = segments(&directory).unwrap();
        numbers.into_iter().map(move |number| directory.join(format!("{number:010}.clicks")))
    };
    journals(&root).unwrap().into_iter().flat_map(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_loses_its_last_commits_is_told_them_again() {
    let mut desk = Desk::set().await;
    let journals = desk.open(&desk.config());
    desk.record(&journals, 0..3_000);
    journals.all_shipped().await;
    // As a standby has it that was behind: a state of before, in which nothing is half.
    let behind = desk.directory.path().join("behind.db");
    rusqlite::Connection::open(desk.database()).unwrap().execute("VACUUM INTO ?1", [behind.to_str().unwrap()]).unwrap();
    desk.record(&journals, 3_000..6_000);
    journals.all_shipped().await;
    let (left, ahead) = (journals.close().await, desk.names().await.len());
    assert_eq!((left, ahead), (0, 6_000));

    desk.store = Arc::new(SqliteStore::open(&behind).await.unwrap());
    desk.assert_exactly(0..3_000).await;
    let journals = desk.open(&desk.config());
    desk.record(&journals, 6_000..6_100);
    eventually("they are shipped again", async || journals.metric("tern_clicks_taken_over_total") as u64 == 3_000)
        .await;
    journals.all_shipped().await;
    desk.assert_exactly(0..6_100).await;
}

/// The restored database gives the ids of the lost links to new ones.
#[tokio::test(flavor = "multi_thread")]
async fn clicks_of_links_that_a_restored_backup_lacks_are_counted_on_no_other_link() {
    let mut desk = Desk::set().await;
    let backup = desk.directory.path().join("backup.db");
    rusqlite::Connection::open(desk.database()).unwrap().execute("VACUUM INTO ?1", [backup.to_str().unwrap()]).unwrap();
    let lost = desk.insert_url("LOST12").await;
    let journals = desk.open(&desk.config());
    for number in 0..100 {
        let name = number.to_string();
        assert!(journals.recorder.record(&NewClick { url_id: lost, short_code: "LOST12", ..desk.click(&name) }, 0));
    }
    journals.all_shipped().await;
    assert_eq!(journals.close().await, 0);

    desk.store = Arc::new(SqliteStore::open(&backup).await.unwrap());
    assert_eq!(desk.insert_url("NEW123").await, lost);
    let journals = desk.open(&desk.config());
    let gone = || journals.metric("tern_clicks_dropped_total{reason=\"link_gone\"}") as u64;
    eventually("they are counted as dropped", async || gone() == 100).await;
    journals.all_shipped().await;
    desk.assert_exactly(0..0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_forgets_under_a_running_process_is_told_again() {
    let desk = Desk::set().await;
    let journals = desk.open(&desk.config());
    desk.record(&journals, 0..1_000);
    journals.all_shipped().await;
    let database = rusqlite::Connection::open(desk.database()).unwrap();
    // Events and the journals' places go together, as a failover takes them.
    database
        .execute_batch("BEGIN; DELETE FROM events WHERE event_type = 'clicked'; DELETE FROM click_journals; COMMIT")
        .unwrap();
    eventually("the loss is seen", async || journals.metric("tern_clicks_shipped_again_total") as u64 == 1_000).await;
    journals.all_shipped().await;
    desk.assert_exactly(0..1_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_click_that_the_store_refuses_is_put_aside_alone() {
    let desk = Desk::set().await;
    rusqlite::Connection::open(desk.database())
        .unwrap()
        .execute_batch(
            "CREATE TRIGGER picky BEFORE INSERT ON events WHEN new.details LIKE '%\"13%' OR new.details LIKE '%\"777\"%'
             BEGIN SELECT RAISE(ABORT, 'not this one'); END",
        )
        .unwrap();
    let journals = desk.open(&desk.config());
    desk.record(&journals, 0..1_000);
    journals.all_shipped().await;
    let is_refused = |number: usize| number.to_string().starts_with("13") || number == 777;
    desk.assert_exactly((0..1_000).filter(|number| !is_refused(*number))).await;
    let refused = (0..1_000).filter(|number| is_refused(*number)).count();
    assert_eq!(journals.metric("tern_clicks_parked_total") as usize, refused);
    let parked = fs::read_to_string(desk.config().root.join("parked.ndjson")).unwrap();
    let referrers: Vec<String> = parked
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["referrer"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(referrers.len(), refused);
    assert!(referrers.contains(&"777".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_broken_parks_nothing() {
    let desk = Desk::set().await;
    let database = rusqlite::Connection::open(desk.database()).unwrap();
    database.execute_batch("ALTER TABLE events RENAME TO hidden").unwrap();
    let journals = desk.open(&desk.config());
    desk.record(&journals, 0..500);
    eventually("it was tried", async || journals.metric("tern_clicks_oldest_pending_seconds") > 0.0).await;
    assert_eq!(journals.recorder.pending(), 500);
    database.execute_batch("ALTER TABLE hidden RENAME TO events").unwrap();
    journals.all_shipped().await;
    desk.assert_exactly(0..500).await;
    assert_eq!(journals.metric("tern_clicks_parked_total") as u64, 0);
}

/// The events and the number of clicks that are told to be missing, once these are all that were recorded. The books of
/// the journals that were taken over so far may be closed before the last of them is.
async fn settled(desk: &Desk, journals: &Journals, recorded: usize) -> (BTreeMap<String, usize>, usize) {
    let missing = || journals.metric("tern_clicks_dropped_total{reason=\"missing\"}") as usize;
    eventually("each click is an event or missing", async || desk.names().await.len() + missing() == recorded).await;
    (desk.names().await, missing())
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_on_the_disk_costs_what_it_hit_and_is_counted() {
    let desk = Desk::set().await;
    let journals = desk.open_unshipped(&desk.config());
    desk.record(&journals, 0..4_000);
    journals.close().await;
    // In the middle of a sealed segment: three records at most, two at least.
    let files = segment_files(&desk);
    let file = OpenOptions::new().write(true).open(&files[0]).unwrap();
    file.write_all_at(&[0xa5; 300], 30_000).unwrap();
    let journals = desk.open(&desk.config());
    eventually("the others are taken over", async || journals.metric("tern_clicks_taken_over_total") > 0.0).await;
    let (names, damaged) = settled(&desk, &journals, 4_000).await;
    assert!((2..=4).contains(&damaged), "{damaged}");
    assert!(names.values().all(|count| *count == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_end_is_no_click() {
    let desk = Desk::set().await;
    let journals = desk.open_unshipped(&desk.config());
    desk.record(&journals, 0..10);
    journals.abandon().await;
    // Half of a record was written when the power went: its length, and not all of what it says.
    let mut torn = 0;
    for path in segment_files(&desk) {
        let mut bytes = fs::read(&path).unwrap();
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) + 1;
        if end > 64 {
            bytes[end - 20..].fill(0);
            fs::write(&path, bytes).unwrap();
            torn += 1;
        }
    }
    let journals = desk.open(&desk.config());
    eventually("the rest is taken over", async || {
        journals.metric("tern_clicks_taken_over_total") as usize == 10 - torn
    })
    .await;
    journals.all_shipped().await;
    desk.assert_exactly(0..10 - torn).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_without_a_header_still_gives_its_records() {
    let desk = Desk::set().await;
    let journals = desk.open_unshipped(&desk.config());
    desk.record(&journals, 0..2_000);
    journals.close().await;
    for path in segment_files(&desk) {
        // A block is lost: the header and the first records.
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&[0; 4096], 0).unwrap();
    }
    let journals = desk.open(&desk.config());
    eventually("they are taken over", async || journals.metric("tern_clicks_committed_total") > 1_000.0).await;
    let (names, missing) = settled(&desk, &journals, 2_000).await;
    println!("{} clicks read, {missing} missing", names.len());
    assert!(names.values().all(|count| *count == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_that_is_gone_is_counted_and_passed_over() {
    let desk = Desk::set().await;
    let journals = desk.open_unshipped(&desk.config());
    desk.record(&journals, 0..4_000);
    journals.close().await;
    let files = segment_files(&desk);
    fs::remove_file(&files[1]).unwrap();
    let journals = desk.open(&desk.config());
    eventually("the others are taken over", async || journals.metric("tern_clicks_committed_total") > 2_000.0).await;
    let (_, missing) = settled(&desk, &journals, 4_000).await;
    assert!(missing > 100, "{missing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_from_the_end_of_a_journal_is_counted_too() {
    let desk = Desk::set().await;
    let journals = desk.open_unshipped(&desk.config());
    desk.record(&journals, 0..4_000);
    journals.close().await;
    let lock = rusqlite::Connection::open(desk.database()).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let journals = desk.open(&desk.config());
    eventually("they are taken over", async || journals.metric("tern_clicks_taken_over_total") as u64 == 4_000).await;
    // The last of each journal, after its numbers were seen.
    for directory in journals_of(&desk) {
        let numbers = segments(&directory).unwrap();
        if numbers.len() > 2 {
            fs::remove_file(directory.join(format!("{:010}.clicks", numbers.last().unwrap()))).unwrap();
        }
    }
    lock.execute_batch("ROLLBACK").unwrap();
    journals.all_shipped().await;
    let missing = journals.metric("tern_clicks_dropped_total{reason=\"missing\"}") as usize;
    assert!(missing > 0, "{missing}");
    assert_eq!(desk.names().await.len(), 4_000 - missing);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_age_of_the_oldest_click_is_told_while_a_backlog_drains() {
    let desk = Desk::set().await;
    let journals = desk.open_unshipped(&desk.config());
    desk.record(&journals, 0..30_000);
    journals.close().await;
    let journals = desk.open(&desk.config());
    // They say that they are three years old.
    eventually("some are stored", async || {
        let is_told = journals.metric("tern_clicks_oldest_pending_seconds") > 1e7;
        journals.metric("tern_clicks_committed_total") > 0.0 && (is_told || journals.recorder.pending() == 0)
    })
    .await;
    assert!(journals.metric("tern_clicks_oldest_pending_seconds") > 1e7);
    journals.all_shipped().await;
    eventually("none is old", async || journals.metric("tern_clicks_oldest_pending_seconds") == 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_another_version_or_journal_are_left_alone() {
    let desk = Desk::set().await;
    let journals = desk.open_unshipped(&desk.config());
    desk.record(&journals, 0..100);
    journals.close().await;
    // Under another name none of it checks out, and none of it is thrown away.
    let first = journals_of(&desk).remove(0);
    let renamed = desk.config().root.join("00000000000000000000000000000001");
    fs::rename(&first, &renamed).unwrap();
    let others = journals_of(&desk).len() - 1;
    let journals = desk.open(&JournalConfig { keep_shipped: Duration::ZERO, ..desk.config() });
    eventually("the other is taken over", async || journals.metric("tern_clicks_committed_total") > 0.0).await;
    journals.all_shipped().await;
    eventually("the other is removed", async || journals_of(&desk).len() == 2 + 1).await;
    assert_eq!(others, 1);
    let aside = |entry: &fs::DirEntry| entry.path().extension().is_some_and(|extension| extension == "damaged");
    // The one with clicks, and perhaps one that was made ahead.
    assert!(fs::read_dir(&renamed).unwrap().any(|entry| aside(entry.as_ref().unwrap())));
}

/// The directories of all journals.
fn journals_of(desk: &Desk) -> Vec<PathBuf> {
    let root = desk.config().root;
    journals(&root).unwrap().into_iter().map(|journal| root.join(journal.to_string())).collect()
}
