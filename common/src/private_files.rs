//! Files of the data directory: their permissions, and locks with a time limit.
//!
//! Any process that can open a file can lock it. A lock file must therefore be readable by its owner only.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// The permission bits of group and others.
const GROUP_AND_OTHERS: u32 = 0o077;

/// The interval between attempts to lock a file.
const ATTEMPT_INTERVAL: Duration = Duration::from_millis(20);

/// An exclusive lock on a file. Dropping it or the end of the process releases it.
#[derive(Debug)]
pub struct FileLock(#[expect(dead_code, reason = "closing the file releases the lock")] File);

impl FileLock {
    /// Creates the file if it does not exist, and locks it. Blocks the thread for at most `limit`.
    ///
    /// # Errors
    /// `WouldBlock` when another process has the file locked for that time.
    pub fn take(path: &Path, limit: Duration) -> io::Result<FileLock> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        remove_permissions_of_others(path)?;
        let started = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(FileLock(file)),
                Err(TryLockError::WouldBlock) if started.elapsed() < limit => thread::park_timeout(ATTEMPT_INTERVAL),
                Err(TryLockError::WouldBlock) => {
                    let message = format!("another process has locked {}", path.display());
                    return Err(io::Error::new(io::ErrorKind::WouldBlock, message));
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }
}

/// Checks that files can be created in a directory. Creates the directory if it does not exist.
///
/// # Errors
/// When this user cannot write to the directory. A full or failing disk is no error, since it may recover.
pub fn ensure_writable(directory: &Path) -> io::Result<()> {
    let probe = directory.join(format!(".writable-{}", std::process::id()));
    let result = fs::create_dir_all(directory).and_then(|()| {
        drop(OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&probe)?);
        fs::remove_file(&probe)
    });
    match result {
        Err(error) if may_recover(&error) => Ok(()),
        result => result,
    }
}

/// Returns whether an error comes from a full or failing disk, and not from a wrong path or permission.
fn may_recover(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        || error.raw_os_error() == Some(nix::errno::Errno::EIO as i32)
}

/// Removes the permissions of group and others from these files and directories. A failure is logged.
///
/// Earlier builds created files that every user could read.
pub fn make_private(paths: impl IntoIterator<Item = PathBuf>) {
    for path in paths {
        match remove_permissions_of_others(&path) {
            Ok(false) => {}
            Ok(true) => {
                tracing::info!(path = %path.display(), "file was open to other users; their permissions were removed")
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "file is open to other users and its mode could not be changed; change it by hand");
            }
        }
    }
}

/// Removes the permissions of group and others; returns whether there were any. Ignores devices and pipes.
fn remove_permissions_of_others(path: &Path) -> io::Result<bool> {
    let file = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    let mode = file.permissions().mode();
    if mode & GROUP_AND_OTHERS == 0 || !(file.is_file() || file.is_dir()) {
        return Ok(false);
    }
    fs::set_permissions(path, Permissions::from_mode(mode & !GROUP_AND_OTHERS))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn lock_of_another_process_is_an_error_within_the_limit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        // Any user who can read the file can do this.
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
    fn file_open_to_others_becomes_private() {
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
    fn device_or_pipe_open_to_others_is_unchanged() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        fs::set_permissions(&pipe, Permissions::from_mode(0o644)).unwrap();
        // The mode must remain the same, even if the process may change it.
        make_private([pipe.clone(), PathBuf::from("/dev/null")]);
        assert_eq!([mode(&pipe), mode(Path::new("/dev/null"))], [0o644, 0o666]);
    }

    #[test]
    fn directory_is_created_empty_and_an_unwritable_path_is_an_error() {
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
    fn error_of_a_disk_may_recover_and_a_wrong_path_or_permission_does_not() {
        use nix::errno::Errno;
        let recovers = |errno: Errno| may_recover(&io::Error::from_raw_os_error(errno as i32));
        assert!([Errno::ENOSPC, Errno::EDQUOT, Errno::EIO].into_iter().all(recovers));
        assert!(![Errno::EROFS, Errno::EACCES, Errno::ENOTDIR, Errno::ENOENT].into_iter().any(recovers));
    }
}
