//! The room on the disk for the journals of a process. Shipped segments are removed to make room.

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

/// Bytes that journals leave free on a large disk.
const DEFAULT_FLOOR: u64 = 1 << 30;

/// The divisor of a small disk's size: journals leave a twentieth of it free, as file systems reserve for root.
const DEFAULT_FLOOR_PART: u64 = 20;

/// The room of the journals. The thread that makes segments takes it, and the shipper releases it.
#[derive(Debug)]
pub struct Space {
    root: PathBuf,
    /// The most bytes that all segments and tails may take together.
    limit: u64,
    /// Bytes of the disk that journals leave free. `None` means the default for the size of the disk.
    floor: Option<u64>,
    /// Bytes of all existing segments and tails. Written by each thread that makes or removes one.
    used: AtomicU64,
    /// Segments that are in the store, oldest first. They are retained in case the store loses its last commits.
    shipped: Mutex<VecDeque<ShippedSegment>>,
    /// The reason why journals cannot grow, if they cannot. Written by the thread that makes segments.
    shortage: Mutex<Option<Shortage>>,
}

/// The bytes of a disk that an unprivileged process may still write, and those that journals leave free.
struct Disk {
    free: u64,
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

    /// Takes `bytes` for a new segment or tail. Removes shipped segments to make room, oldest first, and never any other.
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

    /// Counts the bytes of an existing file.
    pub fn add(&self, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Releases the bytes of a file that was removed or not made.
    pub fn release(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Returns the bytes of all segments and tails.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Returns the bytes that journals may still take before clicks are dropped: the less of limit and disk. Shipped
    /// segments count as room.
    pub fn room(&self) -> u64 {
        let shipped: u64 = self.lock().iter().map(|segment| segment.bytes).sum();
        let of_limit = self.limit.saturating_sub(self.used().saturating_sub(shipped));
        let of_disk = self.disk().map_or(0, |disk| disk.free.saturating_add(shipped).saturating_sub(disk.floor));
        of_limit.min(of_disk)
    }

    /// Notes that all of a segment is in the store since `at`. A second call for a segment changes nothing.
    pub fn mark_shipped(&self, journal: JournalId, directory: &Path, number: u64, at: SystemTime) {
        let path = segment_path(directory, number);
        let bytes = match fs::metadata(&path) {
            // A journal without clicks has no segment to retain.
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

    /// Notes that segments of this journal from `number` on are not in the store after all.
    pub fn unmark_shipped(&self, journal: JournalId, number: u64) {
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

    /// Returns the number of shipped segments of this journal that are still retained.
    pub fn retained_segments(&self, journal: JournalId) -> usize {
        self.lock().iter().filter(|segment| segment.journal == journal).count()
    }

    fn remove(&self, segment: &ShippedSegment) {
        match fs::remove_file(&segment.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::error!(
                    path = %segment.path.display(), %error,
                    "shipped segment of a click journal not removed; it takes room that clicks need; remove the file"
                );
            }
            _ => self.release(segment.bytes),
        }
    }
}

/// Returns the bytes that journals leave free on a disk of `disk` bytes, unless configured.
fn default_floor(disk: u64) -> u64 {
    DEFAULT_FLOOR.min(disk / DEFAULT_FLOOR_PART)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_floor_of_a_small_disk_is_a_twentieth() {
        const GIB: u64 = 1 << 30;
        assert_eq!([2 * GIB, 20 * GIB, 100 * GIB, 0].map(default_floor), [GIB / 10, GIB, GIB, 0]);
    }

    #[test]
    fn file_beyond_a_limit_is_refused_with_the_setting_and_its_numbers() {
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
