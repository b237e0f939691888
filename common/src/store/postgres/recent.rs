//! The codes of the last changes that the feed returned. A failover may undo these changes without an entry in the log.

use std::collections::{BTreeSet, VecDeque};

use super::position::{Epoch, Position};

/// The codes of the last changes that one replica has read, up to its position.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// The position up to which changes were returned.
    reached: Option<Position>,
    /// The place in the write-ahead log after which `codes` has every change that was read.
    /// 0: it has every change since the failover.
    complete_from: u64,
    /// The codes in the order of their reading, each with the end of the write-ahead log after its change was read.
    codes: VecDeque<(u64, String)>,
    /// The state before the last failover, for a replica that returns to the earlier timeline because the promoted
    /// standby was demoted.
    earlier: Option<Box<Recent>>,
}

impl Recent {
    /// Returns the position that the replica now at `since` had on the timeline `epoch` before the last failover, and
    /// each code that it has read after that position. Returns `None` if either is unknown.
    pub(super) fn before_failover(&self, since: &Position, epoch: &Epoch) -> Option<(Position, Vec<String>)> {
        let earlier = self.earlier.as_ref().filter(|_| self.reached.as_ref() == Some(since))?;
        let position = earlier.reached.clone().filter(|position| position.epoch == *epoch)?;
        let codes: BTreeSet<_> = self.codes.iter().map(|(_, code)| code).collect();
        (self.complete_from == 0).then(|| (position, codes.into_iter().cloned().collect()))
    }

    /// Returns the codes that a replica at `since` may have read from commits at `wal` or later, each once.
    /// `None` if they are not known.
    pub(super) fn codes_after(&self, since: &Position, wal: u64) -> Option<Vec<String>> {
        if self.reached.as_ref() != Some(since) {
            return (since.wal <= wal).then(Vec::new);
        }
        let codes = self.codes.iter().filter(|(read_at, _)| *read_at > wal).map(|(_, code)| code);
        (self.complete_from <= wal).then(|| codes.collect::<BTreeSet<_>>().into_iter().cloned().collect())
    }

    /// Adds the codes of a delta from `since` to `reached`, and retains the last `max` codes.
    pub(super) fn add<'a>(
        &mut self,
        since: &Position,
        reached: Position,
        codes: impl Iterator<Item = &'a str>,
        max: usize,
    ) {
        if self.reached.as_ref() != Some(since) {
            // A parsed position has no known place. Its changes were read before this delta, so `reached.wal` is a safe
            // bound.
            let complete_from = if since.epoch == reached.epoch { since.wal.min(reached.wal) } else { since.wal };
            *self = Recent { reached: Some(since.clone()), complete_from, ..Recent::default() };
        }
        if since.epoch.precedes(&reached.epoch) {
            let earlier = Recent { earlier: None, ..std::mem::take(self) };
            // Earlier commits are in the log of every successor of the new timeline, so `complete_from` is 0.
            self.earlier = Some(Box::new(earlier));
        } else if since.epoch != reached.epoch {
            *self = self.earlier.take().map_or_else(Recent::default, |earlier| *earlier);
        }
        self.codes.extend(codes.map(|code| (reached.wal, code.to_owned())));
        let surplus = self.codes.len().saturating_sub(max);
        // Places may descend, since the log may continue at an earlier place after a crash. The maximum is therefore
        // taken.
        for (read_at, _) in self.codes.drain(..surplus) {
            self.complete_from = self.complete_from.max(read_at);
        }
        self.reached = Some(reached);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(timeline: u32, wal: u64) -> Position {
        let text = format!("6a1c-{timeline:08x}-4005-4010-1/1-1/1f/10:20:");
        Position { wal, ..Position::parse(&text).unwrap() }
    }

    #[test]
    fn codes_since_a_place_are_known_from_the_first_position_on() {
        let (start, one, two) = (position(1, 100), position(1, 110), position(1, 120));
        let mut recent = Recent::default();
        assert_eq!(recent.codes_after(&start, 100), Some(vec![]), "the position has seen no later commit");
        assert_eq!(recent.codes_after(&start, 99), None);
        recent.add(&start, one.clone(), ["b", "a"].into_iter(), 9);
        recent.add(&one, two.clone(), ["a", "c"].into_iter(), 9);
        let after = |wal| recent.codes_after(&two, wal).map(|codes| codes.concat());
        assert_eq!(after(99), None);
        assert_eq!(after(100).unwrap(), "abc");
        assert_eq!(after(109).unwrap(), "abc");
        assert_eq!(after(110).unwrap(), "ac");
        assert_eq!(after(120).unwrap(), "");
        // Another replica, or one that did not receive the last delta.
        assert_eq!(recent.codes_after(&one, 109), None);
        assert_eq!(recent.codes_after(&one, 110), Some(vec![]));
        let parsed = position(1, u64::MAX);
        assert_eq!(recent.codes_after(&parsed, 200), None);
        recent.add(&parsed, two.clone(), ["d"].into_iter(), 9);
        assert_eq!(recent.codes_after(&two, 119), None);
        assert_eq!(recent.codes_after(&two, 120), Some(vec![]));
    }

    #[test]
    fn dropped_codes_move_the_place_from_which_codes_are_known() {
        let (start, one, two) = (position(1, 100), position(1, 110), position(1, 120));
        let mut recent = Recent::default();
        recent.add(&start, one.clone(), ["a", "b"].into_iter(), 3);
        recent.add(&one, two.clone(), ["c", "d"].into_iter(), 3);
        assert_eq!(recent.codes_after(&two, 109), None);
        assert_eq!(recent.codes_after(&two, 110).unwrap(), ["c", "d"]);
        // A delta of a replica elsewhere begins anew.
        recent.add(&one, two.clone(), ["e"].into_iter(), 3);
        assert_eq!(recent.codes_after(&two, 109), None);
        assert_eq!(recent.codes_after(&two, 110).unwrap(), ["e"]);
    }

    #[test]
    fn timeline_before_a_failover_continues_where_it_was_left() {
        let (start, left, over, next) = (position(1, 100), position(1, 110), position(2, 90), position(2, 95));
        let mut recent = Recent::default();
        recent.add(&start, left.clone(), ["a"].into_iter(), 2);
        assert_eq!(recent.before_failover(&left, &start.epoch), None);
        recent.add(&left, over.clone(), ["b"].into_iter(), 2);
        recent.add(&over, next.clone(), ["c"].into_iter(), 2);
        assert_eq!(recent.before_failover(&over, &start.epoch), None, "another replica");
        assert_eq!(recent.before_failover(&next, &position(3, 1).epoch), None);
        let back = recent.before_failover(&next, &start.epoch).unwrap();
        assert_eq!(back, (left.clone(), vec!["b".to_owned(), "c".to_owned()]));
        let again = position(1, 120);
        recent.add(&next, again.clone(), ["d"].into_iter(), 3);
        assert_eq!(recent.codes_after(&again, 105).unwrap(), ["a", "d"]);
        assert_eq!(recent.codes_after(&again, 99), None);

        let mut recent = Recent::default();
        recent.add(&left, over.clone(), ["b"].into_iter(), 2);
        recent.add(&over, next.clone(), ["c", "d"].into_iter(), 2);
        assert_eq!(recent.before_failover(&next, &start.epoch), None, "a code was dropped");
    }

    #[test]
    fn new_timeline_contains_everything_before_it() {
        let (start, over, next) = (position(1, 100), position(2, 90), position(2, 95));
        let mut recent = Recent::default();
        recent.add(&start, over.clone(), ["a"].into_iter(), 9);
        recent.add(&over, next.clone(), ["b"].into_iter(), 9);
        assert_eq!(recent.codes_after(&next, 80).unwrap(), ["a", "b"]);
        assert_eq!(recent.codes_after(&next, 90).unwrap(), ["b"]);
    }
}
