//! A lane: one journal that is being written. The redirect path appends records to its [`super::tail`]; other threads
//! flush them from there into segments.
//!
//! The redirect path waits for no lock and allocates nothing. It makes one system call for each quarter of a tail, and
//! more only if every click is to be synced.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};

use prometheus::IntCounter;
use tern_common::click::JournalId;

use super::directory::{self, Lock};
use super::flush::{LaneState, SegmentWriter};
use super::segment::record::{NewClick, Seed};
use super::tail;
use crate::clicks::drop_reason::DropReason;

/// One journal of this process.
#[derive(Debug)]
pub struct Lane {
    pub journal: JournalId,
    pub directory: PathBuf,
    pub(super) seed: Seed,
    /// Whether each record is synced before its answer is sent.
    sync_each: bool,
    writer: Mutex<Writer>,
    /// The number of the last record. Written under the writer's lock.
    pub(super) sequence: AtomicU64,
    /// Flushes records from the tail. The writer waits for this lock only if every click is to be synced.
    segments: Mutex<SegmentWriter>,
    /// Serialises fsync. A thread that holds the lock and finds nothing unsynced knows that every record is durable.
    syncing: Mutex<()>,
    /// The number of the last record that is not to be shipped any more. Written by the shipper.
    shipped: AtomicU64,
    pub(super) state: LaneState,
    /// The lock of the journal's directory. Set once by the thread of the journals, and released when the lane is dropped.
    pub(super) lock: OnceLock<Lock>,
}

#[derive(Debug, Default)]
struct Writer {
    /// `None` before the disk had room for a tail, and while a failed one is not replaced.
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
    /// The tail failed and is not replaced yet. With the error, if the disk refused a new tail.
    Failed(Option<io::Error>),
    /// A failed tail was replaced, and `lost` records with it.
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

    /// Begins to record. Waits for the writer, so the redirect path must not call it.
    pub(super) fn open(&self, (writer, reader): (tail::Writer, tail::Reader)) {
        self.segments().set_tail(reader);
        self.writer().tail = Some(writer);
    }

    /// Appends a record. `None` if another thread is writing to this lane.
    pub fn try_append(&self, click: &NewClick<'_>) -> Option<Result<(), DropReason>> {
        match self.writer.try_lock() {
            Ok(mut writer) => Some(self.append(&mut writer, click)),
            // A panic in the middle of a record has published nothing of it.
            Err(TryLockError::Poisoned(poisoned)) => Some(self.append(&mut poisoned.into_inner(), click)),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn append(&self, writer: &mut Writer, click: &NewClick<'_>) -> Result<(), DropReason> {
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

    /// Flushes the tail into the segments that are ready. Waits for another thread that flushes.
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

    /// Logs the last failure. The redirect path must not call it: formatting takes too much of a coroutine's stack.
    pub(super) fn log_failure(&self) {
        let failure = self.segments().take_failure();
        if let Some((segment, error)) = failure {
            tracing::error!(
                journal = %self.journal, segment, %error,
                "click journal not written or synced; a power cut may lose clicks; going on in another segment; check the disk"
            );
        }
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn segments(&self) -> MutexGuard<'_, SegmentWriter> {
        // A flush that panicked has at most written records that are not counted yet. They are written again.
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Flushes all records, finishes the last segment and ends recording. Waits for the writer.
    pub fn close(&self) {
        self.writer().is_closed = true;
        self.end_failed_tail();
        self.segments().close(&self.state);
    }

    /// Ends the writer of a failed tail and flushes its readable records into the segments that are ready. Returns the
    /// number of the last record in a segment, once no more can be read from the tail.
    ///
    /// Until the tail is replaced, the clicks of this lane are dropped and counted.
    fn end_failed_tail(&self) -> Option<u64> {
        if !self.segments().has_failed_tail() {
            return None;
        }
        // This thread never waits for one lock while it has the other: a writer that syncs each click waits for the segments.
        let failed = self.writer().tail.take();
        let mut segments = self.segments();
        if let Some(tail) = failed {
            self.state.set_obstacle(DropReason::Disk);
            self.state.errors.inc();
            tracing::error!(
                journal = %self.journal,
                "disk refused a page of a journal's tail; one thread drops its clicks; waiting for a new tail; check the disk"
            );
            segments.end_tail_at(tail.appended());
        }
        segments.flush_failed_tail(&self.state, self.seed)
    }

    /// Replaces a failed tail with one of `len` bytes. Waits for the writer, so the redirect path must not call it.
    ///
    /// Records that cannot be read from the file are lost. Later clicks get their numbers.
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
        tracing::warn!(journal = %self.journal, lost, "failed tail of a journal replaced; unreadable clicks are lost and counted; clicks are recorded again");
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

    /// Notes that the records up to number `sequence` need no shipping any more.
    pub fn mark_shipped(&self, sequence: u64) {
        self.shipped.store(sequence, Ordering::Release);
    }

    /// Returns how many records wait for the shipper.
    pub fn pending(&self) -> u64 {
        // Loaded before the sequence, so that the difference is never negative.
        let shipped = self.shipped.load(Ordering::Acquire);
        self.sequence().saturating_sub(shipped)
    }
}

#[cfg(test)]
#[path = "lane_tests.rs"]
mod tests;
