//! Times of commits and of accepted changes, from which the longest refusals and outages follow.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Times of a drill.
#[derive(Debug)]
pub(super) struct Timeline {
    began: Instant,
    /// Times of commits of a client that uses PostgreSQL without Tern.
    commits: Mutex<Vec<Instant>>,
    /// Times of changes that each admin accepted.
    accepted: Vec<Mutex<Vec<Instant>>>,
    /// Times for which an admin was not expected to accept a change.
    excused: Mutex<Vec<(usize, Instant, Instant)>>,
}

/// Longest pause between two commits within which the store counts as available.
const PAUSE: Duration = Duration::from_secs(1);

impl Timeline {
    pub(super) fn new(admins: usize) -> Timeline {
        Timeline {
            began: Instant::now(),
            commits: Mutex::default(),
            accepted: (0..admins).map(|_| Mutex::default()).collect(),
            excused: Mutex::default(),
        }
    }

    /// Prints a line with the time of the drill.
    pub(super) fn print(&self, line: &str) {
        println!("{:8.2} s  {line}", self.began.elapsed().as_secs_f64());
    }

    /// Records a commit of the client of PostgreSQL.
    pub(super) fn commit(&self, time: Instant) {
        self.commits.lock().unwrap().push(time);
    }

    /// Records a change that an admin accepted.
    pub(super) fn accept(&self, admin: usize, time: Instant) {
        self.accepted[admin].lock().unwrap().push(time);
    }

    /// Records that an admin could not reach the servers, or was asked for nothing.
    pub(super) fn excuse(&self, admin: usize, from: Instant, to: Instant) {
        self.excused.lock().unwrap().push((admin, from, to));
    }

    /// Returns the first commit after `time`.
    pub(super) fn first_commit_after(&self, time: Instant) -> Option<Instant> {
        self.commits.lock().unwrap().iter().copied().find(|commit| *commit > time)
    }

    /// Returns the longest time for which an admin accepted no change while the store was available, from `from` on.
    ///
    /// The time begins with the first commit of the store after a pause, with the last accepted change, or with the
    /// end of an excuse.
    pub(super) fn longest_refusal(&self, from: Instant, to: Instant) -> Duration {
        let commits = self.commits.lock().unwrap();
        let within = |time: &&Instant| **time >= from && **time <= to;
        let mut commits: Vec<Instant> = commits.iter().filter(within).copied().collect();
        commits.sort();
        let mut longest = Duration::ZERO;
        for (admin, accepted) in self.accepted.iter().enumerate() {
            let accepted = accepted.lock().unwrap();
            let excused: Vec<_> =
                self.excused.lock().unwrap().iter().filter(|excused| excused.0 == admin).copied().collect();
            let mut accepted = accepted.iter().filter(within).copied().peekable();
            let mut since: Option<Instant> = None;
            let mut before: Option<Instant> = None;
            for commit in &commits {
                if before.is_none_or(|before| *commit - before > PAUSE) {
                    since = Some(*commit);
                }
                before = Some(*commit);
                while let Some(change) = accepted.next_if(|change| change <= commit) {
                    longest =
                        longest.max(since.map_or(Duration::ZERO, |since| change.saturating_duration_since(since)));
                    since = since.map(|since| since.max(change));
                }
                if excused.iter().any(|(_, from, to)| commit >= from && commit <= to) {
                    since = Some(*commit);
                }
                longest = longest.max(since.map_or(Duration::ZERO, |since| *commit - since));
            }
        }
        longest
    }

    /// Returns the longest time without a commit.
    pub(super) fn longest_outage(&self, from: Instant, to: Instant) -> Duration {
        let commits = self.commits.lock().unwrap();
        let mut times: Vec<Instant> = commits.iter().filter(|time| **time >= from && **time <= to).copied().collect();
        times.extend([from, to]);
        times.sort();
        times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the longest refusal, in seconds, of one admin. Times are in tenths of a second.
    fn refusal(commits: &[u64], accepted: &[u64], excused: Option<(u64, u64)>) -> f64 {
        let timeline = Timeline::new(1);
        let at = |tenths: &u64| timeline.began + Duration::from_millis(tenths * 100);
        commits.iter().for_each(|time| timeline.commit(at(time)));
        accepted.iter().for_each(|time| timeline.accept(0, at(time)));
        if let Some((from, to)) = excused {
            timeline.excuse(0, at(&from), at(&to));
        }
        timeline.longest_refusal(timeline.began, at(&1_000)).as_secs_f64()
    }

    #[test]
    fn refusal_counts_only_while_the_store_takes_changes() {
        let always: Vec<u64> = (0..=100).collect();
        assert_eq!(refusal(&always, &[10, 30, 95], None), 6.5);
        assert_eq!(refusal(&always, &[10, 30], None), 7.0);
        assert_eq!(refusal(&always, &[10, 30, 95], Some((30, 80))), 2.0);
        let with_outage: Vec<u64> = (0..=30).chain(80..=100).collect();
        assert_eq!(refusal(&with_outage, &[10, 30, 95], None), 2.0);
        assert_eq!(refusal(&with_outage, &[10, 30, 81], None), 2.0);
        assert_eq!(refusal(&[], &[10], None), 0.0);
    }
}
