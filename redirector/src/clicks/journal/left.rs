//! Journals whose process has ended: taking them over, so that what they hold is shipped by somebody else.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tern_common::click::JournalId;

use super::file::{self, Lock, segment_path};
use super::record::Seed;
use super::segment::{self, HEADER_LEN, Header, Walk};
use super::tail;

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

/// Takes over a journal: seals what its process left open, behind the last whole record, and makes a segment of what
/// was in no segment yet. `None` if its process lives.
///
/// Segments that are sealed already are not read: there may be gigabytes of them, and most are in the store.
pub fn take_over(root: &Path, journal: JournalId) -> Result<Option<Left>, LeftError> {
    let directory = file::directory(root, journal);
    let Some(lock) = file::lock_journal(&directory)? else { return Ok(None) };
    let numbers = file::segments(&directory)?;
    for number in &numbers {
        // Before anything is touched: a build that knows the version may come.
        if segment::is_foreign(&read_header(&segment_path(&directory, *number))?) {
            return Err(LeftError::Foreign(*number));
        }
    }
    if tail::is_foreign(&directory)? {
        return Err(LeftError::ForeignTail);
    }
    let next = numbers.last().map_or(1, |last| last + 1);
    let mut left = Left { journal, directory, last_sequence: 0, bytes: 0, is_damaged: false, _lock: lock };
    let mut kept = Vec::new();
    for number in numbers {
        match left.seal(number) {
            Ok(Some(end)) => {
                left.bytes += end as u64;
                kept.push(number);
            }
            Ok(None) => {}
            Err(error) => {
                // The others are not to wait for it; the numbers of the records behind tell what is missing.
                tracing::error!(%journal, segment = number, %error, "a segment of a journal cannot be read");
                file::put_aside(&left.directory, number)?;
            }
        }
    }
    let last = kept.iter().rev().find_map(|number| left.last_sequence_in(*number).ok()?);
    left.last_sequence = last.unwrap_or(0);
    left.empty_tail(next)?;
    left.is_damaged = file::has_put_aside(&left.directory)?;
    Ok(Some(left))
}

impl Left {
    /// Sees that a segment is sealed, and takes no more room than its records need; where those end. `None` if there is
    /// none in it: then the file is removed, or put aside if it is no segment.
    fn seal(&self, number: u64) -> io::Result<Option<usize>> {
        let path = segment_path(&self.directory, number);
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        let sealed_at = header(&file, self.journal, number).ok().flatten().and_then(|header| header.sealed_at);
        if let Some(end) = sealed_at.filter(|end| *end > HEADER_LEN) {
            file.set_len(end as u64)?;
            return Ok(Some(end));
        }
        let bytes = fs::read(&path)?;
        let header = segment::read_header(&bytes, bytes.len(), self.journal, number);
        // An open segment ends with the first thing that is no record. Without a header there was damage, so nothing is
        // known of an end: the checksums tell what belongs here.
        let mut walk = self.walk(header, &bytes, header.is_none());
        let mut end = None;
        while walk.next().is_some() {
            end = Some(HEADER_LEN + walk.offset());
        }
        let Some(end) = end else {
            if header.is_some() || bytes.iter().all(|byte| *byte == 0) {
                // Made ahead, and never needed.
                fs::remove_file(&path)?;
            } else {
                tracing::error!(journal = %self.journal, segment = number, "this is no segment, and is put aside");
                file::put_aside(&self.directory, number)?;
            }
            return Ok(None);
        };
        let whole = bytes.first_chunk().filter(|_| header.is_some());
        let mut header = whole.copied().unwrap_or_else(|| segment::header(self.journal, number));
        segment::seal(&mut header, end);
        file.write_all_at(&header, 0)?;
        // Cuts off what was allocated behind the records.
        file.set_len(end as u64)?;
        file.sync_data()?;
        Ok(Some(end))
    }

    /// Makes a segment of the records that are in the tail alone, and removes it. If that ends half-way it can be done
    /// again: what is in a segment is known by its number.
    fn empty_tail(&mut self, number: u64) -> io::Result<()> {
        match tail::read(&self.directory, self.journal)? {
            tail::Left::Nothing => {}
            tail::Left::Records(records) => {
                if let Some((records, last)) = tail::behind(&records, Seed::new(self.journal), self.last_sequence) {
                    self.bytes += file::write_segment(&self.directory, self.journal, number, records)?;
                    self.last_sequence = last;
                }
            }
            tail::Left::Alien => {
                tracing::error!(journal = %self.journal, "this is no tail of this journal, and is put aside");
                return tail::put_aside(&self.directory);
            }
        }
        tail::remove(&self.directory)
    }

    /// The number of the last record in a segment, if there is one.
    fn last_sequence_in(&self, number: u64) -> io::Result<Option<u64>> {
        let bytes = fs::read(segment_path(&self.directory, number))?;
        let header = segment::read_header(&bytes, bytes.len(), self.journal, number);
        Ok(self.walk(header, &bytes, true).last().map(|record| record.sequence))
    }

    fn walk<'a>(&self, header: Option<Header>, bytes: &'a [u8], is_whole: bool) -> Walk<'a> {
        let seed = header.map_or_else(|| Seed::new(self.journal), |header| header.seed);
        Walk::new(bytes.get(HEADER_LEN..).unwrap_or_default(), seed, is_whole, 0)
    }
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
    Ok(segment::read_header(&header, len, journal, number))
}
