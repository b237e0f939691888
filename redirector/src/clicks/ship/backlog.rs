//! The backlog of one journal: the records that are not in the store yet, in batches.
//!
//! The backlog reads files and knows the journal's position in the store. It must neither decide when to ship nor call the
//! store. It never counts for itself: each count is the difference between two journal states that the store returned.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tern_common::Click;
use tern_common::click::{JournalId, JournalPosition, JournalState};

use crate::clicks::journal::{HEADER_LEN, Lane, Orphan, RecordIter, Seed, Space, read_header, segment_path, segments};

/// Bytes that are read at once: more than the largest batch of ordinary clicks.
const WINDOW: u64 = 4 << 20;

/// Bytes that are read at once after a failed read. They are skipped after [`TRIES`], since the disk cannot read them.
const SMALL_WINDOW: u64 = 64 << 10;

/// The number of failed reads after which a window is skipped.
const TRIES: u32 = 10;

/// The kind of journal that records come from.
#[derive(Debug)]
enum Source {
    /// A journal of this process, which grows.
    Own(Arc<Lane>),
    Orphan(Orphan),
}

/// The records of one journal that are not in the store.
#[derive(Debug)]
pub(super) struct Backlog {
    pub(super) journal: JournalId,
    directory: PathBuf,
    source: Source,
    space: Arc<Space>,
    /// The state that the store returned last. `None` before the store was asked.
    answer: Option<StoreAnswer>,
    /// The segment and offset of the next batch: the position in the store, or behind it if no record is between them.
    at: (u64, u64),
    /// Failed reads since the last successful one.
    failures: u32,
    /// Whether every segment of an adopted journal is in the store.
    is_done: bool,
}

/// The state of a journal in the store. `None` if the store does not know the journal.
type StoreAnswer = Option<JournalState>;

/// Consecutive clicks, and the position behind them.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) clicks: Vec<Click>,
    pub(super) to: Option<JournalPosition>,
    /// The times at which the first and the last click were answered.
    pub(super) oldest: Option<SystemTime>,
    pub(super) newest: Option<SystemTime>,
}

/// The offset behind the records of a segment.
#[derive(Clone, Copy, Debug)]
enum End {
    /// The segment is being filled.
    Growing(u64),
    Final(u64),
}

/// The numbers of clicks by which two states of a journal in the store differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ClickCounts {
    pub(super) recorded: u64,
    /// Recorded clicks that have no event.
    pub(super) without_event: u64,
    pub(super) orphaned: u64,
    pub(super) parked: u64,
    /// Records that were removed from the journal or cannot be read.
    pub(super) missing: u64,
    /// Clicks that the store had and lost.
    pub(super) lost: u64,
}

impl Backlog {
    /// Returns the backlog of a journal that this process has just made and that the store does not know.
    pub(super) fn own(lane: Arc<Lane>, space: Arc<Space>) -> Backlog {
        let (journal, directory) = (lane.journal, lane.directory.clone());
        Backlog { answer: Some(None), ..Backlog::of(journal, directory, Source::Own(lane), space) }
    }

    /// Returns the backlog of an adopted journal. [`Backlog::locate`] comes before the first read.
    pub(super) fn orphan(orphan: Orphan, space: Arc<Space>) -> Backlog {
        space.add(orphan.bytes);
        Backlog::of(orphan.journal, orphan.directory.clone(), Source::Orphan(orphan), space)
    }

    fn of(journal: JournalId, directory: PathBuf, source: Source, space: Arc<Space>) -> Backlog {
        let at = (1, HEADER_LEN as u64);
        Backlog { journal, directory, source, space, answer: None, at, failures: 0, is_done: false }
    }

    pub(super) fn is_orphan(&self) -> bool {
        matches!(self.source, Source::Orphan(_))
    }

    /// Returns whether the store was asked for the journal's position.
    pub(super) fn is_located(&self) -> bool {
        self.answer.is_some()
    }

    /// Returns the position that the store returned last.
    pub(super) fn stored(&self) -> Option<JournalPosition> {
        self.answer.flatten().map(|state| state.position)
    }

    /// Returns the number of records before the position in the store.
    fn sequence(&self) -> u64 {
        self.stored().map_or(0, |position| position.sequence)
    }

    /// Returns the number of records that are not in the store yet. For an orphan it is 0 until the store was asked.
    pub(super) fn pending(&self) -> u64 {
        match &self.source {
            Source::Own(lane) => lane.pending(),
            Source::Orphan(orphan) if self.is_located() => orphan.last_sequence.saturating_sub(self.sequence()),
            Source::Orphan(_) => 0,
        }
    }

    /// Moves to the journal's position in the store, forwards or backwards.
    pub(super) fn locate(&mut self, state: Option<JournalState>) -> io::Result<ClickCounts> {
        let position = state.map_or((1, HEADER_LEN as u64), |state| (state.position.segment, state.position.offset));
        // Done first, so that no segment is removed that is needed again.
        self.space.unmark_shipped(self.journal, position.0);
        if position != self.at {
            // Segments before the position are in the store. Those of an adopted journal may be new to this process.
            for number in segments(&self.directory)?.into_iter().take_while(|number| *number < position.0) {
                let file = segment_path(&self.directory, number).metadata()?;
                self.space.mark_shipped(self.journal, &self.directory, number, file.modified()?);
            }
        }
        let before = self.answer.replace(state);
        self.at = position;
        self.is_done = false;
        self.failures = 0;
        if let Source::Own(lane) = &self.source {
            lane.mark_shipped(self.sequence());
        }
        Ok(before.map(|before| ClickCounts::between(before, state)).unwrap_or_default())
    }

    /// Reads the next records, at most `max`. The batch is empty if all records are in the store.
    pub(super) fn read(&mut self, max: usize) -> io::Result<Batch> {
        if let Source::Own(lane) = &self.source {
            lane.flush();
        }
        while let Some(found) = self.segment_end()? {
            let (End::Growing(end) | End::Final(end)) = found;
            if self.at.1 < end {
                let batch = self.read_to(end, max)?;
                if batch.to.is_some() {
                    return Ok(batch);
                }
            } else if matches!(found, End::Growing(_)) || !self.next_segment()? {
                break;
            }
        }
        Ok(Batch::default())
    }

    /// Returns the end of the current segment. `None` if there is nothing to read.
    ///
    /// A segment whose file does not exist ends here. The numbers of later records tell how many are missing.
    fn segment_end(&self) -> io::Result<Option<End>> {
        let (number, offset) = self.at;
        match &self.source {
            Source::Own(lane) => match lane.published() {
                None => return Ok(None),
                // Records that are written meanwhile are read the next time.
                Some((segment, end)) if segment == number => return Ok(Some(End::Growing(end))),
                Some(_) => {}
            },
            Source::Orphan(_) if self.is_done => return Ok(None),
            Source::Orphan(_) => {}
        }
        let header = match read_header(&self.directory, self.journal, number) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(End::Final(offset))),
            header => header?,
        };
        let Some(end) = header.and_then(|header| header.records_end) else {
            return Err(io::Error::other(format!("segment {number} of journal {} is not finished", self.journal)));
        };
        Ok(Some(End::Final(end)))
    }

    /// Reads records before `end`. A damaged part without records is skipped, and the batch is empty.
    fn read_to(&mut self, end: u64, max: usize) -> io::Result<Batch> {
        let (number, offset) = self.at;
        let window = if self.failures == 0 { WINDOW } else { SMALL_WINDOW };
        let part_end = end.min(offset + window);
        let mut bytes = vec![0; usize::try_from(part_end - offset).map_err(io::Error::other)?];
        let file = File::open(segment_path(&self.directory, number))?;
        match file.read_exact_at(&mut bytes, offset) {
            Ok(()) => self.failures = 0,
            Err(error) => {
                self.failures += 1;
                if self.failures > TRIES {
                    tracing::error!(
                        journal = %self.journal, segment = number, offset,
                        "part of a click journal cannot be read; its clicks are dropped and counted; skipping it; check the disk"
                    );
                    self.at.1 = part_end;
                }
                return Err(error);
            }
        }
        let iter = RecordIter::new(&bytes, Seed::new(self.journal), true, self.sequence());
        let mut iter = if part_end < end { iter.partial() } else { iter };
        let mut batch = Batch::default();
        while batch.clicks.len() < max
            && let Some(record) = iter.next()
        {
            if let Some(click) = record.to_click() {
                batch.oldest.get_or_insert(click.at);
                batch.newest = Some(click.at);
                batch.clicks.push(click);
            }
            let offset = offset + iter.offset() as u64;
            batch.to = Some(JournalPosition { segment: number, offset, sequence: record.sequence });
        }
        if batch.to.is_none() {
            self.at.1 = offset + iter.offset() as u64;
        }
        Ok(batch)
    }

    /// Moves to the segment after this one. Returns whether there is one. All of this segment is in the store.
    fn next_segment(&mut self) -> io::Result<bool> {
        let number = self.at.0;
        let last = match &self.source {
            Source::Own(lane) => lane.published().map_or(0, |published| published.0),
            Source::Orphan(_) => u64::MAX,
        };
        let next = segments(&self.directory)?.into_iter().find(|other| *other > number && *other <= last);
        self.space.mark_shipped(self.journal, &self.directory, number, SystemTime::now());
        match next {
            Some(next) => self.at = (next, HEADER_LEN as u64),
            None => self.is_done = true,
        }
        Ok(next.is_some())
    }

    /// Returns the number of records that an adopted journal lacks at its end, once all of it was read. Later calls return 0.
    pub(super) fn take_missing(&mut self) -> u64 {
        let pending = self.pending();
        match &mut self.source {
            Source::Orphan(orphan) if self.is_done => {
                orphan.last_sequence -= pending;
                pending
            }
            _ => 0,
        }
    }

    /// Moves behind a batch that the store took.
    pub(super) fn advance(&mut self, state: JournalState) -> ClickCounts {
        let before = self.answer.replace(Some(state)).flatten();
        self.at = (state.position.segment, state.position.offset);
        if let Source::Own(lane) = &self.source {
            lane.mark_shipped(state.position.sequence);
        }
        ClickCounts::between(before, Some(state))
    }

    /// Returns whether the journal can be removed: all records are shipped, and no segment is retained.
    pub(super) fn is_finished(&self) -> bool {
        let is_wanted = match &self.source {
            Source::Own(_) => true,
            Source::Orphan(orphan) => orphan.is_damaged,
        };
        !is_wanted && self.is_located() && self.is_done && self.space.retained_segments(self.journal) == 0
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }
}

impl ClickCounts {
    fn between(before: StoreAnswer, after: StoreAnswer) -> ClickCounts {
        let counts = |answer: StoreAnswer| {
            answer.map_or([0; 5], |state| {
                [state.position.sequence, state.recorded, state.orphaned, state.parked, state.without_event]
            })
        };
        let (before, after) = (counts(before), counts(after));
        let sequence = before[0];
        if after[0] < sequence {
            return ClickCounts { lost: sequence - after[0], ..ClickCounts::default() };
        }
        let grown = |index: usize| after[index].saturating_sub(before[index]);
        let [recorded, orphaned, parked, without_event] = [1, 2, 3, 4].map(grown);
        let missing = (after[0] - sequence).saturating_sub(recorded + orphaned + parked);
        ClickCounts { recorded, without_event, orphaned, parked, missing, lost: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_between_two_store_answers_are_their_difference() {
        let state = |sequence, recorded, orphaned, parked| {
            let position = JournalPosition { segment: 1, offset: 64, sequence };
            // A tenth of the clicks are beyond the budget of their network.
            Some(JournalState { position, recorded, without_event: recorded / 10, orphaned, parked })
        };
        let check = |before, after, expected: [u64; 5]| {
            let [recorded, orphaned, parked, missing, lost] = expected;
            let counts = ClickCounts::between(before, after);
            assert_eq!(
                counts,
                ClickCounts { recorded, without_event: counts.without_event, orphaned, parked, missing, lost }
            );
        };
        check(None, state(10, 7, 2, 1), [7, 2, 1, 0, 0]);
        check(state(10, 7, 2, 1), state(10, 7, 2, 1), [0, 0, 0, 0, 0]);
        check(state(10, 7, 2, 1), state(20, 15, 2, 1), [8, 0, 0, 2, 0]);
        check(state(20, 15, 2, 1), state(10, 7, 2, 1), [0, 0, 0, 0, 10]);
        check(state(20, 15, 2, 1), None, [0, 0, 0, 0, 20]);
        assert_eq!(ClickCounts::between(state(10, 10, 0, 0), state(50, 50, 0, 0)).without_event, 4);
    }
}
