//! What of one journal is not in the store yet, in batches.
//!
//! It reads files and knows where the journal stands. It must not decide when to ship, nor call the store. The backlog
//! never counts for itself: each count is the difference between two journal states that the store returned.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tern_common::Click;
use tern_common::click::{JournalId, JournalPosition, JournalState};

use crate::clicks::journal::{HEADER_LEN, Lane, Orphan, Seed, Space, Walk, read_header, segment_path, segments};

/// Bytes read at once: more than the largest batch of ordinary clicks.
const WINDOW: u64 = 4 << 20;

/// Bytes tried after a larger read has failed, and given up after as many tries: some of the disk cannot be read.
const SMALL_WINDOW: u64 = 64 << 10;
const TRIES: u32 = 10;

/// The kind of journal that records come from.
#[derive(Debug)]
enum Source {
    /// A journal of this process, which grows.
    Own(Arc<Lane>),
    Orphan(Orphan),
}

/// One journal on its way into the store.
#[derive(Debug)]
pub(super) struct Backlog {
    pub(super) journal: JournalId,
    directory: PathBuf,
    source: Source,
    space: Arc<Space>,
    /// The state that the store returned last. `None` before the store was asked.
    answer: Option<StoreAnswer>,
    /// Where the next batch begins: where the journal stands in the store, or at the start of a segment behind that.
    at: (u64, u64),
    /// Reads that have failed since the last that did not.
    failures: u32,
    /// Every segment of an adopted journal is in the store.
    is_done: bool,
}

/// The state of a journal in the store. `None` if the store does not know the journal.
type StoreAnswer = Option<JournalState>;

/// Clicks that stand next to each other, and where they end.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) clicks: Vec<Click>,
    pub(super) to: Option<JournalPosition>,
    /// When the first and the last of them were answered.
    pub(super) oldest: Option<SystemTime>,
    pub(super) newest: Option<SystemTime>,
}

/// Where records end in a segment.
#[derive(Clone, Copy, Debug)]
enum End {
    /// For now: it is being filled.
    Growing(u64),
    Final(u64),
}

/// The fate of clicks between two states of their journal in the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fates {
    pub(super) recorded: u64,
    /// Recorded clicks that have no event.
    pub(super) without_event: u64,
    pub(super) orphaned: u64,
    pub(super) parked: u64,
    /// Records that are not in the journal any more, or cannot be read.
    pub(super) missing: u64,
    /// The store had them and has not any more.
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

    /// Whether the store was asked where the journal stands.
    pub(super) fn is_located(&self) -> bool {
        self.answer.is_some()
    }

    /// Where it stands in the store, as far as we know.
    pub(super) fn stored(&self) -> Option<JournalPosition> {
        self.answer.flatten().map(|state| state.position)
    }

    /// Records before the place where the journal stands in the store.
    fn sequence(&self) -> u64 {
        self.stored().map_or(0, |position| position.sequence)
    }

    /// Records that are not in the store yet; none, as far as is known, before it was asked.
    pub(super) fn pending(&self) -> u64 {
        match &self.source {
            Source::Own(lane) => lane.pending(),
            Source::Orphan(orphan) if self.is_located() => orphan.last_sequence.saturating_sub(self.sequence()),
            Source::Orphan(_) => 0,
        }
    }

    /// Moves to where the journal stands in the store, whether that is further or back.
    pub(super) fn locate(&mut self, state: Option<JournalState>) -> io::Result<Fates> {
        let position = state.map_or((1, HEADER_LEN as u64), |state| (state.position.segment, state.position.offset));
        // First, so that nothing that is still needed goes meanwhile.
        self.space.unship(self.journal, position.0);
        if position != self.at {
            // Segments before it are in the store; those of an adopted journal may be new to this process.
            for number in segments(&self.directory)?.into_iter().take_while(|number| *number < position.0) {
                let file = segment_path(&self.directory, number).metadata()?;
                self.space.shipped(self.journal, &self.directory, number, file.modified()?);
            }
        }
        let before = self.answer.replace(state);
        self.at = position;
        self.is_done = false;
        self.failures = 0;
        if let Source::Own(lane) = &self.source {
            lane.mark_shipped(self.sequence());
        }
        Ok(before.map(|before| Fates::between(before, state)).unwrap_or_default())
    }

    /// The next records, up to `max` of them; none if everything is in the store.
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

    /// Where records end in the segment that is read. A segment that is not there ends where we are: what was in it is
    /// missing, as the numbers of the records behind will tell.
    fn segment_end(&self) -> io::Result<Option<End>> {
        let (number, offset) = self.at;
        match &self.source {
            Source::Own(lane) => match lane.published() {
                None => return Ok(None),
                // Whatever is written meanwhile, there or in the next segment, is seen the next time.
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
        let Some(end) = header.and_then(|header| header.sealed_at) else {
            return Err(io::Error::other(format!("segment {number} of journal {} is not sealed", self.journal)));
        };
        Ok(Some(End::Final(end)))
    }

    /// Reads records before `end`. Without any there was only damage, and it goes on behind that.
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
                    tracing::error!(journal = %self.journal, segment = number, offset, "a part of it is given up");
                    self.at.1 = part_end;
                }
                return Err(error);
            }
        }
        let walk = Walk::new(&bytes, Seed::new(self.journal), true, self.sequence());
        let mut walk = if part_end < end { walk.of_part() } else { walk };
        let mut batch = Batch::default();
        while batch.clicks.len() < max
            && let Some(record) = walk.next()
        {
            if let Some(click) = record.to_click() {
                batch.oldest.get_or_insert(click.at);
                batch.newest = Some(click.at);
                batch.clicks.push(click);
            }
            let offset = offset + walk.offset() as u64;
            batch.to = Some(JournalPosition { segment: number, offset, sequence: record.sequence });
        }
        if batch.to.is_none() {
            self.at.1 = offset + walk.offset() as u64;
        }
        Ok(batch)
    }

    /// Goes on in the segment after this one, which will not grow any more, if there is one. The one that is left behind
    /// is in the store.
    fn next_segment(&mut self) -> io::Result<bool> {
        let number = self.at.0;
        let last = match &self.source {
            Source::Own(lane) => lane.published().map_or(0, |published| published.0),
            Source::Orphan(_) => u64::MAX,
        };
        let next = segments(&self.directory)?.into_iter().find(|other| *other > number && *other <= last);
        self.space.shipped(self.journal, &self.directory, number, SystemTime::now());
        match next {
            Some(next) => self.at = (next, HEADER_LEN as u64),
            None => self.is_done = true,
        }
        Ok(next.is_some())
    }

    /// Returns how many records an adopted journal lacks at its end, once everything in it was read. Counts them once.
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
    pub(super) fn advance(&mut self, state: JournalState) -> Fates {
        let before = self.answer.replace(Some(state)).flatten();
        self.at = (state.position.segment, state.position.offset);
        if let Source::Own(lane) = &self.source {
            lane.mark_shipped(state.position.sequence);
        }
        Fates::between(before, Some(state))
    }

    /// Whether the journal can be removed: everything is shipped, and no segment is retained.
    pub(super) fn is_finished(&self) -> bool {
        let is_wanted = match &self.source {
            Source::Own(_) => true,
            Source::Orphan(orphan) => orphan.is_damaged,
        };
        !is_wanted && self.is_located() && self.is_done && self.space.retained_of(self.journal) == 0
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Fates {
    fn between(before: StoreAnswer, after: StoreAnswer) -> Fates {
        let counts = |answer: StoreAnswer| {
            answer.map_or([0; 5], |state| {
                [state.position.sequence, state.recorded, state.orphaned, state.parked, state.without_event]
            })
        };
        let (before, after) = (counts(before), counts(after));
        let sequence = before[0];
        if after[0] < sequence {
            return Fates { lost: sequence - after[0], ..Fates::default() };
        }
        let grown = |index: usize| after[index].saturating_sub(before[index]);
        let [recorded, orphaned, parked, without_event] = [1, 2, 3, 4].map(grown);
        let missing = (after[0] - sequence).saturating_sub(recorded + orphaned + parked);
        Fates { recorded, without_event, orphaned, parked, missing, lost: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fate_of_clicks_is_the_difference_of_two_store_answers() {
        let state = |sequence, recorded, orphaned, parked| {
            let position = JournalPosition { segment: 1, offset: 64, sequence };
            // A tenth of them beyond the budget of their network.
            Some(JournalState { position, recorded, without_event: recorded / 10, orphaned, parked })
        };
        let check = |before, after, expected: [u64; 5]| {
            let [recorded, orphaned, parked, missing, lost] = expected;
            let settled = Fates::between(before, after);
            assert_eq!(
                settled,
                Fates { recorded, without_event: settled.without_event, orphaned, parked, missing, lost }
            );
        };
        check(None, state(10, 7, 2, 1), [7, 2, 1, 0, 0]);
        check(state(10, 7, 2, 1), state(10, 7, 2, 1), [0, 0, 0, 0, 0]);
        check(state(10, 7, 2, 1), state(20, 15, 2, 1), [8, 0, 0, 2, 0]);
        check(state(20, 15, 2, 1), state(10, 7, 2, 1), [0, 0, 0, 0, 10]);
        check(state(20, 15, 2, 1), None, [0, 0, 0, 0, 20]);
        assert_eq!(Fates::between(state(10, 10, 0, 0), state(50, 50, 0, 0)).without_event, 4);
    }
}
