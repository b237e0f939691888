//! One journal that is being written: records go into its [`super::tail`] on the redirect path, and from there into
//! segments elsewhere.
//!
//! On the redirect path: no lock that waits, no allocation, and no system call but one for each quarter of a tail, unless
//! every click is to be synced.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};

use prometheus::IntCounter;
use tern_common::click::JournalId;

use super::directory::{self, Lock};
use super::flush::{LaneState, SegmentWriter};
use super::segment::record::{Answered, Seed};
use super::tail;
use crate::clicks::drop_reason::DropReason;

/// One journal of this process.
#[derive(Debug)]
pub struct Lane {
    pub journal: JournalId,
    pub directory: PathBuf,
    pub(super) seed: Seed,
    /// Whether each record is on disk before its answer is sent.
    sync_each: bool,
    writer: Mutex<Writer>,
    /// The number of the last record. Written under the writer's lock.
    pub(super) sequence: AtomicU64,
    /// The end that flushes records from the tail. The writer never waits for it, unless every click is to be synced.
    segments: Mutex<SegmentWriter>,
    /// Serialises fsync. A thread that holds the lock and finds nothing unsynced knows that every record is durable.
    syncing: Mutex<()>,
    /// The number of the last record that is not to be shipped any more. Written by the shipper.
    shipped: AtomicU64,
    pub(super) state: LaneState,
    /// The lock of the journal's directory. Set by the thread of the journals, once, and held until the lane is dropped.
    pub(super) lock: OnceLock<Lock>,
}

#[derive(Debug, Default)]
struct Writer {
    /// `None` before the disk had room for it, and while a failed one is not replaced.
    tail: Option<tail::Writer>,
    sequence: u64,
    /// The appended bytes at which the thread of the journals is woken.
    wake_at: u64,
    is_closed: bool,
}

/// The state of a lane's tail.
#[derive(Debug)]
pub(super) enum TailState {
    Sound,
    /// It failed, and is not replaced yet. With the error, if the disk took no other tail.
    Failed(Option<io::Error>),
    /// It was replaced, and so many records were lost.
    Replaced {
        lost: u64,
    },
}

impl Lane {
    pub fn new(root: &Path, journal: JournalId, sync_each: bool, errors: IntCounter) -> Lane {
        Lane {
            journal,
            directory: directory::path(root, journal),
            seed: Seed::new(journal),
            sync_each,
            writer: Mutex::default(),
            sequence: AtomicU64::new(0),
            segments: Mutex::default(),
            syncing: Mutex::default(),
            shipped: AtomicU64::new(0),
            state: LaneState::new(errors),
            lock: OnceLock::new(),
        }
    }

    /// Begins to record. Waits for the writer, so not on the redirect path.
    pub(super) fn open(&self, (writer, reader): (tail::Writer, tail::Reader)) {
        self.segments().set_tail(reader);
        self.writer().tail = Some(writer);
    }

    /// Appends a record. `None` if another thread is writing to this lane.
    pub fn try_append(&self, click: &Answered<'_>) -> Option<Result<(), DropReason>> {
        match self.writer.try_lock() {
            Ok(mut writer) => Some(self.append(&mut writer, click)),
            // A panic in the middle of a record has published nothing of it.
            Err(TryLockError::Poisoned(poisoned)) => Some(self.append(&mut poisoned.into_inner(), click)),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn append(&self, writer: &mut Writer, click: &Answered<'_>) -> Result<(), DropReason> {
        if writer.is_closed {
            return Err(DropReason::Busy);
        }
        let Some(tail) = &mut writer.tail else { return Err(self.state.obstacle()) };
        if !tail.append(click, self.seed, writer.sequence + 1) {
            return Err(if tail.has_failed() { DropReason::Disk } else { self.state.obstacle() });
        }
        writer.sequence += 1;
        self.sequence.store(writer.sequence, Ordering::Release);
        if tail.appended() >= writer.wake_at {
            writer.wake_at = tail.appended() + tail.len() / 4;
            // A system call, once for thousands of clicks.
            self.state.wake_thread();
        }
        if self.sync_each {
            self.flush();
            self.sync();
        }
        Ok(())
    }

    /// Flushes the tail into segments, as far as there are some. Waits for another thread that does it already, so not on
    /// the redirect path.
    pub fn flush(&self) {
        self.segments().flush(&self.state);
    }

    /// Syncs the segments, and the tail if records had to stay there. Waits for the disk.
    pub(super) fn sync(&self) {
        let _syncing = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(unsynced) = self.segments().take_unsynced() else { return };
        let Err(failure) = unsynced.sync() else { return };
        // The kernel reports a failed sync once: the pages are still in memory, and may or may not reach the disk.
        self.segments().suspect(&self.state, failure);
    }

    /// Logs the last failure. Not on the redirect path: formatting has no place on a coroutine's stack.
    pub(super) fn log_failure(&self) {
        let failure = self.segments().take_failure();
        if let Some((segment, error)) = failure {
            let journal = &self.journal;
            tracing::error!(journal = %journal, segment, %error, "a journal of clicks could not be written or synced");
        }
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn segments(&self) -> MutexGuard<'_, SegmentWriter> {
        // A panic in it has at most written something that is not counted, and is written again.
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Flushes all records and seals the last segment: nothing more is recorded. Waits for the writer, so not on the
    /// redirect path.
    pub fn close(&self) {
        self.writer().is_closed = true;
        self.end_failed_tail();
        self.segments().close(&self.state);
    }

    /// Ends the writer of a failed tail, and flushes what is readable as far as there are segments. Returns the number of
    /// the last record in a segment, once nothing more can be read from the tail.
    ///
    /// Until the tail is replaced, the clicks of this lane are dropped and counted.
    fn end_failed_tail(&self) -> Option<u64> {
        if !self.segments().has_failed_tail() {
            return None;
        }
        // No lock is waited for while another one is held: a writer that syncs each click waits for the segments.
        let failed = self.writer().tail.take();
        let mut segments = self.segments();
        if let Some(tail) = failed {
            self.state.set_obstacle(DropReason::Disk);
            self.state.errors.inc();
            tracing::error!(
                journal = %self.journal,
                "the disk refused a page of a journal's tail; the clicks of one thread are dropped until it takes another tail"
            );
            segments.end_tail_at(tail.appended());
        }
        segments.flush_failed_tail(&self.state, self.seed)
    }

    /// Replaces the tail if it failed, with one of `len` bytes. Not on the redirect path.
    ///
    /// Records that the file does not give back are lost. Their numbers are given to the clicks that follow.
    pub(super) fn replace_failed_tail(&self, len: usize) -> TailState {
        let Some(last) = self.end_failed_tail() else {
            return if self.segments().has_failed_tail() { TailState::Failed(None) } else { TailState::Sound };
        };
        let (tail, reader) = match tail::create(&self.directory, self.journal, len) {
            Ok(made) => made,
            Err(error) => return TailState::Failed(Some(error)),
        };
        self.segments().set_tail(reader);
        let mut writer = self.writer();
        let lost = writer.sequence.saturating_sub(last);
        *writer = Writer { tail: Some(tail), sequence: last, wake_at: 0, is_closed: writer.is_closed };
        self.sequence.store(last, Ordering::Release);
        tracing::warn!(journal = %self.journal, lost, "a journal has a tail again; its clicks are recorded");
        TailState::Replaced { lost }
    }

    /// Returns where readable records end: a segment and an offset. `None` before the first segment.
    pub fn published(&self) -> Option<(u64, u64)> {
        self.segments().published()
    }

    /// Returns the number of the last record.
    pub fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::Acquire)
    }

    /// Takes note that the records up to number `sequence` are not to be shipped any more.
    pub fn mark_shipped(&self, sequence: u64) {
        self.shipped.store(sequence, Ordering::Release);
    }

    /// Returns how many records wait for the shipper.
    pub fn pending(&self) -> u64 {
        // In this order, so that the difference is never negative.
        let shipped = self.shipped.load(Ordering::Acquire);
        self.sequence().saturating_sub(shipped)
    }
}

#[cfg(test)]
#[path = "lane_tests.rs"]
mod tests;
