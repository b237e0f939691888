//! The snapshot file: the links and the cursor of a replica, so that a restart serves without a store or a bus.
//!
//! ```text
//! mod      opens the file, and decides how it is written
//!   base   every link of a map
//!   tail   records of the changes since
//!   input  reads values
//! ```
//!
//! Layout of the base, integers little-endian: magic and version; length of the cursor (u32), length of the field names
//! (u32), the time at which the map equalled the store (u64, microseconds), the cursor, the names of the fields that the
//! writer knew, separated by commas; the encoded links, each after a 1; a 0; the number of links (u64); the CRC-32C of
//! all bytes before it. The records of the tail follow; each has a checksum, and the cursor to which it brings the map.
//!
//! Changes are appended. A new base replaces the file when the tail is a tenth of the base, when a base with a tail is a
//! day old, or when the changes are not known. It is written beside the old file and renamed over it, so one of them is always
//! whole, and no tail follows another base than its own.
//!
//! A file whose base has a wrong checksum is not used. The records of a tail are used up to the first damaged one. The
//! cursor is that of the last record used, so deltas bring the rest.
//!
//! A file of a build with fewer or more fields is read. If it lacks a field, the links are completed from the store.
//!
//! The file is read once, from front to back, through one buffer, so a start needs memory for the map alone. Threads
//! check the links of the base meanwhile. No link is served before its checksum is verified.
//!
//! The map may change while a base is written. The cursor was taken before, and the changes since that cursor contain
//! each changed code in its latest state.

mod base;
#[cfg(test)]
mod crash_tests;
mod input;
mod tail;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tern_common::private_files::FileLock;
use tern_common::store::Cursor;

use self::base::{Base, micros};
pub use self::input::FileError;
use self::input::Input;
use self::tail::Tail;
pub use self::tail::{Changes, TailEnd, TooManyChanges};
use crate::link_map::{LinkMap, LinkMapWriter, Replacement};

/// Time for another process to write the file, which takes some seconds for ten million links.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// The divisor for a tail: one of this many bytes of the base. A base is then written once in that many changes.
const TAIL_SHARE: u64 = 10;

/// Bytes that a tail may always have, so that a small base is not written again after few changes.
const MIN_TAIL: u64 = 1 << 20;

/// Age at which a base with a tail is replaced. Until then, links that were removed since are still in the file.
const MAX_BASE_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Time after the last write of another process until this one writes the file.
const FOREIGN_FOR: Duration = Duration::from_secs(30);

/// Contents of a snapshot file.
#[derive(Debug)]
pub struct FileContents {
    pub cursor: Cursor,
    /// Time at which the map equalled the store.
    pub equal_at: SystemTime,
    /// Whether the writer knew every field that this build serves. Otherwise links may lack fields.
    pub has_all_fields: bool,
    /// Whether changes can be appended to the file.
    pub can_grow: bool,
    pub tail_end: TailEnd,
    /// The error of a tail whose next record could not be read.
    pub tail_error: Option<io::Error>,
    /// Links that this build refuses.
    pub rejected: u64,
    links: Replacement,
    /// Codes whose links are removed after all links are in the map.
    removed: HashSet<String>,
}

impl FileContents {
    /// Replaces the links of a map by those of the file.
    pub fn restore(self, writer: &mut LinkMapWriter) {
        writer.replace(self.links);
        for code in self.removed {
            writer.remove(&code);
        }
    }
}

/// Contents of the next file. The map may change while it is written.
#[derive(Clone, Copy, Debug)]
pub struct NextFile<'a> {
    pub cursor: &'a Cursor,
    pub equal_at: SystemTime,
    pub map: &'a LinkMap,
    /// Changes since the last write. `None` if they are not known, so that a new base is needed.
    pub changes: Option<&'a Changes>,
}

/// The outcome of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// A new base of so many bytes.
    Base(u64),
    /// A record of so many bytes.
    Record(u64),
    /// Nothing, because another process writes the file.
    Nothing,
}

/// The snapshot file of one process.
#[derive(Debug)]
pub struct SnapshotFile {
    path: PathBuf,
    /// The file that this process has read or written last.
    last: Option<LastFile>,
}

/// A file as it was when this process read or wrote it.
#[derive(Debug)]
struct LastFile {
    metadata: Metadata,
    /// `None` if nothing can be appended.
    base: Option<BaseFacts>,
    /// While it is open, no other file has its number.
    _file: File,
}

#[derive(Clone, Copy, Debug)]
struct BaseFacts {
    len: u64,
    written_at: SystemTime,
}

impl SnapshotFile {
    pub fn new(path: PathBuf) -> SnapshotFile {
        SnapshotFile { path, last: None }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file. Returns `None` if there is none.
    ///
    /// # Errors
    /// The file cannot be read, has another version, or its base is damaged.
    pub fn read(&mut self) -> Result<Option<FileContents>, FileError> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let metadata = file.metadata()?;
        // A predecessor may append meanwhile.
        let parsed = parse((&file).take(metadata.len()));
        let base = parsed.as_ref().ok().and_then(|(_, base)| *base);
        self.last = Some(LastFile { metadata, base, _file: file });
        parsed.map(|(contents, _)| Some(contents))
    }

    /// Appends the changes, or writes a new base. The contents are durable when the call returns.
    pub fn write(&mut self, next: NextFile<'_>) -> io::Result<Written> {
        if let Some(directory) = self.path.parent() {
            fs::create_dir_all(directory)?;
        }
        // During a take-over, two processes write the file.
        let _lock = FileLock::take(&self.path.with_extension("lock"), LOCK_WAIT)?;
        if self.is_written_by_another()? {
            return Ok(Written::Nothing);
        }
        let result = match next.changes {
            Some(changes) if self.has_room_for(changes) => self.append(next, changes),
            _ => self.replace(next),
        };
        if result.is_err() {
            // The file may end in a part of a record.
            self.last = LastFile::find(&self.path).ok();
        }
        result
    }

    /// Returns whether a new base is due because of the age of this one. Without a tail, it would be the same again.
    pub fn is_old(&self) -> bool {
        let Some(LastFile { metadata, base: Some(base), .. }) = &self.last else { return false };
        metadata.len() > base.len && base.written_at.elapsed().is_ok_and(|age| age >= MAX_BASE_AGE)
    }

    /// Returns whether another process has written the file, and may still do so.
    fn is_written_by_another(&mut self) -> io::Result<bool> {
        let present = match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            present => Some(present?),
        };
        if self.last.as_ref().zip(present.as_ref()).is_some_and(|(last, present)| last.is(present)) {
            return Ok(false);
        }
        self.last = None;
        let Some(present) = present else { return Ok(false) };
        // A time in the future is from before a change of the clock.
        Ok(present.modified()?.elapsed().is_ok_and(|age| age < FOREIGN_FOR))
    }

    fn has_room_for(&self, changes: &Changes) -> bool {
        let Some(LastFile { metadata, base: Some(base), .. }) = &self.last else { return false };
        let tail = metadata.len() - base.len + changes.len() as u64;
        tail <= MIN_TAIL.max(base.len / TAIL_SHARE)
    }

    fn append(&mut self, next: NextFile<'_>, changes: &Changes) -> io::Result<Written> {
        let base = self.last.as_ref().and_then(|last| last.base);
        let record = tail::encode(next.cursor, micros(next.equal_at), changes)?;
        let mut file = OpenOptions::new().append(true).open(&self.path)?;
        file.write_all(&record)?;
        file.sync_data()?;
        self.last = Some(LastFile { metadata: file.metadata()?, base, _file: file });
        Ok(Written::Record(record.len() as u64))
    }

    fn replace(&mut self, next: NextFile<'_>) -> io::Result<Written> {
        let partial = self.path.with_extension("partial");
        let written = self.replace_by(&partial, next);
        if written.is_err() {
            // A full disk has better uses for its room.
            drop(fs::remove_file(&partial));
        }
        written
    }

    fn replace_by(&mut self, partial: &Path, next: NextFile<'_>) -> io::Result<Written> {
        let written_at = SystemTime::now();
        let file = File::create(partial)?;
        let len = base::write(&file, next.cursor, next.equal_at, next.map)?;
        file.sync_all()?;
        fs::rename(partial, &self.path)?;
        self.last =
            Some(LastFile { metadata: file.metadata()?, base: Some(BaseFacts { len, written_at }), _file: file });
        // Syncing the directory makes the rename durable.
        self.path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())?;
        Ok(Written::Base(len))
    }
}

impl LastFile {
    /// Returns the present file, to which nothing can be appended.
    fn find(path: &Path) -> io::Result<LastFile> {
        let file = File::open(path)?;
        Ok(LastFile { metadata: file.metadata()?, base: None, _file: file })
    }

    fn is(&self, other: &Metadata) -> bool {
        let facts = |metadata: &Metadata| (metadata.dev(), metadata.ino(), metadata.len());
        facts(&self.metadata) == facts(other)
    }
}

/// Parses a whole file. Returns the facts of its base, too, if changes can be appended.
fn parse(file: impl Read) -> Result<(FileContents, Option<BaseFacts>), FileError> {
    let mut input = Input::new(file);
    let Base { cursor, equal_at, has_all_fields, can_grow, mut links, rejected } = base::parse(&mut input)?;
    let facts = BaseFacts { len: input.taken(), written_at: equal_at };
    let Tail { reached, links: changed, removed, rejected: refused, end: tail_end, error: tail_error } =
        tail::parse(&mut input);
    links.append(changed);
    let can_grow = can_grow && tail_end == TailEnd::Whole;
    let (cursor, equal_at) = reached.unwrap_or((cursor, equal_at));
    let rejected = rejected + refused;
    let contents =
        FileContents { cursor, equal_at, has_all_fields, can_grow, tail_end, tail_error, rejected, links, removed };
    Ok((contents, can_grow.then_some(facts)))
}
