//! The iteration over rows of a file, one record after another.

use std::collections::VecDeque;

use crate::error::FileError;
use crate::row::Row;

/// A file that is read record by record.
pub(crate) trait Records {
    /// Reads one record and appends its rows. Returns whether there was one.
    fn read_record(&mut self, rows: &mut VecDeque<Row>) -> Result<bool, FileError>;
}

/// The rows of records. An error is the last item.
#[derive(Debug)]
pub(crate) struct Queue<S> {
    records: S,
    ready: VecDeque<Row>,
    has_ended: bool,
}

impl<S> Queue<S> {
    pub(crate) fn new(records: S) -> Queue<S> {
        Queue { records, ready: VecDeque::new(), has_ended: false }
    }
}

impl<S: Records> Iterator for Queue<S> {
    type Item = Result<Row, FileError>;

    fn next(&mut self) -> Option<Result<Row, FileError>> {
        loop {
            if let Some(row) = self.ready.pop_front() {
                return Some(Ok(row));
            }
            if self.has_ended {
                return None;
            }
            match self.records.read_record(&mut self.ready) {
                Ok(has_more) => self.has_ended = !has_more,
                Err(error) => {
                    self.has_ended = true;
                    return Some(Err(error));
                }
            }
        }
    }
}
