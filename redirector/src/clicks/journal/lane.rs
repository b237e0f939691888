//! One journal that is being written: records go into its [`super::tail`] on the redirect path, and from there into
//! segments elsewhere.
//!
//! On the redirect path: no lock that waits, no allocation, and no system call but one for each quarter of a tail, unless
//! every click is to be synced.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::thread::Thread;

use crossbeam_queue::ArrayQueue;
use tern_common::click::JournalId;

use super::flush::Outlet;
use super::segment::file::{self, Lock, Segment};
use super::segment::record::{Answered, Seed};
use super::tail;

/// Why a click was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Dropped {
    /// The journals take as much as they may.
    JournalFull,
    /// The disk is full, or fails.
    Disk,
    /// Clicks came faster than they could be put into segments, from more threads than there are lanes, or after the end.
    Busy,
}

impl Dropped {
    pub const ALL: [Dropped; 3] = [Dropped::JournalFull, Dropped::Disk, Dropped::Busy];

    fn from_code(code: u8) -> Dropped {
        Dropped::ALL.into_iter().find(|reason| *reason as u8 == code).unwrap_or(Dropped::Disk)
    }
}

/// One journal that is being written.
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
    /// Where records go from the tail. Never waited for by the writer, unless every click is to be synced.
    outlet: Mutex<Outlet>,
    /// Held by who puts records on disk: who has it and finds none that are not there knows that all are.
    syncing: Mutex<()>,
    /// Up to where records are in segments, as [`Lane::publish`] packs it. Written by the outlet.
    published: AtomicU64,
    /// The number of the last record that is no longer ours to ship. Written by the shipper.
    settled: AtomicU64,
    /// The segments to go on in, two, so that the next one may take as long to make as one of them lasts. Filled by the
    /// keeper.
    pub(super) ready: ArrayQueue<Segment>,
    /// Why there is no room, when there is none. Written by keeper and outlet.
    pub(super) obstacle: AtomicU8,
    /// The right to the journal's directory. Set by the keeper, once; held for as long as anybody may write.
    pub(super) lock: OnceLock<Lock>,
    /// Woken when there is much in the tail, or a segment was taken. Set by itself, once.
    pub(super) keeper: OnceLock<Thread>,
    /// Writes and syncs that failed, of all lanes.
    pub(super) errors: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
pub(super) struct Writer {
    /// None before the disk had room for it, and while one that failed is not replaced.
    pub(super) tail: Option<tail::Writer>,
    pub(super) sequence: u64,
    /// How much is appended when the keeper is woken.
    pub(super) wake_at: u64,
    is_closed: bool,
}

impl Lane {
    pub fn new(root: &Path, journal: JournalId, sync_each: bool, errors: Arc<AtomicU64>) -> Lane {
        Lane {
            journal,
            directory: file::directory(root, journal),
            seed: Seed::new(journal),
            sync_each,
            writer: Mutex::default(),
            sequence: AtomicU64::new(0),
            outlet: Mutex::default(),
            syncing: Mutex::default(),
            published: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            ready: ArrayQueue::new(2),
            obstacle: AtomicU8::new(Dropped::Busy as u8),
            lock: OnceLock::new(),
            keeper: OnceLock::new(),
            errors,
        }
    }

    /// Begins to record. Waits for the writer, so not on the redirect path.
    pub(super) fn open(&self, (writer, reader): (tail::Writer, tail::Reader)) {
        self.outlet().open(reader);
        self.writer().tail = Some(writer);
    }

    /// Appends a record. `None` if somebody else is writing to this lane.
    pub fn try_append(&self, click: &Answered<'_>) -> Option<Result<(), Dropped>> {
        match self.writer.try_lock() {
            Ok(mut writer) => Some(self.append(&mut writer, click)),
            // A panic in the middle of a record has published nothing of it.
            Err(TryLockError::Poisoned(poisoned)) => Some(self.append(&mut poisoned.into_inner(), click)),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn append(&self, writer: &mut Writer, click: &Answered<'_>) -> Result<(), Dropped> {
        if writer.is_closed {
            return Err(Dropped::Busy);
        }
        let obstacle = || Dropped::from_code(self.obstacle.load(Ordering::Relaxed));
        let Some(tail) = &mut writer.tail else { return Err(obstacle()) };
        if !tail.append(click, self.seed, writer.sequence + 1) {
            return Err(if tail.has_failed() { Dropped::Disk } else { obstacle() });
        }
        writer.sequence += 1;
        self.sequence.store(writer.sequence, Ordering::Release);
        if tail.appended() >= writer.wake_at {
            writer.wake_at = tail.appended() + tail.len() / 4;
            if let Some(keeper) = self.keeper.get() {
                // A system call, once for thousands of clicks.
                keeper.unpark();
            }
        }
        if self.sync_each {
            self.write_out();
            self.sync();
        }
        Ok(())
    }

    /// Puts what is in the tail into segments, as far as there are some. Waits for who does this already, so not on the
    /// redirect path.
    pub fn write_out(&self) {
        self.outlet().write_out(self);
    }

    /// Puts what is in segments on disk, and what had to stay in the tail. Waits for the disk.
    pub(super) fn sync(&self) {
        let _syncing = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(unsynced) = self.outlet().unsynced() else { return };
        let Err(failure) = unsynced.sync() else { return };
        // What it holds is still in memory, and may reach the disk or not; the kernel does not say it twice.
        self.outlet().suspect(self, failure);
    }

    /// Says what failed. Not on the redirect path: formatting has no place on a coroutine's stack.
    pub(super) fn tell(&self) {
        let failure = self.outlet().failure();
        if let Some((segment, error)) = failure {
            let journal = &self.journal;
            tracing::error!(%journal, segment, %error, "a journal of clicks could not be written or synced");
        }
    }

    pub(super) fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn outlet(&self) -> MutexGuard<'_, Outlet> {
        // A panic in it has at most written something that is not counted, and is written again.
        self.outlet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts what there is into segments and seals the last one: nothing more will be written. Waits for the writer, so
    /// not on the redirect path.
    pub fn close(&self) {
        self.writer().is_closed = true;
        self.stop_failed_tail();
        self.outlet().close(self);
    }

    /// Up to where records may be read, a segment and an offset; everything before is complete. `None` before the first
    /// segment.
    pub fn published(&self) -> Option<(u64, u64)> {
        let packed = self.published.load(Ordering::Acquire);
        (packed != 0).then_some((packed >> OFFSET_BITS, packed & OFFSET_MASK))
    }

    pub(super) fn publish(&self, segment: u64, offset: usize) {
        self.published.store(segment << OFFSET_BITS | offset as u64, Ordering::Release);
    }

    /// The number of the last record.
    pub fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::Acquire)
    }

    /// Everything up to this record has been seen to.
    pub fn settle(&self, sequence: u64) {
        self.settled.store(sequence, Ordering::Release);
    }

    /// Records that nobody has seen to yet.
    pub fn pending(&self) -> u64 {
        // In this order, so that it is never less than none.
        let settled = self.settled.load(Ordering::Acquire);
        self.sequence().saturating_sub(settled)
    }
}

/// Offsets take 32 bits of a packed position: a segment is never larger than [`super::segment::format::MAX_SEGMENT`].
const OFFSET_BITS: u32 = 32;
const OFFSET_MASK: u64 = (1 << OFFSET_BITS) - 1;
