//! Replaces the tail of a lane that failed, once the disk takes another one.
//!
//! Until then the lane records nothing, and its clicks are dropped and counted. What the file still holds goes into
//! segments. Records that it does not give back are lost: their numbers are given to clicks that follow, and they are
//! counted as dropped. Nothing here is on the redirect path.

use std::io;
use std::sync::atomic::Ordering;

use super::lane::{Dropped, Lane};
use super::tail;

/// The state of a lane's tail.
#[derive(Debug)]
pub(super) enum Tail {
    Sound,
    /// It failed, and is not replaced yet. With the error, if the disk took no other.
    Failed(Option<io::Error>),
    /// It was replaced, and so many records were lost.
    Replaced {
        lost: u64,
    },
}

impl Lane {
    /// Ends the writer of a tail that failed, and takes what is readable into segments as far as there are some. The number
    /// of the last record that is in a segment, once nothing more can be had of the tail.
    pub(super) fn stop_failed_tail(&self) -> Option<u64> {
        if !self.outlet().has_failed_tail() {
            return None;
        }
        // No lock is waited for while another one is held: a writer that syncs each click waits for the outlet.
        let failed = self.writer().tail.take();
        let mut outlet = self.outlet();
        if let Some(tail) = failed {
            self.obstacle.store(Dropped::Disk as u8, Ordering::Relaxed);
            self.errors.fetch_add(1, Ordering::Relaxed);
            tracing::error!(
                journal = %self.journal,
                "the disk refused a page of a journal's tail; the clicks of one thread are dropped until it takes another tail"
            );
            outlet.end_at(tail.appended());
        }
        outlet.rescue(self, self.seed)
    }

    /// Replaces the tail if it failed, with one of `len` bytes.
    pub(super) fn mend(&self, len: usize) -> Tail {
        let Some(last) = self.stop_failed_tail() else {
            return if self.outlet().has_failed_tail() { Tail::Failed(None) } else { Tail::Sound };
        };
        let made = match tail::create(&self.directory, self.journal, len) {
            Ok(made) => made,
            Err(error) => return Tail::Failed(Some(error)),
        };
        self.outlet().open(made.1);
        let mut writer = self.writer();
        let lost = writer.sequence.saturating_sub(last);
        writer.sequence = last;
        writer.wake_at = 0;
        writer.tail = Some(made.0);
        self.sequence.store(last, Ordering::Release);
        tracing::warn!(journal = %self.journal, lost, "a journal has a tail again; its clicks are recorded");
        Tail::Replaced { lost }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::os::unix::fs::FileExt;
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;

    use tern_common::click::JournalId;

    use super::super::orphan::take_over;
    use super::super::segment::file::{self, Segment};
    use super::super::segment::format::{HEADER_LEN, Walk};
    use super::super::segment::record::click_on;
    use super::*;

    const JOURNAL: JournalId = JournalId(0xc0ffee);
    const SEGMENT: usize = 16 << 10;

    fn lane(root: &Path, segments: u64) -> Lane {
        let lane = Lane::new(root, JOURNAL, false, Arc::new(AtomicU64::new(0)));
        lane.lock.set(file::create_journal(root, JOURNAL).unwrap()).unwrap();
        lane.open(tail::create(&lane.directory, JOURNAL, SEGMENT).unwrap());
        make_segments(&lane, 1..=segments);
        lane
    }

    fn make_segments(lane: &Lane, numbers: std::ops::RangeInclusive<u64>) {
        for number in numbers {
            lane.ready.push(Segment::create(&lane.directory, JOURNAL, number, SEGMENT).unwrap()).unwrap();
        }
    }

    /// Appends clicks; how many were recorded.
    fn append(lane: &Lane, clicks: usize) -> usize {
        (0..clicks).filter(|_| lane.try_append(&click_on("https://example.com/")).unwrap().is_ok()).count()
    }

    fn cut(lane: &Lane, len: u64) {
        OpenOptions::new().write(true).open(lane.directory.join("tail")).unwrap().set_len(len).unwrap();
    }

    /// The numbers of the records in all segments, in order.
    fn numbers(lane: &Lane) -> Vec<u64> {
        let of = |number: u64| {
            let bytes = fs::read(file::segment_path(&lane.directory, number)).unwrap();
            let walk = Walk::new(&bytes[HEADER_LEN..], lane.seed, false, 0);
            walk.map(|record| record.sequence).collect::<Vec<_>>()
        };
        file::segments(&lane.directory).unwrap().into_iter().flat_map(of).collect()
    }

    fn replaced(lane: &Lane) -> u64 {
        match lane.mend(SEGMENT) {
            Tail::Replaced { lost } => lost,
            tail => panic!("{tail:?}"),
        }
    }

    #[test]
    fn tail_that_is_cut_fails_without_a_signal_and_is_replaced() {
        let root = tempfile::tempdir().unwrap();
        let lane = lane(root.path(), 2);
        assert_eq!(append(&lane, 10), 10);
        lane.write_out();
        assert_eq!(append(&lane, 5), 5);
        cut(&lane, 0);
        assert_eq!(append(&lane, 3), 0, "the pages are gone");
        assert_eq!(lane.try_append(&click_on("https://example.com/")), Some(Err(Dropped::Disk)));
        lane.write_out();
        assert_eq!(replaced(&lane), 5, "they stood in the tail alone");
        assert_eq!(lane.sequence(), 10);
        assert!(matches!(lane.mend(SEGMENT), Tail::Sound));
        assert_eq!(append(&lane, 20), 20);
        lane.close();
        assert_eq!(numbers(&lane), (1..=30).collect::<Vec<_>>());
    }

    #[test]
    fn tail_that_is_cut_in_its_ring_gives_back_what_is_before_the_cut() {
        let root = tempfile::tempdir().unwrap();
        let lane = lane(root.path(), 2);
        let recorded = append(&lane, 50);
        cut(&lane, 4096 + 4096);
        lane.write_out();
        let lost = replaced(&lane);
        assert!((1..49).contains(&lost), "{lost}");
        assert_eq!(append(&lane, 5), 5);
        lane.close();
        assert_eq!(numbers(&lane), (1..=recorded as u64 - lost + 5).collect::<Vec<_>>());
    }

    #[test]
    fn tail_with_a_damaged_record_gives_back_what_is_before_it() {
        let root = tempfile::tempdir().unwrap();
        let lane = lane(root.path(), 2);
        append(&lane, 10);
        let file = OpenOptions::new().write(true).open(lane.directory.join("tail")).unwrap();
        let len = click_on("https://example.com/").record_len() as u64;
        file.write_all_at(&[0; 16], 4096 + 4 * len).unwrap();
        lane.write_out();
        assert_eq!(replaced(&lane), 6);
        append(&lane, 1);
        lane.close();
        assert_eq!(numbers(&lane), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn failed_tail_without_a_segment_waits_for_one_and_loses_nothing() {
        let root = tempfile::tempdir().unwrap();
        let lane = lane(root.path(), 0);
        assert_eq!(append(&lane, 10), 10);
        lane.outlet().fail_tail();
        assert_eq!(append(&lane, 5), 0);
        for _ in 0..2 {
            assert!(matches!(lane.mend(SEGMENT), Tail::Failed(None)));
            assert_eq!((append(&lane, 5), lane.pending()), (0, 10));
        }
        make_segments(&lane, 1..=2);
        assert_eq!(replaced(&lane), 0);
        assert_eq!(append(&lane, 5), 5);
        lane.close();
        assert_eq!(numbers(&lane), (1..=15).collect::<Vec<_>>());
    }

    #[test]
    fn killed_process_with_a_failed_tail_leaves_what_the_file_holds() {
        for len in [4096 + 4096, 4096 + SEGMENT as u64] {
            let root = tempfile::tempdir().unwrap();
            let lane = lane(root.path(), 1);
            let recorded = append(&lane, 50) as u64;
            cut(&lane, len);
            lane.outlet().fail_tail();
            append(&lane, 5);
            drop(lane);
            let left = take_over(root.path(), JOURNAL).unwrap().unwrap();
            let found = left.last_sequence;
            assert!(found <= recorded && found >= 30.min(recorded), "{found} of {recorded} with {len} bytes");
            assert_eq!(found == recorded, len > 8192);
        }
    }

    #[test]
    fn lane_that_is_closed_with_a_failed_tail_is_all_in_segments() {
        let root = tempfile::tempdir().unwrap();
        let lane = lane(root.path(), 2);
        append(&lane, 10);
        lane.outlet().fail_tail();
        append(&lane, 5);
        lane.close();
        assert_eq!(numbers(&lane), (1..=10).collect::<Vec<_>>());
    }

    #[test]
    fn threads_that_fault_together_all_go_on() {
        let root = tempfile::tempdir().unwrap();
        let lanes: Vec<Lane> = (1..=8u128)
            .map(|number| {
                let journal = JournalId(number);
                let lane = Lane::new(root.path(), journal, false, Arc::new(AtomicU64::new(0)));
                lane.lock.set(file::create_journal(root.path(), journal).unwrap()).unwrap();
                lane.open(tail::create(&lane.directory, journal, SEGMENT).unwrap());
                lane
            })
            .collect();
        lanes.iter().for_each(|lane| cut(lane, 0));
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
}
