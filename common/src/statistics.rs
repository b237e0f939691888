//! Statistics of clicks: of one link, or of all links that a filter matches.
//!
//! They come from counts that are kept in the transactions of the clicks, and never from events.

use std::collections::HashMap;

use serde::Serialize;

use crate::link_labels::Tag;
use crate::{Id, Timestamp};

/// The links whose clicks are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatsScope {
    Link(Id),
    /// All links, or those that match every filter that is set.
    All {
        tag: Option<Tag>,
        owner: Option<Id>,
    },
}

/// A request for statistics. The range is from `from` to before `to`, both at a full hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatsQuery {
    pub scope: StatsScope,
    pub from: Timestamp,
    pub to: Timestamp,
    /// Whether the breakdowns include the clicks of bots.
    pub bots: bool,
    /// The clicks that are counted, of one link.
    pub filter: ClickFilter,
}

/// A filter of clicks by values of breakdowns.
///
/// A click is counted by its whole visitor, and apart from that by its referrer, its source and its target. So the clicks of a
/// browser in a country are known, and those of a referrer in a country are not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ClickFilter {
    #[default]
    All,
    /// Clicks with each of these values of different parts of a visitor.
    Visitors(Vec<(Breakdown, String)>),
    /// Clicks with this referrer, this source or this target.
    Value(Breakdown, String),
}

/// The error for values that are not counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("referrer, source and target are each counted alone: give one of them without another filter")]
pub struct CountedApart;

impl ClickFilter {
    /// Makes a filter of values of different breakdowns.
    ///
    /// # Errors
    /// When the values are not counted together.
    pub fn new(values: Vec<(Breakdown, String)>) -> Result<ClickFilter, CountedApart> {
        let is_alone = |(breakdown, _): &(Breakdown, String)| !breakdown.is_of_visitor();
        match values.iter().any(is_alone) {
            _ if values.is_empty() => Ok(ClickFilter::All),
            false => Ok(ClickFilter::Visitors(values)),
            true if values.len() == 1 => {
                Ok(values.into_iter().next().map_or(ClickFilter::All, |(by, value)| ClickFilter::Value(by, value)))
            }
            true => Err(CountedApart),
        }
    }

    /// Returns whether the clicks of the filter are known by the values of a breakdown.
    pub fn has(&self, breakdown: Breakdown) -> bool {
        match self {
            ClickFilter::All => true,
            ClickFilter::Visitors(_) => breakdown.is_of_visitor(),
            ClickFilter::Value(by, _) => *by == breakdown,
        }
    }
}

impl StatsQuery {
    /// Requests the statistics of people and bots of all time.
    pub const fn of_all_time(scope: StatsScope) -> StatsQuery {
        StatsQuery { scope, from: Timestamp::FIRST, to: Timestamp::LAST, bots: true, filter: ClickFilter::All }
    }
}

/// A request for the series of several links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesQuery {
    /// Different links.
    pub urls: Vec<Id>,
    /// Only links of this user.
    pub owner: Option<Id>,
    /// The start of each point, and the end of the last one: full hours in chronological order.
    pub boundaries: Vec<Timestamp>,
}

impl SeriesQuery {
    /// Returns the number of points.
    pub fn count(&self) -> usize {
        self.boundaries.len().saturating_sub(1)
    }
}

/// The series of one link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkSeries {
    pub url_id: Id,
    /// The clicks of each point.
    pub points: Vec<PointClicks>,
}

/// The clicks of one point of a series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PointClicks {
    pub humans: u64,
    pub bots: u64,
}

/// A link with many clicks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(description = "A link with many clicks"))]
pub struct TopLink {
    pub id: Id,
    #[cfg_attr(feature = "schema", schema(example = "Lh1hFP"))]
    pub short_code: String,
    #[cfg_attr(feature = "schema", schema(required, example = "Summer sale"))]
    pub title: Option<String>,
    /// The clicks of people of all time.
    #[cfg_attr(feature = "schema", schema(example = 42))]
    pub clicks: u64,
}

/// The clicks of one hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HourClicks {
    /// The start of the hour.
    pub at: Timestamp,
    pub humans: u64,
    pub bots: u64,
}

/// A property by which clicks are divided. Each click has exactly one value of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Breakdown {
    /// The host of the referrer; [`NO_REFERRER`] for a click without one.
    Referrers,
    Browsers,
    Systems,
    Devices,
    Languages,
    Countries,
    /// The `utm_source` of the target, or `qr`; [`NO_SOURCE`] for a click without one.
    Sources,
    /// The target to which rules or a split led; [`OTHER_VALUE`] for a click on a plain link. Empty if no click has one.
    Targets,
}

/// The value of [`Breakdown::Referrers`] of clicks without a referrer. No host contains a capital letter.
pub const NO_REFERRER: &str = "Direct";

/// The value of [`Breakdown::Sources`] of clicks without a source.
pub const NO_SOURCE: &str = "None";

/// The value of clicks beyond a bound (the values counted in a day, the rows of a breakdown), and of clicks without a target.
pub const OTHER_VALUE: &str = "Other";

impl Breakdown {
    pub const ALL: [Breakdown; 8] = [
        Breakdown::Referrers,
        Breakdown::Browsers,
        Breakdown::Systems,
        Breakdown::Devices,
        Breakdown::Languages,
        Breakdown::Countries,
        Breakdown::Sources,
        Breakdown::Targets,
    ];

    /// Returns whether the values are parts of a visitor, which are counted together.
    pub fn is_of_visitor(self) -> bool {
        !matches!(self, Breakdown::Referrers | Breakdown::Sources | Breakdown::Targets)
    }

    /// The number of named values in a breakdown. Clicks of other values are its last row, [`OTHER_VALUE`].
    pub const MOST: usize = 20;
}

/// The clicks within the range of a [`StatsQuery`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Each hour with a click, in chronological order. The sums are `humans` and `bots`.
    pub hours: Vec<HourClicks>,
    pub humans: u64,
    pub bots: u64,
    /// Clicks without an event, since they were beyond the budget of their network. They are part of the other numbers.
    pub without_event: u64,
    /// The rows of each breakdown that the filter has, by their clicks. They add up to `humans`, or with `bots` of the query to all clicks.
    pub breakdowns: HashMap<Breakdown, Vec<(String, u64)>>,
    /// The links with the most clicks of people of all time. Empty for one link.
    pub top: Vec<TopLink>,
}

impl Statistics {
    /// The number of links in [`Statistics::top`].
    pub const TOP: usize = 10;

    /// Returns the number of clicks of people and bots.
    pub const fn total(&self) -> u64 {
        self.humans + self.bots
    }

    /// Returns the rows of a breakdown, the most frequent value first and [`OTHER_VALUE`] last.
    pub fn breakdown(&self, breakdown: Breakdown) -> &[(String, u64)] {
        self.breakdowns.get(&breakdown).map_or(&[], Vec::as_slice)
    }
}
