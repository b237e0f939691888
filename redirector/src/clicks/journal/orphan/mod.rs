//! Journals whose process has ended: adopts them, so that this process ships their records.

pub(super) mod tail;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use tern_common::click::JournalId;

use self::tail::OrphanTail;
use super::directory::{self, Lock};
use super::segment::file::{self, read_header, read_start, segment_path};
use super::segment::format::{self, HEADER_LEN, Header, RecordIter};
use super::segment::record::Seed;

/// An adopted journal. No process writes it, and all its segments are finished.
#[derive(Debug)]
pub struct Orphan {
    pub journal: JournalId,
    pub directory: PathBuf,
    /// The number of the last record; 0 without any.
    pub last_sequence: u64,
    /// Bytes of all segments.
    pub bytes: u64,
    /// Whether the journal has quarantined files. The directory is not removed then, so that an operator can inspect them.
    pub is_damaged: bool,
    /// The lock of the journal, until the journal is removed.
    _lock: Lock,
}

/// The reason why a journal is not adopted.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("segment {0} is of another version of Tern; start that version to ship its clicks")]
    OtherVersion(u64),
    #[error("the tail is of another version of Tern; start that version to ship its clicks")]
    TailOfOtherVersion,
}

/// Adopts a journal: flushes its tail into a segment, and finishes its open segments after the last whole record. `None` if
/// its process lives.
///
/// Finished segments are not read: there may be gigabytes of them, and most are in the store.
pub fn adopt(root: &Path, journal: JournalId) -> Result<Option<Orphan>, AdoptError> {
    let directory = directory::path(root, journal);
    let Some(lock) = directory::lock(&directory)? else { return Ok(None) };
    let numbers = file::segments(&directory)?;
    for number in &numbers {
        // Checked before any change, so that a build that knows the version can adopt the journal.
        if format::has_other_version(&read_start(&segment_path(&directory, *number))?) {
            return Err(AdoptError::OtherVersion(*number));
        }
    }
    if tail::has_other_version(&directory)? {
        return Err(AdoptError::TailOfOtherVersion);
    }
    let mut orphan = Orphan { journal, directory, last_sequence: 0, bytes: 0, is_damaged: false, _lock: lock };
    let mut segments = Vec::new();
    for &number in &numbers {
        segments.extend(orphan.or_quarantine(number, orphan.inspect(number))?.flatten());
    }
    let last = segments.iter().rev().find_map(|segment| orphan.last_sequence_in(segment).ok()?);
    orphan.last_sequence = last.unwrap_or(0);
    orphan.flush_tail(&mut segments, numbers.last().map_or(1, |last| last + 1))?;
    for mut segment in segments {
        let finished = orphan.finish(&mut segment);
        orphan.bytes += orphan.or_quarantine(segment.number, finished)?.unwrap_or(0);
    }
    // Every record of the tail is in a segment.
    tail::remove(&orphan.directory)?;
    orphan.is_damaged = directory::has_quarantined(&orphan.directory)?;
    Ok(Some(orphan))
}

/// A segment of an orphan. The file is not open: there may be more segments than a process may open files.
struct OrphanSegment {
    number: u64,
    /// Bytes of the file.
    len: usize,
    /// The offset behind its last record, or behind the header if there are no records.
    end: usize,
    is_finished: bool,
}

impl OrphanSegment {
    fn is_empty(&self) -> bool {
        self.end == HEADER_LEN
    }
}

impl Orphan {
    /// Inspects a segment. `None` if the file is no segment and was quarantined.
    fn inspect(&self, number: u64) -> io::Result<Option<OrphanSegment>> {
        let path = segment_path(&self.directory, number);
        let len = usize::try_from(fs::metadata(&path)?.len()).map_err(io::Error::other)?;
        let header = read_header(&self.directory, self.journal, number)?;
        if let Some(Header { records_end: Some(end) }) = header
            && end > HEADER_LEN as u64
        {
            return Ok(Some(OrphanSegment { number, len, end: end as usize, is_finished: true }));
        }
        let bytes = fs::read(&path)?;
        // An open segment ends at the first place without a record. A segment without a header is damaged, so its end is
        // unknown, and all of it is searched for records.
        let seed = Seed::new(self.journal);
        let mut iter = RecordIter::new(bytes.get(HEADER_LEN..).unwrap_or_default(), seed, header.is_none(), 0);
        let mut end = HEADER_LEN;
        while iter.next().is_some() {
            end = HEADER_LEN + iter.offset();
        }
        if end == HEADER_LEN && header.is_none() && bytes.iter().any(|byte| *byte != 0) {
            tracing::error!(journal = %self.journal, segment = number, "file is no segment of its journal; quarantined; adopting the other segments");
            directory::quarantine(&path)?;
            return Ok(None);
        }
        Ok(Some(OrphanSegment { number, len, end, is_finished: false }))
    }

    /// Flushes the records that are only in the tail. They go into a segment with room, since the disk may be full, or into
    /// a new one with number `next`.
    ///
    /// If the process ends before the flush is complete, a later one repeats it: sequences show which records are in a segment.
    fn flush_tail(&mut self, segments: &mut Vec<OrphanSegment>, next: u64) -> io::Result<()> {
        let records = match tail::read(&self.directory, self.journal) {
            Ok(OrphanTail::Absent) => return Ok(()),
            Ok(OrphanTail::Records(records)) => records,
            Ok(OrphanTail::Invalid) => {
                tracing::error!(journal = %self.journal, "file is no tail of its journal; quarantined; adopting the segments");
                return directory::quarantine(&super::tail::path(&self.directory));
            }
            Err(error) if is_damage(&error) => {
                tracing::error!(journal = %self.journal, %error, "tail of a journal cannot be read; quarantined; adopting the segments; check the disk");
                return directory::quarantine(&super::tail::path(&self.directory));
            }
            Err(error) => return Err(error),
        };
        let seed = Seed::new(self.journal);
        let Some((records, last)) = tail::records_after(&records, seed, self.last_sequence) else { return Ok(()) };
        let has_room =
            |segment: &&mut OrphanSegment| !segment.is_finished && segment.end + records.len() <= segment.len;
        // The records must follow every other record of the journal.
        let from = segments.iter().rposition(|segment| !segment.is_empty()).unwrap_or(0);
        match segments[from..].iter_mut().find(has_room) {
            Some(segment) => {
                self.open(segment)?.write_all_at(records, segment.end as u64)?;
                segment.end += records.len();
                self.finish(segment)?;
            }
            None => {
                // A full tail does not fit in one empty segment, but in the room of two. Empty segments are removed for it.
                for mut empty in segments.extract_if(.., |segment| segment.is_empty()) {
                    self.finish(&mut empty)?;
                }
                self.bytes += file::write_segment(&self.directory, self.journal, next, records)?;
            }
        }
        self.last_sequence = last;
        Ok(())
    }

    /// Finishes a segment and truncates it behind its records. Returns its bytes. A segment without records is removed.
    fn finish(&self, segment: &mut OrphanSegment) -> io::Result<u64> {
        let end = segment.end as u64;
        if segment.is_empty() {
            fs::remove_file(segment_path(&self.directory, segment.number))?;
            return Ok(0);
        }
        let file = self.open(segment)?;
        if !segment.is_finished {
            file.write_all_at(&format::finished_header(self.journal, segment.number, segment.end), 0)?;
        }
        file.set_len(end)?;
        if !segment.is_finished {
            file.sync_data()?;
            segment.is_finished = true;
        }
        Ok(end)
    }

    fn open(&self, segment: &OrphanSegment) -> io::Result<File> {
        OpenOptions::new().write(true).open(segment_path(&self.directory, segment.number))
    }

    /// Quarantines the segment if the disk cannot read it. Returns any other error.
    fn or_quarantine<T>(&self, number: u64, result: io::Result<T>) -> io::Result<Option<T>> {
        match result {
            Err(error) if is_damage(&error) => {
                tracing::error!(journal = %self.journal, segment = number, %error, "segment cannot be read; quarantined; adopting the other segments; check the disk");
                directory::quarantine(&segment_path(&self.directory, number))?;
                Ok(None)
            }
            result => result.map(Some),
        }
    }

    /// Returns the number of the last record in a segment.
    fn last_sequence_in(&self, segment: &OrphanSegment) -> io::Result<Option<u64>> {
        if segment.is_empty() {
            return Ok(None);
        }
        let bytes = fs::read(segment_path(&self.directory, segment.number))?;
        let records = bytes.get(HEADER_LEN..segment.end).unwrap_or_default();
        Ok(RecordIter::new(records, Seed::new(self.journal), true, 0).last().map(|record| record.sequence))
    }
}

/// Returns whether the error is that of a damaged file, which another try does not change.
fn is_damage(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof || error.raw_os_error() == Some(Errno::EIO as i32)
}
