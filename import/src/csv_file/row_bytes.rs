//! The bytes of a CSV file, bounded by row and checked for quotes before they are split into fields.

use std::io::{self, Chain, Cursor, Read};

use super::dialect::Dialect;
use super::quotes::{BadQuote, Quotes};

/// The longest row in bytes. Without this bound an unclosed quote would read the whole file into memory.
pub(super) const MAX_ROW_LEN: usize = 2 * 1024 * 1024;

/// A source of bytes that ends a row that is too long, stops at a bad quote, and adds a line end at the end.
#[derive(Debug)]
pub(super) struct RowBytes<R> {
    source: Chain<Cursor<Vec<u8>>, R>,
    has_cr_lines: bool,
    /// The bytes that the current row may still have.
    remaining: usize,
    ended: bool,
    quotes: Quotes,
    bad: Option<BadQuote>,
}

impl<R: Read> RowBytes<R> {
    /// Continues with `source` behind the bytes of its head that were read.
    pub(super) fn new(head: Vec<u8>, source: R, dialect: Dialect) -> RowBytes<R> {
        RowBytes {
            source: Cursor::new(head).chain(source),
            has_cr_lines: dialect.has_cr_lines,
            remaining: MAX_ROW_LEN,
            ended: false,
            quotes: Quotes::new(dialect.separator),
            bad: None,
        }
    }

    /// Gives the next row its whole length.
    pub(super) fn begin_row(&mut self) {
        self.remaining = MAX_ROW_LEN;
    }

    pub(super) fn inner_mut(&mut self) -> &mut R {
        self.source.get_mut().1
    }

    /// Returns the line in which the row of the next byte begins.
    pub(super) fn row_line(&self) -> u64 {
        self.quotes.row_line()
    }
}

impl<R: Read> Read for RowBytes<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(bad) = self.bad {
            return Err(io::Error::other(bad.to_string()));
        }
        if self.remaining == 0 {
            let mebibytes = MAX_ROW_LEN / (1024 * 1024);
            return Err(io::Error::other(format!("the row has over {mebibytes} MiB: is a quote not closed?")));
        }
        let read = self.source.read(buffer)?;
        if self.has_cr_lines {
            buffer[..read].iter_mut().filter(|byte| **byte == b'\r').for_each(|byte| *byte = b'\n');
        }
        self.remaining = self.remaining.saturating_sub(read);
        if read == 0 {
            self.quotes.end().map_err(|bad| io::Error::other(bad.to_string()))?;
        }
        match buffer.first_mut() {
            Some(first) if read == 0 && !self.ended => {
                self.ended = true;
                *first = b'\n';
                Ok(1)
            }
            _ => match self.quotes.follow(&buffer[..read]) {
                Ok(()) => Ok(read),
                // The bytes before the bad quote are returned first.
                Err((0, bad)) => Err(io::Error::other(bad.to_string())),
                Err((good, bad)) => {
                    self.bad = Some(bad);
                    Ok(good)
                }
            },
        }
    }
}
