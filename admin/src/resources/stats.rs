//! The clicks of links by time and by properties of visitors, read from counts and never from events.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use tern_common::link_labels::Tag;
use tern_common::url::Url;
use tern_common::{Breakdown, ClickFilter, Id, SeriesQuery, Statistics, StatsQuery, StatsScope, Timestamp};
use utoipa::IntoParams;

use crate::access::Caller;
use crate::http::answer::Json;
use crate::http::error::{Result, bad_request};
use crate::http::query::{PathId, Query};
use crate::local_range::{LocalRange, RangeParameters};
use crate::resources::shown_stats::{BotsParameter, LinksSeries, OverallStats, Stats};
use crate::resources::urls::check_owner;
use crate::row::Row as _;
use crate::state::AppState;

/// The most points of a series, enough for 83 days by the hour and for five years by the day.
const MOST_POINTS: i64 = 2_000;

/// The most links of an answer with several series: a page of the list of links.
const MOST_LINKS: usize = 100;

/// The most days of an answer with several series. The store reads each hour of each link.
const MOST_DAYS: i64 = 100;

/// The links whose clicks are counted
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ScopeParameters {
    /// Only the links with this tag
    #[param(value_type = Option<String>, example = "summer")]
    tag: Option<Tag>,
    /// Only the links of this user
    user_id: Option<Id>,
}

/// The clicks that are counted
///
/// Parts of a visitor are counted together. A referrer, a source and a target are each counted alone.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ClickParameters {
    /// Only clicks of this browser, as `browsers` names it; the other names are those of their lists
    #[param(example = "Firefox")]
    browser: Option<String>,
    /// Only clicks of this system
    #[param(example = "Android")]
    system: Option<String>,
    /// Only clicks of this kind of device
    #[param(example = "phone")]
    device: Option<String>,
    /// Only clicks with this language
    #[param(example = "de")]
    language: Option<String>,
    /// Only clicks from this country
    #[param(example = "DE")]
    country: Option<String>,
    /// Only clicks with this referrer; excludes every other filter
    #[param(example = "news.example")]
    referrer: Option<String>,
    /// Only clicks with this source; excludes every other filter
    #[param(example = "newsletter")]
    source: Option<String>,
    /// Only clicks on this target of rules or a split; excludes every other filter
    #[param(example = "https://example.com/")]
    target: Option<String>,
}

impl ClickParameters {
    fn filter(self) -> Result<ClickFilter> {
        let values = [
            (Breakdown::Browsers, self.browser),
            (Breakdown::Systems, self.system),
            (Breakdown::Devices, self.device),
            (Breakdown::Languages, self.language),
            (Breakdown::Countries, self.country),
            (Breakdown::Referrers, self.referrer),
            (Breakdown::Sources, self.source),
            (Breakdown::Targets, self.target),
        ];
        let given = values.into_iter().filter_map(|(breakdown, value)| Some((breakdown, value?))).collect();
        ClickFilter::new(given).map_err(bad_request)
    }
}

/// The links whose series are shown
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct LinksParameters {
    /// The id of a link; repeated for each link, up to 100. Ids without a link are omitted from the answer
    #[serde(default)]
    #[param(min_items = 1, max_items = 100, example = json!([1, 2]))]
    url_id: Vec<Id>,
}

/// The clicks of a link by time and by properties of visitors
#[utoipa::path(
    get,
    path = "/urls/{id}/stats",
    tag = "links",
    params(
        ("id" = Id, Path, description = "The link's id"),
        RangeParameters,
        BotsParameter,
        ClickParameters,
    ),
    responses((status = 200, body = Stats, description = "The clicks within the range"))
)]
pub(crate) async fn show_stats(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    PathId(id): PathId,
    Query(parameters): Query<RangeParameters>,
    Query(bots): Query<BotsParameter>,
    Query(clicks): Query<ClickParameters>,
) -> Result<Json<Stats>> {
    let range = parameters.range(Timestamp::now(), MOST_POINTS)?;
    let filter = clicks.filter()?;
    check_owner(&state, &caller, id).await?;
    let stats = state.store.statistics(query(StatsScope::Link(id), &range, bots, filter.clone())).await?;
    let stats = stats.ok_or_else(|| Url::missing(id))?;
    Ok(Json(Stats::new(&range, bots, &filter, stats)))
}

/// The clicks of all links by time and by properties of visitors
///
/// A token of a user counts only links of that user.
#[utoipa::path(
    get,
    path = "/stats",
    tag = "links",
    params(
        ScopeParameters,
        RangeParameters,
        BotsParameter,
    ),
    responses((status = 200, body = OverallStats, description = "The clicks within the range"))
)]
pub(crate) async fn show_overall_stats(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Query(ScopeParameters { tag, mut user_id }): Query<ScopeParameters>,
    Query(parameters): Query<RangeParameters>,
    Query(bots): Query<BotsParameter>,
) -> Result<Json<OverallStats>> {
    let range = parameters.range(Timestamp::now(), MOST_POINTS)?;
    let stats = if caller.limit(&mut user_id) {
        let scope = StatsScope::All { tag, owner: user_id };
        state.store.statistics(query(scope, &range, bots, ClickFilter::All)).await?.unwrap_or_default()
    } else {
        Statistics::default()
    };
    Ok(Json(OverallStats::new(&range, bots, stats)))
}

/// The clicks of several links by time
///
/// One request has the sparklines of a page of links. The range has at most 100 days.
#[utoipa::path(
    get,
    path = "/stats/series",
    tag = "links",
    params(
        LinksParameters,
        RangeParameters,
        BotsParameter,
    ),
    responses((status = 200, body = LinksSeries, description = "The series of the links that exist"))
)]
pub(crate) async fn show_series(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Query(LinksParameters { url_id: mut urls }): Query<LinksParameters>,
    Query(parameters): Query<RangeParameters>,
    Query(bots): Query<BotsParameter>,
) -> Result<Json<LinksSeries>> {
    let mut seen = HashSet::new();
    urls.retain(|id| seen.insert(*id));
    if urls.is_empty() {
        return Err(bad_request("url_id is required: give the id of each link, as in url_id=1&url_id=2"));
    }
    if urls.len() > MOST_LINKS {
        return Err(bad_request(format!("url_id must name at most {MOST_LINKS} links, and names {}", urls.len())));
    }
    let range = parameters.range(Timestamp::now(), MOST_POINTS)?;
    let (from, to) = range.hours();
    // A range in which clocks change may have an hour more.
    if to.unix_seconds() - from.unix_seconds() > (MOST_DAYS * 24 + 1) * 60 * 60 {
        let message = format!("from and to must be at most {MOST_DAYS} days apart for several links");
        return Err(bad_request(message));
    }
    let query = SeriesQuery { urls, owner: caller.owner(), boundaries: range.boundaries() };
    Ok(Json(LinksSeries::new(&range, bots, state.store.click_series(query).await?)))
}

fn query(scope: StatsScope, range: &LocalRange, bots: BotsParameter, filter: ClickFilter) -> StatsQuery {
    let (from, to) = range.hours();
    StatsQuery { scope, from, to, bots: bots.are_included(), filter }
}
