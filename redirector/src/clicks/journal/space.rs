//! How much of the disk the journals of a process may take, and what may go to make room.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use nix::sys::statvfs::statvfs;
use tern_common::click::JournalId;

use super::file::segment_path;
use super::lane::Dropped;

/// The room that the journals have. Shared by the keeper, who takes it, and the shipper, who gives it back.
#[derive(Debug)]
pub struct Space {
    root: PathBuf,
    /// All segments and tails together, in bytes.
    limit: u64,
    /// What is left to others on the same disk, in bytes.
    floor: u64,
    /// Bytes of all segments and tails that are there. Written by whoever makes or removes one.
    used: AtomicU64,
    /// Segments that are in the store, oldest first: there still, should the store lose its last commits.
    shipped: Mutex<VecDeque<Shipped>>,
}

#[derive(Debug)]
struct Shipped {
    journal: JournalId,
    number: u64,
    path: PathBuf,
    bytes: u64,
    at: SystemTime,
}

impl Space {
    pub fn new(root: &Path, limit: u64, floor: u64) -> Space {
        Space { root: root.to_owned(), limit, floor, used: AtomicU64::new(0), shipped: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Shipped>> {
        self.shipped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes `bytes` for a new segment or tail. Shipped segments go for it, the oldest first; others never do.
    pub fn take(&self, bytes: u64) -> Result<(), Dropped> {
        loop {
            let obstacle = if self.used() + bytes > self.limit {
                Dropped::JournalFull
            } else if self.free().is_none_or(|free| free < self.floor.saturating_add(bytes)) {
                Dropped::Disk
            } else {
                self.add(bytes);
                return Ok(());
            };
            let Some(oldest) = self.lock().pop_front() else { return Err(obstacle) };
            self.remove(&oldest);
        }
    }

    /// What a user of the disk may still write, in bytes.
    fn free(&self) -> Option<u64> {
        let disk = statvfs(&self.root).ok()?;
        Some(disk.blocks_available().saturating_mul(disk.fragment_size()))
    }

    /// Counts a segment that is there.
    pub fn add(&self, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Gives back what was taken for a file that is not there.
    pub fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes of all segments and tails.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// What journals may still take before clicks are dropped: of their limit or of the disk, whichever is less.
    /// Shipped segments are room.
    pub fn room(&self) -> u64 {
        let shipped: u64 = self.lock().iter().map(|segment| segment.bytes).sum();
        let of_limit = self.limit.saturating_sub(self.used().saturating_sub(shipped));
        let of_disk = self.free().unwrap_or(0).saturating_add(shipped).saturating_sub(self.floor);
        of_limit.min(of_disk)
    }

    /// A segment is in the store, all of it, since `at`. To say it twice changes nothing.
    pub fn shipped(&self, journal: JournalId, directory: &Path, number: u64, at: SystemTime) {
        let path = segment_path(directory, number);
        let bytes = match fs::metadata(&path) {
            // One that is not there, as in a journal without clicks, is not to be kept either.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            file => file.map_or(0, |file| file.len()),
        };
        let mut shipped = self.lock();
        if shipped.iter().any(|segment| segment.journal == journal && segment.number == number) {
            return;
        }
        let place = shipped.partition_point(|segment| segment.at <= at);
        shipped.insert(place, Shipped { journal, number, path, bytes, at });
    }

    /// Segments of this journal from `number` on are not in the store after all.
    pub fn unship(&self, journal: JournalId, number: u64) {
        self.lock().retain(|segment| segment.journal != journal || segment.number < number);
    }

    /// Removes segments that were shipped longer than `keep` ago.
    pub fn remove_older(&self, keep: Duration) {
        let is_old = |segment: &mut Shipped| segment.at.elapsed().is_ok_and(|age| age >= keep);
        loop {
            let Some(oldest) = self.lock().pop_front_if(is_old) else { return };
            self.remove(&oldest);
        }
    }

    /// How many shipped segments of this journal are still there.
    pub fn kept_of(&self, journal: JournalId) -> usize {
        self.lock().iter().filter(|segment| segment.journal == journal).count()
    }

    fn remove(&self, segment: &Shipped) {
        match fs::remove_file(&segment.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::error!(path = %segment.path.display(), %error, "a shipped segment could not be removed");
            }
            _ => self.give_back(segment.bytes),
        }
    }
}
