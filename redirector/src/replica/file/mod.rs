//! The snapshot file: the links and the cursor of a replica, so that a restart serves without a store or a bus.
//!
//! Layout, integers little-endian: magic and version; length of the cursor (u32), length of the field names (u32), the
//! time at which the map equalled the store (u64, microseconds), the cursor, the names of the fields that the writer
//! knew, separated by commas; the encoded links, each after a 1; a 0; the number of links (u64); the CRC-32C of all
//! bytes before it. A new file is written beside the old one and renamed over it, so one of them is always whole. A
//! file with a wrong checksum is not used.
//!
//! A file of a build with fewer or more fields is read. If it lacks a field, the links are completed from the store.
//!
//! The file is read once, from front to back, through one buffer, so a start needs memory for the map alone. Threads
//! check the links meanwhile. No link is served before the checksum at the end is verified.
//!
//! The map may change while it is written. The cursor was taken before, and the deltas since that cursor contain each
//! changed code in its latest state.

mod input;

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tern_common::private_files::FileLock;
use tern_common::served_link::{FIELDS, LinkEncoder, LinkRow};
use tern_common::store::Cursor;

pub use self::input::FileError;
use self::input::{Input, RECORD, take_link};
use crate::link_map::{LinkMap, Replacement};

const MAGIC: &[u8; 8] = b"TERNMAP\x02";

/// Time for another process to write the file, which takes some seconds for ten million links.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// Bytes of one write.
const BUFFER: usize = 1 << 20;

/// Longest cursor, and longest list of fields.
const MAX_TEXT: usize = 1 << 16;

/// Threads that check links while the file is read. More do not make a start faster.
const CHECKERS: usize = 2;

/// Pieces of the file that may wait for each checker.
const PIECES: usize = 4;

/// Contents of a snapshot file.
#[derive(Debug)]
pub struct FileContents {
    pub cursor: Cursor,
    /// Time at which the map equalled the store.
    pub equal_at: SystemTime,
    /// Whether the writer knew every field that this build serves. Otherwise links may lack fields.
    pub has_all_fields: bool,
    pub links: Replacement,
    /// Links that this build refuses.
    pub rejected: u64,
}

/// Writes every link to `path`. The new file replaces an old one when it is complete and synced.
pub fn write(path: &Path, cursor: &Cursor, equal_at: SystemTime, links: &LinkMap) -> io::Result<()> {
    let partial = partial(path);
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    // During a take-over, two processes write the file. The lock lasts until the file has its name.
    let _lock = FileLock::take(&path.with_extension("lock"), LOCK_WAIT)?;
    let mut output = ChecksumWriter { inner: BufWriter::with_capacity(BUFFER, File::create(&partial)?), checksum: 0 };
    let (cursor, fields) = (cursor.to_string(), FIELDS.join(","));
    let equal_at = equal_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    output.write_all(MAGIC)?;
    output.write_all(&len(cursor.len())?.to_le_bytes())?;
    output.write_all(&len(fields.len())?.to_le_bytes())?;
    output.write_all(&u64::try_from(equal_at).unwrap_or(u64::MAX).to_le_bytes())?;
    output.write_all(cursor.as_bytes())?;
    output.write_all(fields.as_bytes())?;
    let (mut count, mut encoder) = (0u64, LinkEncoder::default());
    links.for_each(|link| {
        output.write_all(&[RECORD])?;
        output.write_all(encoder.encode_served(link).bytes())?;
        count += 1;
        io::Result::Ok(())
    })?;
    output.write_all(&[0])?;
    output.write_all(&count.to_le_bytes())?;
    let checksum = output.checksum;
    output.write_all(&checksum.to_le_bytes())?;
    let file = output.inner.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    fs::rename(&partial, path)?;
    // Syncing the directory makes the rename durable.
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

/// Reads the file at `path`. Returns `None` if there is none.
///
/// # Errors
/// The file cannot be read, has another version, or is damaged.
pub fn read(path: &Path) -> Result<Option<FileContents>, FileError> {
    match File::open(path) {
        Ok(file) => parse(file).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn parse(file: impl Read) -> Result<FileContents, FileError> {
    let mut input = Input::new(file);
    match input.take(MAGIC.len()) {
        Ok(magic) if magic == MAGIC => {}
        Ok(_) | Err(FileError::Damaged) => return Err(FileError::Foreign),
        Err(error) => return Err(error),
    }
    let (cursor_len, fields_len) = (input.len(MAX_TEXT)?, input.len(MAX_TEXT)?);
    let equal_at = UNIX_EPOCH + Duration::from_micros(input.u64()?);
    let cursor = text(input.take(cursor_len)?)?.parse().map_err(|_| FileError::Damaged)?;
    let fields: Vec<&str> = text(input.take(fields_len)?)?.split(',').collect();
    let has_all_fields = FIELDS.iter().all(|field| fields.contains(field));
    let Links { links, rejected } = parse_links(&mut input)?;
    if input.u8()? != 0 {
        return Err(FileError::Damaged);
    }
    let count = input.u64()?;
    input.end()?;
    if count == links.len() as u64 + rejected {
        Ok(FileContents { cursor, equal_at, has_all_fields, links, rejected })
    } else {
        Err(FileError::Damaged)
    }
}

/// Links of some pieces of the file.
#[derive(Default)]
struct Links {
    links: Replacement,
    rejected: u64,
}

/// A thread that checks pieces of the file, with the channel to it.
type Checker<'scope> = (SyncSender<Vec<u8>>, ScopedJoinHandle<'scope, Result<Links, FileError>>);

/// Takes all links from `input`. Threads check them piece by piece.
fn parse_links(input: &mut Input<impl Read>) -> Result<Links, FileError> {
    thread::scope(|scope| {
        let mut checkers = Vec::new();
        let fed = feed(scope, &mut checkers, input);
        // Every thread is joined, even for a damaged file: a thread without its handle may still run after the scope.
        let join = |(pieces, checker): Checker<'_>| {
            drop(pieces);
            checker.join()
        };
        let checked: Vec<_> = checkers.into_iter().map(join).collect();
        fed?;
        let mut all = Links::default();
        for links in checked {
            let links = links.map_err(|_| io::Error::other("a thread that checked links panicked"))??;
            all.links.append(links.links);
            all.rejected += links.rejected;
        }
        Ok(all)
    })
}

/// Starts the checkers and distributes all links from `input` among them.
fn feed<'scope>(
    scope: &'scope Scope<'scope, '_>,
    checkers: &mut Vec<Checker<'scope>>,
    input: &mut Input<impl Read>,
) -> Result<(), FileError> {
    for _ in 0..CHECKERS {
        let (pieces, to_check) = sync_channel::<Vec<u8>>(PIECES);
        let checker = thread::Builder::new().name("tern-start".to_owned());
        checkers.push((pieces, checker.spawn_scoped(scope, move || check(&to_check))?));
    }
    let mut turns = (0..CHECKERS).cycle();
    while let Some(piece) = input.links()? {
        let checker = turns.next().and_then(|turn| checkers.get(turn));
        // A checker that accepts no more pieces has found damage and returns it.
        if checker.is_none_or(|(pieces, _)| pieces.send(piece).is_err()) {
            break;
        }
    }
    Ok(())
}

/// Checks the links of each piece.
fn check(pieces: &Receiver<Vec<u8>>) -> Result<Links, FileError> {
    let mut found = Links::default();
    for piece in pieces {
        let mut rest = piece.as_slice();
        while let Some(link) = take_link(&mut rest)? {
            let row = LinkRow::decode(link).ok_or(FileError::Damaged)?;
            found.rejected += u64::from(found.links.put(&row).is_err());
        }
    }
    Ok(found)
}

fn text(bytes: &[u8]) -> Result<&str, FileError> {
    std::str::from_utf8(bytes).map_err(|_| FileError::Damaged)
}

fn partial(path: &Path) -> PathBuf {
    path.with_extension("partial")
}

fn len(len: usize) -> io::Result<u32> {
    u32::try_from(len).map_err(io::Error::other)
}

/// A writer that computes the checksum of the written bytes.
struct ChecksumWriter<W> {
    inner: W,
    checksum: u32,
}

impl<W: Write> Write for ChecksumWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.checksum = crc32c::crc32c_append(self.checksum, &bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    fn links(count: i64) -> BTreeMap<String, (String, i64, bool)> {
        (1..=count).map(|n| (format!("code{n}"), (format!("https://münchen.example/{n}"), n, n % 3 > 0))).collect()
    }

    fn map(links: &BTreeMap<String, (String, i64, bool)>) -> Arc<LinkMap> {
        let (map, mut writer) = LinkMap::new();
        let mut all = Replacement::default();
        for (code, (target, id, active)) in links {
            let (code, target) = (code.as_str(), target.as_str());
            all.put(&LinkRow { url_id: *id, owner_id: 7, is_active: *active, ..LinkRow::plain(code, target) }).unwrap();
        }
        writer.commit(all);
        map
    }

    fn links_of(stored: FileContents) -> BTreeMap<String, (String, i64, bool)> {
        let (map, mut writer) = LinkMap::new();
        writer.commit(stored.links);
        let mut links = BTreeMap::new();
        map.for_each(|link| {
            assert_eq!(link.owner_id.get(), 7);
            links.insert(link.code.to_owned(), (link.original_url().to_owned(), link.url_id.get(), link.active));
            Ok::<_, Infallible>(())
        })
        .unwrap();
        links
    }

    fn written(directory: &Path, links: &BTreeMap<String, (String, i64, bool)>) -> PathBuf {
        let path = directory.join("deep/links.snapshot");
        let cursor = "00000000000000ff:7".parse().unwrap();
        let equal_at = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        write(&path, &cursor, equal_at, &map(links)).unwrap();
        path
    }

    #[test]
    fn written_file_is_read_and_replaced_by_a_later_one() {
        let directory = tempfile::tempdir().unwrap();
        assert!(read(&directory.path().join("deep/links.snapshot")).unwrap().is_none());
        for count in [50_000, 0, 3] {
            let path = written(directory.path(), &links(count));
            let stored = read(&path).unwrap().unwrap();
            assert_eq!(stored.cursor.to_string(), "00000000000000ff:7");
            assert_eq!(stored.equal_at, UNIX_EPOCH + Duration::from_secs(1_700_000_000));
            assert_eq!(stored.rejected, 0);
            assert_eq!(links_of(stored), links(count));
            assert!(!partial(&path).exists());
        }
    }

    #[test]
    fn file_of_another_build_shows_whether_fields_are_missing() {
        let directory = tempfile::tempdir().unwrap();
        let whole = fs::read(written(directory.path(), &links(20))).unwrap();
        let (known, header) = (FIELDS.join(","), MAGIC.len() + 16 + "00000000000000ff:7".len());
        let check = |fields: &str, expected: bool| {
            let mut bytes = whole[..header].to_vec();
            bytes[12..16].copy_from_slice(&len(fields.len()).unwrap().to_le_bytes());
            bytes.extend(fields.as_bytes());
            bytes.extend(&whole[header + known.len()..whole.len() - 4]);
            bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
            let stored = parse(&*bytes).unwrap();
            assert_eq!((stored.has_all_fields, stored.links.len()), (expected, 20), "{fields}");
        };
        check(&known, true);
        check(&format!("{known},sheen"), true);
        check(&known.replace(",is_active", ""), false);
        check("", false);
    }

    #[test]
    fn foreign_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("links.snapshot");
        for content in ["", "x", "a shopping list", "TERNMAP\u{1} of before", "TERNMAP\u{3} of a later version"] {
            fs::write(&path, content).unwrap();
            assert!(matches!(read(&path), Err(FileError::Foreign)), "{content:?}");
        }
        assert!(matches!(read(directory.path()), Err(FileError::Io(_))));
    }

    proptest! {
        #[test]
        fn damaged_file_is_refused(at in any::<prop::sample::Index>(), bit in 0..8u32, cut in any::<bool>()) {
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
            prop_assert!(parse(&*bytes).is_err());
        }

        #[test]
        fn any_content_with_a_right_checksum_is_read_or_refused(content in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = [&MAGIC[..], &content].concat();
            bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
            let _ = parse(&*bytes);
        }
    }
}
