//! The reason why a file cannot be read any further.

use std::fmt;
use std::io;

/// A place in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line, from 1.
    pub line: u64,
    /// The number of bytes before the place; `None` in files whose lines are short.
    pub byte: Option<u64>,
}

/// The reason why a file, or the rest of it, cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct FileError {
    /// The place of the fault; `None` if the whole file is meant.
    pub place: Option<Place>,
    /// The end of a sentence about the file, such as "is empty", or a whole clause if there is a place.
    pub reason: String,
}

impl FileError {
    pub(crate) fn of_file(reason: impl Into<String>) -> FileError {
        FileError { place: None, reason: reason.into() }
    }

    pub(crate) fn in_line(line: u64, reason: impl Into<String>) -> FileError {
        FileError { place: Some(Place { line, byte: None }), reason: reason.into() }
    }

    pub(crate) fn at(place: Place, reason: impl Into<String>) -> FileError {
        FileError { place: Some(place), reason: reason.into() }
    }
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> FileError {
        FileError::of_file(format!("cannot be read: {error}"))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        self.byte.map_or(Ok(()), |byte| write!(f, ", byte {byte}"))
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.reason),
            None => write!(f, "the file {}", self.reason),
        }
    }
}
