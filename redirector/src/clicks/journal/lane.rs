//! The writing end of one journal: appends records to a mapped segment.
//!
//! On the redirect path: no lock that waits, no allocation, and no system call but one for each segment, unless every
//! click is to be synced.
//! Segments come ready from the [`super::keeper`] and go back to it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, TryLockError};
use std::thread::Thread;

use crossbeam_queue::ArrayQueue;
use tern_common::click::JournalId;

use super::file::{self, Lock, Mapped};
use super::record::{Answered, Seed};
use super::segment::{self, HEADER_LEN};

/// Why a click was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Dropped {
    /// The journals take as much as they may.
    JournalFull,
    /// The disk is full, or fails.
    Disk,
    /// Clicks came faster than segments could be made, from more threads than there are lanes, or after the end.
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
    /// Whether each record is on disk before its answer is sent.
    sync_each: bool,
    writer: Mutex<Writer>,
    /// Up to where records are complete, as [`pack`] has it. Written by the writer, read by shipper and keeper.
    published: AtomicU64,
    /// The number of the last record. Written by the writer.
    sequence: AtomicU64,
    /// The number of the last record that is no longer ours to ship. Written by the shipper.
    settled: AtomicU64,
    /// The segments to go on in, two, so that a disk may stall for as long as one of them lasts. Filled by the keeper.
    pub(super) ready: ArrayQueue<Mapped>,
    /// Segments that are full. Emptied by the keeper, since unmapping takes its time.
    pub(super) full: ArrayQueue<Mapped>,
    /// The segment that is being filled could not be synced: go on in another. Set by the keeper.
    pub(super) is_suspect: AtomicBool,
    /// Why there is no segment ready, when there is none. Written by the keeper.
    pub(super) obstacle: AtomicU8,
    /// The right to the journal's directory. Set by the keeper, once; held for as long as anybody may write.
    pub(super) lock: OnceLock<Lock>,
    /// Woken when a segment was taken. Set by itself, once.
    pub(super) keeper: OnceLock<Thread>,
    /// Syncs that failed, of all lanes.
    sync_errors: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Writer {
    segment: Option<Mapped>,
    seed: Seed,
    offset: usize,
    sequence: u64,
    is_closed: bool,
}

impl Lane {
    pub fn new(root: &Path, journal: JournalId, sync_each: bool, sync_errors: Arc<AtomicU64>) -> Lane {
        let seed = Seed::new(journal, 0);
        let writer = Writer { segment: None, seed, offset: 0, sequence: 0, is_closed: false };
        Lane {
            journal,
            directory: file::directory(root, journal),
            sync_each,
            writer: Mutex::new(writer),
            published: AtomicU64::new(0),
            sequence: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            ready: ArrayQueue::new(2),
            full: ArrayQueue::new(4),
            is_suspect: AtomicBool::new(false),
            obstacle: AtomicU8::new(Dropped::Busy as u8),
            lock: OnceLock::new(),
            keeper: OnceLock::new(),
            sync_errors,
        }
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
        let len = click.record_len();
        let fits = writer.segment.as_ref().is_some_and(|segment| writer.offset + len <= segment.len());
        if !fits {
            self.go_on(writer)?;
        } else if self.is_suspect.load(Ordering::Relaxed) {
            // Without another one, memory alone is better than nothing.
            let _ = self.go_on(writer);
        }
        let Writer { segment: Some(segment), seed, offset, sequence, .. } = writer else {
            return Err(Dropped::Disk);
        };
        let Some(room) = segment.get_mut(*offset..*offset + len) else { return Err(Dropped::JournalFull) };
        let published = click.write(room, *seed, *sequence + 1);
        // Whoever kills this process finds either no length or a whole record.
        fence(Ordering::Release);
        room[..published.len()].copy_from_slice(&published);
        let start = *offset;
        *offset += len;
        *sequence += 1;
        if self.sync_each && segment.sync(start, len).is_err() {
            self.sync_errors.fetch_add(1, Ordering::Relaxed);
            self.is_suspect.store(true, Ordering::Relaxed);
        }
        // Before the position: whoever sees the record counts it.
        self.sequence.store(*sequence, Ordering::Release);
        self.published.store(pack(segment.number, *offset), Ordering::Release);
        Ok(())
    }

    /// Seals the segment, and goes on in the next one, if there is one.
    fn go_on(&self, writer: &mut Writer) -> Result<(), Dropped> {
        let next = self.ready.pop().ok_or_else(|| Dropped::from_code(self.obstacle.load(Ordering::Relaxed)))?;
        if let Some(keeper) = self.keeper.get() {
            // A system call, once for thousands of clicks.
            keeper.unpark();
        }
        writer.seal();
        writer.seed = Seed::new(self.journal, next.number);
        writer.offset = HEADER_LEN;
        self.published.store(pack(next.number, HEADER_LEN), Ordering::Release);
        self.is_suspect.store(false, Ordering::Relaxed);
        if let Some(full) = writer.segment.replace(next) {
            // If the keeper is behind, unmapping is ours after all.
            drop(self.full.push(full));
        }
        Ok(())
    }

    /// Seals what is open: nothing more will be written. Waits for the writer, so not on the redirect path.
    pub fn close(&self) {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.seal();
        writer.segment = None;
        writer.is_closed = true;
    }

    /// Up to where records may be read, a segment and an offset; everything before is complete. `None` before the first
    /// segment.
    pub fn published(&self) -> Option<(u64, u64)> {
        let packed = self.published.load(Ordering::Acquire);
        (packed != 0).then_some((packed >> OFFSET_BITS, packed & OFFSET_MASK))
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

impl Writer {
    fn seal(&mut self) {
        if let Some(segment) = &mut self.segment {
            segment::seal(segment, self.offset);
        }
    }
}

/// Offsets take 32 bits of a packed position: a segment is never larger than [`segment::MAX_SEGMENT`].
const OFFSET_BITS: u32 = 32;
const OFFSET_MASK: u64 = (1 << OFFSET_BITS) - 1;

fn pack(segment: u64, offset: usize) -> u64 {
    segment << OFFSET_BITS | offset as u64
}
