//! The life of journals: recording, shipping, adoption, removal.

use std::fs;
use std::io;
use std::time::Duration;

use tern_common::store::AdminStore;
use tern_common::{StatsQuery, StatsScope};
use tern_redirector::clicks::journal::NewClick;
use tern_redirector::clicks::{JournalConfig, Network};

use crate::fixture::{Fixture, SEGMENT};
use crate::links::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn each_recorded_click_becomes_one_event_across_segments() {
    let fixture = Fixture::create().await;
    let journals = fixture.open(&fixture.config());
    fixture.record(&journals, 0..5_000);
    journals.check_all_shipped().await;
    fixture.check_exactly(0..5_000).await;
    assert_eq!(journals.metric("tern_clicks_committed_total") as u64, 5_000);
    assert_eq!(journals.close().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_threads_on_one_lane_lose_no_click() {
    let fixture = Fixture::create().await;
    let journals = fixture.open(&fixture.config());
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (fixture, journals) = (&fixture, &journals);
            scope.spawn(move || {
                for number in (thread..4_000).step_by(2) {
                    // All threads try the same lane first.
                    while !journals.recorder.record(&fixture.click(&number.to_string()), 0) {
                        std::thread::yield_now();
                    }
                }
            });
        }
    });
    journals.check_all_shipped().await;
    fixture.check_exactly(0..4_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clicks_of_ended_processes_are_shipped_by_the_next() {
    let fixture = Fixture::create().await;
    let journals = fixture.open_unshipped(&fixture.config());
    fixture.record(&journals, 0..2_000);
    assert_eq!(journals.recorder.pending(), 2_000);
    assert_eq!(journals.close().await, 2_000);

    let killed = fixture.open_unshipped(&fixture.config());
    fixture.record(&killed, 2_000..3_000);
    killed.end_as_if_killed().await;

    let journals = fixture.open(&fixture.config());
    fixture.record(&journals, 3_000..3_500);
    eventually("both are taken over", async || journals.metric("tern_clicks_taken_over_total") as u64 == 3_000).await;
    journals.check_all_shipped().await;
    fixture.check_exactly(0..3_500).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn journal_of_a_running_process_is_not_adopted() {
    let fixture = Fixture::create().await;
    let first = fixture.open_unshipped(&fixture.config());
    fixture.record(&first, 0..100);
    let second = fixture.open(&fixture.config());
    fixture.record(&second, 100..200);
    second.check_all_shipped().await;
    fixture.check_exactly(100..200).await;
    first.end_as_if_killed().await;
    eventually("the second takes over", async || second.metric("tern_clicks_taken_over_total") as u64 == 100).await;
    second.check_all_shipped().await;
    fixture.check_exactly(0..200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clicks_on_deleted_link_are_counted_and_affect_no_other() {
    let fixture = Fixture::create().await;
    let gone = fixture.insert_url("GONE12").await;
    let journals = fixture.open_unshipped(&fixture.config());
    fixture.record(&journals, 0..10);
    for _ in 0..7 {
        assert!(journals.recorder.record(&NewClick { url_id: gone, short_code: "GONE12", ..fixture.click("gone") }, 0));
    }
    fixture.store.delete_url(gone, None).await.unwrap();
    journals.close().await;
    let journals = fixture.open(&fixture.config());
    eventually("all are seen to", async || {
        journals.metric("tern_clicks_dropped_total{reason=\"link_gone\"}") as u64 == 7
    })
    .await;
    journals.check_all_shipped().await;
    fixture.check_exactly(0..10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn full_journals_drop_and_count_new_clicks_until_shipped() {
    let fixture = Fixture::create().await;
    // Room for two lanes with a tail and three small segments each.
    let config = JournalConfig { limit: 4 * SEGMENT as u64, ..fixture.config() };
    let lock = rusqlite::Connection::open(fixture.database()).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let journals = fixture.open(&config);
    let full = "tern_clicks_dropped_total{reason=\"journal_full\"}";
    let mut recorded = 0;
    let mut tried = 0..;
    eventually("the journals are full", async || {
        for number in tried.by_ref().take(100) {
            recorded += usize::from(fixture.try_record(&journals, number));
        }
        journals.metric(full) > 100.0
    })
    .await;
    println!("{recorded} recorded, {} dropped", journals.metric(full));
    let dropped = journals.metric(full) as u64 + journals.metric("tern_clicks_dropped_total{reason=\"busy\"}") as u64;
    let (losses, others) = journals.recorder.lost_clicks().totals();
    let [loss] = losses.as_slice() else { panic!("{losses:?}") };
    assert_eq!((loss.url_id, loss.short_code.as_str()), (fixture.url_id.get().unsigned_abs(), "CODE12"));
    assert_eq!((loss.clicks, others), (dropped, 0));
    assert_eq!(journals.recorder.pending() as usize, recorded);
    lock.execute_batch("ROLLBACK").unwrap();
    journals.check_all_shipped().await;
    assert_eq!(fixture.names().await.len(), recorded);
    // The room of shipped clicks is reused.
    fixture.record(&journals, 1_000_000..1_000_050);
    journals.check_all_shipped().await;
    assert_eq!(fixture.names().await.len(), recorded + 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn preallocated_files_of_ended_processes_are_removed() {
    let fixture = Fixture::create().await;
    for round in 0..20 {
        let journals = fixture.open_unshipped(&fixture.config());
        fixture.record(&journals, round..round + 1);
        journals.end_as_if_killed().await;
    }
    let journals = fixture.open(&fixture.config());
    eventually("all are taken over", async || journals.metric("tern_clicks_taken_over_total") as u64 == 20).await;
    journals.check_all_shipped().await;
    fixture.check_exactly(0..20).await;
    // A file may go while it is counted.
    let bytes = || -> io::Result<u64> {
        let mut bytes = 0;
        for directory in fs::read_dir(fixture.config().root)? {
            for file in fs::read_dir(directory?.path())? {
                bytes += file?.metadata()?.len();
            }
        }
        Ok(bytes)
    };
    // The running process has two lanes, each with a tail and three segments. An ended process leaves a few hundred
    // bytes.
    let bound = 9 * SEGMENT as u64 + 20 * 1024;
    eventually("their files are removed", async || bytes().is_ok_and(|bytes| bytes < bound)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retained_segments_of_ended_processes_yield_to_new_clicks() {
    let fixture = Fixture::create().await;
    let config = JournalConfig { limit: 8 * SEGMENT as u64, ..fixture.config() };
    // Each process fills the room with shipped segments.
    for process in 0..4 {
        let journals = fixture.open(&config);
        for part in 0..10 {
            let first = 4_000 * process + 400 * part;
            fixture.record(&journals, first..first + 400);
            eventually("the part is shipped", async || journals.recorder.pending() == 0).await;
        }
        let [used, limit, _] = journals.recorder.room();
        assert!(used <= limit, "{used} of {limit}");
        journals.check_all_shipped().await;
        assert_eq!(journals.close().await, 0);
    }
    fixture.check_exactly(0..16_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shipped_journal_is_removed_after_its_retention() {
    let fixture = Fixture::create().await;
    let config = JournalConfig { keep_shipped: Duration::ZERO, ..fixture.config() };
    let journals = fixture.open_unshipped(&config);
    fixture.record(&journals, 0..3_000);
    journals.close().await;
    fs::create_dir(config.root.join("0123456789abcdef0123456789abcdef.gone")).unwrap();
    let journals = fixture.open(&config);
    eventually("only its own are left", async || fs::read_dir(&config.root).unwrap().count() == 2).await;
    journals.check_all_shipped().await;
    // A copy that appears later is known and not shipped again.
    fixture.record(&journals, 3_000..3_100);
    journals.check_all_shipped().await;
    fixture.check_exactly(0..3_100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn journal_without_clicks_is_removed_at_once() {
    let fixture = Fixture::create().await;
    for _ in 0..5 {
        fixture.open_unshipped(&fixture.config()).close().await;
    }
    let _journals = fixture.open(&fixture.config());
    eventually("only its own are left", async || fs::read_dir(fixture.config().root).unwrap().count() == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn copied_journal_is_shipped_once() {
    let fixture = Fixture::create().await;
    let journals = fixture.open_unshipped(&fixture.config());
    fixture.record(&journals, 0..1_000);
    journals.close().await;
    let copy = fixture.directory.path().join("copy");
    let copied = std::process::Command::new("cp").arg("-r").arg(fixture.config().root).arg(&copy).status().unwrap();
    assert!(copied.success());
    let config = JournalConfig { keep_shipped: Duration::ZERO, ..fixture.config() };
    let _journals = fixture.open(&config);
    eventually("the original is gone", async || fs::read_dir(&config.root).unwrap().count() == 2).await;
    let elsewhere = fixture.open(&JournalConfig { root: copy.clone(), ..config });
    eventually("the copy is gone, too", async || fs::read_dir(&copy).unwrap().count() == 2).await;
    fixture.check_exactly(0..1_000).await;
    assert_eq!(elsewhere.metric("tern_clicks_committed_total") as u64, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn sync_of_each_click_leaks_no_descriptor() {
    let fixture = Fixture::create().await;
    let config = JournalConfig { sync_every: Duration::ZERO, ..fixture.config() };
    let journals = fixture.open(&config);
    fixture.record(&journals, 0..1_500);
    journals.check_all_shipped().await;
    fixture.check_exactly(0..1_500).await;
    let ours = |link: &fs::DirEntry| fs::read_link(link.path()).is_ok_and(|path| path.starts_with(&config.root));
    let open = fs::read_dir("/proc/self/fd").unwrap().filter(|link| ours(link.as_ref().unwrap())).count();
    // Descriptors of each lane: its lock, the segment in use, two prepared ones, and the shipper's.
    assert!(open <= 2 * 5 + 2, "{open}");
}

/// One client that follows a link without end.
#[tokio::test(flavor = "multi_thread")]
async fn clicks_beyond_network_budget_are_counted_without_event() {
    let fixture = Fixture::create().await;
    let journals = fixture.open(&JournalConfig { events_per_network: 1_000, ..fixture.config() });
    fixture.record(&journals, 0..5_000);
    for number in 0..300 {
        let other = NewClick { client: Network::of([198, 51, 100, 7].into()), ..fixture.click("other") };
        while !journals.recorder.record(&other, number) {
            std::thread::yield_now();
        }
    }
    journals.check_all_shipped().await;
    let clicks = |series: &str| journals.metric(series) as u64;
    assert_eq!(clicks("tern_clicks_committed_total"), 5_300);
    assert_eq!(clicks("tern_clicks_without_event_total"), 4_500, "one link gets another share than half of the budget");
    let always = StatsQuery::of_all_time(StatsScope::Link(fixture.url_id));
    let stats = fixture.store.statistics(always).await.unwrap().unwrap();
    assert_eq!((stats.total(), stats.without_event), (5_300, 4_500));
    let names = fixture.names().await;
    assert_eq!((names["other"], names.len()), (300, 501), "another network does not have a budget of its own");
}
