//! Shortages: the reasons why journals cannot grow, in words for an operator.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytesize::ByteSize;

use crate::clicks::drop_reason::DropReason;

/// The least time between two log lines about shortages.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The reason why journals cannot grow. Clicks are dropped, now or once the remaining room is used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Shortage {
    /// The journals would take more than `CLICK_JOURNAL_LIMIT`.
    #[error(
        "the journals in {} take {used} of the {limit} that CLICK_JOURNAL_LIMIT allows, since clicks do not reach the \
         database; see to the database, or raise CLICK_JOURNAL_LIMIT",
        root.display()
    )]
    Limit { root: PathBuf, used: ByteSize, limit: ByteSize },
    /// The disk would have less left than `CLICK_DISK_FLOOR`.
    #[error(
        "the disk of {} has {free} free, of which CLICK_DISK_FLOOR reserves {floor}; make room on the disk, or lower \
         CLICK_DISK_FLOOR",
        root.display()
    )]
    Floor { root: PathBuf, free: ByteSize, floor: ByteSize },
    /// The disk refused a file.
    #[error("{} cannot be written: {error}; see to the disk", root.display())]
    Disk { root: PathBuf, error: String },
}

impl Shortage {
    /// Returns the reason by which dropped clicks are counted.
    pub(super) fn drop_reason(&self) -> DropReason {
        match self {
            Shortage::Limit { .. } => DropReason::JournalFull,
            Shortage::Floor { .. } | Shortage::Disk { .. } => DropReason::Disk,
        }
    }
}

/// The last log line about shortages. It limits such lines to one in [`LOG_INTERVAL`].
#[derive(Debug, Default)]
pub(super) struct ShortageLog {
    last: Option<Instant>,
    /// Whether the last line reports a shortage and not its end.
    is_open: bool,
}

impl ShortageLog {
    /// Returns whether the current state is to be logged now, and notes the line if so.
    ///
    /// A shortage is logged repeatedly while it lasts, and its end once. A shortage that begins and ends between two lines
    /// is not logged.
    pub(super) fn takes_line(&mut self, is_short: bool, now: Instant) -> bool {
        let is_due = self.last.is_none_or(|last| now.duration_since(last) >= LOG_INTERVAL);
        let takes = is_due && (is_short || self.is_open);
        if takes {
            (self.last, self.is_open) = (Some(now), is_short);
        }
        takes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the seconds at which a line is logged, given the state in each second.
    fn lines(states: impl IntoIterator<Item = bool>) -> Vec<u64> {
        let (mut log, start) = (ShortageLog::default(), Instant::now());
        let seconds = (0..).zip(states);
        seconds
            .filter_map(|(second, is_short)| {
                log.takes_line(is_short, start + Duration::from_secs(second)).then_some(second)
            })
            .collect()
    }

    #[test]
    fn lasting_shortage_is_logged_repeatedly_and_its_end_once() {
        let states = [vec![false; 3], vec![true; 25], vec![false; 50]].concat();
        assert_eq!(lines(states), [3, 13, 23, 33]);
    }

    #[test]
    fn alternating_shortage_is_logged_once_in_an_interval() {
        for period in 1..30_u64 {
            let lines = lines((0..200).map(|second| (second / period).is_multiple_of(2)));
            assert!(lines.windows(2).all(|pair| pair[1] - pair[0] >= 10), "{period}: {lines:?}");
            assert!(lines.len() >= 9, "{period}: {lines:?}");
        }
    }
}
