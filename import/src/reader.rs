//! The reading of a file: its recognition, and then its rows.

use std::fmt;
use std::fs::File;
#[cfg(feature = "sqlite")]
use std::io;
use std::io::{Read, Seek};
use std::path::Path;

use crate::container::{self, Container};
use crate::csv_source::CsvSource;
use crate::error::FileError;
use crate::json::JsonSource;
use crate::options::Options;
use crate::queue::{Queue, Records};
use crate::recognise::Recognised;
use crate::row::Row;
use crate::source::Source;
use crate::sql::SqlSource;
#[cfg(feature = "sqlite")]
use crate::sqlite::SqliteSource;

/// The number of bytes by which the kind of a file is found.
const HEAD_LEN: usize = 64 * 1024;

#[cfg(not(feature = "sqlite"))]
const NO_SQLITE: &str = "is a database of SQLite, which this program cannot read: write it as SQL, with \
                         sqlite3 urls.sqlite .dump > urls.sql, and import that";

/// A file that was recognised.
#[derive(Debug)]
pub struct Import {
    pub recognised: Recognised,
    pub rows: Rows,
}

/// The rows of a file, read as they are asked for. An error is the last item.
pub struct Rows(Box<dyn Iterator<Item = Result<Row, FileError>> + Send>);

impl Iterator for Rows {
    type Item = Result<Row, FileError>;

    fn next(&mut self) -> Option<Result<Row, FileError>> {
        self.0.next()
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rows")
    }
}

/// Opens a file by its path. A database of SQLite is read with the log of changes beside it.
///
/// # Errors
/// The file cannot be opened, or [`read`] refuses it.
pub fn open(path: &Path, from: Option<Source>, options: &Options) -> Result<Import, FileError> {
    let mut input = File::open(path)?;
    if is_database(&mut input)? {
        return open_database(path, from, options);
    }
    read(input, from, options)
}

/// Returns whether a file is a database of SQLite, and goes back to its start.
///
/// # Errors
/// When the file cannot be read, or is of no known kind.
pub fn is_database(input: &mut (impl Read + Seek)) -> Result<bool, FileError> {
    Ok(container::of(&head(input)?)? == Container::Sqlite)
}

/// Recognises a file, or takes it for one of the source `from`, and begins to read its rows.
///
/// The file is read from its start, and some parts of it several times. A database of SQLite is copied.
///
/// # Errors
/// When the file cannot be read, or is of no known kind. The message lists the columns that were seen.
pub fn read<R: Read + Seek + Send + 'static>(
    mut input: R,
    from: Option<Source>,
    options: &Options,
) -> Result<Import, FileError> {
    let head = head(&mut input)?;
    match container::of(&head)? {
        Container::Csv => CsvSource::open(input, &head, from, options).map(import),
        Container::Json => JsonSource::open(input, from, options).map(import),
        Container::Sql(dialect) => SqlSource::open(input, dialect, from, options).map(import),
        Container::Sqlite => read_database(input, from, options),
    }
}

/// Returns the beginning of a file, and goes back to its start.
fn head(input: &mut (impl Read + Seek)) -> Result<Vec<u8>, FileError> {
    let mut head = Vec::new();
    input.rewind()?;
    input.by_ref().take(HEAD_LEN as u64).read_to_end(&mut head)?;
    input.rewind()?;
    Ok(head)
}

#[cfg(feature = "sqlite")]
fn open_database(path: &Path, from: Option<Source>, options: &Options) -> Result<Import, FileError> {
    SqliteSource::open(path, from, options).map(import)
}

#[cfg(feature = "sqlite")]
fn read_database(mut input: impl Read, from: Option<Source>, options: &Options) -> Result<Import, FileError> {
    let mut copy = tempfile::NamedTempFile::new()?;
    io::copy(&mut input, &mut copy)?;
    let path = copy.into_temp_path();
    let (recognised, source) = SqliteSource::open(&path, from, options)?;
    Ok(import((recognised, source.with_copy(path))))
}

#[cfg(not(feature = "sqlite"))]
fn open_database(_: &Path, _: Option<Source>, _: &Options) -> Result<Import, FileError> {
    Err(FileError::of_file(NO_SQLITE))
}

#[cfg(not(feature = "sqlite"))]
fn read_database(_: impl Read, _: Option<Source>, _: &Options) -> Result<Import, FileError> {
    Err(FileError::of_file(NO_SQLITE))
}

fn import<S: Records + Send + 'static>((recognised, records): (Recognised, S)) -> Import {
    Import { recognised, rows: Rows(Box::new(Queue::new(records))) }
}
