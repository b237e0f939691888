//! The files of a journal: where they are, how one is made, mapped, opened and held.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::{Advice, MmapMut};
use nix::fcntl::posix_fallocate;
use tern_common::click::JournalId;

use super::segment::write_header;

/// Held by the process that a journal belongs to.
const LOCK: &str = "lock";

const EXTENSION: &str = "clicks";

/// Of a segment that is none.
const DAMAGED: &str = "damaged";

/// Of a journal's directory that is being made, and of one that is being removed.
const NEW: &str = "new";
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

/// A segment that is being filled: a file of fixed size, all of it allocated, mapped into memory.
/// What is written there is in the file, whatever becomes of the process.
#[derive(Debug)]
pub struct Mapped {
    pub number: u64,
    /// For whoever syncs it.
    pub file: Arc<File>,
    bytes: MmapMut,
}

impl Mapped {
    /// Makes the segment. Every block is allocated here: a full disk is an error now, and no fault later.
    pub fn create(directory: &Path, journal: JournalId, number: u64, len: usize) -> io::Result<Mapped> {
        let path = segment_path(directory, number);
        let made = Self::create_at(&path, journal, number, len);
        if made.is_err() {
            // What was allocated of it is needed; if that fails too, the journal's next owner removes it.
            let _ = fs::remove_file(&path);
        }
        made
    }

    fn create_at(path: &Path, journal: JournalId, number: u64, len: usize) -> io::Result<Mapped> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        let file_len = i64::try_from(len).map_err(io::Error::other)?;
        posix_fallocate(&file, 0, file_len)?;
        // A file is found after a power cut if its directory is on disk, too.
        path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())?;
        #[expect(unsafe_code, reason = "the journal writes through a mapping, so that a click costs no system call")]
        // SAFETY: the file is new, in a directory that only this process has the lock of; others look at it only once
        // the lock is free. This process cuts or maps it nowhere else while it is mapped here.
        let mut bytes = unsafe { MmapMut::map_mut(&file)? };
        // The faults of the first write to each page are taken here. Kernels before 5.14 do not know this.
        match bytes.advise(Advice::PopulateWrite) {
            Err(error) if error.kind() != io::ErrorKind::InvalidInput => return Err(error),
            _ => write_header(&mut bytes, journal, number),
        }
        Ok(Mapped { number, file: Arc::new(file), bytes })
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Mapped {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}
