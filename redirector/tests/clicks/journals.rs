//! Journals come and go; clicks stay.

use std::fs;
use std::time::Duration;

use tern_common::store::AdminStore;
use tern_common::{Per, StatsRange, Timestamp};
use tern_redirector::clicks::journal::NewClick;
use tern_redirector::clicks::{JournalConfig, Network};

use crate::desk::{Desk, SEGMENT};
use crate::links::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn each_recorded_click_becomes_one_event_across_segments() {
    let desk = Desk::set().await;
    let journals = desk.open(&desk.config());
    desk.record(&journals, 0..5_000);
    journals.all_shipped().await;
    desk.assert_exactly(0..5_000).await;
    assert_eq!(journals.metric("tern_clicks_committed_total") as u64, 5_000);
    assert_eq!(journals.close().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_number_of_threads_record_beside_each_other() {
    let desk = Desk::set().await;
    let journals = desk.open(&desk.config());
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (desk, journals) = (&desk, &journals);
            scope.spawn(move || {
                for number in (thread..4_000).step_by(2) {
                    // All on the same lane first.
                    while !journals.recorder.record(&desk.click(&number.to_string()), 0) {
                        std::thread::yield_now();
                    }
                }
            });
        }
    });
    journals.all_shipped().await;
    desk.assert_exactly(0..4_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_leaves_behind_the_next_one_ships() {
    let desk = Desk::set().await;
    let journals = desk.open_unshipped(&desk.config());
    desk.record(&journals, 0..2_000);
    assert_eq!(journals.recorder.pending(), 2_000);
    assert_eq!(journals.close().await, 2_000);

    let killed = desk.open_unshipped(&desk.config());
    desk.record(&killed, 2_000..3_000);
    killed.abandon().await;

    let journals = desk.open(&desk.config());
    desk.record(&journals, 3_000..3_500);
    eventually("both are taken over", async || journals.metric("tern_clicks_taken_over_total") as u64 == 3_000).await;
    journals.all_shipped().await;
    desk.assert_exactly(0..3_500).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_of_a_living_process_is_left_alone() {
    let desk = Desk::set().await;
    let first = desk.open_unshipped(&desk.config());
    desk.record(&first, 0..100);
    let second = desk.open(&desk.config());
    desk.record(&second, 100..200);
    second.all_shipped().await;
    desk.assert_exactly(100..200).await;
    first.abandon().await;
    eventually("the second takes over", async || second.metric("tern_clicks_taken_over_total") as u64 == 100).await;
    second.all_shipped().await;
    desk.assert_exactly(0..200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clicks_on_a_link_that_is_gone_are_counted_and_harm_nobody() {
    let desk = Desk::set().await;
    let gone = desk.insert_url("GONE12").await;
    let journals = desk.open_unshipped(&desk.config());
    desk.record(&journals, 0..10);
    for _ in 0..7 {
        assert!(journals.recorder.record(&NewClick { url_id: gone, short_code: "GONE12", ..desk.click("gone") }, 0));
    }
    desk.store.delete_url(gone).await.unwrap();
    journals.close().await;
    let journals = desk.open(&desk.config());
    eventually("all are seen to", async || {
        journals.metric("tern_clicks_dropped_total{reason=\"link_gone\"}") as u64 == 7
    })
    .await;
    journals.all_shipped().await;
    desk.assert_exactly(0..10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_no_room_the_newest_are_dropped_and_counted_and_then_it_goes_on() {
    let desk = Desk::set().await;
    // Room for two lanes with a tail and three small segments each.
    let config = JournalConfig { limit: 4 * SEGMENT as u64, ..desk.config() };
    let lock = rusqlite::Connection::open(desk.database()).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let journals = desk.open(&config);
    let full = "tern_clicks_dropped_total{reason=\"journal_full\"}";
    let mut recorded = 0;
    let mut tried = 0..;
    eventually("the journals are full", async || {
        for number in tried.by_ref().take(100) {
            recorded += usize::from(desk.try_record(&journals, number));
        }
        journals.metric(full) > 100.0
    })
    .await;
    println!("{recorded} recorded, {} dropped", journals.metric(full));
    let dropped = journals.metric(full) as u64 + journals.metric("tern_clicks_dropped_total{reason=\"busy\"}") as u64;
    let (losses, others) = journals.recorder.lost_clicks().totals();
    let [loss] = losses.as_slice() else { panic!("{losses:?}") };
    assert_eq!((loss.url_id, loss.short_code.as_str()), (desk.url_id.get().unsigned_abs(), "CODE12"));
    assert_eq!((loss.clicks, others), (dropped, 0));
    assert_eq!(journals.recorder.pending() as usize, recorded);
    lock.execute_batch("ROLLBACK").unwrap();
    journals.all_shipped().await;
    assert_eq!(desk.names().await.len(), recorded);
    // The room of what was shipped is taken for what comes.
    desk.record(&journals, 1_000_000..1_000_050);
    journals.all_shipped().await;
    assert_eq!(desk.names().await.len(), recorded + 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_ahead_and_never_used_does_not_stay() {
    let desk = Desk::set().await;
    for round in 0..20 {
        let journals = desk.open_unshipped(&desk.config());
        desk.record(&journals, round..round + 1);
        journals.abandon().await;
    }
    let journals = desk.open(&desk.config());
    eventually("all are taken over", async || journals.metric("tern_clicks_taken_over_total") as u64 == 20).await;
    journals.all_shipped().await;
    desk.assert_exactly(0..20).await;
    let files = |directory: fs::DirEntry| fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap());
    let directories = fs::read_dir(desk.config().root).unwrap().map(|directory| directory.unwrap());
    let bytes: u64 = directories.flat_map(files).map(|file| file.metadata().unwrap().len()).sum();
    // A tail and three segments for each of the two lanes of the process that lives, and a few hundred bytes of each of
    // the others.
    assert!(bytes < 9 * SEGMENT as u64 + 20 * 1024, "{bytes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_of_earlier_processes_makes_room_for_later_ones() {
    let desk = Desk::set().await;
    let config = JournalConfig { limit: 8 * SEGMENT as u64, ..desk.config() };
    // Each fills the room with what it has shipped.
    for process in 0..4 {
        let journals = desk.open(&config);
        for part in 0..10 {
            let first = 4_000 * process + 400 * part;
            desk.record(&journals, first..first + 400);
            eventually("the part is shipped", async || journals.recorder.pending() == 0).await;
        }
        let [used, limit, _] = journals.recorder.room();
        assert!(used <= limit, "{used} of {limit}");
        journals.all_shipped().await;
        assert_eq!(journals.close().await, 0);
    }
    desk.assert_exactly(0..16_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_is_stored_and_was_kept_long_enough_is_removed() {
    let desk = Desk::set().await;
    let config = JournalConfig { keep_shipped: Duration::ZERO, ..desk.config() };
    let journals = desk.open_unshipped(&config);
    desk.record(&journals, 0..3_000);
    journals.close().await;
    fs::create_dir(config.root.join("0123456789abcdef0123456789abcdef.gone")).unwrap();
    let journals = desk.open(&config);
    eventually("only its own are left", async || fs::read_dir(&config.root).unwrap().count() == 2).await;
    journals.all_shipped().await;
    // A copy that turns up later is known, and not shipped again.
    desk.record(&journals, 3_000..3_100);
    journals.all_shipped().await;
    desk.assert_exactly(0..3_100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_without_clicks_goes_at_once() {
    let desk = Desk::set().await;
    for _ in 0..5 {
        desk.open_unshipped(&desk.config()).close().await;
    }
    let _journals = desk.open(&desk.config());
    eventually("only its own are left", async || fs::read_dir(desk.config().root).unwrap().count() == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_journal_is_shipped_once() {
    let desk = Desk::set().await;
    let journals = desk.open_unshipped(&desk.config());
    desk.record(&journals, 0..1_000);
    journals.close().await;
    let copy = desk.directory.path().join("copy");
    let copied = std::process::Command::new("cp").arg("-r").arg(desk.config().root).arg(&copy).status().unwrap();
    assert!(copied.success());
    let config = JournalConfig { keep_shipped: Duration::ZERO, ..desk.config() };
    let _journals = desk.open(&config);
    eventually("the original is gone", async || fs::read_dir(&config.root).unwrap().count() == 2).await;
    let elsewhere = desk.open(&JournalConfig { root: copy.clone(), ..config });
    eventually("the copy is gone, too", async || fs::read_dir(&copy).unwrap().count() == 2).await;
    desk.assert_exactly(0..1_000).await;
    assert_eq!(elsewhere.metric("tern_clicks_committed_total") as u64, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn syncing_each_click_leaves_no_descriptor_behind() {
    let desk = Desk::set().await;
    let config = JournalConfig { sync_every: Duration::ZERO, ..desk.config() };
    let journals = desk.open(&config);
    desk.record(&journals, 0..1_500);
    journals.all_shipped().await;
    desk.assert_exactly(0..1_500).await;
    let ours = |link: &fs::DirEntry| fs::read_link(link.path()).is_ok_and(|path| path.starts_with(&config.root));
    let open = fs::read_dir("/proc/self/fd").unwrap().filter(|link| ours(link.as_ref().unwrap())).count();
    // Of each lane: its lock, the segment that is filled, the two that are ready, and what the shipper reads.
    assert!(open <= 2 * 5 + 2, "{open}");
}

/// One client that follows a link without end.
#[tokio::test(flavor = "multi_thread")]
async fn clicks_beyond_the_budget_of_a_network_are_counted_and_have_no_event() {
    let desk = Desk::set().await;
    let journals = desk.open(&JournalConfig { events_per_network: 1_000, ..desk.config() });
    desk.record(&journals, 0..5_000);
    for number in 0..300 {
        let other = NewClick { client: Network::of([198, 51, 100, 7].into()), ..desk.click("other") };
        while !journals.recorder.record(&other, number) {
            std::thread::yield_now();
        }
    }
    journals.all_shipped().await;
    let clicks = |series: &str| journals.metric(series) as u64;
    assert_eq!(clicks("tern_clicks_committed_total"), 5_300);
    assert_eq!(clicks("tern_clicks_without_event_total"), 4_500, "one link gets half of the budget");
    let always = StatsRange { from: Timestamp::FIRST, to: Timestamp::LAST, per: Per::Day };
    let stats = desk.store.click_stats(desk.url_id, always).await.unwrap().unwrap();
    assert_eq!((stats.series.iter().map(|(_, clicks)| clicks).sum::<u64>(), stats.without_event), (5_300, 4_500));
    let names = desk.names().await;
    assert_eq!((names["other"], names.len()), (300, 501), "another network has its own");
}
