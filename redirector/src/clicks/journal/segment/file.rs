//! The files of a journal: where they are, how one is made, written, put on disk and held.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::posix_fallocate;
use tern_common::click::JournalId;

use super::format::{self, HEADER_LEN};

/// Held by the process that a journal belongs to.
const LOCK: &str = "lock";

const EXTENSION: &str = "clicks";

/// Of a segment or a tail that is none.
pub const DAMAGED: &str = "damaged";

/// Extensions of a directory, segment or tail that is being made, and of a directory that is being removed.
pub const NEW: &str = "new";
const GONE: &str = "gone";

/// The directory of a journal, below the directory of all.
pub fn directory(root: &Path, journal: JournalId) -> PathBuf {
    root.join(journal.to_string())
}

/// The file of a segment. Numbers sort as their names do.
pub fn segment_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:010}.{EXTENSION}"))
}

/// Puts a file out of the way that is no segment.
pub fn put_aside(directory: &Path, number: u64) -> io::Result<()> {
    let path = segment_path(directory, number);
    fs::rename(&path, path.with_extension(DAMAGED))
}

/// Whether files of this directory were put out of the way, by whomever.
pub fn has_put_aside(directory: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(directory)? {
        if entry?.path().extension().is_some_and(|extension| extension == DAMAGED) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The numbers of the segments in a directory, in order; none if there is no directory.
pub fn segments(directory: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(numbers),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        if let Some(number) = number.filter(|_| path.extension().is_some_and(|extension| extension == EXTENSION)) {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The journals in the directory of all.
pub fn journals(root: &Path) -> io::Result<Vec<JournalId>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root)? {
        found.extend(entry?.file_name().to_str().and_then(|name| name.parse::<JournalId>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}

/// The right to a journal. The kernel takes it back when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held, not used")] File);

/// Makes the directory of a new journal. Nobody sees it before it is locked.
pub fn create_journal(root: &Path, journal: JournalId) -> io::Result<Lock> {
    let target = directory(root, journal);
    let hidden = target.with_extension(NEW);
    fs::create_dir_all(&hidden)?;
    let file = File::create(hidden.join(LOCK))?;
    file.try_lock().map_err(io::Error::from)?;
    fs::rename(&hidden, &target)?;
    // The segments in it are worth syncing only if it is found again. If that fails, only a power cut can tell.
    if let Err(error) = File::open(root).and_then(|root| root.sync_all()) {
        tracing::warn!(%error, "the directory of the journals could not be synced");
    }
    Ok(Lock(file))
}

/// Takes a journal whose process has ended; `None` if it has not.
pub fn lock_journal(directory: &Path) -> io::Result<Option<Lock>> {
    let file = OpenOptions::new().write(true).open(directory.join(LOCK))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock(file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Removes a journal of which nothing is needed any more. To be called by who has its lock: nobody finds it half gone.
pub fn remove_journal(directory: &Path) -> io::Result<()> {
    let gone = directory.with_extension(GONE);
    fs::rename(directory, &gone)?;
    fs::remove_dir_all(gone)
}

/// Removes what processes left that ended while they made or removed a journal.
pub fn remove_leftovers(root: &Path) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        let is_free = || lock_journal(&path).is_ok_and(|lock| lock.is_some()) || !path.join(LOCK).exists();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some(GONE) => fs::remove_dir_all(path)?,
            Some(NEW) if is_free() => fs::remove_dir_all(path)?,
            _ => {}
        }
    }
    Ok(())
}

/// A segment that is being filled: a file of fixed size, all of it allocated, so that a full disk is an error when it is
/// made, and none later.
#[derive(Debug)]
pub struct Segment {
    pub number: u64,
    journal: JournalId,
    directory: PathBuf,
    file: File,
    len: usize,
    /// Its name is on disk. Written by whoever syncs it.
    is_listed: AtomicBool,
}

impl Segment {
    /// Makes the segment.
    pub fn create(directory: &Path, journal: JournalId, number: u64, len: usize) -> io::Result<Segment> {
        let path = segment_path(directory, number);
        let made = allocate(&path, len).and_then(|file| {
            file.write_all_at(&format::header(journal, number), 0)?;
            let (directory, is_listed) = (directory.to_owned(), AtomicBool::new(false));
            Ok(Segment { number, journal, directory, file, len, is_listed })
        });
        if made.is_err() {
            // What was allocated of it is needed; if that fails too, the journal's next owner removes it.
            let _ = fs::remove_file(&path);
        }
        made
    }

    /// Bytes that it has room for, the header among them.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn write(&self, bytes: &[u8], offset: usize) -> io::Result<()> {
        self.file.write_all_at(bytes, offset as u64)
    }

    /// Says in it that the records end at `end`.
    pub fn seal(&self, end: usize) -> io::Result<()> {
        let mut header = format::header(self.journal, self.number);
        format::seal(&mut header, end);
        self.write(&header, 0)
    }

    /// Puts what was written on disk.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()?;
        // A file is found after a power cut if its directory is on disk, too.
        if !self.is_listed.load(Ordering::Relaxed) {
            File::open(&self.directory)?.sync_all()?;
            self.is_listed.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

fn allocate(path: &Path, len: usize) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
    posix_fallocate(&file, 0, i64::try_from(len).map_err(io::Error::other)?)?;
    Ok(file)
}

/// Makes a sealed segment of these records, which is there as a whole or not at all; its bytes.
pub fn write_segment(directory: &Path, journal: JournalId, number: u64, records: &[u8]) -> io::Result<u64> {
    let path = segment_path(directory, number);
    let hidden = path.with_extension(NEW);
    let end = HEADER_LEN + records.len();
    let mut header = format::header(journal, number);
    format::seal(&mut header, end);
    let write = |file: File| {
        file.write_all_at(&header, 0)?;
        file.write_all_at(records, HEADER_LEN as u64)?;
        file.sync_data()?;
        fs::rename(&hidden, &path)
    };
    File::create(&hidden).and_then(write).inspect_err(|_| {
        // What it took of a full disk is needed.
        let _ = fs::remove_file(&hidden);
    })?;
    File::open(directory)?.sync_all()?;
    Ok(end as u64)
}
