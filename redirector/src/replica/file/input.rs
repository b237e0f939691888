//! Reads values from a snapshot file, before its checksum is verified.

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
pub(super) const RECORD: u8 = 1;

/// Takes the encoded link at the start of `bytes`. Returns `None` if there is none, or only a part of one.
#[inline]
pub(super) fn take_link<'a>(bytes: &mut &'a [u8]) -> Result<Option<&'a [u8]>, FileError> {
    let Some((&RECORD, behind)) = bytes.split_first() else { return Ok(None) };
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
    /// Checksum of the bytes that were taken and released.
    checksum: u32,
}

impl<R: Read> Input<R> {
    pub(super) fn new(inner: R) -> Input<R> {
        Input { inner, buffer: Vec::new(), at: 0, checksum: 0 }
    }

    /// Returns the next links, as many as are in the buffer. Returns `None` if no link follows.
    pub(super) fn links(&mut self) -> Result<Option<Vec<u8>>, FileError> {
        loop {
            let bytes = &self.buffer[self.at..];
            let mut rest = bytes;
            while take_link(&mut rest)?.is_some() {}
            let len = bytes.len() - rest.len();
            if len > 0 {
                return Ok(Some(self.take(len)?.to_vec()));
            }
            if rest.first().is_some_and(|mark| *mark != RECORD) {
                return Ok(None);
            }
            // The next value is not complete.
            self.fill(rest.len() + 1)?;
        }
    }

    /// Takes the next `len` bytes. Returns [`FileError::Damaged`] if there are fewer.
    #[inline]
    pub(super) fn take(&mut self, len: usize) -> Result<&[u8], FileError> {
        if self.buffer.len() - self.at < len {
            self.fill(len)?;
        }
        let taken = &self.buffer[self.at..self.at + len];
        self.at += len;
        Ok(taken)
    }

    fn fill(&mut self, len: usize) -> Result<(), FileError> {
        self.release_taken();
        self.inner.by_ref().take(BUFFER.max(len) as u64).read_to_end(&mut self.buffer)?;
        if self.buffer.len() < len { Err(FileError::Damaged) } else { Ok(()) }
    }

    fn release_taken(&mut self) {
        self.checksum = crc32c::crc32c_append(self.checksum, &self.buffer[..self.at]);
        self.buffer.drain(..self.at);
        self.at = 0;
    }

    /// Takes and verifies the checksum, which must be the end of the file.
    pub(super) fn end(&mut self) -> Result<(), FileError> {
        self.release_taken();
        let expected = self.checksum.to_le_bytes();
        let checks_out = self.array()? == expected;
        let is_end = self.at == self.buffer.len() && self.inner.read(&mut [0])? == 0;
        if checks_out && is_end { Ok(()) } else { Err(FileError::Damaged) }
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
