//! The snapshot file: what a replica knew when it was last written, so that a restart serves at once,
//! whether or not anybody else is there.
//!
//! Layout, integers little-endian: magic and version; length of the cursor (u32), the time at which the map equalled the
//! store (u64, microseconds), the cursor; the links, each behind a 1; a 0; the number of links (u64); the CRC-32C of
//! everything before it. A file is written beside the old one and renamed over it, so there is always a whole one;
//! what does not check out is not believed.
//!
//! The map changes while it is written. That does no harm: the cursor was taken before, and the deltas from there
//! bring each code that changed since, in its latest state.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tern_common::ShortCode;
use tern_common::link::{Link, LinkRow};
use tern_common::store::Cursor;

const MAGIC: &[u8; 8] = b"TERNMAP\x01";

const CHECKSUM: usize = 4;

/// What a file held.
#[derive(Debug)]
pub struct Stored {
    pub cursor: Cursor,
    /// When the map equalled the store.
    pub equal_at: SystemTime,
    pub links: Vec<(ShortCode, Link)>,
    /// Rows that are no links any more, by the rules of this build.
    pub rejected: u64,
}

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

/// Writes `links` to `path`, replacing the file that is there only once the new one is whole and on disk.
pub fn write<'a>(
    path: &Path,
    cursor: &Cursor,
    equal_at: SystemTime,
    links: impl Iterator<Item = (&'a ShortCode, &'a Link)>,
) -> io::Result<()> {
    let partial = partial(path);
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let mut output = Checked { inner: BufWriter::with_capacity(1 << 20, File::create(&partial)?), checksum: 0 };
    let cursor = cursor.to_string();
    let equal_at = equal_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    output.write_all(MAGIC)?;
    output.write_all(&len(cursor.len())?.to_le_bytes())?;
    output.write_all(&u64::try_from(equal_at).unwrap_or(u64::MAX).to_le_bytes())?;
    output.write_all(cursor.as_bytes())?;
    let mut count = 0u64;
    for (code, link) in links {
        let target = link.target.as_given();
        output.write_all(&[1, u8::from(link.active), u8::try_from(code.as_str().len()).map_err(io::Error::other)?])?;
        output.write_all(&len(target.len())?.to_le_bytes())?;
        output.write_all(&link.url_id.get().to_le_bytes())?;
        output.write_all(&link.owner_id.get().to_le_bytes())?;
        output.write_all(code.as_bytes())?;
        output.write_all(target.as_bytes())?;
        count += 1;
    }
    output.write_all(&[0])?;
    output.write_all(&count.to_le_bytes())?;
    let checksum = output.checksum;
    output.write_all(&checksum.to_le_bytes())?;
    let file = output.inner.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    fs::rename(&partial, path)?;
    // The rename itself is on disk once its directory is.
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

/// Reads the file at `path`; `None` if there is none.
///
/// # Errors
/// When it cannot be read, is of another version, or does not check out.
pub fn read(path: &Path) -> Result<Option<Stored>, FileError> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(mut file) => file.read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    parse(&bytes).map(Some)
}

fn parse(bytes: &[u8]) -> Result<Stored, FileError> {
    if !bytes.starts_with(MAGIC) {
        return Err(FileError::Foreign);
    }
    let (content, checksum) = bytes.split_at_checked(bytes.len() - CHECKSUM).ok_or(FileError::Damaged)?;
    if checksum != crc32c::crc32c(content).to_le_bytes() {
        return Err(FileError::Damaged);
    }
    // Behind a checksum that is right, a wrong length can only be a defect of ours; it is an error all the same.
    read_links(&mut Cut(&content[MAGIC.len()..])).ok_or(FileError::Damaged)
}

fn read_links(bytes: &mut Cut<'_>) -> Option<Stored> {
    let cursor_len = bytes.u32()?;
    let equal_at = UNIX_EPOCH + Duration::from_micros(bytes.u64()?);
    let cursor = bytes.text(cursor_len as usize)?.parse().ok()?;
    let mut stored = Stored { cursor, equal_at, links: Vec::new(), rejected: 0 };
    while bytes.u8()? == 1 {
        let is_active = bytes.u8()? == 1;
        let (code_len, target_len) = (bytes.u8()?, bytes.u32()?);
        let row = LinkRow {
            url_id: bytes.u64()?.cast_signed(),
            owner_id: bytes.u64()?.cast_signed(),
            short_code: bytes.text(code_len.into())?.to_owned(),
            original_url: bytes.text(target_len as usize)?.to_owned(),
            is_active,
        };
        match row.into_link() {
            Ok(link) => stored.links.push(link),
            Err(_) => stored.rejected += 1,
        }
    }
    let count = bytes.u64()?;
    (count == stored.links.len() as u64 + stored.rejected && bytes.0.is_empty()).then_some(stored)
}

fn partial(path: &Path) -> PathBuf {
    path.with_extension("partial")
}

fn len(len: usize) -> io::Result<u32> {
    u32::try_from(len).map_err(io::Error::other)
}

/// Keeps the checksum of what was written.
struct Checked<W> {
    inner: W,
    checksum: u32,
}

impl<W: Write> Write for Checked<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.checksum = crc32c::crc32c_append(self.checksum, &bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Bytes from which values are cut off, one after another.
struct Cut<'a>(&'a [u8]);

impl<'a> Cut<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn text(&mut self, len: usize) -> Option<&'a str> {
        std::str::from_utf8(self.take(len)?).ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use tern_common::{Id, TargetUrl};

    use super::*;

    fn links(count: i64) -> Vec<(ShortCode, Link)> {
        let link = |n: i64| {
            let target = TargetUrl::parse(&format!("https://münchen.example/{n}")).unwrap();
            let link = Link { url_id: Id::new(n).unwrap(), owner_id: Id::new(7).unwrap(), target, active: n % 3 > 0 };
            (ShortCode::parse(&format!("code{n}")).unwrap(), link)
        };
        (1..=count).map(link).collect()
    }

    fn written(directory: &Path, links: &[(ShortCode, Link)]) -> PathBuf {
        let path = directory.join("deep/links.snapshot");
        let cursor = "00000000000000ff:7".parse().unwrap();
        let equal_at = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        write(&path, &cursor, equal_at, links.iter().map(|(code, link)| (code, link))).unwrap();
        path
    }

    #[test]
    fn what_is_written_is_read_and_a_later_file_takes_its_place() {
        let directory = tempfile::tempdir().unwrap();
        assert!(read(&directory.path().join("deep/links.snapshot")).unwrap().is_none());
        for count in [1000, 0, 3] {
            let path = written(directory.path(), &links(count));
            let stored = read(&path).unwrap().unwrap();
            assert_eq!(stored.cursor.to_string(), "00000000000000ff:7");
            assert_eq!(stored.equal_at, UNIX_EPOCH + Duration::from_secs(1_700_000_000));
            assert_eq!((stored.links, stored.rejected), (links(count), 0));
            assert!(!partial(&path).exists());
        }
    }

    #[test]
    fn a_foreign_file_is_not_believed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("links.snapshot");
        for content in ["", "x", "a shopping list", "TERNMAP\u{2} of a later version"] {
            fs::write(&path, content).unwrap();
            assert!(matches!(read(&path), Err(FileError::Foreign)), "{content:?}");
        }
        assert!(matches!(read(directory.path()), Err(FileError::Io(_))));
    }

    proptest! {
        #[test]
        fn a_damaged_file_is_not_believed(at in any::<prop::sample::Index>(), bit in 0..8u32, cut in any::<bool>()) {
            static WHOLE: std::sync::LazyLock<Arc<[u8]>> = std::sync::LazyLock::new(|| {
                let directory = tempfile::tempdir().unwrap();
                fs::read(written(directory.path(), &links(20))).unwrap().into()
            });
            let mut bytes = WHOLE.to_vec();
            let at = at.index(bytes.len());
            if cut {
                bytes.truncate(at);
            } else {
                bytes[at] ^= 1 << bit;
            }
            prop_assert!(parse(&bytes).is_err());
        }

        #[test]
        fn any_content_behind_a_right_checksum_is_read_or_refused(content in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = [&MAGIC[..], &content].concat();
            bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
            let _ = parse(&bytes);
        }
    }
}
