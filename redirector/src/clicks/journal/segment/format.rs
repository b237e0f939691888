//! The format of a segment, version 3: a header, then records. The module does no I/O.
//!
//! A journal is a directory named by its id, and its segments are numbered from 1 in the order in which they were
//! filled. Integers are little-endian:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `TERNCLK` and the version |
//! | 8 | 16 | the journal's id |
//! | 24 | 8 | the segment's number |
//! | 32 | 4 | CRC-32C of the bytes before this field |
//! | 36 | 4 | CRC-32C of the next 8 bytes, once the segment is finished; 0 before |
//! | 40 | 8 | the offset behind the records, once the segment is finished; 0 before |
//! | 64 | | records, see [`super::record`] |
//!
//! A segment is finished after its last record: the header gets the offset behind the records, and no record follows.

use std::ops::{Range, RangeInclusive};

use tern_common::click::JournalId;

use super::record::{self, ALIGNMENT, Record, Seed};

const NAME: &[u8; 7] = b"TERNCLK";

/// The version of the format that this build writes.
const VERSION: u8 = 3;

/// The versions that this build reads. Their records differ, and each record shows its own form.
const READABLE: RangeInclusive<u8> = 2..=VERSION;

/// The offset of the first record.
pub const HEADER_LEN: usize = 64;

/// The size of the largest segment, in bytes.
pub const MAX_SEGMENT: usize = 1 << 30;

/// The bytes of the header with the offset behind the records.
const END: Range<usize> = 40..48;

/// The bytes of the header with the checksum of that offset.
const END_CHECKSUM: Range<usize> = 36..40;

/// Returns the header of an open segment.
pub fn header(journal: JournalId, number: u64) -> [u8; HEADER_LEN] {
    header_of(VERSION, journal, number)
}

fn header_of(version: u8, journal: JournalId, number: u64) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[..7].copy_from_slice(NAME);
    header[7] = version;
    header[8..24].copy_from_slice(&journal.0.to_le_bytes());
    header[24..32].copy_from_slice(&number.to_le_bytes());
    let checksum = crc32c::crc32c(&header[..32]);
    header[32..36].copy_from_slice(&checksum.to_le_bytes());
    header
}

/// Returns the header of a finished segment, whose records end at `end`.
pub fn finished_header(journal: JournalId, number: u64, end: usize) -> [u8; HEADER_LEN] {
    let mut header = header(journal, number);
    let end = (end as u64).to_le_bytes();
    header[END].copy_from_slice(&end);
    header[END_CHECKSUM].copy_from_slice(&crc32c::crc32c(&end).to_le_bytes());
    header
}

/// Returns whether `bytes` begin with an intact header of a version that this build cannot read. Only a build that knows
/// that version may change the segment.
pub fn has_other_version(bytes: &[u8]) -> bool {
    let is_whole = bytes.get(..36).is_some_and(|header| crc32c::crc32c(&header[..32]).to_le_bytes() == header[32..]);
    is_whole && bytes.starts_with(NAME) && !READABLE.contains(&bytes[7])
}

/// The content of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The offset behind the records, if the segment is finished.
    pub records_end: Option<u64>,
}

/// Reads the header of a segment. Returns `None` unless `bytes` begin with the header of segment `number` of `journal`.
/// `file_len` is the length of the whole file.
pub fn read_header(bytes: &[u8], file_len: u64, journal: JournalId, number: u64) -> Option<Header> {
    let header = bytes.get(..HEADER_LEN)?;
    let is_expected =
        |version| header[..END_CHECKSUM.start] == header_of(version, journal, number)[..END_CHECKSUM.start];
    if !READABLE.into_iter().any(is_expected) {
        return None;
    }
    let is_finished = header[END_CHECKSUM] == crc32c::crc32c(&header[END]).to_le_bytes();
    let end = u64::from_le_bytes(header[END].try_into().ok()?);
    let records_end = Some(end).filter(|end| is_finished && (HEADER_LEN as u64..=file_len).contains(end));
    Some(Header { records_end })
}

/// An iterator over the records in a part of a segment or of a tail.
#[derive(Clone, Debug)]
pub struct RecordIter<'a> {
    bytes: &'a [u8],
    seed: Seed,
    /// Whether a place without a record is damage, which the iterator skips. Otherwise the iterator ends at the first
    /// place without a record.
    is_whole: bool,
    /// The offset at which the iterator ends, since a record that begins there or later may be cut off.
    until: usize,
    offset: usize,
    sequence: u64,
}

impl<'a> RecordIter<'a> {
    /// Returns an iterator over `bytes`, which begin at an offset where a record can begin. A record whose number is at
    /// most `sequence` counts as a place without a record.
    pub fn new(bytes: &'a [u8], seed: Seed, is_whole: bool, sequence: u64) -> RecordIter<'a> {
        RecordIter { bytes, seed, is_whole, until: bytes.len(), offset: 0, sequence }
    }

    /// Ends the iterator before each record that may be cut off, for `bytes` that may end within a record.
    pub fn partial(self) -> RecordIter<'a> {
        RecordIter { until: self.bytes.len().saturating_sub(record::MAX_LEN - 1), ..self }
    }

    /// Returns the offset at which the iterator looks for the next record.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Returns the number of the last record that was read. Before the first, it is the number that `new` received.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        while self.offset < self.until {
            match record::read(&self.bytes[self.offset..], self.seed) {
                Some(found) if found.sequence > self.sequence => {
                    self.sequence = found.sequence;
                    self.offset += found.len;
                    return Some(found);
                }
                _ if self.is_whole => self.offset += ALIGNMENT,
                _ => return None,
            }
        }
        self.offset = self.offset.min(self.bytes.len());
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::record::click_on;
    use super::*;

    const JOURNAL: JournalId = JournalId(0xc0ffee);

    /// Returns the bytes of one record for each target, and the offset of each record.
    fn records(targets: &[String], seed: Seed) -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut starts) = (Vec::new(), Vec::new());
        for (target, sequence) in targets.iter().zip(1..) {
            let (click, start) = (click_on(target), bytes.len());
            bytes.resize(start + click.record_len(), 0);
            click.write(&mut bytes[start..], seed, sequence);
            starts.push(start);
        }
        (bytes, starts)
    }

    fn targets(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("https://example.com/{}", "x".repeat(n * 7 % 50))).collect()
    }

    fn seed() -> Seed {
        Seed::new(JOURNAL)
    }

    #[test]
    fn header_is_read_for_its_own_segment_only() {
        let header = header(JOURNAL, 7);
        let finished = |end| finished_header(JOURNAL, 7, end);
        let read = |bytes: &[u8], journal, number| read_header(bytes, 200, journal, number);
        let read_end = |bytes: &[u8]| read(bytes, JOURNAL, 7).unwrap().records_end;
        assert_eq!(read(&header, JOURNAL, 7), Some(Header { records_end: None }));
        assert_eq!(read(&header, JOURNAL, 8), None);
        assert_eq!(read(&header, JournalId(1), 7), None);
        assert_eq!(read_end(&finished(128)), Some(128));
        assert_eq!(read_end(&finished(201)), None, "an end beyond the end of the file is ignored");
        let mut half = finished(128);
        half[41] ^= 1;
        assert_eq!(read_end(&half), None, "an end that does not match its checksum is ignored");
        assert_eq!(read(&header[..63], JOURNAL, 7), None);
    }

    #[test]
    fn header_of_another_version_is_recognised_and_not_read() {
        for version in [READABLE.start() - 1, VERSION + 1] {
            let mut other = header(JOURNAL, 7);
            other[7] = version;
            assert!(!has_other_version(&other), "a header with a wrong checksum has no version");
            let checksum = crc32c::crc32c(&other[..32]);
            other[32..36].copy_from_slice(&checksum.to_le_bytes());
            assert!(has_other_version(&other) && read_header(&other, 200, JOURNAL, 7).is_none());
        }
        for version in READABLE {
            let readable = header_of(version, JOURNAL, 7);
            assert!(!has_other_version(&readable) && read_header(&readable, 200, JOURNAL, 7).is_some());
        }
    }

    #[test]
    fn open_segment_is_read_up_to_the_torn_record() {
        let (bytes, starts) = records(&targets(10), seed());
        for end in 0..bytes.len() {
            let mut torn = bytes[..end].to_vec();
            torn.resize(bytes.len(), 0);
            let mut iter = RecordIter::new(&torn, seed(), false, 0);
            let read = iter.by_ref().count();
            // A record whose padding is cut off is still whole.
            assert!(
                starts[read..].first().is_none_or(|start| end < start + 200),
                "{read} records were read from {end} bytes"
            );
            assert_eq!(iter.sequence(), read as u64);
            assert!(read >= starts.iter().filter(|start| **start < end).count().saturating_sub(1));
        }
    }

    #[test]
    fn damage_in_a_finished_segment_costs_only_the_damaged_records() {
        let (mut bytes, starts) = records(&targets(10), seed());
        bytes[starts[3] + 70] ^= 1;
        bytes[starts[6]..starts[7]].fill(0);
        let mut iter = RecordIter::new(&bytes, seed(), true, 0);
        let read: Vec<u64> = iter.by_ref().map(|record| record.sequence).collect();
        assert_eq!(read, [1, 2, 3, 5, 6, 8, 9, 10]);
        assert_eq!(iter.offset(), bytes.len());
        let open = RecordIter::new(&bytes, seed(), false, 0).count();
        assert_eq!(open, 3, "the iterator over an open segment ends at the damage");
    }

    #[test]
    fn segment_read_in_parts_yields_each_record_once() {
        let (bytes, _) = records(&targets(500), seed());
        for window in [record::MAX_LEN, record::MAX_LEN + 8, 3 * record::MAX_LEN] {
            let (mut offset, mut sequence) = (0, 0);
            while offset < bytes.len() {
                let end = bytes.len().min(offset + window);
                let iter = RecordIter::new(&bytes[offset..end], seed(), true, sequence);
                let mut iter = if end < bytes.len() { iter.partial() } else { iter };
                for record in iter.by_ref() {
                    assert_eq!(record.sequence, sequence + 1);
                    sequence = record.sequence;
                }
                offset += iter.offset();
            }
            assert_eq!((offset, sequence), (bytes.len(), 500));
        }
    }

    /// Reads the targets of records and ignores the checksums.
    fn read_unchecked(bytes: &[u8]) -> Vec<String> {
        let (mut targets, mut offset) = (Vec::new(), 0);
        let number = |at: usize, len: usize| bytes[at..at + len].iter().rev().fold(0, |n, b| n << 8 | usize::from(*b));
        while offset + 64 <= bytes.len() && number(offset, 4) > 0 && offset + number(offset, 4) <= bytes.len() {
            let start = offset + 64 + number(offset + 40, 1);
            targets.push(String::from_utf8_lossy(&bytes[start..start + number(offset + 42, 2)]).into_owned());
            offset += number(offset, 4).next_multiple_of(ALIGNMENT);
        }
        targets
    }

    #[test]
    fn torn_or_foreign_record_is_rejected_by_its_checksum() {
        let targets = targets(10);
        let (mut bytes, starts) = records(&targets, seed());
        assert_eq!(read_unchecked(&bytes), targets);
        // The page with the length of the record reached the disk, the page with its texts did not.
        bytes[starts[9] + 70..].fill(0);
        let read = |bytes: &[u8]| RecordIter::new(bytes, seed(), false, 0).count();
        assert_eq!((read(&bytes), read_unchecked(&bytes).len()), (9, 10));
        assert_ne!(
            read_unchecked(&bytes)[9],
            targets[9],
            "without checksums, a torn record becomes a click that no client made"
        );
        // A file that is used again can contain records of another journal.
        let (foreign, _) = records(&targets, Seed::new(JournalId(1)));
        assert_eq!((read(&foreign), read_unchecked(&foreign).len()), (0, 10));
    }

    proptest! {
        /// Checks that each record read from damaged bytes was written, and that records are read once and in order.
        #[test]
        fn damaged_bytes_yield_only_written_records_in_order(
            damage in proptest::collection::vec((0usize..4000, any::<u8>()), 0..20),
            cut in 0usize..4000,
            is_whole: bool,
        ) {
            let targets = targets(20);
            let (mut bytes, _) = records(&targets, seed());
            for (at, value) in damage {
                let at = at % bytes.len();
                bytes[at] = value;
            }
            bytes.truncate(cut.min(bytes.len()));
            let mut last = 0;
            for record in RecordIter::new(&bytes, seed(), is_whole, 0) {
                prop_assert!(record.sequence > last);
                last = record.sequence;
                let click = record.to_click().unwrap();
                prop_assert_eq!(&click.original_url, &targets[usize::try_from(last).unwrap() - 1]);
            }
        }

        #[test]
        fn arbitrary_bytes_have_no_header_and_no_record(
            bytes in proptest::collection::vec(any::<u8>(), 0..3000),
            is_whole: bool,
        ) {
            prop_assert_eq!(RecordIter::new(&bytes, seed(), is_whole, 0).count(), 0);
            prop_assert!(read_header(&bytes, bytes.len() as u64, JOURNAL, 1).is_none());
        }
    }
}
