//! A file from which values are taken, and what a record in it looks like before anything of it is believed.

use std::io::Read;

use tern_common::TargetUrl;

use super::FileError;

/// What is read at a time.
const BUFFER: usize = 1 << 17;

/// Before each record.
const RECORD: u8 = 1;

/// What a record says of a link.
pub(super) struct Record<'a> {
    pub(super) is_active: bool,
    pub(super) url_id: i64,
    pub(super) owner_id: i64,
    pub(super) code_len: usize,
    /// The code, and the target behind it.
    pub(super) texts: &'a [u8],
}

/// Bytes of a record before its texts.
const HEADER_LEN: usize = 23;

impl<'a> Record<'a> {
    /// The record that `bytes` begin with, and what comes behind it. `None` if that is no record, or not all of one.
    #[inline]
    pub(super) fn split(bytes: &'a [u8]) -> Result<Option<(Record<'a>, &'a [u8])>, FileError> {
        let Some((header, behind)) = bytes.split_first_chunk::<HEADER_LEN>() else { return Ok(None) };
        if header[0] != RECORD {
            return Ok(None);
        }
        let target_len = u32::from_le_bytes(array_at(header, 3)) as usize;
        if target_len > TargetUrl::MAX_LEN {
            return Err(FileError::Damaged);
        }
        let code_len = usize::from(header[2]);
        let Some((texts, behind)) = behind.split_at_checked(code_len + target_len) else { return Ok(None) };
        let record = Record {
            is_active: header[1] == 1,
            url_id: i64::from_le_bytes(array_at(header, 7)),
            owner_id: i64::from_le_bytes(array_at(header, 15)),
            code_len,
            texts,
        };
        Ok(Some((record, behind)))
    }
}

fn array_at<const N: usize>(bytes: &[u8; HEADER_LEN], at: usize) -> [u8; N] {
    std::array::from_fn(|n| bytes[at + n])
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

    /// The records that come next, as many as are at hand; `None` when what comes next is none.
    pub(super) fn records(&mut self) -> Result<Option<Vec<u8>>, FileError> {
        loop {
            let bytes = &self.buffer[self.at..];
            let mut rest = bytes;
            while let Some((_, behind)) = Record::split(rest)? {
                rest = behind;
            }
            let len = bytes.len() - rest.len();
            if len > 0 {
                return Ok(Some(self.take(len)?.to_vec()));
            }
            if rest.first().is_some_and(|mark| *mark != RECORD) {
                return Ok(None);
            }
            // A record, or what else comes next, is not all here.
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
