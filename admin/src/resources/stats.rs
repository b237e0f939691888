//! The clicks of a link by time, referrer and browser, read from counts and never from events.

use std::iter::successors;
use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tern_common::url::Url;
use tern_common::{ClickStats, Id, Per, StatsRange, Timestamp};
use utoipa::{IntoParams, ToSchema};

use crate::access::Caller;
use crate::http::answer::Json;
use crate::http::error::{Result, bad_request};
use crate::http::query::{PathId, Query, QueryTime};
use crate::resources::urls::check_owner;
use crate::row::Row as _;
use crate::state::AppState;

/// The most points of a series, enough for a chart and for 41 days by the hour.
const MOST_POINTS: i64 = 1_000;

/// The length of the range unless `from` is given.
const DEFAULT_SECONDS: i64 = 30 * 24 * 60 * 60;

/// The clicks of a link
#[derive(Serialize, ToSchema)]
pub(crate) struct Stats {
    from: Timestamp,
    to: Timestamp,
    per: Per,
    /// The sum of the series.
    #[schema(example = 42)]
    total: u64,
    /// Clicks of the total that have no event because their client network had reached its hourly limit of events.
    #[schema(example = 0)]
    without_event: u64,
    /// One point for each hour or day of the range.
    series: Vec<Point>,
    /// The 20 most frequent hosts of referrers. A click without a referrer is in no row.
    referrers: Vec<Referrer>,
    /// The 20 most frequent families of browsers. Every click belongs to a family.
    browsers: Vec<Browser>,
}

#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
struct Point {
    /// The start of the hour or day.
    at: Timestamp,
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

/// The clicks to count, and the time that each point covers
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct StatsParameters {
    /// The time that each point of the series covers; `day` unless given
    per: Option<Per>,
    /// Widened to the whole hour or day; 30 days before `to` unless given, and at most 1000 points
    #[param(value_type = Option<Timestamp>)]
    from: Option<QueryTime>,
    /// Widened to the whole hour or day; now unless given
    #[param(value_type = Option<Timestamp>)]
    to: Option<QueryTime>,
}

/// The clicks of a link by time, referrer and browser
#[utoipa::path(
    get,
    path = "/urls/{id}/stats",
    tag = "links",
    params(
        ("id" = Id, Path, description = "The link's id"),
        StatsParameters,
    ),
    responses((status = 200, body = Stats, description = "The clicks within the range"))
)]
pub(crate) async fn show_stats(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    PathId(id): PathId,
    Query(parameters): Query<StatsParameters>,
) -> Result<Json<Stats>> {
    let range = range(&parameters, Timestamp::now())?;
    check_owner(&state, &caller, id).await?;
    let stats = state.store.click_stats(id, range).await?.ok_or_else(|| Url::missing(id))?;
    let ClickStats { series, without_event, referrers, browsers } = stats;
    Ok(Json(Stats {
        from: range.from,
        to: range.to,
        per: range.per,
        total: series.iter().map(|(_, clicks)| clicks).sum(),
        without_event,
        series: fill_gaps(range, series),
        referrers: referrers.into_iter().map(|(referrer, clicks)| Referrer { referrer, clicks }).collect(),
        browsers: browsers.into_iter().map(|(browser, clicks)| Browser { browser, clicks }).collect(),
    }))
}

/// Returns the range of a request, widened to whole hours or days.
fn range(parameters: &StatsParameters, now: Timestamp) -> Result<StatsRange> {
    let per = parameters.per.unwrap_or(Per::Day);
    let step = per.seconds();
    let to = match parameters.to {
        Some(QueryTime(to)) => floor(to.unix_seconds() + step - 1, step),
        None => floor(now.unix_seconds(), step) + step,
    };
    let from = parameters.from.map_or(to - DEFAULT_SECONDS, |QueryTime(from)| floor(from.unix_seconds(), step));
    if from >= to {
        return Err(bad_request("from must be before to"));
    }
    let points = (to - from) / step;
    if points > MOST_POINTS {
        let per = per.name();
        return Err(bad_request(format!(
            "from and to must be at most {MOST_POINTS} {per}s apart with per={per}, and are {points}"
        )));
    }
    let [from, to] = [from, to].map(Timestamp::from_unix_seconds);
    // Widening can move a time beyond either end of the calendar.
    if !from.can_be_written() || !to.can_be_written() {
        return Err(bad_request(format!("from and to must be within {} and {}", Timestamp::FIRST, Timestamp::LAST)));
    }
    Ok(StatsRange { from, to, per })
}

/// Returns one point for each hour or day of the range, with 0 where no click was counted.
fn fill_gaps(range: StatsRange, counted: Vec<(Timestamp, u64)>) -> Vec<Point> {
    let mut counted = counted.into_iter().peekable();
    let next = |at: &Timestamp| Some(Timestamp::from_unix_seconds(at.unix_seconds() + range.per.seconds()));
    let times = successors(Some(range.from), next).take_while(|at| *at < range.to);
    times.map(|at| Point { at, clicks: counted.next_if(|(counted, _)| *counted == at).map_or(0, |(_, n)| n) }).collect()
}

fn floor(seconds: i64, step: i64) -> i64 {
    seconds - seconds.rem_euclid(step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::query::read_query;

    fn time(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn read(query: &str) -> Result<StatsRange> {
        let parameters = read_query(query).map_err(bad_request)?;
        range(&parameters, time("2026-02-10T12:30:00"))
    }

    #[test]
    fn range_is_widened_to_whole_hours_or_days() {
        let check = |query: &str, from: &str, to: &str, per: Per| {
            assert_eq!(read(query).unwrap(), StatsRange { from: time(from), to: time(to), per }, "{query}");
        };
        check("", "2026-01-12T00:00:00", "2026-02-11T00:00:00", Per::Day);
        check("per=hour", "2026-01-11T13:00:00", "2026-02-10T13:00:00", Per::Hour);
        check("from=2026-02-09T23:59:59", "2026-02-09T00:00:00", "2026-02-11T00:00:00", Per::Day);
        check("to=2020-02-29%2000:00:00", "2020-01-30T00:00:00", "2020-02-29T00:00:00", Per::Day);
        let hours = "per=hour&from=1969-12-31T23:59:59&to=1970-01-01T00:00:01";
        check(hours, "1969-12-31T23:00:00", "1970-01-01T01:00:00", Per::Hour);
        check(
            "per=hour&from=9999-12-30T20:00:00&to=9999-12-30T21:00:01",
            "9999-12-30T20:00:00",
            "9999-12-30T22:00:00",
            Per::Hour,
        );
        check("from=2023-05-18T00:00:00", "2023-05-18T00:00:00", "2026-02-11T00:00:00", Per::Day);
    }

    #[test]
    fn range_that_is_empty_or_too_long_is_refused() {
        for query in [
            "per=week",
            "per=",
            "from=yesterday",
            "to=2026-02-10",
            "from=2026-02-10T00:00:00&to=2026-02-10T00:00:00",
            "from=2030-01-01T00:00:00",
            "from=2023-05-17T00:00:00",
            "per=hour&from=2025-12-01T00:00:00",
            "from=0001-01-01T00:00:00&to=9999-12-30T00:00:00",
            "from=9999-12-30T00:00:00&to=9999-12-30T21:00:00",
            "to=0001-01-05T00:00:00",
        ] {
            assert!(read(query).is_err(), "{query}");
        }
    }

    #[test]
    fn series_with_gaps_is_filled_with_zeros() {
        let range = StatsRange { from: time("2026-01-01T00:00:00"), to: time("2026-01-04T00:00:00"), per: Per::Day };
        let point = |at: &str, clicks| Point { at: time(at), clicks };
        let expected =
            |n| vec![point("2026-01-01T00:00:00", 0), point("2026-01-02T00:00:00", n), point("2026-01-03T00:00:00", 0)];
        assert_eq!(fill_gaps(range, vec![]), expected(0));
        assert_eq!(fill_gaps(range, vec![(time("2026-01-02T00:00:00"), 7)]), expected(7));
    }
}
