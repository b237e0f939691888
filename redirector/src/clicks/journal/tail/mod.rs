//! The tail of a journal: a ring in a mapped file, where each record stands before its redirect is answered, until it
//! is in a segment.
//!
//! What is written to the mapping is in the file, whatever becomes of the process. To sync it takes each page away from
//! who writes it and gives it back, which costs several times what the record does. So what is to survive a power cut is
//! written to a segment and synced there, and what no segment has room for, it alone, is synced here.
//!
//! A disk that is full or fails may refuse the writer a page at any time. The writer survives it, see [`fault`], and
//! the tail has failed: nothing more is appended to it. Records are read from the file, where a failure is an error.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `TERNTAI` and the version |
//! | 8 | 16 | the journal's id |
//! | 24 | 8 | bytes of the ring; 0 in files of earlier builds, where it is the rest of the file |
//! | 64 | 8 | bytes of all records that are in segments |
//! | 128 | 8 | bytes of all records that are complete |
//! | 4096 | | the ring: records as in a segment, one behind the other; what meets the end goes on at the start |
//!
//! So in the ring the records stand between these two counts, each modulo its length.

pub mod fault;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{Advice, MmapOptions, MmapRaw};
use nix::fcntl::posix_fallocate;
use tern_common::click::JournalId;

use self::fault::Region;
use super::directory::make_whole;
use super::segment::format::{MAX_SEGMENT, Walk};
use super::segment::record::{self, Answered, MAX_LEN, Seed};

pub(super) const NAME: &[u8; 7] = b"TERNTAI";
pub(super) const VERSION: u8 = 1;

/// A page, so that the ring begins with one.
pub(super) const HEADER_LEN: usize = 4096;

/// Where the length of the ring stands in the header.
pub(super) const RING_LEN: usize = 24;

/// The longest ring.
pub(super) const MAX_RING: u64 = MAX_SEGMENT as u64;

/// Bytes of records that are read from the file at a time.
const CHUNK: usize = 64 << 10;

/// Where the counts stand in the header, each on a cache line of its own. The first is written by the reader, the second
/// by the writer.
pub(super) const TAKEN: usize = 64;
pub(super) const END: usize = 128;

/// The file of a tail.
pub(super) fn path(directory: &Path) -> PathBuf {
    directory.join("tail")
}

/// The mapped file. What is in the ring between the counts is the reader's, the rest of it the writer's.
#[derive(Debug)]
struct Ring {
    /// Dropped before the mapping.
    region: Region,
    map: MmapRaw,
    file: File,
    /// Bytes of the ring.
    len: usize,
    directory: PathBuf,
}

/// The end where records are written.
#[derive(Debug)]
pub struct Writer {
    ring: Arc<Ring>,
    /// Where the next record begins, in the ring.
    at: usize,
    /// Bytes of all records that are complete.
    end: u64,
    /// How far `end` may go, as far as is known.
    until: u64,
    /// For a record that meets the end of the ring.
    scratch: Vec<u8>,
}

/// The end where they are taken.
#[derive(Debug)]
pub struct Reader {
    ring: Arc<Ring>,
    /// Bytes of all records that were taken.
    taken: u64,
    /// Bytes of all records that are on disk here, or were tried to be put there.
    synced: u64,
    /// Bytes of all records that are complete, once the writer has ended; in a failed tail, of those that are readable.
    until: Option<u64>,
    /// Bytes that were read of the records that wait.
    chunk: Vec<u8>,
}

/// Whole records at the start of what waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Whole {
    /// Bytes that they take.
    pub len: usize,
    /// The number of the last one; 0 without any.
    pub last: u64,
}

/// What is to be put on disk where it is.
#[derive(Debug)]
pub struct Unsynced(Arc<Ring>);

/// Makes a tail of `len` bytes, a multiple of a record's alignment and more than the longest one, in place of the one that
/// is there. Every block is allocated here: on most disks, a full one is an error now, and no fault later.
pub fn create(directory: &Path, journal: JournalId, len: usize) -> io::Result<(Writer, Reader)> {
    let (file, map, region) = make_whole(&path(directory), |hidden| make(hidden, journal, len))?;
    let ring = Arc::new(Ring { region, map, file, len, directory: directory.to_owned() });
    let writer = Writer { ring: Arc::clone(&ring), at: 0, end: 0, until: len as u64, scratch: vec![0; MAX_LEN] };
    Ok((writer, Reader { ring, taken: 0, synced: 0, until: None, chunk: Vec::new() }))
}

fn make(path: &Path, journal: JournalId, len: usize) -> io::Result<(File, MmapRaw, Region)> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
    posix_fallocate(&file, 0, i64::try_from(HEADER_LEN + len).map_err(io::Error::other)?)?;
    file.write_all_at(&header(journal), 0)?;
    file.write_all_at(&(len as u64).to_le_bytes(), RING_LEN as u64)?;
    let map = MmapOptions::new().map_raw(&file)?;
    let region = Region::register(map.as_ptr(), map.len().next_multiple_of(HEADER_LEN))?;
    // The faults of the first write to each page are taken here. Kernels before 5.14 do not know this.
    match map.advise(Advice::PopulateWrite) {
        Err(error) if error.kind() != io::ErrorKind::InvalidInput => return Err(error),
        _ => {}
    }
    Ok((file, map, region))
}

pub(super) fn header(journal: JournalId) -> [u8; 24] {
    let mut header = [0; 24];
    header[..7].copy_from_slice(NAME);
    header[7] = VERSION;
    header[8..].copy_from_slice(&journal.0.to_le_bytes());
    header
}

impl Ring {
    /// One of the counts, little-endian.
    #[expect(unsafe_code, reason = "the counts are in the mapping, so that they outlive the process as the records do")]
    fn count(&self, at: usize) -> &AtomicU64 {
        // SAFETY: within the mapping, which lives as long as `self`, aligned, and in this process nowhere referred to but
        // here. If the file is cut or the disk fails, zero pages take the place of those that are gone.
        unsafe { AtomicU64::from_ptr(self.map.as_mut_ptr().add(at).cast()) }
    }

    fn load(&self, at: usize) -> u64 {
        u64::from_le(self.count(at).load(Ordering::Acquire))
    }

    fn store(&self, at: usize, count: u64) {
        self.count(at).store(count.to_le(), Ordering::Release);
    }

    /// Where these bytes of the ring are.
    fn pointer(&self, at: usize, len: usize) -> *mut u8 {
        assert!(at + len <= self.len, "{len} bytes at {at} of a ring of {}", self.len);
        self.map.as_mut_ptr().wrapping_add(HEADER_LEN + at)
    }
}

impl Writer {
    /// Appends a record, unless there is no room for it; whether there was.
    pub fn append(&mut self, click: &Answered<'_>, seed: Seed, sequence: u64) -> bool {
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
        // The disk refused a page of the tail: what was just written is nowhere.
        if self.has_failed() {
            return false;
        }
        self.at += len;
        if self.at >= self.ring.len {
            self.at -= self.ring.len;
        }
        self.end += len as u64;
        // Whoever kills this process before this finds nothing of the record, and all of it after.
        self.ring.store(END, self.end);
        true
    }

    /// Bytes that it has room for.
    pub fn len(&self) -> u64 {
        self.ring.len as u64
    }

    /// Whether the tail has failed, so that nothing can be appended any more.
    #[inline]
    pub fn has_failed(&self) -> bool {
        self.ring.region.has_failed()
    }

    /// Bytes of the records that were appended, all together.
    pub fn appended(&self) -> u64 {
        self.end
    }

    #[expect(unsafe_code, reason = "the journal writes through a mapping, so that a click costs no system call")]
    fn room(&mut self, at: usize, len: usize) -> &mut [u8] {
        let start = self.ring.pointer(at, len);
        // SAFETY: within the mapping, which lives as long as the ring. These bytes are between what is complete and what
        // was taken, so the reader leaves them alone until they are counted; there is one writer, and it is borrowed.
        unsafe { std::slice::from_raw_parts_mut(start, len) }
    }
}

impl Reader {
    /// Reads the records that wait, and finds the whole ones at their start that fit in `room`; `None` if none waits.
    ///
    /// # Errors
    /// When the file cannot be read, or what stands there is no record. The tail has failed then.
    pub fn find(&mut self, room: usize) -> io::Result<Option<Whole>> {
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

    /// Whether the tail has failed.
    pub fn has_failed(&self) -> bool {
        self.ring.region.has_failed()
    }

    /// Makes it fail, as a disk does.
    #[cfg(test)]
    pub fn fail(&self) {
        self.ring.region.fail();
    }

    /// Whether no record waits that can be read.
    pub fn is_empty(&self) -> bool {
        self.waiting() == 0
    }

    /// Finds out what can be had of a failed tail whose writer has ended at `end`: whole records that follow number
    /// `sequence`. The others are lost.
    pub fn end_at(&mut self, end: u64, seed: Seed, sequence: u64) {
        self.until = Some(end);
        let waiting = self.waiting();
        let mut bytes = Vec::new();
        while bytes.len() < waiting {
            let start = bytes.len();
            bytes.resize(waiting.min(start + HEADER_LEN), 0);
            // A file that was cut ends somewhere, and a disk may give back a part of it.
            if self.read(start as u64, &mut bytes[start..]).is_err() {
                bytes.truncate(start);
                break;
            }
        }
        let mut walk = Walk::new(&bytes, seed, false, sequence);
        walk.by_ref().for_each(drop);
        self.until = Some(self.taken + walk.offset() as u64);
    }

    /// Bytes of the records that wait.
    fn waiting(&self) -> usize {
        let end = self.until.unwrap_or_else(|| self.ring.load(END));
        match usize::try_from(end.saturating_sub(self.taken)) {
            // The count is that of a zero page, or of a writer that goes on, until it is known that it has ended.
            _ if self.until.is_none() && self.ring.region.has_failed() => 0,
            Ok(waiting) if waiting <= self.ring.len => waiting,
            _ => {
                self.ring.region.fail();
                0
            }
        }
    }

    /// Reads records that wait, `offset` bytes behind the first.
    fn read(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        // Less than the ring.
        let at = ((self.taken + offset) % self.ring.len as u64) as usize;
        let (first, second) = bytes.split_at_mut(bytes.len().min(self.ring.len - at));
        self.ring.file.read_exact_at(first, (HEADER_LEN + at) as u64)?;
        self.ring.file.read_exact_at(second, HEADER_LEN as u64)
    }

    /// So many bytes of them are in a segment.
    pub fn take(&mut self, len: usize) {
        self.taken += len as u64;
        self.ring.store(TAKEN, self.taken);
    }

    /// Whether some of what waits was put on disk here.
    pub fn is_on_disk(&self) -> bool {
        self.synced > self.taken
    }

    /// What waits, if that was not put on disk yet.
    pub fn unsynced(&mut self) -> Option<Unsynced> {
        let end = self.taken + self.waiting() as u64;
        let is_unsynced = end > self.taken.max(self.synced);
        self.synced = self.synced.max(end);
        is_unsynced.then(|| Unsynced(Arc::clone(&self.ring)))
    }
}

impl Unsynced {
    /// Waits for the disk.
    pub fn sync(&self) -> io::Result<()> {
        self.0.file.sync_data()?;
        // It is found after a power cut if its directory is on disk, too.
        File::open(&self.0.directory)?.sync_all()
    }
}

/// The whole records at the start of `bytes`, which begin with one, that fit in `room`.
///
/// # Errors
/// When `bytes` do not begin with the length of a record.
pub fn whole_records(bytes: &[u8], room: usize) -> io::Result<Whole> {
    let mut whole = Whole::default();
    while let Some((len, sequence)) = record::length(&bytes[whole.len..]) {
        let next = whole.len + len;
        if next > room {
            return Ok(whole);
        }
        if next > bytes.len() {
            break;
        }
        whole = Whole { len: next, last: sequence };
    }
    // The last one may be cut off, and the first one never is.
    if whole.len > 0 || bytes.is_empty() { Ok(whole) } else { Err(io::ErrorKind::InvalidData.into()) }
}
