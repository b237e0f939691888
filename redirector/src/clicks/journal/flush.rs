//! Flushing: moves records from the tail of a lane into segments, and knows which of them are not synced yet.
//!
//! A flush decides which record goes into which segment. It waits for the disk in one case only: records that were synced
//! in the tail move only to a segment that is synced, too.

use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crossbeam_queue::ArrayQueue;
use prometheus::IntCounter;

use super::segment::file::Segment;
use super::segment::format::HEADER_LEN;
use super::segment::record::Seed;
use super::tail::{self, WholeRecords};
use crate::clicks::drop_reason::DropReason;

/// The least time between two rotations, and two log lines, for failures of one lane. Even a nearly empty segment takes
/// the room of a full one.
const FAILURE_INTERVAL: Duration = Duration::from_secs(10);

/// The pause after a failed write.
const RETRY: Duration = Duration::from_millis(200);

/// The part of a lane that the threads that append, flush, ship and make segments share without a lock.
#[derive(Debug)]
pub struct LaneState {
    /// Segments made ahead by the thread of the journals. There are two, so that making one may take as long as filling one.
    pub(super) ready: ArrayQueue<Segment>,
    /// The number of the [`DropReason`] that applies when there is no room. Never written by the shipper.
    obstacle: AtomicU8,
    /// The thread of the journals, which sets it once.
    thread: OnceLock<Thread>,
    /// Failed writes and syncs of all lanes.
    pub(super) errors: IntCounter,
}

impl LaneState {
    pub(super) fn new(errors: IntCounter) -> LaneState {
        LaneState {
            ready: ArrayQueue::new(2),
            obstacle: AtomicU8::new(DropReason::Busy as u8),
            thread: OnceLock::new(),
            errors,
        }
    }

    /// Returns the reason that applies when there is no room.
    pub(super) fn obstacle(&self) -> DropReason {
        let number = self.obstacle.load(Ordering::Relaxed);
        DropReason::OF_LANES.into_iter().find(|reason| *reason as u8 == number).unwrap_or(DropReason::Disk)
    }

    pub(super) fn set_obstacle(&self, reason: DropReason) {
        self.obstacle.store(reason as u8, Ordering::Relaxed);
    }

    /// Names the calling thread as the one that [`LaneState::wake_thread`] wakes.
    pub(super) fn set_thread(&self) {
        let _ = self.thread.set(std::thread::current());
    }

    /// Wakes the thread of the journals: the tail fills up, or a segment was taken.
    pub(super) fn wake_thread(&self) {
        self.thread.get().into_iter().for_each(Thread::unpark);
    }
}

/// The part of a lane that writes segments.
#[derive(Debug, Default)]
pub struct SegmentWriter {
    /// `None` before the disk had room for a tail.
    tail: Option<tail::Reader>,
    /// The segment that is being filled.
    segment: Option<Arc<Segment>>,
    /// The offset behind its last record.
    end: usize,
    /// The segment and the offset behind its last record, for the shipper. `None` before the first segment.
    published: Option<(u64, u64)>,
    /// The number of the last record that is in a segment.
    last: u64,
    /// Bytes of all records of a failed tail, once its writer has ended.
    ended_at: Option<u64>,
    /// Whether the segment was written to since its last sync.
    is_unsynced: bool,
    /// Full segments that are not synced.
    full: Vec<Arc<Segment>>,
    /// Whether the last flush left records in the tail.
    is_blocked: bool,
    /// Whether a write or sync of the segment failed. Later records go to another segment.
    is_suspect: bool,
    /// The time of the last failure that set [`SegmentWriter::is_suspect`].
    suspected: Option<Instant>,
    /// The time of the next write, after one that failed.
    retry_at: Option<Instant>,
    /// The last failure that is not logged yet.
    failure: Option<Failure>,
}

/// A write or sync that failed: the number of the segment, `None` for the tail, and the error.
pub type Failure = (Option<u64>, io::Error);

/// Files to sync: segments, oldest first, and the tail if a flush left records there.
#[derive(Debug)]
pub struct UnsyncedFiles {
    segments: Vec<Arc<Segment>>,
    tail: Option<tail::UnsyncedTail>,
}

impl UnsyncedFiles {
    /// Syncs every file. Waits for the disk. Returns the last failure.
    pub fn sync(self) -> Result<(), Failure> {
        let mut all = Ok(());
        for segment in self.segments {
            all = segment.sync().map_err(|error| (Some(segment.number), error)).and(all);
        }
        if let Some(tail) = self.tail {
            all = tail.sync().map_err(|error| (None, error)).and(all);
        }
        all
    }
}

impl SegmentWriter {
    pub fn set_tail(&mut self, tail: tail::Reader) {
        self.tail = Some(tail);
        self.ended_at = None;
    }

    /// Returns where readable records end: a segment and an offset. `None` before the first segment.
    pub fn published(&self) -> Option<(u64, u64)> {
        self.published
    }

    /// Returns whether the tail has failed and is not replaced yet.
    pub fn has_failed_tail(&self) -> bool {
        self.tail.as_ref().is_some_and(tail::Reader::has_failed)
    }

    /// Makes the tail fail as a bad disk does.
    #[cfg(test)]
    pub fn fail_tail(&self) {
        self.tail.iter().for_each(tail::Reader::fail);
    }

    /// Notes that the writer of a failed tail has ended behind `end` bytes of records.
    pub fn end_tail_at(&mut self, end: u64) {
        self.ended_at = Some(end);
    }

    /// Flushes the readable records of a failed tail, once its writer has ended. Returns the number of the last record in a
    /// segment, once every readable record is in a segment.
    pub fn flush_failed_tail(&mut self, lane: &LaneState, seed: Seed) -> Option<u64> {
        let (Some(tail), Some(end)) = (&mut self.tail, self.ended_at) else { return None };
        tail.end_at(end, seed, self.last);
        self.flush(lane);
        self.tail.as_ref().is_none_or(tail::Reader::is_empty).then_some(self.last)
    }

    /// Flushes the tail into the segments that are ready.
    pub fn flush(&mut self, lane: &LaneState) {
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            return;
        }
        self.is_blocked = false;
        while let Some(whole) = self.read(lane) {
            if (whole.len == 0 || self.is_suspect) && self.rotate(lane) {
                continue;
            }
            // A suspect segment is used while no other is ready.
            if whole.len == 0 || !self.write(lane, whole) {
                self.is_blocked = true;
                return;
            }
        }
    }

    /// Reads whole records that fit in the segment. `None` if no record waits or the tail cannot be read.
    fn read(&mut self, lane: &LaneState) -> Option<WholeRecords> {
        let room = self.segment.as_ref().map_or(0, |segment| segment.len() - self.end);
        self.tail.as_mut()?.find(room).unwrap_or_else(|error| {
            lane.errors.inc();
            self.failure = Some((None, error));
            None
        })
    }

    /// Writes the records that were read into the segment. Returns whether they are in it.
    fn write(&mut self, lane: &LaneState, whole: WholeRecords) -> bool {
        let (Some(tail), Some(segment)) = (&mut self.tail, &self.segment) else { return false };
        let number = segment.number;
        let write = || {
            segment.write(&tail.chunk()[..whole.len], self.end)?;
            if tail.is_on_disk() { segment.sync() } else { Ok(()) }
        };
        if let Err(error) = write() {
            self.retry_later(lane, (Some(number), error));
            return false;
        }
        self.end += whole.len;
        self.last = whole.last;
        self.is_unsynced = true;
        self.retry_at = None;
        self.published = Some((number, self.end as u64));
        tail.take(whole.len);
        true
    }

    /// Finishes the segment and continues in the next one. Returns whether there was one.
    fn rotate(&mut self, lane: &LaneState) -> bool {
        if lane.ready.is_empty() || !self.finish(lane) {
            return false;
        }
        let Some(next) = lane.ready.pop() else { return false };
        lane.wake_thread();
        self.end = HEADER_LEN;
        self.published = Some((next.number, HEADER_LEN as u64));
        self.full.extend(self.segment.replace(Arc::new(next)));
        self.is_suspect = false;
        true
    }

    /// Finishes the segment. Returns whether no segment is open any more.
    fn finish(&mut self, lane: &LaneState) -> bool {
        let Some(segment) = &self.segment else { return true };
        let Err(error) = segment.finish(self.end) else { return true };
        let number = segment.number;
        self.retry_later(lane, (Some(number), error));
        false
    }

    fn retry_later(&mut self, lane: &LaneState, failure: Failure) {
        lane.set_obstacle(DropReason::Disk);
        self.retry_at = Some(Instant::now() + RETRY);
        self.suspect(lane, failure);
    }

    /// Counts a failure of the segment or the tail. Records that follow go to another segment.
    pub fn suspect(&mut self, lane: &LaneState, failure: Failure) {
        lane.errors.inc();
        if self.suspected.is_none_or(|at| at.elapsed() >= FAILURE_INTERVAL) {
            self.failure = Some(failure);
            self.suspected = Some(Instant::now());
            self.is_suspect = true;
        }
    }

    /// Returns the last failure since the previous call.
    pub fn take_failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    /// Returns the files to sync. `None` if every record is synced.
    pub fn take_unsynced(&mut self) -> Option<UnsyncedFiles> {
        let mut segments = std::mem::take(&mut self.full);
        if std::mem::take(&mut self.is_unsynced) {
            segments.extend(self.segment.clone());
        }
        let tail = self.tail.as_mut().filter(|_| self.is_blocked).and_then(tail::Reader::unsynced);
        (!segments.is_empty() || tail.is_some()).then_some(UnsyncedFiles { segments, tail })
    }

    /// Flushes all records and finishes the last segment. Records for which no segment has room stay in the tail.
    pub fn close(&mut self, lane: &LaneState) {
        self.retry_at = None;
        self.flush(lane);
        if self.finish(lane) {
            self.full.extend(self.segment.take());
        }
    }
}
