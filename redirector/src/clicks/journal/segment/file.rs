//! Files of segments: where they are, and how one is made, written, finished and synced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::posix_fallocate;
use tern_common::click::JournalId;

use super::format::{self, HEADER_LEN, Header};
use crate::clicks::journal::directory::make_whole;

const EXTENSION: &str = "clicks";

/// Returns the file of a segment. Names sort as the numbers do.
pub fn segment_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:010}.{EXTENSION}"))
}

/// Lists the numbers of the segments in a directory, in order. A missing directory has none.
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

/// A segment that is being filled: a file of fixed size. Its blocks are allocated when it is made, so that a full disk is
/// an error then and not later.
#[derive(Debug)]
pub struct Segment {
    pub number: u64,
    journal: JournalId,
    directory: PathBuf,
    file: File,
    len: usize,
    /// Whether the name of the file is on disk. Written by the thread that syncs the segment.
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
            // A partial file takes room. If the removal fails too, the process that adopts the journal removes the file.
            let _ = fs::remove_file(&path);
        }
        made
    }

    /// Returns the bytes of the file, with the header.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn write(&self, bytes: &[u8], offset: usize) -> io::Result<()> {
        self.file.write_all_at(bytes, offset as u64)
    }

    /// Writes into the header that the records end at `end`.
    pub fn finish(&self, end: usize) -> io::Result<()> {
        self.write(&format::finished_header(self.journal, self.number, end), 0)
    }

    /// Syncs the segment.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()?;
        // After a power cut a file is found only if its directory was synced, too.
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

/// Makes a finished segment of `records`, whole or not at all. Returns the bytes of the file.
pub fn write_segment(directory: &Path, journal: JournalId, number: u64, records: &[u8]) -> io::Result<u64> {
    let end = HEADER_LEN + records.len();
    make_whole(&segment_path(directory, number), |hidden| {
        let file = File::create(hidden)?;
        file.write_all_at(&format::finished_header(journal, number, end), 0)?;
        file.write_all_at(records, HEADER_LEN as u64)?;
        file.sync_data()
    })?;
    File::open(directory)?.sync_all()?;
    Ok(end as u64)
}

/// Reads the first bytes of a file: a header, or less if the file is shorter.
pub fn read_start(path: &Path) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    File::open(path)?.take(HEADER_LEN as u64).read_to_end(&mut start)?;
    Ok(start)
}

/// Reads the header of a segment. `None` if the file does not begin with it.
pub fn read_header(directory: &Path, journal: JournalId, number: u64) -> io::Result<Option<Header>> {
    let path = segment_path(directory, number);
    let start = read_start(&path)?;
    Ok(format::read_header(&start, fs::metadata(path)?.len(), journal, number))
}
