//! The log file: written with rotation, read from its end.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use file_rotate::compression::Compression;
use file_rotate::suffix::AppendCount;
use file_rotate::{ContentLimit, FileRotate};

/// At this size a file is set aside and the next begun.
const ROTATE_AT_BYTES: usize = 64 * 1024 * 1024;

/// How many files are kept beside the one being written: with it, 320 MiB at most.
const KEPT_FILES: usize = 4;

/// How far back [`tail`] looks. 1,000 entries of our own have a quarter of this.
const TAIL_BYTES: u64 = 1024 * 1024;

/// Opens `path` for appending, making its directory.
pub(super) fn open(path: &Path) -> io::Result<FileRotate<AppendCount>> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    // FileRotate does not tell when it cannot write; find out now.
    OpenOptions::new().create(true).append(true).open(path)?;
    let suffixes = AppendCount::new(KEPT_FILES);
    Ok(FileRotate::new(path, suffixes, ContentLimit::BytesSurpassed(ROTATE_AT_BYTES), Compression::None, None))
}

/// The last `count` lines of the log at `path`, oldest first, reaching back into the file before the last rotation.
/// At most the last MiB of each is read, however long the log. No file: no lines.
pub fn tail(path: &Path, count: usize) -> io::Result<Vec<String>> {
    let mut lines = last_lines(path, count)?;
    if lines.len() < count {
        let mut older = last_lines(&rotated(path), count - lines.len())?;
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

fn last_lines(path: &Path, count: usize) -> io::Result<Vec<String>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
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
    Ok(lines)
}

#[cfg(test)]
mod tests {
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
    fn a_long_log_is_not_read_whole_and_no_line_is_cut() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.log");
        let lines: Vec<String> = (0..200_000).map(|n| format!("{{\"message\":\"entry {n}\"}}")).collect();
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        assert_eq!(tail(&path, 1000).unwrap(), lines[199_000..]);
        assert!(tail(&path, 1_000_000).unwrap().iter().all(|line| line.starts_with("{\"message\"")));
    }

    #[test]
    fn what_is_written_is_kept_across_restarts() {
        use std::io::Write;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/er/app.log");
        for line in ["one", "two"] {
            writeln!(open(&path).unwrap(), "{line}").unwrap();
        }
        assert_eq!(tail(&path, 10).unwrap(), ["one", "two"]);
    }
}
