//! Visits: the clicks of links one by one, the newest first, and their numbers.

use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tern_common::link_labels::Tag;
use tern_common::store::{Page, Total};
use tern_common::url::{UrlFilter, UrlSort};
use tern_common::{PointClicks, StatsQuery, StatsScope, Timestamp, Visit, VisitQuery};

use super::domain;
use super::page::Asked;
use super::problem::{Outcome, Problem};
use super::query::{Query, after};
use super::short_urls;
use super::shown::{VisitsSummary, date};
use crate::access::Caller;
use crate::http::answer::Json;
use crate::http::error::not_found;
use crate::resources::shown_url::ShortOrigin;
use crate::state::AppState;

/// The most visits of a page, which is also the number unless a request names another: the page of the web client.
const MOST_VISITS: u32 = 5_000;

const HOUR: i64 = 60 * 60;

pub(super) async fn list_of_code(
    state: &AppState,
    caller: &Caller,
    origin: &ShortOrigin,
    query: &Query,
    code: &str,
) -> Outcome<Response> {
    let link = short_urls::find(state, caller, origin, query, code).await?;
    list(state, origin, query, StatsScope::Link(link.id)).await
}

pub(super) async fn list_of_tag(
    state: &AppState,
    caller: &Caller,
    origin: &ShortOrigin,
    query: &Query,
    name: &str,
) -> Outcome<Response> {
    let tag = Tag::parse(name).map_err(|_| Problem::tag_not_found(name))?;
    let owner = caller.owner();
    let filter = UrlFilter { tag: vec![tag.clone()], user_id: owner, ..UrlFilter::default() };
    if state.store.list_urls(filter, UrlSort::default(), Page::first(1)).await?.rows.is_empty() {
        return Err(Problem::tag_not_found(name));
    }
    list(state, origin, query, StatsScope::All { tag: Some(tag), owner }).await
}

pub(super) async fn list_of_domain(
    state: &AppState,
    caller: &Caller,
    origin: &ShortOrigin,
    query: &Query,
    name: &str,
) -> Outcome<Response> {
    if !domain::is_own(origin, name) {
        let error = not_found(format!("Domain with authority \"{name}\" could not be found"));
        return Err(Problem::new("domain-not-found", error).with("authority", json!(name)));
    }
    list_all(state, caller, origin, query).await
}

/// Lists the visits of every short URL that the caller may see.
pub(super) async fn list_all(
    state: &AppState,
    caller: &Caller,
    origin: &ShortOrigin,
    query: &Query,
) -> Outcome<Response> {
    if query.get("domain").is_some_and(|domain| !domain::is_own(origin, domain)) {
        return list_orphans(query);
    }
    list(state, origin, query, StatsScope::All { tag: None, owner: caller.owner() }).await
}

/// Answers the visits of addresses that are no short URL. Tern records none.
pub(super) fn list_orphans(query: &Query) -> Outcome<Response> {
    let asked = Asked::read(query, MOST_VISITS, MOST_VISITS)?;
    let (data, pagination): ([Value; 0], _) = ([], asked.describe(0, 0));
    Ok(Json(json!({ "visits": { "data": data, "pagination": pagination } })).into_response())
}

async fn list(state: &AppState, origin: &ShortOrigin, query: &Query, scope: StatsScope) -> Outcome<Response> {
    let asked = Asked::read(query, MOST_VISITS, MOST_VISITS)?;
    let clicks = StatsQuery {
        from: query.time("startDate")?.unwrap_or(Timestamp::FIRST),
        to: query.time("endDate")?.map_or(Timestamp::LAST, after),
        bots: !query.flag("excludeBots")?,
        ..StatsQuery::of_all_time(scope)
    };
    let asked_for = VisitQuery { clicks: clicks.clone(), offset: asked.offset(), limit: asked.size };
    let (visits, total) = state.store.list_visits(asked_for).await?;
    let total = match total {
        Total::Exactly(total) => total,
        Total::Above(n) => count_by_hours(state, clicks).await?.max(n + 1),
    };
    let data: Vec<Value> = visits.iter().map(|visit| show(origin, visit)).collect();
    let pagination = asked.describe(data.len(), total);
    Ok(Json(json!({ "visits": { "data": data, "pagination": pagination } })).into_response())
}

/// Counts many visits by the counts of full hours: those of the hours in which the range begins and ends are all counted.
async fn count_by_hours(state: &AppState, mut clicks: StatsQuery) -> Outcome<u64> {
    let full =
        |time: Timestamp, more: i64| Timestamp::from_unix_seconds((time.unix_seconds() + more).div_euclid(HOUR) * HOUR);
    (clicks.from, clicks.to) = (full(clicks.from, 0), full(clicks.to, HOUR - 1).min(Timestamp::LAST));
    let includes_bots = clicks.bots;
    let counted = state.store.statistics(clicks).await?.unwrap_or_default();
    Ok(if includes_bots { counted.total() } else { counted.humans })
}

fn show(origin: &ShortOrigin, visit: &Visit) -> Value {
    let country = Some(visit.visitor.country).filter(|country| country.len() == 2);
    let location = country.map(|country| {
        json!({
            "countryCode": country, "countryName": country, "regionName": "", "cityName": "", "timezone": "",
            "latitude": null, "longitude": null, "isEmpty": false,
        })
    });
    let address = visit.short_code.as_deref().map(|code| origin.address_of(code));
    json!({
        "referer": visit.referrer.as_deref().unwrap_or_default(),
        "date": date(visit.at),
        "userAgent": visit.user_agent.as_deref().unwrap_or_default(),
        "visitLocation": location,
        "potentialBot": visit.visitor.bot.is_some(),
        "visitedUrl": address.unwrap_or_default(),
        "redirectUrl": visit.target,
    })
}

/// Answers the numbers of all visits.
pub(super) async fn count(state: &AppState, caller: &Caller) -> Outcome<Response> {
    let scope = StatsScope::All { tag: None, owner: caller.owner() };
    let counted = state.store.statistics(StatsQuery::of_all_time(scope)).await?.unwrap_or_default();
    let visits = VisitsSummary::from(PointClicks { humans: counted.humans, bots: counted.bots });
    let summaries = json!({ "nonOrphanVisits": visits, "orphanVisits": VisitsSummary::default() });
    Ok(Json(json!({ "visits": summaries })).into_response())
}
