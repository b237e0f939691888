//! Statistics as answers show them.

use serde::{Deserialize, Serialize};
use tern_common::{Breakdown, ClickFilter, Id, LinkSeries, Statistics, TopLink};
use utoipa::{IntoParams, ToSchema};

use crate::local_range::{Ends, LocalRange, Per};
use crate::time_zone::LocalTime;

/// Whether clicks of bots are included
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Bots {
    #[default]
    Exclude,
    Include,
}

/// The clicks to count in a series and in breakdowns
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct BotsParameter {
    /// `include` counts bots in series and breakdowns, too; `exclude` unless given
    #[param(inline)]
    bots: Option<Bots>,
}

impl BotsParameter {
    pub(crate) fn are_included(self) -> bool {
        self.bots == Some(Bots::Include)
    }

    /// Returns the clicks to show, of these people and bots.
    fn count(self, humans: u64, bots: u64) -> u64 {
        humans + if self.are_included() { bots } else { 0 }
    }
}

/// The clicks of a link
#[derive(Serialize, ToSchema)]
pub(crate) struct Stats {
    #[serde(flatten)]
    range: ShownRange,
    #[serde(flatten)]
    clicks: ShownClicks,
}

/// The clicks of many links
#[derive(Serialize, ToSchema)]
pub(crate) struct OverallStats {
    #[serde(flatten)]
    range: ShownRange,
    #[serde(flatten)]
    clicks: ShownClicks,
    #[serde(flatten)]
    top: Top,
}

/// The links with the most clicks
#[derive(Serialize, ToSchema)]
struct Top {
    /// The 10 links with the most clicks of people of all time.
    top: Vec<TopLink>,
}

/// The series of several links
#[derive(Serialize, ToSchema)]
pub(crate) struct LinksSeries {
    #[serde(flatten)]
    range: ShownRange,
    #[serde(flatten)]
    series: SeriesByLink,
}

/// One series for each link
#[derive(Serialize, ToSchema)]
struct SeriesByLink {
    /// The start of each point.
    at: Vec<LocalTime>,
    /// The links that exist, in the order of the request.
    links: Vec<OneSeries>,
}

#[derive(Serialize, ToSchema)]
struct OneSeries {
    url_id: Id,
    /// The clicks of each point.
    #[schema(example = json!([0, 4, 2]))]
    clicks: Vec<u64>,
}

/// The range of an answer
#[derive(Serialize, ToSchema)]
struct ShownRange {
    /// The start, by the clocks of `timezone`.
    from: LocalTime,
    /// The end, which is not included.
    to: LocalTime,
    per: Per,
    /// The zone of all times of the answer.
    #[schema(example = "Europe/Berlin")]
    timezone: String,
    /// The minutes by which each point begins and ends late: clicks are counted by hours of UTC. 30 in `Asia/Kolkata`, and
    /// 0 where local hours begin with those of UTC.
    #[schema(example = 0)]
    off_by_minutes: i64,
    /// The range of as many points before this one: `from` and `to` of another request. `null` before the calendar.
    #[schema(required)]
    previous: Option<Ends>,
}

/// The clicks of an answer
#[derive(Serialize, ToSchema)]
struct ShownClicks {
    /// All clicks of the range, those of bots included.
    #[schema(example = 45)]
    total: u64,
    /// The clicks of people.
    #[schema(example = 42)]
    humans: u64,
    /// The clicks of bots, previews and prefetches.
    #[schema(example = 3)]
    bots: u64,
    /// Clicks of the total that have no event because their client network had reached its hourly limit of events.
    #[schema(example = 0)]
    without_event: u64,
    /// One point for each hour, day, week or month of the range. The sum is `humans`, or `total` with `bots=include`.
    series: Vec<Point>,
    /// The hosts of referrers. Clicks without a referrer are `Direct`. A breakdown is `null` where clicks of a filter are not
    /// counted by it.
    #[schema(required)]
    referrers: Option<Vec<Referrer>>,
    /// The families of browsers.
    #[schema(required)]
    browsers: Option<Vec<Browser>>,
    /// The operating systems.
    #[schema(required)]
    systems: Option<Vec<System>>,
    /// The kinds of devices.
    #[schema(required)]
    devices: Option<Vec<Device>>,
    /// The preferred languages.
    #[schema(required)]
    languages: Option<Vec<Language>>,
    /// The countries of client networks.
    #[schema(required)]
    countries: Option<Vec<Country>>,
    /// The targets of links with rules or a split, by the chosen one. Other clicks are `Other`, and without any such click it
    /// is empty.
    #[schema(required)]
    targets: Option<Vec<Target>>,
    /// The `utm_source` of the target, or `qr`. Clicks without a source are `None`.
    #[schema(required)]
    sources: Option<Vec<Source>>,
}

#[derive(Serialize, ToSchema)]
struct Point {
    /// The start of the point.
    at: LocalTime,
    #[schema(example = 42)]
    clicks: u64,
}

/// Declares the rows of breakdowns: a value and its clicks.
macro_rules! rows {
    ($($row:ident { $field:ident: $example:literal })*) => {$(
        #[derive(Serialize, ToSchema)]
        struct $row {
            #[schema(example = $example)]
            $field: String,
            #[schema(example = 42)]
            clicks: u64,
        }

        impl From<(String, u64)> for $row {
            fn from(($field, clicks): (String, u64)) -> $row {
                $row { $field, clicks }
            }
        }
    )*};
}

rows! {
    Referrer { referrer: "news.example" }
    Browser { browser: "Firefox" }
    System { system: "Android" }
    Device { device: "phone" }
    Language { language: "de" }
    Country { country: "DE" }
    Target { target: "https://example.com/" }
    Source { source: "newsletter" }
}

impl Stats {
    pub(crate) fn new(range: &LocalRange, bots: BotsParameter, filter: &ClickFilter, stats: Statistics) -> Stats {
        Stats { range: ShownRange::new(range), clicks: ShownClicks::new(range, bots, filter, stats) }
    }
}

impl OverallStats {
    pub(crate) fn new(range: &LocalRange, bots: BotsParameter, mut stats: Statistics) -> OverallStats {
        let top = Top { top: std::mem::take(&mut stats.top) };
        OverallStats {
            range: ShownRange::new(range),
            clicks: ShownClicks::new(range, bots, &ClickFilter::All, stats),
            top,
        }
    }
}

impl LinksSeries {
    pub(crate) fn new(range: &LocalRange, bots: BotsParameter, links: Vec<LinkSeries>) -> LinksSeries {
        let links = links.into_iter().map(|LinkSeries { url_id, points }| {
            let clicks = points.iter().map(|point| bots.count(point.humans, point.bots)).collect();
            OneSeries { url_id, clicks }
        });
        let series = SeriesByLink { at: range.starts().collect(), links: links.collect() };
        LinksSeries { range: ShownRange::new(range), series }
    }
}

impl ShownRange {
    fn new(range: &LocalRange) -> ShownRange {
        let Ends { from, to } = range.ends();
        ShownRange {
            from,
            to,
            per: range.per(),
            timezone: range.timezone().to_owned(),
            off_by_minutes: range.off_by_minutes(),
            previous: range.previous(),
        }
    }
}

impl ShownClicks {
    fn new(range: &LocalRange, bots: BotsParameter, filter: &ClickFilter, mut stats: Statistics) -> ShownClicks {
        let clicks = range.fold(stats.hours.iter().map(|hour| (hour.at, bots.count(hour.humans, hour.bots))));
        ShownClicks {
            total: stats.total(),
            humans: stats.humans,
            bots: stats.bots,
            without_event: stats.without_event,
            series: range.starts().zip(clicks).map(|(at, clicks)| Point { at, clicks }).collect(),
            referrers: rows_of(&mut stats, filter, Breakdown::Referrers),
            browsers: rows_of(&mut stats, filter, Breakdown::Browsers),
            systems: rows_of(&mut stats, filter, Breakdown::Systems),
            devices: rows_of(&mut stats, filter, Breakdown::Devices),
            languages: rows_of(&mut stats, filter, Breakdown::Languages),
            countries: rows_of(&mut stats, filter, Breakdown::Countries),
            targets: rows_of(&mut stats, filter, Breakdown::Targets),
            sources: rows_of(&mut stats, filter, Breakdown::Sources),
        }
    }
}

/// Returns the rows of a breakdown. A breakdown without clicks has none, and one that the filter does not have is `None`.
fn rows_of<T: From<(String, u64)>>(
    stats: &mut Statistics,
    filter: &ClickFilter,
    breakdown: Breakdown,
) -> Option<Vec<T>> {
    let rows = stats.breakdowns.remove(&breakdown).unwrap_or_default();
    filter.has(breakdown).then(|| rows.into_iter().map(T::from).collect())
}
