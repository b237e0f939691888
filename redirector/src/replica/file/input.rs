//! A file from which values are taken, and what a record in it looks like before anything of it is believed.

use std::io::{self, Read};

use tern_common::served_link::{MAX_ENCODED_LEN, encoded_len};

/// Why a file was not used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it is not a snapshot file of this version")]
    Foreign,
    #[error("it is damaged")]
    Damaged,
}

/// What is read at a time.
const BUFFER: usize = 1 << 17;

/// Before each link.
pub(super) const RECORD: u8 = 1;

/// Takes the encoded link that `bytes` begin with. `None` if none begins there, or not all of it is there.
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

/// A file from which values are taken, one after another. Keeps the checksum of what was taken.
pub(super) struct Input<R> {
    inner: R,
    /// What was read; `at` is where the next value begins.
    buffer: Vec<u8>,
    at: usize,
    /// Of all that was taken and is no longer in the buffer.
    checksum: u32,
}

impl<R: Read> Input<R> {
    pub(super) fn new(inner: R) -> Input<R> {
        Input { inner, buffer: Vec::new(), at: 0, checksum: 0 }
    }

    /// Returns the links that come next, as many as are at hand; `None` when what comes next is none.
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
            // A link, or what else comes next, is not all here.
            self.read_on(rest.len() + 1)?;
        }
    }

    /// The next `len` bytes; [`FileError::Damaged`] if there are fewer.
    #[inline]
    pub(super) fn take(&mut self, len: usize) -> Result<&[u8], FileError> {
        if self.buffer.len() - self.at < len {
            self.read_on(len)?;
        }
        let taken = &self.buffer[self.at..self.at + len];
        self.at += len;
        Ok(taken)
    }

    fn read_on(&mut self, len: usize) -> Result<(), FileError> {
        self.forget_taken();
        self.inner.by_ref().take(BUFFER.max(len) as u64).read_to_end(&mut self.buffer)?;
        if self.buffer.len() < len { Err(FileError::Damaged) } else { Ok(()) }
    }

    fn forget_taken(&mut self) {
        self.checksum = crc32c::crc32c_append(self.checksum, &self.buffer[..self.at]);
        self.buffer.drain(..self.at);
        self.at = 0;
    }

    /// Takes the checksum, behind which nothing may follow.
    pub(super) fn end(&mut self) -> Result<(), FileError> {
        self.forget_taken();
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

    /// A length that a sound file cannot have is damage, and nothing to make room for.
    pub(super) fn len(&mut self, max: usize) -> Result<usize, FileError> {
        let len = self.array().map(u32::from_le_bytes)? as usize;
        if len <= max { Ok(len) } else { Err(FileError::Damaged) }
    }
}
