//! Files of the data directory: writable, readable by their owner alone, and locked without waiting for ever.
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

/// Makes sure that files can be made in a directory, which is made if it is not there.
///
/// # Errors
/// When the directory is not one that this user may write to. A disk that is full or broken is no error: it may recover.
pub fn ensure_writable(directory: &Path) -> io::Result<()> {
    let probe = directory.join(format!(".writable-{}", std::process::id()));
    let made = fs::create_dir_all(directory).and_then(|()| {
        drop(OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&probe)?);
        fs::remove_file(&probe)
    });
    match made {
        Err(error) if is_passing(&error) => Ok(()),
        made => made,
    }
}

/// Whether the disk is at fault, and not its place or the rights to it.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        || error.raw_os_error() == Some(nix::errno::Errno::EIO as i32)
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

/// Whether anything was to be taken from others. A device or a pipe is not Tern's to close.
fn close_to_others(path: &Path) -> io::Result<bool> {
    let file = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    let mode = file.permissions().mode();
    if mode & OF_OTHERS == 0 || !(file.is_file() || file.is_dir()) {
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

    #[test]
    fn device_or_pipe_that_is_open_to_others_stays_so() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        fs::set_permissions(&pipe, Permissions::from_mode(0o644)).unwrap();
        // Where this process may not change it, it must not try, either.
        make_private([pipe.clone(), PathBuf::from("/dev/null")]);
        assert_eq!([mode(&pipe), mode(Path::new("/dev/null"))], [0o644, 0o666]);
    }

    #[test]
    fn directory_is_made_and_left_empty_and_a_place_that_is_none_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let deep = directory.path().join("a/b");
        ensure_writable(&deep).unwrap();
        assert_eq!(fs::read_dir(&deep).unwrap().count(), 0);
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        for place in [&file, &file.join("below"), Path::new("/proc/tern")] {
            assert!(ensure_writable(place).is_err(), "{}", place.display());
        }
    }

    #[test]
    fn fault_of_a_disk_may_pass_and_a_wrong_place_or_right_does_not() {
        use nix::errno::Errno;
        let may_pass = |errno: Errno| is_passing(&io::Error::from_raw_os_error(errno as i32));
        assert!([Errno::ENOSPC, Errno::EDQUOT, Errno::EIO].into_iter().all(may_pass));
        assert!(![Errno::EROFS, Errno::EACCES, Errno::ENOTDIR, Errno::ENOENT].into_iter().any(may_pass));
    }
}
