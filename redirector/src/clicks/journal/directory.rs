//! Directories of journals: their names, their locks, and how they are made and removed.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use tern_common::click::JournalId;

/// The file that the owner of a journal locks.
const LOCK: &str = "lock";

/// Extension of a directory, segment or tail that is being made.
pub const NEW: &str = "new";

/// Extension of a directory that is being removed.
const REMOVED: &str = "gone";

/// Extension of a segment or tail that is quarantined for a person to look at.
const DAMAGED: &str = "damaged";

/// Returns the directory of a journal.
pub fn path(root: &Path, journal: JournalId) -> PathBuf {
    root.join(journal.to_string())
}

/// Lists the journals below `root`.
pub fn journals(root: &Path) -> io::Result<Vec<JournalId>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root)? {
        found.extend(entry?.file_name().to_str().and_then(JournalId::parse));
    }
    found.sort_unstable();
    Ok(found)
}

/// The exclusive right to a journal. The kernel releases it when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "closing the file releases the lock")] File);

/// Makes the directory of a new journal. It is locked before another process can see it.
pub fn create(root: &Path, journal: JournalId) -> io::Result<Lock> {
    let target = path(root, journal);
    let hidden = target.with_extension(NEW);
    fs::create_dir_all(&hidden)?;
    let file = File::create(hidden.join(LOCK))?;
    file.try_lock().map_err(io::Error::from)?;
    fs::rename(&hidden, &target)?;
    // Without this sync a power cut may lose the directory with all its segments. Nothing else is at risk.
    if let Err(error) = File::open(root).and_then(|root| root.sync_all()) {
        tracing::warn!(%error, "directory of the journals not synced; a power cut may lose clicks; recording goes on");
    }
    Ok(Lock(file))
}

/// Makes a file under a hidden name and renames it, so that it is there whole or not at all.
pub fn make_whole<T>(path: &Path, make: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let hidden = path.with_extension(NEW);
    let made = make(&hidden).and_then(|made| fs::rename(&hidden, path).map(|()| made));
    // A partial file takes room of a disk that may be full.
    made.inspect_err(|_| drop(fs::remove_file(&hidden)))
}

/// Locks the journal of a process that has ended. `None` if the process lives.
pub fn lock(directory: &Path) -> io::Result<Option<Lock>> {
    let file = OpenOptions::new().write(true).open(directory.join(LOCK))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock(file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Removes a journal that is not needed any more. Another process sees all of the journal or nothing.
///
/// The caller has its lock.
pub fn remove(directory: &Path) -> io::Result<()> {
    let removed = directory.with_extension(REMOVED);
    fs::rename(directory, &removed)?;
    fs::remove_dir_all(removed)
}

/// Removes directories whose processes ended while they made or removed them.
pub fn remove_partial(root: &Path) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        let is_free = || lock(&path).is_ok_and(|lock| lock.is_some()) || !path.join(LOCK).exists();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some(REMOVED) => fs::remove_dir_all(path)?,
            Some(NEW) if is_free() => fs::remove_dir_all(path)?,
            _ => {}
        }
    }
    Ok(())
}

/// Quarantines a file that cannot be read: renames it, so that no process reads it again.
pub fn quarantine(file: &Path) -> io::Result<()> {
    fs::rename(file, file.with_extension(DAMAGED))
}

/// Returns whether the directory has quarantined files.
pub fn has_quarantined(directory: &Path) -> io::Result<bool> {
    let entries = fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
    Ok(entries.iter().any(|entry| entry.path().extension().is_some_and(|extension| extension == DAMAGED)))
}
