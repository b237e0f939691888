//! Reads values from a snapshot file, before their checksum is verified.

use std::io::{self, Read};

use tern_common::served_link::{MAX_ENCODED_LEN, encoded_len};

/// A reason why a snapshot file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("not a snapshot file of this version")]
    Foreign,
    #[error("the snapshot file is damaged")]
    Damaged,
}

/// Bytes of one read.
const BUFFER: usize = 1 << 17;

/// Mark before each link.
pub(super) const LINK: u8 = 1;

/// Longest cursor, and longest list of fields.
pub(super) const MAX_TEXT: usize = 1 << 16;

/// Takes the encoded link at the start of `bytes`. Returns `None` if there is none, or only a part of one.
#[inline]
pub(super) fn take_link<'a>(bytes: &mut &'a [u8]) -> Result<Option<&'a [u8]>, FileError> {
    let Some((&LINK, behind)) = bytes.split_first() else { return Ok(None) };
    let Some(len) = behind.first_chunk().map(encoded_len) else { return Ok(None) };
    if len > MAX_ENCODED_LEN {
        return Err(FileError::Damaged);
    }
    let Some((link, behind)) = behind.split_at_checked(len) else { return Ok(None) };
    *bytes = behind;
    Ok(Some(link))
}

/// A file from which values are taken one after another, with the checksum of the taken bytes.
pub(super) struct Input<R> {
    inner: R,
    /// Bytes that were read and not yet released.
    buffer: Vec<u8>,
    /// Start of the next value in the buffer.
    at: usize,
    /// Bytes that were taken and released, and their checksum.
    released: u64,
    checksum: u32,
}

impl<R: Read> Input<R> {
    pub(super) fn new(inner: R) -> Input<R> {
        Input { inner, buffer: Vec::new(), at: 0, released: 0, checksum: 0 }
    }

    /// Returns the next links, as many as are in the buffer. Returns `None` if no link follows.
    pub(super) fn links(&mut self) -> Result<Option<Vec<u8>>, FileError> {
        loop {
            let bytes = &self.buffer[self.at..];
            let mut rest = bytes;
            while take_link(&mut rest)?.is_some() {}
            let (len, len_of_rest) = (bytes.len() - rest.len(), rest.len());
            if len > 0 {
                return Ok(Some(self.take(len)?.to_vec()));
            }
            if rest.first().is_some_and(|mark| *mark != LINK) {
                return Ok(None);
            }
            // The next value is not complete.
            if !self.has(len_of_rest + 1)? {
                return Err(FileError::Damaged);
            }
        }
    }

    /// Takes the next `len` bytes. Returns [`FileError::Damaged`] if there are fewer.
    #[inline]
    pub(super) fn take(&mut self, len: usize) -> Result<&[u8], FileError> {
        self.take_if_there(len)?.ok_or(FileError::Damaged)
    }

    /// Takes the next `len` bytes. Returns `None` if there are fewer.
    #[inline]
    pub(super) fn take_if_there(&mut self, len: usize) -> io::Result<Option<&[u8]>> {
        if !self.has(len)? {
            return Ok(None);
        }
        let taken = &self.buffer[self.at..self.at + len];
        self.at += len;
        Ok(Some(taken))
    }

    /// Returns whether at least `len` bytes follow.
    #[inline]
    pub(super) fn has(&mut self, len: usize) -> io::Result<bool> {
        if self.buffer.len() - self.at < len {
            self.release_taken();
            self.inner.by_ref().take(BUFFER.max(len) as u64).read_to_end(&mut self.buffer)?;
        }
        Ok(self.buffer.len() - self.at >= len)
    }

    /// Returns the number of bytes that were taken.
    pub(super) fn taken(&self) -> u64 {
        self.released + self.at as u64
    }

    fn release_taken(&mut self) {
        self.checksum = crc32c::crc32c_append(self.checksum, &self.buffer[..self.at]);
        self.buffer.drain(..self.at);
        self.released += self.at as u64;
        self.at = 0;
    }

    /// Takes the checksum of all bytes before it, and verifies it.
    pub(super) fn checksum(&mut self) -> Result<(), FileError> {
        self.release_taken();
        let expected = self.checksum.to_le_bytes();
        if self.array()? == expected { Ok(()) } else { Err(FileError::Damaged) }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FileError> {
        self.take(N)?.first_chunk().copied().ok_or(FileError::Damaged)
    }

    pub(super) fn u8(&mut self) -> Result<u8, FileError> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u64(&mut self) -> Result<u64, FileError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Takes a length. A length above `max` is damage, and no memory is reserved for it.
    pub(super) fn len(&mut self, max: usize) -> Result<usize, FileError> {
        let len = self.array().map(u32::from_le_bytes)? as usize;
        if len <= max { Ok(len) } else { Err(FileError::Damaged) }
    }
}

pub(super) fn text(bytes: &[u8]) -> Result<&str, FileError> {
    std::str::from_utf8(bytes).map_err(|_| FileError::Damaged)
}
