//! The base of a snapshot file: every link of a map. This module must not know the tail.

use std::io::{self, BufWriter, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tern_common::served_link::{FIELDS, LinkEncoder, LinkRow};
use tern_common::store::Cursor;

use super::input::{FileError, Input, LINK, MAX_TEXT, take_link, text};
use crate::link_map::{LinkMap, Replacement};

pub(super) const MAGIC: &[u8; 8] = b"TERNMAP\x03";

/// Beginning of a file that ends with its base.
pub(super) const MAGIC_WITHOUT_TAIL: &[u8; 8] = b"TERNMAP\x02";

/// Bytes of one write.
const BUFFER: usize = 1 << 20;

/// Threads that check links while the file is read. More do not make a start faster.
const CHECKERS: usize = 2;

/// Pieces of the file that may wait for each checker.
const PIECES: usize = 4;

/// Contents of a base.
pub(super) struct Base {
    pub(super) cursor: Cursor,
    /// Time at which the map equalled the store.
    pub(super) equal_at: SystemTime,
    /// Whether the writer knew every field that this build serves.
    pub(super) has_all_fields: bool,
    /// Whether this build may append records: a tail may follow, and the writer knew the same fields.
    pub(super) can_grow: bool,
    pub(super) links: Replacement,
    /// Links that this build refuses.
    pub(super) rejected: u64,
}

/// Writes every link of a map to `file`. Returns the number of bytes.
pub(super) fn write(file: impl Write, cursor: &Cursor, equal_at: SystemTime, links: &LinkMap) -> io::Result<u64> {
    let mut output = ChecksumWriter { inner: BufWriter::with_capacity(BUFFER, file), checksum: 0, written: 0 };
    let (cursor, fields) = (cursor.to_string(), FIELDS.join(","));
    output.write_all(MAGIC)?;
    output.write_all(&len(cursor.len())?.to_le_bytes())?;
    output.write_all(&len(fields.len())?.to_le_bytes())?;
    output.write_all(&micros(equal_at).to_le_bytes())?;
    output.write_all(cursor.as_bytes())?;
    output.write_all(fields.as_bytes())?;
    let (mut count, mut encoder) = (0u64, LinkEncoder::default());
    links.for_each(|link| {
        output.write_all(&[LINK])?;
        output.write_all(encoder.encode_served(link).bytes())?;
        count += 1;
        io::Result::Ok(())
    })?;
    output.write_all(&[0])?;
    output.write_all(&count.to_le_bytes())?;
    let checksum = output.checksum;
    output.write_all(&checksum.to_le_bytes())?;
    output.flush()?;
    Ok(output.written)
}

/// Returns a time in the form of the file.
pub(super) fn micros(time: SystemTime) -> u64 {
    u64::try_from(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros()).unwrap_or(u64::MAX)
}

/// Takes a base from `input`, and verifies its checksum.
pub(super) fn parse(input: &mut Input<impl Read>) -> Result<Base, FileError> {
    let has_tail = match input.take(MAGIC.len()) {
        Ok(magic) if magic == MAGIC => true,
        Ok(magic) if magic == MAGIC_WITHOUT_TAIL => false,
        Ok(_) | Err(FileError::Damaged) => return Err(FileError::Foreign),
        Err(error) => return Err(error),
    };
    let (cursor_len, fields_len) = (input.len(MAX_TEXT)?, input.len(MAX_TEXT)?);
    let equal_at = UNIX_EPOCH + Duration::from_micros(input.u64()?);
    let cursor = text(input.take(cursor_len)?)?.parse().map_err(|_| FileError::Damaged)?;
    let fields: Vec<&str> = text(input.take(fields_len)?)?.split(',').collect();
    let has_all_fields = FIELDS.iter().all(|field| fields.contains(field));
    let can_grow = has_tail && fields == FIELDS;
    let Links { links, rejected } = parse_links(input)?;
    if input.u8()? != 0 {
        return Err(FileError::Damaged);
    }
    let count = input.u64()?;
    input.checksum()?;
    if count != links.len() as u64 + rejected || (!has_tail && input.has(1)?) {
        return Err(FileError::Damaged);
    }
    Ok(Base { cursor, equal_at, has_all_fields, can_grow, links, rejected })
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

fn len(len: usize) -> io::Result<u32> {
    u32::try_from(len).map_err(io::Error::other)
}

/// A writer that counts the written bytes and computes their checksum.
struct ChecksumWriter<W> {
    inner: W,
    checksum: u32,
    written: u64,
}

impl<W: Write> Write for ChecksumWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.checksum = crc32c::crc32c_append(self.checksum, &bytes[..written]);
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
