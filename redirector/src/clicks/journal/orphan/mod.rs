//! Journals whose process has ended: taking them over, so that what they hold is shipped by somebody else.

pub(super) mod tail;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use tern_common::click::JournalId;

use super::segment::file::{self, Lock, segment_path};
use super::segment::format::{self, HEADER_LEN, Header, Walk};
use super::segment::record::Seed;

/// A journal that nobody writes any more. All its segments are sealed.
#[derive(Debug)]
pub struct Left {
    pub journal: JournalId,
    pub directory: PathBuf,
    /// The number of its last record; 0 without any.
    pub last_sequence: u64,
    /// What its segments take.
    pub bytes: u64,
    /// Whether there are files in it for a person to look at, which must not go with it.
    pub is_damaged: bool,
    /// Held until it is removed.
    _lock: Lock,
}

/// Why a journal is left where it is.
#[derive(Debug, thiserror::Error)]
pub enum LeftError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("segment {0} is of another version of Tern")]
    Foreign(u64),
    #[error("its tail is of another version of Tern")]
    ForeignTail,
}

/// Takes over a journal: puts into a segment what was in none yet, and seals what its process left open, behind the last
/// whole record. `None` if its process lives.
///
/// Segments that are sealed already are not read: there may be gigabytes of them, and most are in the store.
pub fn take_over(root: &Path, journal: JournalId) -> Result<Option<Left>, LeftError> {
    let directory = file::directory(root, journal);
    let Some(lock) = file::lock_journal(&directory)? else { return Ok(None) };
    let numbers = file::segments(&directory)?;
    for number in &numbers {
        // Before anything is touched: a build that knows the version may come.
        if format::is_foreign(&read_header(&segment_path(&directory, *number))?) {
            return Err(LeftError::Foreign(*number));
        }
    }
    if tail::is_foreign(&directory)? {
        return Err(LeftError::ForeignTail);
    }
    let mut left = Left { journal, directory, last_sequence: 0, bytes: 0, is_damaged: false, _lock: lock };
    let mut segments = Vec::new();
    for &number in &numbers {
        segments.extend(left.or_put_aside(number, left.look_at(number))?.flatten());
    }
    let last = segments.iter().rev().find_map(|segment| left.last_sequence_in(segment).ok()?);
    left.last_sequence = last.unwrap_or(0);
    left.rescue_tail(&mut segments, numbers.last().map_or(1, |last| last + 1))?;
    for mut segment in segments {
        let sealed = left.seal(&mut segment);
        left.bytes += left.or_put_aside(segment.number, sealed)?.unwrap_or(0);
    }
    // Nothing is in it alone any more.
    tail::remove(&left.directory)?;
    left.is_damaged = file::has_put_aside(&left.directory)?;
    Ok(Some(left))
}

/// A segment as its process has left it. Its file is not kept open: there may be more of them than files may be.
struct Segment {
    number: u64,
    /// Bytes that the file has.
    len: usize,
    /// Where its records end; where the header does if there are none.
    end: usize,
    header: [u8; HEADER_LEN],
    is_sealed: bool,
}

impl Segment {
    fn is_empty(&self) -> bool {
        self.end == HEADER_LEN
    }
}

impl Left {
    /// Finds out what there is of a segment. `None` if it is none, which is put aside.
    fn look_at(&self, number: u64) -> io::Result<Option<Segment>> {
        let path = segment_path(&self.directory, number);
        let len = usize::try_from(fs::metadata(&path)?.len()).map_err(io::Error::other)?;
        let mut header = format::header(self.journal, number);
        let known = read_header(&path)?;
        if let Some(known) = known.first_chunk()
            && let Some(Header { sealed_at: Some(end) }) = format::read_header(known, len, self.journal, number)
            && end > HEADER_LEN
        {
            return Ok(Some(Segment { number, len, end, header: *known, is_sealed: true }));
        }
        let bytes = fs::read(&path)?;
        let read = format::read_header(&bytes, len, self.journal, number);
        if let (Some(_), Some(known)) = (read, bytes.first_chunk()) {
            header = *known;
        }
        // An open segment ends with the first thing that is no record. Without a header there was damage, so nothing is
        // known of an end: the checksums tell what belongs here.
        let seed = Seed::new(self.journal);
        let mut walk = Walk::new(bytes.get(HEADER_LEN..).unwrap_or_default(), seed, read.is_none(), 0);
        let mut end = HEADER_LEN;
        while walk.next().is_some() {
            end = HEADER_LEN + walk.offset();
        }
        if end == HEADER_LEN && read.is_none() && bytes.iter().any(|byte| *byte != 0) {
            tracing::error!(journal = %self.journal, segment = number, "this is no segment, and is put aside");
            file::put_aside(&self.directory, number)?;
            return Ok(None);
        }
        Ok(Some(Segment { number, len, end, header, is_sealed: false }))
    }

    /// Sees to it that records which are in the tail alone are in a segment: in one with room for them, since the disk may
    /// be full, or in a new one with this number. If that ends half-way it can be done again: what is in a segment is
    /// known by its number.
    fn rescue_tail(&mut self, segments: &mut Vec<Segment>, next: u64) -> io::Result<()> {
        let records = match tail::read(&self.directory, self.journal) {
            Ok(tail::Left::Nothing) => return Ok(()),
            Ok(tail::Left::Records(records)) => records,
            Ok(tail::Left::Alien) => {
                tracing::error!(journal = %self.journal, "this is no tail of this journal, and is put aside");
                return tail::put_aside(&self.directory);
            }
            Err(error) if is_damage(&error) => {
                tracing::error!(journal = %self.journal, %error, "the tail of a journal cannot be read, and is put aside");
                return tail::put_aside(&self.directory);
            }
            Err(error) => return Err(error),
        };
        let seed = Seed::new(self.journal);
        let Some((records, last)) = tail::behind(&records, seed, self.last_sequence) else { return Ok(()) };
        let has_room = |segment: &&mut Segment| !segment.is_sealed && segment.end + records.len() <= segment.len;
        // Not before one that has records.
        let from = segments.iter().rposition(|segment| !segment.is_empty()).unwrap_or(0);
        match segments[from..].iter_mut().find(has_room) {
            Some(segment) => {
                self.open(segment)?.write_all_at(records, segment.end as u64)?;
                segment.end += records.len();
                self.seal(segment)?;
            }
            None => {
                // A tail that is full to the brim does not fit in an empty one, but in the room of two.
                for mut empty in segments.extract_if(.., |segment| segment.is_empty()) {
                    self.seal(&mut empty)?;
                }
                self.bytes += file::write_segment(&self.directory, self.journal, next, records)?;
            }
        }
        self.last_sequence = last;
        Ok(())
    }

    /// Sees that a segment is sealed, and takes no more room than its records need; its bytes. The file of one without
    /// any is removed: it was made ahead, and never needed.
    fn seal(&self, segment: &mut Segment) -> io::Result<u64> {
        let end = segment.end as u64;
        if segment.is_empty() {
            fs::remove_file(segment_path(&self.directory, segment.number))?;
            return Ok(0);
        }
        let file = self.open(segment)?;
        if !segment.is_sealed {
            format::seal(&mut segment.header, segment.end);
            file.write_all_at(&segment.header, 0)?;
        }
        // Cuts off what was allocated behind the records.
        file.set_len(end)?;
        if !segment.is_sealed {
            file.sync_data()?;
            segment.is_sealed = true;
        }
        Ok(end)
    }

    fn open(&self, segment: &Segment) -> io::Result<File> {
        OpenOptions::new().write(true).open(segment_path(&self.directory, segment.number))
    }

    /// What came of a segment. One that the disk does not give back is put aside: the others are not to wait for it, and the
    /// numbers of the records behind tell what is missing. Any other error says nothing of the segment.
    fn or_put_aside<T>(&self, number: u64, result: io::Result<T>) -> io::Result<Option<T>> {
        match result {
            Err(error) if is_damage(&error) => {
                tracing::error!(journal = %self.journal, segment = number, %error, "a segment of a journal cannot be read");
                file::put_aside(&self.directory, number)?;
                Ok(None)
            }
            result => result.map(Some),
        }
    }

    /// The number of the last record in a segment, if there is one.
    fn last_sequence_in(&self, segment: &Segment) -> io::Result<Option<u64>> {
        if segment.is_empty() {
            return Ok(None);
        }
        let bytes = fs::read(segment_path(&self.directory, segment.number))?;
        let records = bytes.get(HEADER_LEN..segment.end).unwrap_or_default();
        Ok(Walk::new(records, Seed::new(self.journal), true, 0).last().map(|record| record.sequence))
    }
}

/// Whether it is the disk that fails, which another try will not change.
fn is_damage(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof || error.raw_os_error() == Some(Errno::EIO as i32)
}

/// What a file begins with; less than a header, if it is shorter.
fn read_header(path: &Path) -> io::Result<Vec<u8>> {
    let mut header = Vec::new();
    File::open(path)?.take(HEADER_LEN as u64).read_to_end(&mut header)?;
    Ok(header)
}

/// What the file of a segment begins with; `None` if that is not its header.
pub fn header(file: &File, journal: JournalId, number: u64) -> io::Result<Option<Header>> {
    let mut header = [0; HEADER_LEN];
    file.read_exact_at(&mut header, 0)?;
    let len = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    Ok(format::read_header(&header, len, journal, number))
}
