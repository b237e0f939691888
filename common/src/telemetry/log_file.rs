//! The log file: writing with rotation, and reading of the last lines.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use file_rotate::compression::Compression;
use file_rotate::suffix::AppendCount;
use file_rotate::{ContentLimit, FileRotate};
use nix::fcntl::OFlag;

/// The size in bytes at which the log file is rotated.
const ROTATE_AT_BYTES: usize = 64 * 1024 * 1024;

/// The number of rotated files beside the current one. All files together have at most 320 MiB.
const ROTATED_FILES: usize = 4;

/// The number of bytes that [`tail`] reads of a file. 1,000 entries usually have a quarter of this.
const TAIL_BYTES: u64 = 1024 * 1024;

/// The interval of checks whether the path still leads to the open file. An operator may have moved or deleted it.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The log file, open for appending.
pub(super) struct LogFile {
    path: PathBuf,
    output: Output,
    inode: Option<u64>,
    checked_at: Instant,
    /// Lines that could not be written; a metric.
    lost: Arc<AtomicU64>,
}

enum Output {
    Rotated(Box<FileRotate<AppendCount>>),
    /// A pipe or a device, which cannot be rotated.
    Plain(File),
}

impl LogFile {
    /// Opens `path` and creates its directory. Lines that cannot be written are counted in `lost`.
    pub(super) fn open(path: &Path, lost: Arc<AtomicU64>) -> io::Result<LogFile> {
        let (output, inode) = open(path)?;
        Ok(LogFile { path: path.to_owned(), output, inode, checked_at: Instant::now(), lost })
    }

    /// Reopens the path if it no longer leads to the open file.
    fn reopen_if_moved(&mut self) {
        if self.checked_at.elapsed() < CHECK_INTERVAL {
            return;
        }
        self.checked_at = Instant::now();
        if inode(&self.path) != self.inode
            && let Ok((output, inode)) = open(&self.path)
        {
            (self.output, self.inode) = (output, inode);
        }
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.reopen_if_moved();
        let written = match &mut self.output {
            Output::Rotated(file) => file.write_all(bytes),
            Output::Plain(file) => file.write_all(bytes),
        };
        // The caller ignores errors, and the next line may fit.
        if written.is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.output {
            Output::Rotated(file) => file.flush(),
            Output::Plain(file) => file.flush(),
        }
    }
}

fn open(path: &Path) -> io::Result<(Output, Option<u64>)> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    // FileRotate reports no error if it cannot write, so this attempt reports it.
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let metadata = file.metadata()?;
    let output = if metadata.is_file() {
        let (suffixes, limit) = (AppendCount::new(ROTATED_FILES), ContentLimit::BytesSurpassed(ROTATE_AT_BYTES));
        Output::Rotated(Box::new(FileRotate::new(path, suffixes, limit, Compression::None, None)))
    } else {
        Output::Plain(file)
    };
    Ok((output, Some(metadata.ino())))
}

fn inode(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|metadata| metadata.ino())
}

/// Returns the last `count` lines of the log at `path`, oldest first, including those of the last rotated file.
///
/// At most the last MiB of each file is read. A path without a regular file has no lines.
pub fn tail(path: &Path, count: usize) -> io::Result<Vec<String>> {
    let (mut lines, is_whole) = last_lines(path, count)?;
    // Lines of the older file must not follow a gap, so this file must have been read from its start.
    if is_whole && lines.len() < count {
        let (mut older, _) = last_lines(&rotated(path), count - lines.len())?;
        older.append(&mut lines);
        lines = older;
    }
    Ok(lines)
}

/// Returns the path of the last rotated file.
fn rotated(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

/// Opens a regular file for reading; returns `None` for anything else.
///
/// Opening a pipe would wait for a writer, and reading from it would take lines from the log's own reader.
fn open_regular(path: &Path) -> io::Result<Option<File>> {
    if !fs::metadata(path)?.is_file() {
        return Ok(None);
    }
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    Ok(file.metadata()?.is_file().then_some(file))
}

/// Returns the last `count` lines of a file, and whether it was read from its start.
fn last_lines(path: &Path, count: usize) -> io::Result<(Vec<String>, bool)> {
    let mut file = match open_regular(path) {
        Ok(Some(file)) => file,
        Ok(None) => return Ok((Vec::new(), false)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), true)),
        Err(error) => return Err(error),
    };
    let len = file.metadata()?.len();
    let skipped = len.saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(skipped))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    // The first line after the skipped part is most likely incomplete.
    let whole = if skipped > 0 { text.split_once('\n').map_or("", |(_, rest)| rest) } else { &text };
    let mut lines: Vec<String> =
        whole.lines().rev().filter(|line| !line.trim().is_empty()).take(count).map(str::to_owned).collect();
    lines.reverse();
    Ok((lines, skipped == 0))
}

#[cfg(test)]
mod tests {
    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn tail_after_a_rotation_includes_the_rotated_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.log");
        assert_eq!(tail(&path, 10).unwrap(), Vec::<String>::new());

        fs::write(&path, "four\n\nfive\n").unwrap();
        fs::write(directory.path().join("app.log.1"), "one\ntwo\nthree\n").unwrap();
        let check = |count: usize, expected: &[&str]| assert_eq!(tail(&path, count).unwrap(), expected, "{count}");
        check(0, &[]);
        check(1, &["five"]);
        check(2, &["four", "five"]);
        check(4, &["two", "three", "four", "five"]);
        check(100, &["one", "two", "three", "four", "five"]);
    }

    #[test]
    fn tail_of_a_path_without_a_regular_file_is_empty_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe.log");
        mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        fs::write(directory.path().join("pipe.log.1"), "of another time\n").unwrap();
        for path in [&*pipe, directory.path(), Path::new("/dev/null"), Path::new("/dev/zero"), Path::new("/dev/tty")] {
            assert_eq!(tail(path, 10).unwrap(), Vec::<String>::new(), "{}", path.display());
        }
        assert_eq!(tail(Path::new(""), 10).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn tail_of_a_long_log_has_no_incomplete_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.log");
        let lines: Vec<String> = (0..200_000).map(|n| format!("{{\"message\":\"entry {n}\"}}")).collect();
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        assert_eq!(tail(&path, 1000).unwrap(), lines[199_000..]);
        assert!(tail(&path, 1_000_000).unwrap().iter().all(|line| line.starts_with("{\"message\"")));
    }

    #[test]
    fn tail_of_a_partly_read_file_excludes_the_rotated_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.log");
        fs::write(directory.path().join("app.log.1"), "old\n").unwrap();
        let lines: Vec<String> = (0..2_000).map(|n| format!("{n} {}", "x".repeat(1024))).collect();
        fs::write(&path, lines.join("\n")).unwrap();
        let tail = tail(&path, 2_000).unwrap();
        assert!(tail.len() > 900 && tail.len() < 2_000, "{}", tail.len());
        assert_eq!(tail, lines[lines.len() - tail.len()..]);
    }

    fn writer(path: &Path) -> (LogFile, Arc<AtomicU64>) {
        let lost = Arc::new(AtomicU64::new(0));
        (LogFile::open(path, Arc::clone(&lost)).unwrap(), lost)
    }

    #[test]
    fn reopened_log_file_preserves_its_lines() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/er/app.log");
        for line in ["one", "two"] {
            writeln!(writer(&path).0, "{line}").unwrap();
        }
        assert_eq!(tail(&path, 10).unwrap(), ["one", "two"]);
    }

    #[test]
    fn moved_log_file_is_created_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.log");
        let (mut log, _) = writer(&path);
        writeln!(log, "one").unwrap();
        fs::rename(&path, directory.path().join("moved")).unwrap();
        log.checked_at = Instant::now().checked_sub(CHECK_INTERVAL).unwrap();
        writeln!(log, "two").unwrap();
        assert_eq!(tail(&path, 10).unwrap(), ["two"]);
    }

    #[test]
    fn line_that_a_device_refuses_is_counted() {
        let (mut log, lost) = writer(Path::new("/dev/full"));
        assert!(matches!(log.output, Output::Plain(_)));
        writeln!(log, "one").unwrap();
        assert!(lost.load(Ordering::Relaxed) >= 1);
    }
}
