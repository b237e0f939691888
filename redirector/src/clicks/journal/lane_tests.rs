//! Tests of failing tails: truncated files, damaged records, page faults.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use tern_common::click::JournalId;

use super::super::orphan::adopt;
use super::super::segment::file::{self, Segment};
use super::super::segment::format::{HEADER_LEN, RecordIter};
use super::super::segment::record::click_on;
use super::super::tests::errors;
use super::*;

const JOURNAL: JournalId = JournalId(0xc0ffee);
const SEGMENT: usize = 16 << 10;

fn lane(root: &Path, segments: u64) -> Lane {
    let lane = Lane::new(root, JOURNAL, false, errors());
    lane.lock.set(directory::create(root, JOURNAL).unwrap()).unwrap();
    lane.open(tail::create(&lane.directory, JOURNAL, SEGMENT).unwrap());
    make_segments(&lane, 1..=segments);
    lane
}

fn make_segments(lane: &Lane, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        lane.state.ready.push(Segment::create(&lane.directory, JOURNAL, number, SEGMENT).unwrap()).unwrap();
    }
}

/// Appends clicks. Returns how many were recorded.
fn append(lane: &Lane, clicks: usize) -> usize {
    (0..clicks).filter(|_| lane.try_append(&click_on("https://example.com/")).unwrap().is_ok()).count()
}

fn truncate(lane: &Lane, len: u64) {
    OpenOptions::new().write(true).open(lane.directory.join("tail")).unwrap().set_len(len).unwrap();
}

/// Returns the numbers of the records in all segments, in order.
fn numbers(lane: &Lane) -> Vec<u64> {
    let of = |number: u64| {
        let bytes = fs::read(file::segment_path(&lane.directory, number)).unwrap();
        let iter = RecordIter::new(&bytes[HEADER_LEN..], lane.seed, false, 0);
        iter.map(|record| record.sequence).collect::<Vec<_>>()
    };
    file::segments(&lane.directory).unwrap().into_iter().flat_map(of).collect()
}

/// Replaces the failed tail. Returns how many records were lost.
fn replace_tail(lane: &Lane) -> u64 {
    match lane.replace_failed_tail(SEGMENT) {
        TailState::Replaced { lost } => lost,
        tail => panic!("{tail:?}"),
    }
}

#[test]
fn truncated_tail_fails_without_a_signal_and_is_replaced() {
    let root = tempfile::tempdir().unwrap();
    let lane = lane(root.path(), 2);
    assert_eq!(append(&lane, 10), 10);
    lane.flush();
    assert_eq!(append(&lane, 5), 5);
    truncate(&lane, 0);
    assert_eq!(append(&lane, 3), 0, "the pages are gone");
    assert_eq!(lane.try_append(&click_on("https://example.com/")), Some(Err(DropReason::Disk)));
    lane.flush();
    assert_eq!(replace_tail(&lane), 5, "they were in the tail only");
    assert_eq!(lane.sequence(), 10);
    assert!(matches!(lane.replace_failed_tail(SEGMENT), TailState::Sound));
    assert_eq!(append(&lane, 20), 20);
    lane.close();
    assert_eq!(numbers(&lane), (1..=30).collect::<Vec<_>>());
}

#[test]
fn tail_truncated_in_its_ring_loses_only_records_behind_its_end() {
    let root = tempfile::tempdir().unwrap();
    let lane = lane(root.path(), 2);
    let recorded = append(&lane, 50);
    truncate(&lane, 4096 + 4096);
    lane.flush();
    let lost = replace_tail(&lane);
    assert!((1..49).contains(&lost), "{lost}");
    assert_eq!(append(&lane, 5), 5);
    lane.close();
    assert_eq!(numbers(&lane), (1..=recorded as u64 - lost + 5).collect::<Vec<_>>());
}

#[test]
fn tail_with_a_damaged_record_loses_only_that_and_later_records() {
    let root = tempfile::tempdir().unwrap();
    let lane = lane(root.path(), 2);
    append(&lane, 10);
    let file = OpenOptions::new().write(true).open(lane.directory.join("tail")).unwrap();
    let len = click_on("https://example.com/").record_len() as u64;
    file.write_all_at(&[0; 16], 4096 + 4 * len).unwrap();
    lane.flush();
    assert_eq!(replace_tail(&lane), 6);
    append(&lane, 1);
    lane.close();
    assert_eq!(numbers(&lane), [1, 2, 3, 4, 5]);
}

#[test]
fn failed_tail_without_a_segment_waits_for_one_and_loses_no_click() {
    let root = tempfile::tempdir().unwrap();
    let lane = lane(root.path(), 0);
    assert_eq!(append(&lane, 10), 10);
    lane.segments().fail_tail();
    assert_eq!(append(&lane, 5), 0);
    for _ in 0..2 {
        assert!(matches!(lane.replace_failed_tail(SEGMENT), TailState::Failed(None)));
        assert_eq!((append(&lane, 5), lane.pending()), (0, 10));
    }
    make_segments(&lane, 1..=2);
    assert_eq!(replace_tail(&lane), 0);
    assert_eq!(append(&lane, 5), 5);
    lane.close();
    assert_eq!(numbers(&lane), (1..=15).collect::<Vec<_>>());
}

#[test]
fn failed_tail_of_a_killed_process_is_adopted_with_the_records_of_its_file() {
    for len in [4096 + 4096, 4096 + SEGMENT as u64] {
        let root = tempfile::tempdir().unwrap();
        let lane = lane(root.path(), 1);
        let recorded = append(&lane, 50) as u64;
        truncate(&lane, len);
        lane.segments().fail_tail();
        append(&lane, 5);
        drop(lane);
        let orphan = adopt(root.path(), JOURNAL).unwrap().unwrap();
        let found = orphan.last_sequence;
        assert!(found <= recorded && found >= 30.min(recorded), "{found} of {recorded} with {len} bytes");
        assert_eq!(found == recorded, len > 8192);
    }
}

#[test]
fn lane_closed_with_a_failed_tail_has_all_clicks_in_segments() {
    let root = tempfile::tempdir().unwrap();
    let lane = lane(root.path(), 2);
    append(&lane, 10);
    lane.segments().fail_tail();
    append(&lane, 5);
    lane.close();
    assert_eq!(numbers(&lane), (1..=10).collect::<Vec<_>>());
}

#[test]
fn threads_that_fault_together_all_continue() {
    let root = tempfile::tempdir().unwrap();
    let lanes: Vec<Lane> = (1..=8u128)
        .map(|number| {
            let journal = JournalId(number);
            let lane = Lane::new(root.path(), journal, false, errors());
            lane.lock.set(directory::create(root.path(), journal).unwrap()).unwrap();
            lane.open(tail::create(&lane.directory, journal, SEGMENT).unwrap());
            lane
        })
        .collect();
    lanes.iter().for_each(|lane| truncate(lane, 0));
    let start = std::sync::Barrier::new(lanes.len());
    std::thread::scope(|scope| {
        for lane in &lanes {
            scope.spawn(|| {
                start.wait();
                assert_eq!(append(lane, 100), 0);
            });
        }
    });
}
