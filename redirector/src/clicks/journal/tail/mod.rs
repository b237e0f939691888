//! The tail of a journal: a ring in a mapped file. Each record is there before its redirect is answered, until it is in a
//! segment.
//!
//! The kernel retains what was written to the mapping, whatever happens to the process. A sync of the mapping
//! write-protects each page, and the next write to it faults, which costs several times what the record does. Records are
//! therefore synced in segments. Only those for which no segment has room are synced here.
//!
//! A disk that is full or fails may refuse the writer a page at any time. The writer survives it (see [`fault`]), and
//! the tail has failed: nothing more is appended. Records are read from the file, where a failure is an error.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `TERNTAI` and the version |
//! | 8 | 16 | the journal's id |
//! | 24 | 8 | bytes of the ring; if damaged, the rest of the file counts |
//! | 64 | 8 | bytes of all records that are in segments |
//! | 128 | 8 | bytes of all records that are complete |
//! | 4096 | | the ring: records as in a segment, one after another; a record that meets the end continues at the start |
//!
//! The records that are not in a segment lie between the two counts, each modulo the length of the ring.

pub mod fault;

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::RangeInclusive;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{Advice, MmapOptions, MmapRaw};
use nix::fcntl::posix_fallocate;
use tern_common::click::JournalId;

use self::fault::Region;
use super::directory::make_whole;
use super::segment::format::{MAX_SEGMENT, RecordIter};
use super::segment::record::{self, MAX_LEN, NewClick, Seed};

pub(super) const NAME: &[u8; 7] = b"TERNTAI";
/// The version of the format that this build writes.
pub(super) const VERSION: u8 = 2;

/// The versions that this build reads. Their records differ, and each record shows its own form.
pub(super) const READABLE: RangeInclusive<u8> = 1..=VERSION;

/// Bytes of the header: a page, so that the ring begins on a page.
pub(super) const HEADER_LEN: usize = 4096;

/// The offset of the ring's length in the header.
pub(super) const RING_LEN: usize = 24;

/// Bytes of the longest ring.
pub(super) const MAX_RING: u64 = MAX_SEGMENT as u64;

/// Bytes that are read from the file at a time.
const CHUNK: usize = 64 << 10;

/// The offset of the reader's count in the header. Each count has a cache line of its own.
pub(super) const TAKEN: usize = 64;

/// The offset of the writer's count in the header.
pub(super) const END: usize = 128;

/// Returns the path of a tail.
pub(super) fn path(directory: &Path) -> PathBuf {
    directory.join("tail")
}

/// The mapped file. Bytes of the ring between the counts belong to the reader, all others to the writer.
#[derive(Debug)]
struct Ring {
    /// Declared before the mapping, so that it is dropped first.
    region: Region,
    map: MmapRaw,
    file: File,
    /// Bytes of the ring.
    len: usize,
    directory: PathBuf,
}

/// The end that appends records.
#[derive(Debug)]
pub struct Writer {
    ring: Arc<Ring>,
    /// The offset of the next record in the ring.
    at: usize,
    /// Bytes of all records that are complete.
    end: u64,
    /// The value that `end` may not exceed, by the reader's count as it was loaded last.
    until: u64,
    /// Room to make a record that meets the end of the ring.
    scratch: Vec<u8>,
}

/// The end that takes records.
#[derive(Debug)]
pub struct Reader {
    ring: Arc<Ring>,
    /// Bytes of all records that were taken.
    taken: u64,
    /// Bytes of all records for which a sync of the tail was started.
    synced: u64,
    /// Bytes of all readable records of a failed tail, once its writer has ended.
    until: Option<u64>,
    /// Bytes that were read of the waiting records.
    chunk: Vec<u8>,
}

/// The whole records at the start of some bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WholeRecords {
    /// Bytes of the records.
    pub len: usize,
    /// The number of the last record; 0 without any.
    pub last: u64,
}

/// A tail with unsynced records.
#[derive(Debug)]
pub struct UnsyncedTail(Arc<Ring>);

/// Makes a tail with a ring of `len` bytes, and replaces the present one.
///
/// `len` is a multiple of a record's alignment and more than the longest record. All blocks are allocated here: on most
/// file systems a full disk is an error now and no page fault later.
pub fn create(directory: &Path, journal: JournalId, len: usize) -> io::Result<(Writer, Reader)> {
    let (file, map, region) = make_whole(&path(directory), |hidden| make(hidden, journal, len))?;
    let ring = Arc::new(Ring { region, map, file, len, directory: directory.to_owned() });
    let writer = Writer { ring: Arc::clone(&ring), at: 0, end: 0, until: len as u64, scratch: vec![0; MAX_LEN] };
    Ok((writer, Reader { ring, taken: 0, synced: 0, until: None, chunk: Vec::new() }))
}

fn make(path: &Path, journal: JournalId, len: usize) -> io::Result<(File, MmapRaw, Region)> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
    posix_fallocate(&file, 0, i64::try_from(HEADER_LEN + len).map_err(io::Error::other)?)?;
    file.write_all_at(&header(VERSION, journal), 0)?;
    file.write_all_at(&(len as u64).to_le_bytes(), RING_LEN as u64)?;
    let map = MmapOptions::new().map_raw(&file)?;
    let region = Region::register(map.as_ptr(), map.len().next_multiple_of(HEADER_LEN))?;
    // Each page is made writable now, so that no first write faults later. Kernels before 5.14 do not know the advice.
    match map.advise(Advice::PopulateWrite) {
        Err(error) if error.kind() != io::ErrorKind::InvalidInput => return Err(error),
        _ => {}
    }
    Ok((file, map, region))
}

/// Returns the start of a tail's header.
pub(super) fn header(version: u8, journal: JournalId) -> [u8; 24] {
    let mut header = [0; 24];
    header[..7].copy_from_slice(NAME);
    header[7] = version;
    header[8..].copy_from_slice(&journal.0.to_le_bytes());
    header
}

impl Ring {
    /// Returns one of the counts, which is little-endian.
    #[expect(unsafe_code, reason = "the counts are in the mapping, so that they survive the process like the records")]
    fn count(&self, at: usize) -> &AtomicU64 {
        // SAFETY: the count is aligned and within the mapping, which lives as long as `self`. This process refers to it only
        // here. If the file is cut or the disk fails, zero pages replace the lost ones.
        unsafe { AtomicU64::from_ptr(self.map.as_mut_ptr().add(at).cast()) }
    }

    fn load(&self, at: usize) -> u64 {
        u64::from_le(self.count(at).load(Ordering::Acquire))
    }

    fn store(&self, at: usize, count: u64) {
        self.count(at).store(count.to_le(), Ordering::Release);
    }

    /// Returns a pointer to `len` bytes of the ring from `at` on.
    fn pointer(&self, at: usize, len: usize) -> *mut u8 {
        assert!(at + len <= self.len, "{len} bytes at {at} of a ring of {}", self.len);
        self.map.as_mut_ptr().wrapping_add(HEADER_LEN + at)
    }
}

impl Writer {
    /// Appends a record. Returns whether there was room for it.
    pub fn append(&mut self, click: &NewClick<'_>, seed: Seed, sequence: u64) -> bool {
        let len = click.record_len();
        if self.end + len as u64 > self.until {
            self.until = self.ring.load(TAKEN) + self.ring.len as u64;
            if self.end + len as u64 > self.until {
                return false;
            }
        }
        let here = len.min(self.ring.len - self.at);
        if here == len {
            click.write(self.room(self.at, len), seed, sequence);
        } else {
            let mut record = std::mem::take(&mut self.scratch);
            click.write(&mut record[..len], seed, sequence);
            self.room(self.at, here).copy_from_slice(&record[..here]);
            self.room(0, len - here).copy_from_slice(&record[here..len]);
            self.scratch = record;
        }
        // If the disk refused a page, the record is not in the file.
        if self.has_failed() {
            return false;
        }
        self.at += len;
        if self.at >= self.ring.len {
            self.at -= self.ring.len;
        }
        self.end += len as u64;
        // If the process is killed before this store, no record is read; after it, the whole record is.
        self.ring.store(END, self.end);
        true
    }

    /// Returns the bytes of the ring.
    pub fn len(&self) -> u64 {
        self.ring.len as u64
    }

    /// Returns whether the tail has failed, so that nothing can be appended any more.
    #[inline]
    pub fn has_failed(&self) -> bool {
        self.ring.region.has_failed()
    }

    /// Returns the bytes of all records that were appended.
    pub fn appended(&self) -> u64 {
        self.end
    }

    #[expect(unsafe_code, reason = "the journal writes through a mapping, so that a click costs no system call")]
    fn room(&mut self, at: usize, len: usize) -> &mut [u8] {
        let start = self.ring.pointer(at, len);
        // SAFETY: the bytes are within the mapping, which lives as long as the ring. They are not between the two counts, so
        // the reader does not read them before they are counted. There is one writer, and it is borrowed.
        unsafe { std::slice::from_raw_parts_mut(start, len) }
    }
}

impl Reader {
    /// Reads waiting records, and finds the whole ones at their start that fit in `room` bytes. `None` if no record waits.
    ///
    /// # Errors
    /// The file cannot be read, or does not have a record there. The tail has failed then.
    pub fn find(&mut self, room: usize) -> io::Result<Option<WholeRecords>> {
        let waiting = self.waiting();
        if waiting == 0 {
            return Ok(None);
        }
        let mut chunk = std::mem::take(&mut self.chunk);
        chunk.resize(waiting.min(CHUNK), 0);
        let found = self.read(0, &mut chunk).and_then(|()| whole_records(&chunk, room));
        self.chunk = chunk;
        found.map(Some).inspect_err(|_| self.ring.region.fail())
    }

    /// Returns the bytes that [`Reader::find`] has read.
    pub fn chunk(&self) -> &[u8] {
        &self.chunk
    }

    /// Returns whether the tail has failed.
    pub fn has_failed(&self) -> bool {
        self.ring.region.has_failed()
    }

    /// Makes the tail fail as a bad disk does.
    #[cfg(test)]
    pub fn fail(&self) {
        self.ring.region.fail();
    }

    /// Returns whether no readable record waits.
    pub fn is_empty(&self) -> bool {
        self.waiting() == 0
    }

    /// Finds the readable records of a failed tail whose writer has ended at `end`: whole ones that follow number
    /// `sequence`. All other records are lost.
    pub fn end_at(&mut self, end: u64, seed: Seed, sequence: u64) {
        self.until = Some(end);
        let waiting = self.waiting();
        let mut bytes = Vec::new();
        while bytes.len() < waiting {
            let start = bytes.len();
            bytes.resize(waiting.min(start + HEADER_LEN), 0);
            // The file may be cut anywhere, or the disk may read only a part of it.
            if self.read(start as u64, &mut bytes[start..]).is_err() {
                bytes.truncate(start);
                break;
            }
        }
        let mut iter = RecordIter::new(&bytes, seed, false, sequence);
        iter.by_ref().for_each(drop);
        self.until = Some(self.taken + iter.offset() as u64);
    }

    /// Returns the bytes of waiting records.
    fn waiting(&self) -> usize {
        let end = self.until.unwrap_or_else(|| self.ring.load(END));
        match usize::try_from(end.saturating_sub(self.taken)) {
            // Until the writer has ended, the count may be that of a zero page, or still grow.
            _ if self.until.is_none() && self.ring.region.has_failed() => 0,
            Ok(waiting) if waiting <= self.ring.len => waiting,
            _ => {
                self.ring.region.fail();
                0
            }
        }
    }

    /// Reads bytes of waiting records, from `offset` behind the start of the first one.
    fn read(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        // The remainder is less than the ring's length, which is a `usize`.
        let at = ((self.taken + offset) % self.ring.len as u64) as usize;
        let (first, second) = bytes.split_at_mut(bytes.len().min(self.ring.len - at));
        self.ring.file.read_exact_at(first, (HEADER_LEN + at) as u64)?;
        self.ring.file.read_exact_at(second, HEADER_LEN as u64)
    }

    /// Notes that the first `len` bytes of waiting records are in a segment.
    pub fn take(&mut self, len: usize) {
        self.taken += len as u64;
        self.ring.store(TAKEN, self.taken);
    }

    /// Returns whether a waiting record was synced in the tail.
    pub fn is_on_disk(&self) -> bool {
        self.synced > self.taken
    }

    /// Returns the tail if a waiting record is not synced yet, and notes that it will be.
    pub fn unsynced(&mut self) -> Option<UnsyncedTail> {
        let end = self.taken + self.waiting() as u64;
        let is_unsynced = end > self.taken.max(self.synced);
        self.synced = self.synced.max(end);
        is_unsynced.then(|| UnsyncedTail(Arc::clone(&self.ring)))
    }
}

impl UnsyncedTail {
    /// Syncs the file and its directory. Waits for the disk.
    pub fn sync(&self) -> io::Result<()> {
        self.0.file.sync_data()?;
        // After a power cut the file is found only if its directory was synced, too.
        File::open(&self.0.directory)?.sync_all()
    }
}

/// Finds the whole records at the start of `bytes` that fit in `room` bytes.
///
/// # Errors
/// `bytes` do not begin with the length of a record.
pub fn whole_records(bytes: &[u8], room: usize) -> io::Result<WholeRecords> {
    let mut whole = WholeRecords::default();
    while let Some((len, sequence)) = record::length(&bytes[whole.len..]) {
        let next = whole.len + len;
        if next > room {
            return Ok(whole);
        }
        if next > bytes.len() {
            break;
        }
        whole = WholeRecords { len: next, last: sequence };
    }
    // The last record may be cut off. The first one never is.
    if whole.len > 0 || bytes.is_empty() { Ok(whole) } else { Err(io::ErrorKind::InvalidData.into()) }
}
