//! Journals whose process has ended: taking them over, so that what they hold is shipped by somebody else.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tern_common::click::JournalId;

use super::file::{self, Lock, segment_path};
use super::record::Seed;
use super::segment::{self, HEADER_LEN, Walk};

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
}

/// Takes over a journal and seals what its process left open, behind the last whole record.
/// `None` if its process lives.
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
    left.is_damaged = file::has_put_aside(&left.directory)?;
    Ok(Some(left))
}

impl Left {
    /// Sees that a segment is sealed, and takes no more room than its records need; where those end. `None` if there is
    /// none in it: then the file is removed, or put aside if it is no segment.
    fn seal(&self, number: u64) -> io::Result<Option<usize>> {
        let path = segment_path(&self.directory, number);
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        let sealed_at = sealed_at(&file, self.journal, number).unwrap_or(None);
        if let Some(end) = sealed_at.filter(|end| *end > HEADER_LEN) {
            file.set_len(end as u64)?;
            return Ok(Some(end));
        }
        let bytes = fs::read(&path)?;
        let header = segment::read_header(&bytes, bytes.len(), self.journal, number);
        // An open segment ends with the first thing that is no record. Without a header there was damage, so nothing is
        // known of an end: the checksums tell what belongs here.
        let mut walk = self.walk(number, &bytes, header.is_none());
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
        let mut header = [0; HEADER_LEN];
        segment::write_header(&mut header, self.journal, number);
        segment::seal(&mut header, end);
        file.write_all_at(&header, 0)?;
        // Cuts off what was allocated behind the records.
        file.set_len(end as u64)?;
        file.sync_data()?;
        Ok(Some(end))
    }

    /// The number of the last record in a segment, if there is one.
    fn last_sequence_in(&self, number: u64) -> io::Result<Option<u64>> {
        let bytes = fs::read(segment_path(&self.directory, number))?;
        Ok(self.walk(number, &bytes, true).last().map(|record| record.sequence))
    }

    fn walk<'a>(&self, number: u64, bytes: &'a [u8], is_whole: bool) -> Walk<'a> {
        Walk::new(bytes.get(HEADER_LEN..).unwrap_or_default(), Seed::new(self.journal, number), is_whole, 0)
    }
}

/// What a file begins with; less than a header, if it is shorter.
fn read_header(path: &Path) -> io::Result<Vec<u8>> {
    let mut header = Vec::new();
    File::open(path)?.take(HEADER_LEN as u64).read_to_end(&mut header)?;
    Ok(header)
}

/// Where the records of a sealed segment end; `None` if it is not sealed.
pub fn sealed_at(file: &File, journal: JournalId, number: u64) -> io::Result<Option<usize>> {
    let mut header = [0; HEADER_LEN];
    file.read_exact_at(&mut header, 0)?;
    let len = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    Ok(segment::read_header(&header, len, journal, number).and_then(|header| header.sealed_at))
}
