//! How often a link was followed, when and from where: what is counted as clicks come, and never by looking at them.

use crate::Timestamp;

/// What stands for one point of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    Hour,
    /// Of UTC.
    Day,
}

impl Per {
    pub const fn seconds(self) -> i64 {
        match self {
            Per::Hour => 60 * 60,
            Per::Day => 24 * 60 * 60,
        }
    }
}

/// Which clicks to count: those from `from` on and before `to`, both at a full hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatsRange {
    pub from: Timestamp,
    pub to: Timestamp,
    pub per: Per,
}

impl StatsRange {
    /// How many referrers and browsers are told, the most frequent first.
    pub const MOST: usize = 20;
}

/// The clicks of a link within a range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClickStats {
    /// When each hour or day with a click begins, and its clicks, in the order of time. Their sum is the total.
    pub series: Vec<(Timestamp, u64)>,
    /// Clicks of the total that have no event, since they were beyond the budget of their network.
    pub without_event: u64,
    /// Hosts of referrers. A click that tells none is in no row; those beyond the hundred hosts that are told apart for a
    /// link in a day are `Other`.
    pub referrers: Vec<(String, u64)>,
    /// Families of browsers. Every click is in one of them.
    pub browsers: Vec<(String, u64)>,
}
