//! The tail of a journal whose process has ended: an ordinary file, which nothing maps any more.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use tern_common::click::JournalId;

use super::super::directory::NEW;
use super::super::segment::format::Walk;
use super::super::segment::record::Seed;
use super::super::tail::{END, HEADER_LEN, MAX_RING, NAME, RING_LEN, TAKEN, VERSION, header, path};

/// The tail of a journal whose process has ended.
#[derive(Debug, PartialEq, Eq)]
pub enum OrphanTail {
    /// There is no file, or it never reached the disk.
    Absent,
    /// The records that may not be in a segment.
    Records(Vec<u8>),
    /// The file is no tail of this journal.
    Alien,
}

/// Reads the tail of an ended process.
pub fn read(directory: &Path, journal: JournalId) -> io::Result<OrphanTail> {
    let mut bytes = match fs::read(path(directory)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(OrphanTail::Absent),
        bytes => bytes?,
    };
    if bytes.iter().take(HEADER_LEN).all(|byte| *byte == 0) {
        return Ok(OrphanTail::Absent);
    }
    let count = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
    let counts = count(TAKEN).zip(count(END)).filter(|_| bytes.starts_with(&header(journal)));
    let rest = bytes.len().saturating_sub(HEADER_LEN) as u64;
    // A file that was cut still has the records before the cut.
    let ring = count(RING_LEN).filter(|len| (rest..=MAX_RING).contains(len)).unwrap_or(rest);
    let Some((taken, len)) = counts.and_then(|(taken, end)| Some((taken.checked_rem(ring)?, end.checked_sub(taken)?)))
    else {
        return Ok(OrphanTail::Alien);
    };
    bytes.drain(..HEADER_LEN);
    bytes.resize(ring as usize, 0);
    // Both are less than what a file has.
    bytes.rotate_left(taken as usize);
    bytes.truncate(len.min(ring) as usize);
    Ok(OrphanTail::Records(bytes))
}

/// Whether the tail is of another version, which is for a build that knows it.
pub fn is_foreign(directory: &Path) -> io::Result<bool> {
    let mut start = [0; 8];
    match File::open(path(directory)).and_then(|mut file| file.read_exact(&mut start)) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) => Ok(false),
        Err(error) => Err(error),
        Ok(()) => Ok(start.starts_with(NAME) && start[7] != VERSION),
    }
}

/// Removes the tail, and one that was being made.
pub fn remove(directory: &Path) -> io::Result<()> {
    for path in [path(directory), path(directory).with_extension(NEW)] {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Selects the records behind number `sequence` among those that [`read`] returned, with the number of the last one.
pub fn records_after(records: &[u8], seed: Seed, sequence: u64) -> Option<(&[u8], u64)> {
    // Some are in a segment already if the process ended before it could count them; they end with damage, if any.
    let mut walk = Walk::new(records, seed, false, 0);
    let (mut start, mut end) = (None, 0);
    while let Some(record) = walk.next() {
        if record.sequence > sequence {
            start.get_or_insert(end);
        }
        end = walk.offset();
    }
    Some((&records[start?..end], walk.sequence()))
}
