//! Journals whose process has ended: taking them over, so that what they hold is shipped by somebody else.

use std::fs::{self, File, OpenOptions};
use std::io;
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
pub fn take_over(root: &Path, journal: JournalId) -> Result<Option<Left>, LeftError> {
    let directory = file::directory(root, journal);
    let Some(lock) = file::lock_journal(&directory)? else { return Ok(None) };
    let mut left = Left { journal, directory, last_sequence: 0, bytes: 0, is_damaged: false, _lock: lock };
    for number in file::segments(&left.directory)? {
        let path = segment_path(&left.directory, number);
        let bytes = fs::read(&path)?;
        if segment::is_foreign(&bytes) {
            return Err(LeftError::Foreign(number));
        }
        let header = segment::read_header(&bytes, bytes.len(), journal, number);
        let sealed_at = header.and_then(|header| header.sealed_at);
        let records = bytes.get(HEADER_LEN..sealed_at.unwrap_or(bytes.len())).unwrap_or_default();
        // An open segment ends with the first thing that is no record. Without a header there was damage, so nothing is
        // known of an end: the checksums tell what belongs here.
        let is_whole = sealed_at.is_some() || header.is_none();
        let mut walk = Walk::new(records, Seed::new(journal, number), is_whole, left.last_sequence);
        let mut end = None;
        while walk.next().is_some() {
            end = Some(HEADER_LEN + walk.offset());
        }
        let Some(end) = sealed_at.filter(|_| end.is_some()).or(end) else {
            let is_open = header.is_some() && sealed_at.is_none_or(|end| end == HEADER_LEN);
            if is_open || bytes.iter().all(|byte| *byte == 0) {
                // Made ahead, and never needed.
                fs::remove_file(&path)?;
            } else {
                tracing::error!(%journal, segment = number, "a file of the journal is no segment, and is put aside");
                file::put_aside(&left.directory, number)?;
            }
            continue;
        };
        left.last_sequence = walk.sequence();
        seal(&path, journal, number, end)?;
        left.bytes += end as u64;
    }
    left.is_damaged = file::has_put_aside(&left.directory)?;
    Ok(Some(left))
}

/// Seals a segment in its file, and cuts off what was allocated behind its records.
fn seal(path: &Path, journal: JournalId, number: u64, end: usize) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    let mut header = [0; HEADER_LEN];
    segment::write_header(&mut header, journal, number);
    segment::seal(&mut header, end);
    file.write_all_at(&header, 0)?;
    file.set_len(end as u64)?;
    file.sync_data()
}

/// Where the records of a sealed segment end; `None` if it is not sealed.
pub fn sealed_at(file: &File, journal: JournalId, number: u64) -> io::Result<Option<usize>> {
    let mut header = [0; HEADER_LEN];
    file.read_exact_at(&mut header, 0)?;
    let len = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    Ok(segment::read_header(&header, len, journal, number).and_then(|header| header.sealed_at))
}
