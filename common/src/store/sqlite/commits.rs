//! Commit times of this process in milliseconds. The change log has only whole seconds.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The number of commits to remember. A replica that needs older changes is seconds late.
const REMEMBERED: usize = 1024;

/// The last commits that wrote to the change log. The writer adds to them, and deltas read them.
#[derive(Debug, Default)]
pub(super) struct Commits(Mutex<VecDeque<Commit>>);

#[derive(Debug)]
struct Commit {
    /// The sequences in the change log that the commit wrote.
    sequences: RangeInclusive<i64>,
    at: Instant,
}

impl Commits {
    /// Records the sequences of a transaction that is about to commit.
    ///
    /// The writer calls this before the commit, so that no reader sees a change without its time.
    /// If the commit fails, the next one writes the same sequences.
    pub(super) fn note(&self, sequences: RangeInclusive<i64>) {
        // No code under the lock can panic and leave the list inconsistent.
        let mut commits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        commits.push_front(Commit { sequences, at: Instant::now() });
        commits.truncate(REMEMBERED);
    }

    /// Returns how long ago `sequence` was committed. `None` for an old commit, or one of another process.
    pub(super) fn age(&self, sequence: i64) -> Option<Duration> {
        let commits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        commits.iter().find(|commit| commit.sequences.contains(&sequence)).map(|commit| commit.at.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_know_the_ages_of_the_last_sequences() {
        let commits = Commits::default();
        assert_eq!(commits.age(1), None);
        commits.note(1..=3);
        // Another process wrote sequence 4.
        commits.note(5..=5);
        assert!(commits.age(2) >= commits.age(5));
        assert!(commits.age(3).is_some() && commits.age(4).is_none() && commits.age(6).is_none());
        // The commit of sequence 5 failed, and the next one writes it again.
        commits.note(5..=6);
        assert!(commits.age(5) <= commits.age(6));
        for n in 0..2 * REMEMBERED as i64 {
            commits.note(10 + n..=10 + n);
        }
        assert_eq!(commits.age(2), None);
        assert_eq!(commits.0.lock().unwrap().len(), REMEMBERED);
    }
}
