//! The tail of a journal whose process has ended: an ordinary file, which no process maps any more.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use tern_common::click::JournalId;

use super::super::directory::NEW;
use super::super::segment::format::RecordIter;
use super::super::segment::record::Seed;
use super::super::tail::{END, HEADER_LEN, MAX_RING, NAME, READABLE, RING_LEN, TAKEN, header, path};

/// The content of an orphan's tail.
#[derive(Debug, PartialEq, Eq)]
pub enum OrphanTail {
    /// There is no file, or its content never reached the disk.
    Absent,
    /// The records that may not be in a segment.
    Records(Vec<u8>),
    /// The file is no tail of this journal.
    Invalid,
}

/// Reads the tail of an orphan.
pub fn read(directory: &Path, journal: JournalId) -> io::Result<OrphanTail> {
    let mut bytes = match fs::read(path(directory)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(OrphanTail::Absent),
        bytes => bytes?,
    };
    if bytes.iter().take(HEADER_LEN).all(|byte| *byte == 0) {
        return Ok(OrphanTail::Absent);
    }
    let count = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
    let counts = count(TAKEN)
        .zip(count(END))
        .filter(|_| READABLE.into_iter().any(|version| bytes.starts_with(&header(version, journal))));
    let rest = bytes.len().saturating_sub(HEADER_LEN) as u64;
    // A truncated file still has the records before its end.
    let ring = count(RING_LEN).filter(|len| (rest..=MAX_RING).contains(len)).unwrap_or(rest);
    let Some((taken, len)) = counts.and_then(|(taken, end)| Some((taken.checked_rem(ring)?, end.checked_sub(taken)?)))
    else {
        return Ok(OrphanTail::Invalid);
    };
    bytes.drain(..HEADER_LEN);
    bytes.resize(ring as usize, 0);
    // Neither number exceeds the length of the ring.
    bytes.rotate_left(taken as usize);
    bytes.truncate(len.min(ring) as usize);
    Ok(OrphanTail::Records(bytes))
}

/// Returns whether the tail has a version that this build cannot read. Only a build that knows the version may change the tail.
pub fn has_other_version(directory: &Path) -> io::Result<bool> {
    let mut start = [0; 8];
    match File::open(path(directory)).and_then(|mut file| file.read_exact(&mut start)) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) => Ok(false),
        Err(error) => Err(error),
        Ok(()) => Ok(start.starts_with(NAME) && !READABLE.contains(&start[7])),
    }
}

/// Removes the tail, and a partial one.
pub fn remove(directory: &Path) -> io::Result<()> {
    for path in [path(directory), path(directory).with_extension(NEW)] {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Selects the records after number `sequence` among those that [`read`] returned. Returns them with the last number.
pub fn records_after(records: &[u8], seed: Seed, sequence: u64) -> Option<(&[u8], u64)> {
    // The first records are in a segment already if the process ended before it counted them.
    let mut iter = RecordIter::new(records, seed, false, 0);
    let (mut start, mut end) = (None, 0);
    while let Some(record) = iter.next() {
        if record.sequence > sequence {
            start.get_or_insert(end);
        }
        end = iter.offset();
    }
    Some((&records[start?..end], iter.sequence()))
}
