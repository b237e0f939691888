//! The reading of a file: its recognition, and then its rows.

use std::fmt;
use std::io::{Read, Seek};

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

/// The number of bytes by which the kind of a file is found.
const HEAD_LEN: usize = 64 * 1024;

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

/// Recognises a file, or takes it for one of the source `from`, and begins to read its rows.
///
/// The file is read from its start, and some parts of it several times.
///
/// # Errors
/// When the file cannot be read, or is of no known kind. The message lists the columns that were seen.
pub fn read<R: Read + Seek + Send + 'static>(
    mut input: R,
    from: Option<Source>,
    options: &Options,
) -> Result<Import, FileError> {
    input.rewind()?;
    let mut head = Vec::new();
    input.by_ref().take(HEAD_LEN as u64).read_to_end(&mut head)?;
    input.rewind()?;
    match container::of(&head)? {
        Container::Csv => CsvSource::open(input, &head, from, options).map(import),
        Container::Sql(dialect) => SqlSource::open(input, dialect, from, options).map(import),
        Container::Json => JsonSource::open(input, from, options).map(import),
    }
}

fn import<S: Records + Send + 'static>((recognised, records): (Recognised, S)) -> Import {
    Import { recognised, rows: Rows(Box::new(Queue::new(records))) }
}
