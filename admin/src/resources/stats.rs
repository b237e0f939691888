//! The clicks of a link by time, referrer and browser, read from counts and never from events.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use tern_common::url::Url;
use tern_common::{Breakdown, Id, StatsQuery, StatsScope, Timestamp};
use utoipa::ToSchema;

use crate::access::Caller;
use crate::http::answer::Json;
use crate::http::error::Result;
use crate::http::query::{PathId, Query};
use crate::local_range::{Ends, LocalRange, Per, RangeParameters};
use crate::resources::urls::check_owner;
use crate::row::Row as _;
use crate::state::AppState;
use crate::time_zone::LocalTime;

/// The most points of a series, enough for 83 days by the hour and for five years by the day.
const MOST_POINTS: i64 = 2_000;

/// The clicks of a link
#[derive(Serialize, ToSchema)]
pub(crate) struct Stats {
    #[serde(flatten)]
    range: Range,
    /// The sum of the series.
    #[schema(example = 42)]
    total: u64,
    /// Clicks of the total that have no event because their client network had reached its hourly limit of events.
    #[schema(example = 0)]
    without_event: u64,
    /// One point for each hour, day, week or month of the range.
    series: Vec<Point>,
    /// The 20 most frequent hosts of referrers, then `Other`. Clicks without a referrer are `Direct`.
    referrers: Vec<Referrer>,
    /// The 20 most frequent families of browsers, then `Other`. Every click belongs to a family.
    browsers: Vec<Browser>,
}

/// The range of an answer
#[derive(Serialize, ToSchema)]
struct Range {
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

impl Range {
    fn of(range: &LocalRange) -> Range {
        let Ends { from, to } = range.ends();
        Range {
            from,
            to,
            per: range.per(),
            timezone: range.timezone().to_owned(),
            off_by_minutes: range.off_by_minutes(),
            previous: range.previous(),
        }
    }
}

#[derive(Serialize, ToSchema)]
struct Point {
    /// The start of the point.
    at: LocalTime,
    #[schema(example = 42)]
    clicks: u64,
}

#[derive(Serialize, ToSchema)]
struct Referrer {
    #[schema(example = "news.example")]
    referrer: String,
    #[schema(example = 40)]
    clicks: u64,
}

#[derive(Serialize, ToSchema)]
struct Browser {
    #[schema(example = "Firefox")]
    browser: String,
    #[schema(example = 42)]
    clicks: u64,
}

/// The clicks of a link by time, referrer and browser
#[utoipa::path(
    get,
    path = "/urls/{id}/stats",
    tag = "links",
    params(
        ("id" = Id, Path, description = "The link's id"),
        RangeParameters,
    ),
    responses((status = 200, body = Stats, description = "The clicks within the range"))
)]
pub(crate) async fn show_stats(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    PathId(id): PathId,
    Query(parameters): Query<RangeParameters>,
) -> Result<Json<Stats>> {
    let range = parameters.range(Timestamp::now(), MOST_POINTS)?;
    check_owner(&state, &caller, id).await?;
    let (from, to) = range.hours();
    let query = StatsQuery { scope: StatsScope::Link(id), from, to, bots: true };
    let mut stats = state.store.statistics(query).await?.ok_or_else(|| Url::missing(id))?;
    let series: Vec<_> = stats.hours.iter().map(|hour| (hour.at, hour.humans + hour.bots)).collect();
    let referrers = stats.breakdowns.remove(&Breakdown::Referrers).unwrap_or_default();
    let browsers = stats.breakdowns.remove(&Breakdown::Browsers).unwrap_or_default();
    Ok(Json(Stats {
        range: Range::of(&range),
        total: stats.total(),
        without_event: stats.without_event,
        series: range.starts().zip(range.fold(series)).map(|(at, clicks)| Point { at, clicks }).collect(),
        referrers: referrers.into_iter().map(|(referrer, clicks)| Referrer { referrer, clicks }).collect(),
        browsers: browsers.into_iter().map(|(browser, clicks)| Browser { browser, clicks }).collect(),
    }))
}
