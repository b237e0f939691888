//! The tail of a snapshot file: records of changes, each behind the previous one. This module must not know the base.
//!
//! Layout of a record, integers little-endian: length of the body (u32); the CRC-32C of the body; the body. A body has
//! the time at which the map equalled the store (u64, microseconds since the Unix epoch), the length of the cursor
//! (u32), the cursor, and the changes. A change is an encoded link after a 1, or the length (u8) and the text of a
//! removed code after a 2.

use std::collections::HashSet;
use std::io::{self, Read};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tern_common::served_link::{EncodedLink, LinkRow};
use tern_common::store::Cursor;

use super::input::{Input, LINK, MAX_TEXT, take_link};
use crate::link_map::Replacement;

/// Mark before each removed code.
const REMOVAL: u8 = 2;

/// Most bytes of the changes of one record: 90,000 plain links.
const MAX_CHANGES: usize = 8 << 20;

/// Most bytes of the body of a record.
const MAX_BODY: usize = MAX_CHANGES + MAX_TEXT + 12;

/// Encoded changes of links, as a record stores them, in the order in which they were applied.
#[derive(Debug, Default)]
pub struct Changes(Vec<u8>);

/// Error for changes that are too many for one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many changes for one record")]
pub struct TooManyChanges;

impl Changes {
    /// Adds a link that was put into the map.
    pub fn put(&mut self, link: EncodedLink<'_>) -> Result<(), TooManyChanges> {
        self.add(&[LINK], link.bytes())
    }

    /// Adds a code that was removed from the map.
    pub fn remove(&mut self, code: &str) -> Result<(), TooManyChanges> {
        // A code has at most 64 characters, so no map contains a longer one.
        let Ok(len) = u8::try_from(code.len()) else { return Ok(()) };
        self.add(&[REMOVAL, len], code.as_bytes())
    }

    fn add(&mut self, head: &[u8], change: &[u8]) -> Result<(), TooManyChanges> {
        if self.0.len() + head.len() + change.len() > MAX_CHANGES {
            return Err(TooManyChanges);
        }
        self.0.extend_from_slice(head);
        self.0.extend_from_slice(change);
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the number of bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// Encodes the record of `changes`, which bring a map to `cursor`. `equal_at` is in microseconds since the Unix epoch.
pub(super) fn encode(cursor: &Cursor, equal_at: u64, changes: &Changes) -> io::Result<Vec<u8>> {
    let cursor = cursor.to_string();
    let mut record = vec![0; 8];
    record.extend(equal_at.to_le_bytes());
    record.extend(u32::try_from(cursor.len()).map_err(io::Error::other)?.to_le_bytes());
    record.extend(cursor.as_bytes());
    record.extend(&changes.0);
    let (head, body) = record.split_at_mut(8);
    head[..4].copy_from_slice(&u32::try_from(body.len()).map_err(io::Error::other)?.to_le_bytes());
    head[4..].copy_from_slice(&crc32c::crc32c(body).to_le_bytes());
    Ok(record)
}

/// The way in which a tail ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TailEnd {
    /// Each record is whole.
    Whole,
    /// The last record is incomplete, as after a power cut.
    Incomplete,
    /// A record is damaged, or cannot be read. The records behind it are not used.
    Damaged,
}

/// The contents of all records that were read. A reader puts `links` into the map after those of the base, and then
/// removes the codes in `removed`.
pub(super) struct Tail {
    /// The cursor and the time of the last record. `None` without any record.
    pub(super) reached: Option<(Cursor, SystemTime)>,
    pub(super) links: Replacement,
    /// Codes whose last change is a removal.
    pub(super) removed: HashSet<String>,
    /// Number of links that this build refuses.
    pub(super) rejected: u64,
    pub(super) end: TailEnd,
    /// The error of a record that could not be read.
    pub(super) error: Option<io::Error>,
}

/// Takes all records from `input`, up to the first that is not whole.
pub(super) fn parse(input: &mut Input<impl Read>) -> Tail {
    let mut tail = Tail {
        reached: None,
        links: Replacement::default(),
        removed: HashSet::new(),
        rejected: 0,
        end: TailEnd::Whole,
        error: None,
    };
    tail.end = loop {
        match take_record(input) {
            Ok(NextRecord::Record(record)) => tail.apply(record),
            Ok(NextRecord::End(end)) => break end,
            // A record that cannot be read is treated as damaged.
            Err(error) => {
                tail.error = Some(error);
                break TailEnd::Damaged;
            }
        }
    };
    tail
}

/// The next record of a tail, or the way in which the tail ends.
enum NextRecord<'a> {
    Record(Record<'a>),
    End(TailEnd),
}

/// A record, each of whose changes is known to be whole.
struct Record<'a> {
    cursor: Cursor,
    equal_at: SystemTime,
    changes: &'a [u8],
}

enum Change<'a> {
    Put(LinkRow<&'a str>),
    Removal(&'a str),
}

fn take_record(input: &mut Input<impl Read>) -> io::Result<NextRecord<'_>> {
    if !input.has(1)? {
        return Ok(NextRecord::End(TailEnd::Whole));
    }
    let Some(head) = input.take_if_there(8)?.and_then(|head| head.first_chunk::<8>().copied()) else {
        return Ok(NextRecord::End(TailEnd::Incomplete));
    };
    let [len, checksum] = [0, 4].map(|at| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]));
    // Some file systems leave zeros where the last bytes were not written before a power cut.
    if head == [0; 8] {
        return Ok(NextRecord::End(TailEnd::Incomplete));
    }
    let len = len as usize;
    if len > MAX_BODY {
        return Ok(NextRecord::End(TailEnd::Damaged));
    }
    let is_last = !input.has(len + 1)?;
    let Some(body) = input.take_if_there(len)? else { return Ok(NextRecord::End(TailEnd::Incomplete)) };
    if crc32c::crc32c(body) != checksum {
        return Ok(NextRecord::End(if is_last { TailEnd::Incomplete } else { TailEnd::Damaged }));
    }
    Ok(decode(body).map_or(NextRecord::End(TailEnd::Damaged), NextRecord::Record))
}

/// Decodes a body. Returns `None` if a part of it is not as [`encode`] writes it, so that no part of a record is applied.
fn decode(body: &[u8]) -> Option<Record<'_>> {
    let (equal_at, rest) = body.split_first_chunk()?;
    let (len, rest) = rest.split_first_chunk()?;
    let (cursor, changes) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    let cursor = std::str::from_utf8(cursor).ok()?.parse().ok()?;
    let equal_at = UNIX_EPOCH.checked_add(Duration::from_micros(u64::from_le_bytes(*equal_at)))?;
    let mut rest = changes;
    while !rest.is_empty() {
        take_change(&mut rest)?;
    }
    Some(Record { cursor, equal_at, changes })
}

/// Takes the change at the start of `bytes`. Returns `None` if there is none.
fn take_change<'a>(bytes: &mut &'a [u8]) -> Option<Change<'a>> {
    if let Some(link) = take_link(bytes).ok()? {
        return LinkRow::decode(link).map(Change::Put);
    }
    let (&[mark, len], rest) = bytes.split_first_chunk()?;
    let (code, rest) = rest.split_at_checked(usize::from(len))?;
    *bytes = rest;
    (mark == REMOVAL).then(|| std::str::from_utf8(code).ok().map(Change::Removal)).flatten()
}

impl Tail {
    fn apply(&mut self, record: Record<'_>) {
        let mut rest = record.changes;
        while let Some(change) = take_change(&mut rest) {
            match change {
                Change::Put(row) if self.links.put(&row).is_ok() => {
                    self.removed.remove(row.short_code);
                }
                // The link of the base is older, so it is not served in place of a refused one.
                Change::Put(LinkRow { short_code, .. }) => {
                    self.rejected += 1;
                    self.removed.insert(short_code.to_owned());
                }
                Change::Removal(code) => {
                    self.removed.insert(code.to_owned());
                }
            }
        }
        self.reached = Some((record.cursor, record.equal_at));
    }
}
