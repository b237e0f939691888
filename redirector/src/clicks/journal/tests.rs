//! Tests of the tail alone, and of adopting the journal of a killed process.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use prometheus::IntCounter;
use proptest::prelude::*;
use tern_common::click::JournalId;

use super::config::JournalConfig;
use super::directory::{self, Lock};
use super::lane::Lane;
use super::orphan::tail::OrphanTail;
use super::orphan::{self, AdoptError, Orphan, adopt};
use super::segment::file::{self, Segment};
use super::segment::format::{HEADER_LEN, RecordIter};
use super::segment::record::{MAX_LEN, Seed, click_on};
use super::space::Space;
use super::tail;
use super::threads::JournalThreads;
use crate::clicks::drop_reason::DropReason;

const JOURNAL: JournalId = JournalId(0xc0ffee);

/// A ring of two longest records, so that some records meet its end.
const RING: usize = 2 * MAX_LEN;

const SEGMENT: usize = 16 << 10;

/// Returns a target whose length depends on the number.
fn target(number: usize) -> String {
    format!("https://example.com/{number}/{}", "x".repeat(number * 37 % 300))
}

fn seed() -> Seed {
    Seed::new(JOURNAL)
}

/// Returns the numbers of the records in `bytes`, which have nothing else.
fn numbers(bytes: &[u8]) -> Vec<u64> {
    let mut iter = RecordIter::new(bytes, seed(), false, 0);
    let numbers = iter.by_ref().map(|record| record.sequence).collect();
    assert_eq!(iter.offset(), bytes.len());
    numbers
}

proptest! {
    /// The reader takes the appended records in order, and at any time the file has exactly those that were not taken.
    #[test]
    fn records_appended_in_any_steps_are_taken_in_order(
        steps in proptest::collection::vec((0usize..40, 0usize..8000), 1..60),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let (mut writer, mut reader) = tail::create(directory.path(), JOURNAL, RING).unwrap();
        let (mut sequence, mut taken) = (0, Vec::new());
        for (clicks, room) in steps {
            for _ in 0..clicks {
                if !writer.append(&click_on(&target(sequence)), seed(), sequence as u64 + 1) {
                    break;
                }
                sequence += 1;
            }
            let found = reader.find(room).unwrap();
            let (whole, last) = found.map_or((0, 0), |found| (found.len, found.last));
            prop_assert!(whole <= room);
            let bytes = if found.is_some() { reader.chunk().to_vec() } else { Vec::new() };
            // The next record would not have fitted.
            let next = RecordIter::new(&bytes[whole..], seed(), false, 0).next();
            prop_assert!(next.is_none_or(|next| whole + next.len > room));
            taken.extend(numbers(&bytes[..whole]));
            prop_assert!(whole == 0 || taken.last() == Some(&last));
            reader.take(whole);
            let OrphanTail::Records(waiting) = orphan::tail::read(directory.path(), JOURNAL).unwrap() else { panic!("no records") };
            let expected: Vec<u64> = (taken.len() as u64 + 1..=sequence as u64).collect();
            prop_assert_eq!(numbers(&waiting), expected);
        }
        let count = taken.len() as u64;
        prop_assert!(taken.into_iter().eq(1..=count));
    }
}

#[test]
fn records_appended_by_another_thread_are_taken_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let (mut writer, mut reader) = tail::create(directory.path(), JOURNAL, RING).unwrap();
    const COUNT: usize = 50_000;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for number in 0..COUNT {
                while !writer.append(&click_on(&target(number)), seed(), number as u64 + 1) {
                    std::thread::yield_now();
                }
            }
        });
        let mut last = 0;
        while last < COUNT as u64 {
            if let Some(found) = reader.find(usize::MAX).unwrap() {
                for number in numbers(&reader.chunk()[..found.len]) {
                    assert_eq!(number, last + 1);
                    last = number;
                }
                reader.take(found.len);
            }
            std::thread::yield_now();
        }
    });
}

#[test]
fn file_that_is_no_tail_of_the_journal_is_recognised() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tail");
    let read = || orphan::tail::read(directory.path(), JOURNAL).unwrap();
    assert_eq!(read(), OrphanTail::Absent);
    drop(tail::create(directory.path(), JOURNAL, RING).unwrap());
    assert_eq!(read(), OrphanTail::Records(Vec::new()));
    assert_eq!(orphan::tail::read(directory.path(), JournalId(1)).unwrap(), OrphanTail::Invalid);
    let change = |at: usize, byte: u8| {
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[at] = byte;
        std::fs::write(&path, bytes).unwrap();
    };
    for readable in [1, 2] {
        change(7, readable);
        assert_eq!(read(), OrphanTail::Records(Vec::new()));
        assert!(!orphan::tail::has_other_version(directory.path()).unwrap());
    }
    // The count of taken bytes exceeds that of complete ones.
    change(64, 8);
    assert_eq!(read(), OrphanTail::Invalid);
    change(7, 3);
    assert!(orphan::tail::has_other_version(directory.path()).unwrap());
    // The content never reached the disk.
    std::fs::write(&path, [0; 4096 + RING]).unwrap();
    assert_eq!(read(), OrphanTail::Absent);
    for len in [0, 1, 100, 4096] {
        std::fs::write(&path, vec![0xa5; len]).unwrap();
        assert_eq!(read() == OrphanTail::Invalid, len > 0, "{len}");
        assert!(!orphan::tail::has_other_version(directory.path()).unwrap());
    }
}

/// Returns a counter of failed writes and syncs.
pub(super) fn errors() -> IntCounter {
    IntCounter::new("errors", "Failed writes and syncs").unwrap()
}

/// Returns a lane with `segments` segments made ahead.
fn lane(root: &Path, segments: u64) -> Lane {
    lane_with_sync(root, segments, false)
}

fn lane_with_sync(root: &Path, segments: u64, sync_each: bool) -> Lane {
    let lane = Lane::new(root, JOURNAL, sync_each, errors());
    lane.lock.set(directory::create(root, JOURNAL).unwrap()).unwrap();
    lane.open(tail::create(&lane.directory, JOURNAL, SEGMENT).unwrap());
    for number in 1..=segments {
        lane.state.ready.push(Segment::create(&lane.directory, JOURNAL, number, SEGMENT).unwrap()).unwrap();
    }
    lane
}

fn append(lane: &Lane, numbers: std::ops::Range<usize>) {
    let appended = append_some(lane, numbers.clone());
    assert_eq!(appended, numbers.len());
}

/// Appends clicks until there is no room. Returns how many were appended.
fn append_some(lane: &Lane, mut numbers: std::ops::Range<usize>) -> usize {
    let count = numbers.len();
    let refused = numbers.find(|number| lane.try_append(&click_on(&target(*number))).unwrap().is_err());
    count - refused.map_or(0, |_| numbers.len() + 1)
}

/// Returns the numbers of the records in all segments, in order.
fn orphan_numbers(orphan: &Orphan) -> Vec<u64> {
    let of = |number: u64| {
        let bytes = std::fs::read(file::segment_path(&orphan.directory, number)).unwrap();
        numbers(&bytes[HEADER_LEN..])
    };
    file::segments(&orphan.directory).unwrap().into_iter().flat_map(of).collect()
}

/// Adopts the journal of a process that has ended.
fn adopt_orphan(root: &Path) -> Orphan {
    adopt(root, JOURNAL).unwrap().unwrap()
}

#[test]
fn journal_of_a_killed_process_has_each_click_once_after_adoption() {
    let mut made = 0;
    for segments in 0..3 {
        for (before, after) in (0..90).step_by(6).flat_map(|before| [0, 1, 17, 60, 90].map(|after| (before, after))) {
            let root = tempfile::tempdir().unwrap();
            let lane = lane(root.path(), segments);
            let before = append_some(&lane, 0..before);
            lane.flush();
            let count = before + append_some(&lane, before..before + after);
            drop(lane);
            let orphan = adopt_orphan(root.path());
            let what = format!("{segments} segments, {before} clicks of {count} in them");
            assert_eq!(orphan_numbers(&orphan), (1..=count as u64).collect::<Vec<_>>(), "{what}");
            assert_eq!(orphan.last_sequence, count as u64, "{what}");
            let files =
                std::fs::read_dir(&orphan.directory).unwrap().map(|file| file.unwrap().metadata().unwrap().len());
            assert_eq!(orphan.bytes, files.sum::<u64>(), "no more than its segments: {what}");
            made += u64::from(file::segments(&orphan.directory).unwrap().last() > Some(&segments));
        }
    }
    assert!(made > 0, "some tails did not fit in the segments");
}

#[test]
fn process_killed_before_it_counts_a_flush_leaves_no_click_twice() {
    let root = tempfile::tempdir().unwrap();
    let lane = lane(root.path(), 2);
    append(&lane, 0..30);
    let tail = lane.directory.join("tail");
    let before = std::fs::read(&tail).unwrap();
    lane.flush();
    drop(lane);
    // Restores the counts of before the flush.
    std::fs::write(&tail, &before).unwrap();
    let orphan = adopt_orphan(root.path());
    assert_eq!(orphan_numbers(&orphan), (1..=30).collect::<Vec<_>>());
    drop(orphan);
    // After an interrupted adoption both the tail and its segment exist.
    std::fs::write(&tail, &before).unwrap();
    assert_eq!(orphan_numbers(&adopt_orphan(root.path())), (1..=30).collect::<Vec<_>>());
}

#[test]
fn closed_journal_has_all_clicks_in_segments() {
    let root = tempfile::tempdir().unwrap();
    let lane = lane(root.path(), 2);
    append(&lane, 0..40);
    lane.close();
    assert!(lane.try_append(&click_on("https://example.com/")).unwrap().is_err());
    assert_eq!(orphan::tail::read(&lane.directory, JOURNAL).unwrap(), OrphanTail::Records(Vec::new()));
    drop(lane);
    assert_eq!(orphan_numbers(&adopt_orphan(root.path())), (1..=40).collect::<Vec<_>>());
}

/// Syncs the lane. Returns whether anything was unsynced.
fn sync(lane: &Lane) -> bool {
    let unsynced = lane.segments().take_unsynced();
    unsynced.map(|unsynced| unsynced.sync().unwrap()).is_some()
}

#[test]
fn records_without_room_in_a_segment_are_synced_in_the_tail() {
    let root = tempfile::tempdir().unwrap();
    let lane = lane(root.path(), 1);
    append(&lane, 0..10);
    assert!(!sync(&lane), "records that can still be flushed are not synced in the tail");
    lane.flush();
    assert!(sync(&lane) && !sync(&lane));
    let more = append_some(&lane, 10..200);
    lane.flush();
    assert!(sync(&lane) && !sync(&lane), "records in the segment and in the tail");
    append(&lane, 10 + more..11 + more);
    lane.flush();
    assert!(sync(&lane) && !sync(&lane), "records in the tail only");
    lane.state.ready.push(Segment::create(&lane.directory, JOURNAL, 2, SEGMENT).unwrap()).unwrap();
    lane.flush();
    append(&lane, 11 + more..12 + more);
    assert!(sync(&lane) && !sync(&lane), "records in the new segment, and not in the tail");
}

#[test]
fn synced_click_without_a_segment_is_synced_in_the_tail() {
    for sync_each in [false, true] {
        let root = tempfile::tempdir().unwrap();
        let lane = lane_with_sync(root.path(), 0, sync_each);
        append(&lane, 0..1);
        lane.flush();
        assert_eq!(sync(&lane), !sync_each);
        lane.state.ready.push(Segment::create(&lane.directory, JOURNAL, 1, SEGMENT).unwrap()).unwrap();
        append(&lane, 1..2);
        lane.flush();
        assert_eq!(sync(&lane), !sync_each);
    }
}

#[test]
fn full_tail_is_adopted_in_the_room_of_empty_segments() {
    let root = tempfile::tempdir().unwrap();
    let lane = lane(root.path(), 2);
    // A record with this target takes 128 bytes.
    let target = "x".repeat(52);
    while lane.try_append(&click_on(&target)).unwrap().is_ok() {}
    let count = lane.sequence();
    assert_eq!(count, (SEGMENT / 128) as u64);
    drop(lane);
    let orphan = adopt_orphan(root.path());
    assert_eq!(orphan_numbers(&orphan), (1..=count).collect::<Vec<_>>());
    assert_eq!(file::segments(&orphan.directory).unwrap(), [3]);
}

#[test]
fn tail_that_cannot_be_made_leaves_no_file() {
    let directory = tempfile::tempdir().unwrap();
    assert!(tail::create(directory.path(), JOURNAL, usize::MAX / 2).is_err());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn invalid_tail_is_quarantined_and_tail_of_another_version_is_not_changed() {
    let root = tempfile::tempdir().unwrap();
    let lane = lane(root.path(), 2);
    append(&lane, 0..10);
    lane.flush();
    let tail = lane.directory.join("tail");
    drop(lane);
    std::fs::write(&tail, [0xa5; 5_000]).unwrap();
    let orphan = adopt_orphan(root.path());
    assert!(orphan.is_damaged && orphan_numbers(&orphan).len() == 10);
    let quarantined = std::fs::read(orphan.directory.join("tail.damaged")).unwrap();
    assert_eq!(quarantined, [0xa5; 5_000]);
    drop(orphan);
    std::fs::write(&tail, b"TERNTAI\x03 and more").unwrap();
    assert!(matches!(adopt(root.path(), JOURNAL), Err(AdoptError::TailOfOtherVersion)));
    assert!(tail.exists());
}

#[test]
fn journal_with_more_segments_than_descriptors_is_adopted() {
    let root = tempfile::tempdir().unwrap();
    // One record in each segment and none in the tail, as after a long time without the store.
    drop(lane(root.path(), 0));
    let directory = directory::path(root.path(), JOURNAL);
    let (before, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let allowed = 200.min(before);
    let targets: Vec<String> = (0..=allowed as usize).map(target).collect();
    for (target, number) in targets.iter().zip(1..) {
        let click = click_on(target);
        let mut record = vec![0; click.record_len()];
        click.write(&mut record, seed(), number);
        file::write_segment(&directory, JOURNAL, number, &record).unwrap();
    }
    setrlimit(Resource::RLIMIT_NOFILE, allowed, hard).unwrap();
    let orphan = adopt(root.path(), JOURNAL);
    setrlimit(Resource::RLIMIT_NOFILE, before, hard).unwrap();
    let orphan = orphan.unwrap().unwrap();
    assert!(!orphan.is_damaged && orphan_numbers(&orphan).len() == targets.len());
}

#[test]
fn journal_without_room_for_a_segment_records_no_click() {
    let root = tempfile::tempdir().unwrap();
    for (pieces, expected) in [(1, Err(DropReason::JournalFull)), (2, Ok(()))] {
        let config = JournalConfig {
            root: root.path().to_owned(),
            segment: SEGMENT,
            limit: pieces * SEGMENT as u64,
            floor: Some(0),
            sync_every: Duration::from_millis(20),
            keep_shipped: Duration::ZERO,
            events_per_network: 0,
            geoip_file: None,
        };
        let lane = Arc::new(Lane::new(root.path(), JournalId(pieces.into()), false, errors()));
        let space = Arc::new(Space::new(root.path(), config.limit, Some(0)));
        let threads = JournalThreads::start(config, space, std::slice::from_ref(&lane), Box::new(|_| {})).unwrap();
        assert_eq!(lane.try_append(&click_on("https://example.com/")), Some(expected));
        threads.finish();
        assert_eq!(file::segments(&lane.directory).unwrap(), [1]);
    }
}

#[test]
fn locked_journal_is_not_adopted_until_its_lock_is_released() {
    let root = tempfile::tempdir().unwrap();
    let lock: Lock = directory::create(root.path(), JOURNAL).unwrap();
    assert!(adopt(root.path(), JOURNAL).unwrap().is_none());
    drop(lock);
    assert_eq!(adopt_orphan(root.path()).last_sequence, 0);
}
