//! The reading position of a process that follows clicks as they are stored.
//!
//! Clicks are returned in the order of their ids, each exactly once, although transactions with lower ids may commit later.
//! So an id is a position from which a reader can continue, also in another process.

use std::time::{Duration, Instant};

use crate::event::Event;

/// The time for which a reader waits for a transaction that writes events. Batches of clicks take at most ten seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// The position of a reader.
///
/// The bound of a read is the last id that was given when it began. An event up to the bound is visible, or will never be,
/// once all transactions have ended that wrote events at that moment.
#[derive(Clone, Debug, Default)]
pub struct ClickTail {
    /// The last id that was given when the reader began. `None` before the first read.
    start: Option<i64>,
    /// The id up to which every click was returned. `None` until the transactions of the first read have ended.
    position: Option<i64>,
    /// The id up to which all events are visible.
    settled: i64,
    /// The last id that was given at the last read.
    latest: i64,
    pending: Option<Pending>,
    /// Transactions that took too long, which no bound waits for.
    abandoned: Vec<String>,
}

/// A bound whose transactions have not all ended.
#[derive(Clone, Debug)]
struct Pending {
    bound: i64,
    writers: Vec<String>,
    since: Instant,
}

/// The clicks of one read.
#[derive(Debug)]
pub struct NewClicks {
    /// The clicks by id.
    pub clicks: Vec<Event>,
    /// Whether further clicks can be read at once.
    pub has_more: bool,
    /// Whether clicks before these may be missing: a transaction took too long, or the database lost its last commits.
    pub has_gap: bool,
}

impl ClickTail {
    /// Returns the last id that was given when the reader began.
    pub fn start(&self) -> Option<i64> {
        self.start
    }

    /// Returns the id up to which every click was returned. `None` until it is known.
    pub fn position(&self) -> Option<i64> {
        self.position
    }

    /// Returns the last id that was given at the last read.
    pub fn latest(&self) -> i64 {
        self.latest
    }

    /// Notes the last id that was given, and the transactions that were read after it and may have lower ids.
    /// Returns whether clicks may be missing.
    pub(super) fn advance(&mut self, latest: i64, mut writers: Vec<String>) -> bool {
        self.latest = latest;
        self.abandoned.retain(|writer| writers.contains(writer));
        writers.retain(|writer| !self.abandoned.contains(writer));
        let start = *self.start.get_or_insert(latest);
        let is_lost = self.settled > latest || start > latest;
        if is_lost {
            // The database lost its last commits, and gives their ids again.
            let settled =
                ClickTail { start: Some(latest), position: Some(latest), settled: latest, ..ClickTail::default() };
            *self = ClickTail { latest, ..settled };
        }
        let mut is_late = false;
        if let Some(pending) = &mut self.pending {
            pending.writers.retain(|writer| writers.contains(writer));
            is_late = pending.since.elapsed() >= PATIENCE && !pending.writers.is_empty();
            if pending.writers.is_empty() || is_late {
                self.settled = pending.bound;
                writers.retain(|writer| !pending.writers.contains(writer));
                self.abandoned.append(&mut pending.writers);
                self.pending = None;
            }
        }
        if writers.is_empty() {
            self.settled = latest;
            self.pending = None;
        } else if self.pending.is_none() && latest > self.settled {
            self.pending = Some(Pending { bound: latest, writers, since: Instant::now() });
        }
        if self.position.is_none() && self.settled >= start {
            self.position = Some(start);
        }
        is_lost || is_late
    }

    /// Returns the ids between which clicks can be read: after the first, up to the second. `None` if there are none.
    pub(super) fn readable(&self) -> Option<(i64, i64)> {
        self.position.filter(|position| *position < self.settled).map(|position| (position, self.settled))
    }

    /// Notes the clicks that were read, at most `limit` of them, and returns whether there are more.
    pub(super) fn note(&mut self, clicks: &[Event], limit: u32) -> bool {
        let has_more = clicks.len() >= limit as usize;
        self.position = match clicks.last() {
            Some(last) if has_more => Some(last.id.get()),
            _ => Some(self.settled),
        };
        has_more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(writers: &[&str]) -> Vec<String> {
        writers.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn tail_begins_at_the_last_id_once_its_writers_have_ended() {
        let mut tail = ClickTail::default();
        assert!(!tail.advance(7, names(&["3/1"])));
        assert_eq!((tail.start(), tail.position(), tail.readable()), (Some(7), None, None));
        tail.advance(9, names(&["3/1", "4/1"]));
        assert_eq!((tail.start(), tail.position()), (Some(7), None));
        tail.advance(9, names(&["4/1"]));
        // The writers of the second bound began after the first one, and may have ids up to 9.
        assert_eq!((tail.position(), tail.readable()), (Some(7), None));
        tail.advance(10, names(&[]));
        assert_eq!(tail.readable(), Some((7, 10)));
        assert!(!tail.note(&[], 5));
        assert_eq!((tail.position(), tail.readable()), (Some(10), None));
    }

    #[test]
    fn bound_waits_for_its_writers_and_not_for_later_ones() {
        let mut tail = ClickTail::default();
        tail.advance(1, names(&[]));
        tail.advance(5, names(&["1/1", "2/1"]));
        assert_eq!(tail.readable(), None);
        tail.advance(8, names(&["2/1", "3/1"]));
        assert_eq!(tail.readable(), None);
        tail.advance(9, names(&["3/1"]));
        assert_eq!(tail.readable(), Some((1, 5)));
        tail.note(&[], 5);
        tail.advance(9, names(&["4/1"]));
        assert_eq!(tail.readable(), Some((5, 9)));
    }

    #[test]
    fn tail_of_a_database_that_lost_its_last_ids_begins_again() {
        let mut tail = ClickTail::default();
        tail.advance(9, names(&[]));
        assert!(tail.advance(4, names(&["1/1"])));
        assert_eq!((tail.position(), tail.readable()), (Some(4), None));
        assert!(!tail.advance(6, names(&[])));
        assert_eq!(tail.readable(), Some((4, 6)));
    }
}
