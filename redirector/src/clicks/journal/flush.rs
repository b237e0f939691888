//! Where records leave the tail of a lane: takes them into segments, and knows what is not on disk yet.
//!
//! It decides which record goes into which segment; it must not wait for the disk, but for what is on disk in the tail:
//! that leaves it for a segment on disk alone.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::lane::{Dropped, Lane};
use super::segment::file::Segment;
use super::segment::format::HEADER_LEN;
use super::segment::record::Seed;
use super::tail::{self, Whole};

/// How often a lane that fails goes on in another segment, and says so. Not for each of many failures: a segment takes
/// its room, however little it holds.
const GO_ON_AGAIN: Duration = Duration::from_secs(10);

/// How long a disk is left alone that did not take what was written.
const RETRY: Duration = Duration::from_millis(200);

/// The end of a lane that writes to files.
#[derive(Debug, Default)]
pub struct Outlet {
    /// None before the disk had room for it.
    tail: Option<tail::Reader>,
    /// The segment that is being filled.
    segment: Option<Arc<Segment>>,
    /// Where its records end.
    end: usize,
    /// The number of the last record that is in a segment.
    last: u64,
    /// Bytes of all records of a failed tail, once its writer has ended.
    ended_at: Option<u64>,
    /// Something was written to it since it was last put on disk.
    is_unsynced: bool,
    /// Segments before it that are not on disk as they are.
    full: Vec<Arc<Segment>>,
    /// When records were last to be taken from the tail, some had to stay there.
    is_stuck: bool,
    /// It could not be written or put on disk: go on in another.
    is_suspect: bool,
    /// When that was last found.
    suspected: Option<Instant>,
    /// When to write again, after a write that failed.
    retry_at: Option<Instant>,
    /// What was found then, if nobody has said so yet.
    untold: Option<Failure>,
}

/// The number of the segment that could not be written or put on disk, none for the tail, and why.
pub type Failure = (Option<u64>, io::Error);

/// What is to be put on disk: segments, oldest first, and the tail if records had to stay there.
#[derive(Debug)]
pub struct Unsynced {
    segments: Vec<Arc<Segment>>,
    tail: Option<tail::Unsynced>,
}

impl Unsynced {
    /// Waits for the disk. All of them are tried; gives the last that failed, by its number if it is a segment.
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

impl Outlet {
    pub fn open(&mut self, tail: tail::Reader) {
        self.tail = Some(tail);
        self.ended_at = None;
    }

    /// Whether the tail has failed, and is not replaced yet.
    pub fn has_failed_tail(&self) -> bool {
        self.tail.as_ref().is_some_and(tail::Reader::has_failed)
    }

    /// Makes the tail fail, as a disk does.
    #[cfg(test)]
    pub fn fail_tail(&self) {
        self.tail.iter().for_each(tail::Reader::fail);
    }

    /// Takes note that the writer of a failed tail has ended.
    pub fn end_at(&mut self, end: u64) {
        self.ended_at = Some(end);
    }

    /// Takes what is readable of a failed tail into segments, once its writer has ended. The number of the last record
    /// that is in a segment, once every readable one is; `None` while segments do not take them.
    pub fn rescue(&mut self, lane: &Lane, seed: Seed) -> Option<u64> {
        let (Some(tail), Some(end)) = (&mut self.tail, self.ended_at) else { return None };
        tail.end_at(end, seed, self.last);
        self.write_out(lane);
        self.tail.as_ref().is_none_or(tail::Reader::is_empty).then_some(self.last)
    }

    /// Takes what is in the tail into segments, as far as there are some.
    pub fn write_out(&mut self, lane: &Lane) {
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            return;
        }
        self.is_stuck = false;
        while let Some(whole) = self.find(lane) {
            if (whole.len == 0 || self.is_suspect) && self.go_on(lane) {
                continue;
            }
            // Without another one, a suspect is better than nothing.
            if whole.len == 0 || !self.write(lane, whole) {
                self.is_stuck = true;
                return;
            }
        }
    }

    /// Whole records that wait and fit in the segment; `None` if nothing waits, or the tail cannot be read.
    fn find(&mut self, lane: &Lane) -> Option<Whole> {
        let room = self.segment.as_ref().map_or(0, |segment| segment.len() - self.end);
        self.tail.as_mut()?.find(room).unwrap_or_else(|error| {
            lane.errors.fetch_add(1, Ordering::Relaxed);
            self.untold = Some((None, error));
            None
        })
    }

    /// Takes the records that were found into the segment; whether they are there.
    fn write(&mut self, lane: &Lane, whole: Whole) -> bool {
        let (Some(tail), Some(segment)) = (&mut self.tail, &self.segment) else { return false };
        let number = segment.number;
        let write = || {
            segment.write(&tail.chunk()[..whole.len], self.end)?;
            if tail.is_on_disk() { segment.sync() } else { Ok(()) }
        };
        match write() {
            Ok(()) => {
                self.end += whole.len;
                self.last = whole.last;
                self.is_unsynced = true;
                self.retry_at = None;
                lane.publish(number, self.end);
                tail.take(whole.len);
                true
            }
            Err(error) => {
                lane.obstacle.store(Dropped::Disk as u8, Ordering::Relaxed);
                self.retry_at = Some(Instant::now() + RETRY);
                self.suspect(lane, (Some(number), error));
                false
            }
        }
    }

    /// Seals the segment, and goes on in the next one, if there is one.
    fn go_on(&mut self, lane: &Lane) -> bool {
        if lane.ready.is_empty() || !self.seal(lane) {
            return false;
        }
        let Some(next) = lane.ready.pop() else { return false };
        if let Some(keeper) = lane.keeper.get() {
            keeper.unpark();
        }
        self.end = HEADER_LEN;
        lane.publish(next.number, self.end);
        self.full.extend(self.segment.replace(Arc::new(next)));
        self.is_suspect = false;
        true
    }

    /// Whether nothing is open any more.
    fn seal(&mut self, lane: &Lane) -> bool {
        let Some(segment) = &self.segment else { return true };
        let Err(error) = segment.seal(self.end) else { return true };
        let number = segment.number;
        lane.obstacle.store(Dropped::Disk as u8, Ordering::Relaxed);
        self.retry_at = Some(Instant::now() + RETRY);
        self.suspect(lane, (Some(number), error));
        false
    }

    /// A segment could not be written or put on disk, or the tail. What comes from now on goes to another segment.
    pub fn suspect(&mut self, lane: &Lane, failure: Failure) {
        lane.errors.fetch_add(1, Ordering::Relaxed);
        if self.suspected.is_none_or(|at| at.elapsed() >= GO_ON_AGAIN) {
            self.untold = Some(failure);
            self.suspected = Some(Instant::now());
            self.is_suspect = true;
        }
    }

    /// What failed since the last time that this was asked.
    pub fn failure(&mut self) -> Option<Failure> {
        self.untold.take()
    }

    /// What is to be put on disk; `None` if everything is.
    pub fn unsynced(&mut self) -> Option<Unsynced> {
        let mut segments = std::mem::take(&mut self.full);
        if std::mem::take(&mut self.is_unsynced) {
            segments.extend(self.segment.clone());
        }
        let tail = self.tail.as_mut().filter(|_| self.is_stuck).and_then(tail::Reader::unsynced);
        (!segments.is_empty() || tail.is_some()).then_some(Unsynced { segments, tail })
    }

    /// Takes what there is into segments and seals the last one. What no segment has room for stays in the tail.
    pub fn close(&mut self, lane: &Lane) {
        self.retry_at = None;
        self.write_out(lane);
        if self.seal(lane) {
            self.full.extend(self.segment.take());
        }
    }
}
