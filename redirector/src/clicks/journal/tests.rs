//! The tail by itself, and what a process that was killed leaves in it.

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
use super::segment::format::{HEADER_LEN, Walk};
use super::segment::record::{MAX_LEN, Seed, click_on};
use super::space::Space;
use super::tail;
use super::threads::JournalThreads;
use crate::clicks::drop_reason::DropReason;

const JOURNAL: JournalId = JournalId(0xc0ffee);

/// Little more than the longest record, so that a few meet the end.
const RING: usize = 2 * MAX_LEN;

const SEGMENT: usize = 16 << 10;

/// Of different lengths.
fn target(number: usize) -> String {
    format!("https://example.com/{number}/{}", "x".repeat(number * 37 % 300))
}

fn seed() -> Seed {
    Seed::new(JOURNAL)
}

/// The numbers of the records in `bytes`, which hold nothing else.
fn numbers(bytes: &[u8]) -> Vec<u64> {
    let mut walk = Walk::new(bytes, seed(), false, 0);
    let numbers = walk.by_ref().map(|record| record.sequence).collect();
    assert_eq!(walk.offset(), bytes.len());
    numbers
}

proptest! {
    /// However they come and go, what is taken is what was appended; and at any time what was not taken is left.
    #[test]
    fn records_are_taken_as_they_were_appended(
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
            // The next one would not have fitted.
            let next = Walk::new(&bytes[whole..], seed(), false, 0).next();
            prop_assert!(next.is_none_or(|next| whole + next.len > room));
            taken.extend(numbers(&bytes[..whole]));
            prop_assert!(whole == 0 || taken.last() == Some(&last));
            reader.take(whole);
            let OrphanTail::Records(left) = orphan::tail::read(directory.path(), JOURNAL).unwrap() else { panic!("no records") };
            let expected: Vec<u64> = (taken.len() as u64 + 1..=sequence as u64).collect();
            prop_assert_eq!(numbers(&left), expected);
        }
        let count = taken.len() as u64;
        prop_assert!(taken.into_iter().eq(1..=count));
    }
}

#[test]
fn a_thread_takes_what_another_one_appends() {
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
fn what_is_no_tail_of_the_journal_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tail");
    let read = || orphan::tail::read(directory.path(), JOURNAL).unwrap();
    assert_eq!(read(), OrphanTail::Absent);
    drop(tail::create(directory.path(), JOURNAL, RING).unwrap());
    assert_eq!(read(), OrphanTail::Records(Vec::new()));
    assert_eq!(orphan::tail::read(directory.path(), JournalId(1)).unwrap(), OrphanTail::Alien);
    let change = |at: usize, byte: u8| {
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[at] = byte;
        std::fs::write(&path, bytes).unwrap();
    };
    assert!(!orphan::tail::is_foreign(directory.path()).unwrap());
    // More was taken than there was.
    change(64, 8);
    assert_eq!(read(), OrphanTail::Alien);
    change(7, 2);
    assert!(orphan::tail::is_foreign(directory.path()).unwrap());
    // The disk never got it.
    std::fs::write(&path, [0; 4096 + RING]).unwrap();
    assert_eq!(read(), OrphanTail::Absent);
    for len in [0, 1, 100, 4096] {
        std::fs::write(&path, vec![0xa5; len]).unwrap();
        assert_eq!(read() == OrphanTail::Alien, len > 0, "{len}");
        assert!(!orphan::tail::is_foreign(directory.path()).unwrap());
    }
}

/// Returns a counter of failed writes and syncs.
pub(super) fn errors() -> IntCounter {
    IntCounter::new("errors", "Failed writes and syncs").unwrap()
}

/// Returns a lane with so many segments made ahead.
fn lane(root: &Path, segments: u64) -> Lane {
    lane_of(root, segments, false)
}

fn lane_of(root: &Path, segments: u64, sync_each: bool) -> Lane {
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

/// Until there is no room; how many there was room for.
fn append_some(lane: &Lane, mut numbers: std::ops::Range<usize>) -> usize {
    let count = numbers.len();
    let refused = numbers.find(|number| lane.try_append(&click_on(&target(*number))).unwrap().is_err());
    count - refused.map_or(0, |_| numbers.len() + 1)
}

/// The numbers of the records in all segments, in order.
fn left_numbers(left: &Orphan) -> Vec<u64> {
    let of = |number: u64| {
        let bytes = std::fs::read(file::segment_path(&left.directory, number)).unwrap();
        numbers(&bytes[HEADER_LEN..])
    };
    file::segments(&left.directory).unwrap().into_iter().flat_map(of).collect()
}

/// Takes over what a process has left that is gone.
fn takes_over(root: &Path) -> Orphan {
    adopt(root, JOURNAL).unwrap().unwrap()
}

#[test]
fn of_a_killed_process_no_click_is_lost_or_there_twice() {
    let mut made = 0;
    for segments in 0..3 {
        for (before, after) in (0..90).step_by(6).flat_map(|before| [0, 1, 17, 60, 90].map(|after| (before, after))) {
            let root = tempfile::tempdir().unwrap();
            let lane = lane(root.path(), segments);
            let before = append_some(&lane, 0..before);
            lane.flush();
            let count = before + append_some(&lane, before..before + after);
            drop(lane);
            let left = takes_over(root.path());
            let what = format!("{segments} segments, {before} clicks of {count} in them");
            assert_eq!(left_numbers(&left), (1..=count as u64).collect::<Vec<_>>(), "{what}");
            assert_eq!(left.last_sequence, count as u64, "{what}");
            let files = std::fs::read_dir(&left.directory).unwrap().map(|file| file.unwrap().metadata().unwrap().len());
            assert_eq!(left.bytes, files.sum::<u64>(), "no more than its segments: {what}");
            made += u64::from(file::segments(&left.directory).unwrap().last() > Some(&segments));
        }
    }
    assert!(made > 0, "some found no room in the segments that were there");
}

#[test]
fn a_process_that_is_killed_between_segment_and_tail_leaves_no_click_twice() {
    let root = tempfile::tempdir().unwrap();
    let lane = lane(root.path(), 2);
    append(&lane, 0..30);
    let tail = lane.directory.join("tail");
    let before = std::fs::read(&tail).unwrap();
    lane.flush();
    drop(lane);
    // As if it had not been counted what is in a segment.
    std::fs::write(&tail, &before).unwrap();
    let left = takes_over(root.path());
    assert_eq!(left_numbers(&left), (1..=30).collect::<Vec<_>>());
    drop(left);
    // Nor does a take-over that is cut off: the tail is still there, and its segment, too.
    std::fs::write(&tail, &before).unwrap();
    assert_eq!(left_numbers(&takes_over(root.path())), (1..=30).collect::<Vec<_>>());
}

#[test]
fn a_closed_journal_is_all_in_segments() {
    let root = tempfile::tempdir().unwrap();
    let lane = lane(root.path(), 2);
    append(&lane, 0..40);
    lane.close();
    assert!(lane.try_append(&click_on("https://example.com/")).unwrap().is_err());
    assert_eq!(orphan::tail::read(&lane.directory, JOURNAL).unwrap(), OrphanTail::Records(Vec::new()));
    drop(lane);
    assert_eq!(left_numbers(&takes_over(root.path())), (1..=40).collect::<Vec<_>>());
}

/// Puts the lane on disk; whether something was not there.
fn sync(lane: &Lane) -> bool {
    let unsynced = lane.segments().take_unsynced();
    unsynced.map(|unsynced| unsynced.sync().unwrap()).is_some()
}

#[test]
fn what_no_segment_has_room_for_is_put_on_disk_in_the_tail() {
    let root = tempfile::tempdir().unwrap();
    let lane = lane(root.path(), 1);
    append(&lane, 0..10);
    assert!(!sync(&lane), "while it may go into a segment it is not");
    lane.flush();
    assert!(sync(&lane) && !sync(&lane));
    let more = append_some(&lane, 10..200);
    lane.flush();
    assert!(sync(&lane) && !sync(&lane), "what is in the segment and what is not");
    append(&lane, 10 + more..11 + more);
    lane.flush();
    assert!(sync(&lane) && !sync(&lane), "in the tail alone");
    lane.state.ready.push(Segment::create(&lane.directory, JOURNAL, 2, SEGMENT).unwrap()).unwrap();
    lane.flush();
    append(&lane, 11 + more..12 + more);
    assert!(sync(&lane) && !sync(&lane), "the new segment, and not the tail");
}

#[test]
fn a_click_that_is_to_be_synced_is_so_without_a_segment_too() {
    for sync_each in [false, true] {
        let root = tempfile::tempdir().unwrap();
        let lane = lane_of(root.path(), 0, sync_each);
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
fn a_tail_that_is_full_to_the_brim_takes_the_room_of_what_was_made_ahead() {
    let root = tempfile::tempdir().unwrap();
    let lane = lane(root.path(), 2);
    // With it a record takes 128 bytes.
    let target = "x".repeat(60);
    while lane.try_append(&click_on(&target)).unwrap().is_ok() {}
    let count = lane.sequence();
    assert_eq!(count, (SEGMENT / 128) as u64);
    drop(lane);
    let left = takes_over(root.path());
    assert_eq!(left_numbers(&left), (1..=count).collect::<Vec<_>>());
    assert_eq!(file::segments(&left.directory).unwrap(), [3]);
}

#[test]
fn of_a_tail_that_could_not_be_made_nothing_stays() {
    let directory = tempfile::tempdir().unwrap();
    assert!(tail::create(directory.path(), JOURNAL, usize::MAX / 2).is_err());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_tail_that_is_none_is_kept_for_a_person() {
    let root = tempfile::tempdir().unwrap();
    let lane = lane(root.path(), 2);
    append(&lane, 0..10);
    lane.flush();
    let tail = lane.directory.join("tail");
    drop(lane);
    std::fs::write(&tail, [0xa5; 5_000]).unwrap();
    let left = takes_over(root.path());
    assert!(left.is_damaged && left_numbers(&left).len() == 10);
    let aside = std::fs::read(left.directory.join("tail.damaged")).unwrap();
    assert_eq!(aside, [0xa5; 5_000]);
    drop(left);
    std::fs::write(&tail, b"TERNTAI\x02 and more").unwrap();
    assert!(matches!(adopt(root.path(), JOURNAL), Err(AdoptError::ForeignTail)));
    assert!(tail.exists());
}

#[test]
fn a_journal_of_more_segments_than_files_may_be_open_is_taken_over() {
    let root = tempfile::tempdir().unwrap();
    // One segment each, and nothing in the tail: as a long time without the store leaves them.
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
    let left = adopt(root.path(), JOURNAL);
    setrlimit(Resource::RLIMIT_NOFILE, before, hard).unwrap();
    let left = left.unwrap().unwrap();
    assert!(!left.is_damaged && left_numbers(&left).len() == targets.len());
}

#[test]
fn no_click_is_in_a_journal_without_a_segment() {
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
        };
        let lane = Arc::new(Lane::new(root.path(), JournalId(pieces.into()), false, errors()));
        let space = Arc::new(Space::new(root.path(), config.limit, Some(0)));
        let threads = JournalThreads::start(config, space, std::slice::from_ref(&lane), Box::new(|_| {})).unwrap();
        assert_eq!(lane.try_append(&click_on("https://example.com/")), Some(expected));
        threads.finish();
        assert_eq!(file::segments(&lane.directory).unwrap(), [1]);
    }
}

/// What the lock is for: it goes with the process.
#[test]
fn a_journal_that_is_held_is_not_taken_over() {
    let root = tempfile::tempdir().unwrap();
    let held: Lock = directory::create(root.path(), JOURNAL).unwrap();
    assert!(adopt(root.path(), JOURNAL).unwrap().is_none());
    drop(held);
    assert_eq!(takes_over(root.path()).last_sequence, 0);
}
