//! Files of the data directory: readable by their owner alone, and locked without waiting for ever.
//!
//! A lock on a file can be taken by any process that can open it, so a lock file that others may read is theirs to hold.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// The rights of everybody but the owner.
const OF_OTHERS: u32 = 0o077;

/// Between two tries to take a lock.
const STEP: Duration = Duration::from_millis(20);

/// An exclusive lock on a file. It ends when it is dropped, and with the process.
#[derive(Debug)]
pub struct FileLock(#[expect(dead_code, reason = "the lock ends when the file is closed")] File);

impl FileLock {
    /// Makes the file if it is not there, and locks it. Blocks the thread for up to `patience`.
    ///
    /// # Errors
    /// `WouldBlock` when another process holds a lock on it for longer than that.
    pub fn take(path: &Path, patience: Duration) -> io::Result<FileLock> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        close_to_others(path)?;
        let started = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(FileLock(file)),
                Err(TryLockError::WouldBlock) if started.elapsed() < patience => thread::park_timeout(STEP),
                Err(TryLockError::WouldBlock) => {
                    let message = format!("another process holds a lock on {}", path.display());
                    return Err(io::Error::new(io::ErrorKind::WouldBlock, message));
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }
}

/// Takes the rights to these files and directories from everybody but their owner. Files of earlier builds were readable
/// by all. A failure is logged, and nothing waits for it.
pub fn make_private(paths: impl IntoIterator<Item = PathBuf>) {
    for path in paths {
        match close_to_others(&path) {
            Ok(false) => {}
            Ok(true) => tracing::info!(path = %path.display(), "a file was open to others; its owner alone has it now"),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a file is open to others and stays so; change its mode");
            }
        }
    }
}

/// Whether anything was to be taken from others.
fn close_to_others(path: &Path) -> io::Result<bool> {
    let mode = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?.permissions().mode(),
    };
    if mode & OF_OTHERS == 0 {
        return Ok(false);
    }
    fs::set_permissions(path, Permissions::from_mode(mode & !OF_OTHERS))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn lock_that_another_holds_is_an_error_within_its_patience() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        // As any user can who may read it.
        let other = File::open(&path).unwrap();
        other.lock_shared().unwrap();
        let started = Instant::now();
        let error = FileLock::take(&path, Duration::from_millis(100)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        assert!(started.elapsed() < Duration::from_secs(5));
        assert_eq!(mode(&path), 0o600);
        drop(other);
        drop(FileLock::take(&path, Duration::ZERO).unwrap());
    }

    #[test]
    fn file_that_is_open_to_others_is_closed_to_them() {
        let directory = tempfile::tempdir().unwrap();
        let [file, folder, absent] = ["file", "folder", "absent"].map(|name| directory.path().join(name));
        fs::write(&file, "x").unwrap();
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        make_private([file.clone(), folder.clone(), absent]);
        assert_eq!([mode(&file), mode(&folder)], [0o600, 0o700]);
    }
}
