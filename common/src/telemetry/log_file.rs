//! The log file: written with rotation, read from its end.

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

/// At this size a file is set aside and the next begun.
const ROTATE_AT_BYTES: usize = 64 * 1024 * 1024;

/// How many files are kept beside the one being written: with it, 320 MiB at most.
const KEPT_FILES: usize = 4;

/// How far back [`tail`] looks: 1,000 entries have a quarter of this, unless their paths are very long.
const TAIL_BYTES: u64 = 1024 * 1024;

/// How often the file is looked for under its path: somebody may have moved or deleted it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The log file, for appending.
pub(super) struct LogFile {
    path: PathBuf,
    output: Output,
    inode: Option<u64>,
    looked_at: Instant,
    /// Lines that could not be written. Read for the metrics.
    lost: Arc<AtomicU64>,
}

enum Output {
    Rotated(Box<FileRotate<AppendCount>>),
    /// A pipe or a device is nothing to rename.
    Plain(File),
}

impl LogFile {
    /// Opens `path`, making its directory. Lines that cannot be written are counted in `lost`.
    pub(super) fn open(path: &Path, lost: Arc<AtomicU64>) -> io::Result<LogFile> {
        let (output, inode) = open(path)?;
        Ok(LogFile { path: path.to_owned(), output, inode, looked_at: Instant::now(), lost })
    }

    /// Opens the path anew if another file is there by now, or none.
    fn follow_path(&mut self) {
        if self.looked_at.elapsed() < LOOK_EVERY {
            return;
        }
        self.looked_at = Instant::now();
        if inode(&self.path) != self.inode
            && let Ok((output, inode)) = open(&self.path)
        {
            (self.output, self.inode) = (output, inode);
        }
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.follow_path();
        let written = match &mut self.output {
            Output::Rotated(file) => file.write_all(bytes),
            Output::Plain(file) => file.write_all(bytes),
        };
        // Whoever calls can do nothing about it, and drops the error; the next line may fit.
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
    // FileRotate does not tell when it cannot write; find out now.
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let metadata = file.metadata()?;
    let output = if metadata.is_file() {
        let (kept, limit) = (AppendCount::new(KEPT_FILES), ContentLimit::BytesSurpassed(ROTATE_AT_BYTES));
        Output::Rotated(Box::new(FileRotate::new(path, kept, limit, Compression::None, None)))
    } else {
        Output::Plain(file)
    };
    Ok((output, Some(metadata.ino())))
}

fn inode(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|metadata| metadata.ino())
}

/// The last `count` lines of the log at `path`, oldest first, reaching back into the file before the last rotation.
/// At most the last MiB of each is read, however long the log. A pipe, a device and a directory have no lines, and
/// neither has a path without a file.
pub fn tail(path: &Path, count: usize) -> io::Result<Vec<String>> {
    let (mut lines, is_whole) = last_lines(path, count)?;
    // Behind a part of this file, the end of the older one would hide the hole between them.
    if is_whole && lines.len() < count {
        let (mut older, _) = last_lines(&rotated(path), count - lines.len())?;
        older.append(&mut lines);
        lines = older;
    }
    Ok(lines)
}

/// The file that the last rotation set aside.
fn rotated(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

/// Opens a regular file for reading; `None` for anything else, which is not opened, as far as the path stays what it is.
///
/// To open a pipe would wait for a writer, and to read one would take lines from the log's own reader.
fn open_regular(path: &Path) -> io::Result<Option<File>> {
    if !fs::metadata(path)?.is_file() {
        return Ok(None);
    }
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    Ok(file.metadata()?.is_file().then_some(file))
}

/// Also tells whether the file was read from its start.
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
    // The first line of the part that was read is most likely cut.
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
    fn the_tail_is_the_end_of_the_log_across_a_rotation() {
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
    fn path_without_a_regular_file_has_no_lines_and_is_not_waited_for() {
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
    fn a_long_log_is_not_read_whole_and_no_line_is_cut() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.log");
        let lines: Vec<String> = (0..200_000).map(|n| format!("{{\"message\":\"entry {n}\"}}")).collect();
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        assert_eq!(tail(&path, 1000).unwrap(), lines[199_000..]);
        assert!(tail(&path, 1_000_000).unwrap().iter().all(|line| line.starts_with("{\"message\"")));
    }

    #[test]
    fn a_file_read_in_part_is_not_filled_up_from_an_older_one() {
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
    fn what_is_written_is_kept_across_restarts() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/er/app.log");
        for line in ["one", "two"] {
            writeln!(writer(&path).0, "{line}").unwrap();
        }
        assert_eq!(tail(&path, 10).unwrap(), ["one", "two"]);
    }

    #[test]
    fn a_file_that_was_moved_away_is_begun_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.log");
        let (mut log, _) = writer(&path);
        writeln!(log, "one").unwrap();
        fs::rename(&path, directory.path().join("moved")).unwrap();
        log.looked_at = Instant::now().checked_sub(LOOK_EVERY).unwrap();
        writeln!(log, "two").unwrap();
        assert_eq!(tail(&path, 10).unwrap(), ["two"]);
    }

    #[test]
    fn a_line_that_cannot_be_written_is_counted_and_a_device_is_not_renamed() {
        let (mut log, lost) = writer(Path::new("/dev/full"));
        assert!(matches!(log.output, Output::Plain(_)));
        writeln!(log, "one").unwrap();
        assert!(lost.load(Ordering::Relaxed) >= 1);
    }
}
