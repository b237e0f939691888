//! How much of the disk the journals of a process may take, and what may go to make room.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytesize::ByteSize;
use nix::sys::statvfs::statvfs;
use tern_common::click::JournalId;

use super::segment::file::segment_path;
use super::shortage::Shortage;

/// Bytes that journals leave to others on a large disk.
const DEFAULT_FLOOR: u64 = 1 << 30;

/// The part of a disk that journals leave to others where that is less than [`DEFAULT_FLOOR`]: one in twenty, as file
/// systems reserve it for root.
const DEFAULT_FLOOR_PART: u64 = 20;

/// The room of the journals. Taken by the thread that makes segments, given back by the shipper.
#[derive(Debug)]
pub struct Space {
    root: PathBuf,
    /// All segments and tails together, in bytes.
    limit: u64,
    /// Bytes of the disk that are left to other programs. `None` is [`DEFAULT_FLOOR`].
    floor: Option<u64>,
    /// Bytes of all segments and tails that are there. Written by whoever makes or removes one.
    used: AtomicU64,
    /// Segments that are in the store, oldest first: there still, should the store lose its last commits.
    shipped: Mutex<VecDeque<ShippedSegment>>,
    /// The reason why journals cannot grow, if they cannot. Written by the thread that makes segments.
    shortage: Mutex<Option<Shortage>>,
}

/// The room on a disk.
struct Disk {
    /// Bytes that a user of the disk may still write.
    free: u64,
    /// Bytes that journals leave to others.
    floor: u64,
}

#[derive(Debug)]
struct ShippedSegment {
    journal: JournalId,
    number: u64,
    path: PathBuf,
    bytes: u64,
    at: SystemTime,
}

impl Space {
    pub fn new(root: &Path, limit: u64, floor: Option<u64>) -> Space {
        Space {
            root: root.to_owned(),
            limit,
            floor,
            used: AtomicU64::new(0),
            shipped: Mutex::default(),
            shortage: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<ShippedSegment>> {
        self.shipped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes `bytes` for a new segment or tail. Shipped segments go for it, the oldest first; others never do.
    pub fn take(&self, bytes: u64) -> Result<(), Shortage> {
        loop {
            let (root, used) = (self.root.clone(), self.used());
            let shortage = match self.disk() {
                _ if used + bytes > self.limit => {
                    Shortage::Limit { root, used: ByteSize::b(used), limit: ByteSize::b(self.limit) }
                }
                Ok(Disk { free, floor }) if free < floor.saturating_add(bytes) => {
                    Shortage::Floor { root, free: ByteSize::b(free), floor: ByteSize::b(floor) }
                }
                Ok(_) => {
                    self.add(bytes);
                    return Ok(());
                }
                Err(error) => self.refusal(&error),
            };
            let Some(oldest) = self.lock().pop_front() else { return Err(shortage) };
            self.remove(&oldest);
        }
    }

    fn disk(&self) -> io::Result<Disk> {
        let disk = statvfs(&self.root)?;
        let bytes = |blocks: u64| blocks.saturating_mul(disk.fragment_size());
        let floor = self.floor.unwrap_or_else(|| default_floor(bytes(disk.blocks())));
        Ok(Disk { free: bytes(disk.blocks_available()), floor })
    }

    /// Returns the reason why journals cannot grow, if they cannot.
    pub fn shortage(&self) -> Option<Shortage> {
        self.shortage.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the shortage of a disk that refused a file.
    pub(super) fn refusal(&self, error: &io::Error) -> Shortage {
        Shortage::Disk { root: self.root.clone(), error: error.to_string() }
    }

    pub(super) fn set_shortage(&self, shortage: Option<Shortage>) {
        *self.shortage.lock().unwrap_or_else(PoisonError::into_inner) = shortage;
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
        let of_disk = self.disk().map_or(0, |disk| disk.free.saturating_add(shipped).saturating_sub(disk.floor));
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
        shipped.insert(place, ShippedSegment { journal, number, path, bytes, at });
    }

    /// Segments of this journal from `number` on are not in the store after all.
    pub fn unship(&self, journal: JournalId, number: u64) {
        self.lock().retain(|segment| segment.journal != journal || segment.number < number);
    }

    /// Removes segments that were shipped longer than `keep` ago.
    pub fn remove_older(&self, keep: Duration) {
        let is_old = |segment: &mut ShippedSegment| segment.at.elapsed().is_ok_and(|age| age >= keep);
        loop {
            let Some(oldest) = self.lock().pop_front_if(is_old) else { return };
            self.remove(&oldest);
        }
    }

    /// How many shipped segments of this journal are still there.
    pub fn retained_of(&self, journal: JournalId) -> usize {
        self.lock().iter().filter(|segment| segment.journal == journal).count()
    }

    fn remove(&self, segment: &ShippedSegment) {
        match fs::remove_file(&segment.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::error!(path = %segment.path.display(), %error, "a shipped segment could not be removed");
            }
            _ => self.give_back(segment.bytes),
        }
    }
}

/// Returns what journals leave to others on a disk of so many bytes.
fn default_floor(disk: u64) -> u64 {
    DEFAULT_FLOOR.min(disk / DEFAULT_FLOOR_PART)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floor_by_default_is_a_twentieth_of_a_small_disk() {
        const GIB: u64 = 1 << 30;
        assert_eq!([2 * GIB, 20 * GIB, 100 * GIB, 0].map(default_floor), [GIB / 10, GIB, GIB, 0]);
    }

    #[test]
    fn file_that_does_not_fit_is_refused_with_the_setting_and_its_numbers() {
        let root = tempfile::tempdir().unwrap();
        let refused = |limit, floor| {
            let space = Space::new(root.path(), limit, Some(floor));
            space.add(3 << 20);
            space.set_shortage(space.take(2 << 20).err());
            space.shortage().map(|shortage| shortage.to_string())
        };
        let root = root.path().display();
        assert_eq!(refused(8 << 20, 0), None);
        let limit = refused(4 << 20, 0).unwrap();
        assert!(
            limit.starts_with(&format!("the journals in {root} take 3.0 MiB of the 4.0 MiB that CLICK_")),
            "{limit}"
        );
        let floor = refused(8 << 20, 1 << 50).unwrap();
        assert!(floor.starts_with(&format!("the disk of {root} has ")), "{floor}");
        assert!(floor.contains(" free, of which CLICK_DISK_FLOOR reserves 1.0 PiB; make room"), "{floor}");
    }
}
