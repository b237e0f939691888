//! When this process committed what: the change log keeps whole seconds, and a change is served within milliseconds.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many commits are remembered. Whoever asks for older changes is so late that milliseconds tell nothing.
const REMEMBERED: usize = 1024;

/// The last commits that wrote to the change log. Added to by the writer, read by deltas.
#[derive(Debug, Default)]
pub(super) struct Commits(Mutex<VecDeque<Commit>>);

#[derive(Debug)]
struct Commit {
    /// Of the change log.
    sequences: RangeInclusive<i64>,
    at: Instant,
}

impl Commits {
    /// A transaction that wrote these is about to be committed. Told before, so that no reader sees a change first;
    /// if the commit fails, the next one writes the same sequences.
    pub(super) fn note(&self, sequences: RangeInclusive<i64>) {
        // Nothing that holds the lock can leave the list half changed.
        let mut commits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        commits.push_front(Commit { sequences, at: Instant::now() });
        commits.truncate(REMEMBERED);
    }

    /// How long ago `sequence` was committed; `None` if that was long ago, or by another process.
    pub(super) fn age(&self, sequence: i64) -> Option<Duration> {
        let commits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        commits.iter().find(|commit| commit.sequences.contains(&sequence)).map(|commit| commit.at.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_commits_are_remembered() {
        let commits = Commits::default();
        assert_eq!(commits.age(1), None);
        commits.note(1..=3);
        // Between them another process wrote one.
        commits.note(5..=5);
        assert!(commits.age(2) >= commits.age(5));
        assert!(commits.age(3).is_some() && commits.age(4).is_none() && commits.age(6).is_none());
        // The commit of 5 failed, and the next one writes 5 anew.
        commits.note(5..=6);
        assert!(commits.age(5) <= commits.age(6));
        for n in 0..2 * REMEMBERED as i64 {
            commits.note(10 + n..=10 + n);
        }
        assert_eq!(commits.age(2), None);
        assert_eq!(commits.0.lock().unwrap().len(), REMEMBERED);
    }
}
