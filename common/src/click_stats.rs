//! Statistics of clicks by time and source. They are counted when clicks are stored, not computed from events.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// The time that each point of a series covers
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(example = "day"))]
pub enum Per {
    Hour,
    /// A day in UTC.
    Day,
}

impl Per {
    pub const fn seconds(self) -> i64 {
        match self {
            Per::Hour => 60 * 60,
            Per::Day => 24 * 60 * 60,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Per::Hour => "hour",
            Per::Day => "day",
        }
    }
}

/// A range of statistics: from `from` to before `to`, both at a full hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatsRange {
    pub from: Timestamp,
    pub to: Timestamp,
    pub per: Per,
}

impl StatsRange {
    /// The number of referrers, and of browsers, in the statistics. The most frequent come first.
    pub const MOST: usize = 20;
}

/// The clicks of a link within a range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClickStats {
    /// The start and the number of clicks of each hour or day with a click, in chronological order. The sum is the total.
    pub series: Vec<(Timestamp, u64)>,
    /// Clicks of the total without an event, since they were beyond the budget of their network.
    pub without_event: u64,
    /// Clicks by the host of the referrer. Clicks without a referrer are absent.
    /// A link has at most a hundred hosts a day; clicks of further hosts count as `Other`.
    pub referrers: Vec<(String, u64)>,
    /// Clicks by browser family. Each click belongs to one family.
    pub browsers: Vec<(String, u64)>,
}
