//! How much of the disk all journals of a process may take, and what may go to make room.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::statvfs::statvfs;
use tern_common::click::JournalId;

use super::file::segment_path;
use super::lane::Dropped;

/// The room that the journals have. Shared by the keeper, who takes it, and the shipper, who gives it back.
#[derive(Debug)]
pub struct Space {
    root: PathBuf,
    /// All segments together, in bytes.
    limit: u64,
    /// What is left to others on the same disk, in bytes.
    floor: u64,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Bytes of all segments that are there.
    used: u64,
    /// Segments that are in the store, oldest first: there still, should the store lose its last commits.
    shipped: VecDeque<Shipped>,
}

#[derive(Debug)]
struct Shipped {
    journal: JournalId,
    number: u64,
    path: PathBuf,
    bytes: u64,
    at: Instant,
}

impl Space {
    pub fn new(root: &Path, limit: u64, floor: u64) -> Space {
        Space { root: root.to_owned(), limit, floor, kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes `bytes` for a new segment. Shipped segments go for it, the oldest first; others never do.
    pub fn take(&self, bytes: u64) -> Result<(), Dropped> {
        let mut kept = self.kept();
        loop {
            let obstacle = if kept.used + bytes > self.limit {
                Dropped::JournalFull
            } else if self.free().is_none_or(|free| free < self.floor.saturating_add(bytes)) {
                Dropped::Disk
            } else {
                kept.used += bytes;
                return Ok(());
            };
            if !kept.remove_oldest() {
                return Err(obstacle);
            }
        }
    }

    /// What a user of the disk may still write, in bytes.
    fn free(&self) -> Option<u64> {
        let disk = statvfs(&self.root).ok()?;
        Some(disk.blocks_available().saturating_mul(disk.fragment_size()))
    }

    /// Counts segments that were there before.
    pub fn adopt(&self, bytes: u64) {
        self.kept().used += bytes;
    }

    /// Gives back what was taken for a segment that is not there.
    pub fn give_back(&self, bytes: u64) {
        let mut kept = self.kept();
        kept.used = kept.used.saturating_sub(bytes);
    }

    /// Whether less than a tenth of the room is left, shipped segments not counted.
    pub fn used(&self) -> u64 {
        self.kept().used
    }

    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// A segment is in the store, all of it.
    pub fn shipped(&self, journal: JournalId, directory: &Path, number: u64, now: Instant) {
        let path = segment_path(directory, number);
        let bytes = fs::metadata(&path).map_or(0, |file| file.len());
        self.kept().shipped.push_back(Shipped { journal, number, path, bytes, at: now });
    }

    /// Segments of this journal from `number` on are not in the store after all.
    pub fn unship(&self, journal: JournalId, number: u64) {
        self.kept().shipped.retain(|segment| segment.journal != journal || segment.number < number);
    }

    /// Removes segments that were shipped longer than `keep` ago.
    pub fn remove_older(&self, keep: Duration, now: Instant) {
        let mut kept = self.kept();
        while kept.shipped.front().is_some_and(|oldest| now.duration_since(oldest.at) >= keep) {
            kept.remove_oldest();
        }
    }

    /// How many shipped segments of this journal are still there.
    pub fn kept_of(&self, journal: JournalId) -> usize {
        self.kept().shipped.iter().filter(|segment| segment.journal == journal).count()
    }
}

impl Kept {
    /// Whether there was one.
    fn remove_oldest(&mut self) -> bool {
        let Some(oldest) = self.shipped.pop_front() else { return false };
        match fs::remove_file(&oldest.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::error!(path = %oldest.path.display(), %error, "a shipped segment could not be removed");
            }
            _ => self.used = self.used.saturating_sub(oldest.bytes),
        }
        true
    }
}
