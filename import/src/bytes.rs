//! Bytes of a file, read through a buffer that knows its place.

use std::io::{self, Read};

use crate::error::Place;

const BUFFER_LEN: usize = 64 * 1024;

/// A source of bytes, and the place of the next one.
#[derive(Debug)]
pub(crate) struct Bytes<R> {
    input: R,
    buffer: Box<[u8]>,
    begin: usize,
    end: usize,
    line: u64,
    offset: u64,
}

impl<R: Read> Bytes<R> {
    /// Starts at the beginning of a file, behind a byte order mark.
    pub(crate) fn new(input: R) -> io::Result<Bytes<R>> {
        let buffer = vec![0; BUFFER_LEN].into_boxed_slice();
        let mut bytes = Bytes { input, buffer, begin: 0, end: 0, line: 1, offset: 0 };
        while bytes.end < 3 {
            let read = bytes.input.read(&mut bytes.buffer[bytes.end..])?;
            if read == 0 {
                break;
            }
            bytes.end += read;
        }
        if bytes.buffer[..bytes.end].starts_with(b"\xef\xbb\xbf") {
            bytes.consume(3);
        }
        Ok(bytes)
    }

    pub(crate) fn into_input(self) -> R {
        self.input
    }

    /// Returns the bytes that are read and not consumed; none at the end of the file.
    pub(crate) fn buffered(&mut self) -> io::Result<&[u8]> {
        while self.begin == self.end {
            match self.input.read(&mut self.buffer) {
                Ok(0) => return Ok(&[]),
                Ok(read) => (self.begin, self.end) = (0, read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(&self.buffer[self.begin..self.end])
    }

    /// Consumes bytes that are buffered.
    pub(crate) fn consume(&mut self, len: usize) {
        let consumed = &self.buffer[self.begin..self.begin + len];
        self.line += memchr::memchr_iter(b'\n', consumed).count() as u64;
        self.begin += len;
        self.offset += len as u64;
    }

    pub(crate) fn peek(&mut self) -> io::Result<Option<u8>> {
        Ok(self.buffered()?.first().copied())
    }

    pub(crate) fn next(&mut self) -> io::Result<Option<u8>> {
        let next = self.peek()?;
        if let Some(byte) = next {
            self.begin += 1;
            self.offset += 1;
            self.line += u64::from(byte == b'\n');
        }
        Ok(next)
    }

    /// Consumes white space, and returns the byte behind it.
    pub(crate) fn skip_space(&mut self) -> io::Result<Option<u8>> {
        while let Some(byte) = self.peek()? {
            if !byte.is_ascii_whitespace() {
                return Ok(Some(byte));
            }
            self.next()?;
        }
        Ok(None)
    }

    pub(crate) fn place(&self) -> Place {
        Place { line: self.line, byte: Some(self.offset) }
    }
}
