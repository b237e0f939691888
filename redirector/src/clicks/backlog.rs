//! What of one journal is not in the store yet, in batches.
//!
//! It reads files and knows where the journal stands; it must not decide when, nor speak to the store.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tern_common::Click;
use tern_common::click::{JournalId, JournalPosition, JournalState};

use super::journal::{HEADER_LEN, Lane, Left, Seed, Space, Walk, sealed_at, segment_path, segments};

/// Where the records come from.
#[derive(Debug)]
enum Source {
    /// A journal of this process, which grows.
    Own(Arc<Lane>),
    Left(Left),
}

/// One journal on its way into the store.
#[derive(Debug)]
pub(super) struct Backlog {
    pub(super) journal: JournalId,
    directory: PathBuf,
    source: Source,
    space: Arc<Space>,
    /// What the store says of it, as far as we know.
    stored: Option<JournalState>,
    /// Where the next batch begins. Not before what is stored, and at most a segment's end behind it.
    at: JournalPosition,
    /// The number of the last record before `at`; `None` until the store has said where that is.
    sequence: Option<u64>,
    /// The segment that is being read.
    open: Option<(u64, File)>,
    /// Records on the way behind `at` are in segments that were removed: the store lost more than we keep.
    is_behind: bool,
    /// Every segment of a left journal is in the store.
    is_done: bool,
}

/// Clicks that stand next to each other, and where they end.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) clicks: Vec<Click>,
    pub(super) to: Option<JournalPosition>,
    last_sequence: u64,
    /// Records that are not there any more, or cannot be read.
    pub(super) missing: u64,
    /// When the first of them was answered.
    pub(super) oldest: Option<SystemTime>,
}

/// What became of records, since the last time somebody asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Settled {
    pub(super) recorded: u64,
    pub(super) orphaned: u64,
}

impl Backlog {
    /// A journal that this process has just made: nobody knows it.
    pub(super) fn own(lane: Arc<Lane>, space: Arc<Space>) -> Backlog {
        let (journal, directory) = (lane.journal, lane.directory.clone());
        Backlog {
            at: JournalPosition { segment: 1, offset: HEADER_LEN as u64 },
            sequence: Some(0),
            ..Backlog::of(journal, directory, Source::Own(lane), space)
        }
    }

    /// A journal that was taken over. [`Backlog::locate`] has to be told where it stands before anything is read.
    pub(super) fn left(left: Left, space: Arc<Space>) -> Backlog {
        space.adopt(left.bytes);
        Backlog::of(left.journal, left.directory.clone(), Source::Left(left), space)
    }

    fn of(journal: JournalId, directory: PathBuf, source: Source, space: Arc<Space>) -> Backlog {
        Backlog {
            journal,
            directory,
            source,
            space,
            stored: None,
            at: JournalPosition { segment: 0, offset: 0 },
            sequence: None,
            open: None,
            is_behind: false,
            is_done: false,
        }
    }

    pub(super) fn is_left(&self) -> bool {
        matches!(self.source, Source::Left(_))
    }

    /// Where it stands in the store, as far as we know.
    pub(super) fn stored(&self) -> Option<JournalPosition> {
        self.stored.map(|state| state.position)
    }

    /// Records that are not in the store yet.
    pub(super) fn pending(&self) -> u64 {
        match &self.source {
            Source::Own(lane) => lane.pending(),
            Source::Left(left) => left.last_sequence.saturating_sub(self.sequence.unwrap_or(0)),
        }
    }

    /// Takes the store's word for where the journal stands. Gives back by how many records that is behind what we had
    /// seen stored: they are shipped again.
    pub(super) fn locate(&mut self, state: Option<JournalState>) -> io::Result<u64> {
        let before = self.sequence;
        let beginning = JournalPosition { segment: 1, offset: HEADER_LEN as u64 };
        let position = state.map_or(beginning, |state| state.position);
        // First, so that nothing that is still needed goes meanwhile.
        self.space.unship(self.journal, position.segment);
        let first = self.first_segment();
        let start = JournalPosition { segment: first, ..beginning };
        self.stored = state;
        self.is_done = false;
        self.open = None;
        self.is_behind = position.segment < first;
        (self.at, self.sequence) = if self.is_behind {
            // Each record before this position became an event or was counted as orphaned.
            (start, Some(state.map_or(0, |state| state.recorded + state.orphaned)))
        } else {
            (position, None)
        };
        if self.sequence.is_none() {
            let next = self.read(1)?;
            self.sequence = Some(match (next.to, &self.source) {
                (Some(_), _) => next.last_sequence - 1,
                (None, Source::Own(lane)) => lane.sequence(),
                (None, Source::Left(left)) => left.last_sequence,
            });
        }
        let sequence = self.sequence.unwrap_or(0);
        if let Source::Own(lane) = &self.source {
            lane.settle(sequence);
        }
        Ok(before.map_or(0, |before| before.saturating_sub(sequence)))
    }

    /// The first segment that is still there.
    fn first_segment(&self) -> u64 {
        let numbers = segments(&self.directory).unwrap_or_default();
        numbers.first().copied().unwrap_or(self.at.segment.max(1))
    }

    /// The next records, up to `max` of them; none if everything is in the store.
    pub(super) fn read(&mut self, max: usize) -> io::Result<Batch> {
        while let Some(end) = self.segment_end()? {
            if self.at.offset < end {
                let batch = self.read_to(end, max)?;
                if batch.to.is_some() {
                    return Ok(batch);
                }
                // Nothing but damage up to the end; the gap is counted with the next record.
                self.at.offset = end;
            } else if !self.next_segment() {
                break;
            }
        }
        Ok(Batch::default())
    }

    /// Where records end in the segment that is read, for now.
    fn segment_end(&mut self) -> io::Result<Option<u64>> {
        if let Source::Own(lane) = &self.source {
            let Some(published) = lane.published() else { return Ok(None) };
            if published.segment == self.at.segment {
                return Ok(Some(published.offset));
            }
        }
        if self.is_done || self.is_left_without_segments() {
            self.is_done = true;
            return Ok(None);
        }
        let (journal, number) = (self.journal, self.at.segment);
        let end = sealed_at(self.file()?, journal, number)?;
        let end =
            end.ok_or_else(|| io::Error::other(format!("segment {number} of journal {journal} is not sealed")))?;
        Ok(Some(end as u64))
    }

    fn is_left_without_segments(&self) -> bool {
        matches!(&self.source, Source::Left(left) if left.segments.is_empty())
    }

    fn file(&mut self) -> io::Result<&File> {
        let number = self.at.segment;
        if self.open.as_ref().is_none_or(|(open, _)| *open != number) {
            self.open = Some((number, File::open(segment_path(&self.directory, number))?));
        }
        match &self.open {
            Some((_, file)) => Ok(file),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn read_to(&mut self, end: u64, max: usize) -> io::Result<Batch> {
        let offset = self.at.offset;
        let mut bytes = vec![0; usize::try_from(end - offset).map_err(io::Error::other)?];
        self.file()?.read_exact_at(&mut bytes, offset)?;
        let seed = Seed::new(self.journal, self.at.segment);
        let mut walk = Walk::new(&bytes, seed, true, self.sequence.unwrap_or(0));
        let mut batch = Batch::default();
        while batch.clicks.len() < max
            && let Some(record) = walk.next()
        {
            match record.to_click() {
                Some(click) => {
                    batch.oldest.get_or_insert(click.at);
                    batch.clicks.push(click);
                }
                None => batch.missing += 1,
            }
            batch.last_sequence = record.sequence;
            batch.to = Some(JournalPosition { segment: self.at.segment, offset: offset + walk.offset() as u64 });
        }
        batch.missing += walk.missing();
        Ok(batch)
    }

    /// Goes on in the segment after this one, if there is one. The one that is left behind is in the store.
    fn next_segment(&mut self) -> bool {
        let number = self.at.segment;
        let next = match &self.source {
            Source::Own(_) => Some(number + 1),
            Source::Left(left) => left.segments.iter().copied().find(|other| *other > number),
        };
        let is_own_last = matches!(&self.source, Source::Own(lane)
            if lane.published().is_none_or(|published| published.segment == number));
        if is_own_last {
            return false;
        }
        self.open = None;
        self.space.shipped(self.journal, &self.directory, number, Instant::now());
        match next {
            Some(next) => self.at = JournalPosition { segment: next, offset: HEADER_LEN as u64 },
            None => self.is_done = true,
        }
        next.is_some()
    }

    /// The store has taken a batch.
    pub(super) fn settle(&mut self, batch: &Batch, state: JournalState) -> Settled {
        let before = self.stored.map_or((0, 0), |before| (before.recorded, before.orphaned));
        self.stored = Some(state);
        self.at = state.position;
        self.sequence = Some(batch.last_sequence);
        self.is_behind = false;
        if let Source::Own(lane) = &self.source {
            lane.settle(batch.last_sequence);
        }
        Settled { recorded: state.recorded.saturating_sub(before.0), orphaned: state.orphaned.saturating_sub(before.1) }
    }

    /// Whether records between what is stored and the next batch were removed before the store lost them.
    pub(super) fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Whether nothing is left to do but to keep it for a while; then it can go.
    pub(super) fn is_finished(&self) -> bool {
        self.is_left() && self.is_done && self.space.kept_of(self.journal) == 0
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }
}
