//! Short URLs as answers show them.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::{Value, json};
use tern_common::routing::Rule;
use tern_common::url::Url;
use tern_common::{ClickLimit, Id, PointClicks, SeriesQuery, Timestamp};

use super::problem::Outcome;
use crate::access::Caller;
use crate::resources::shown_url::ShortOrigin;
use crate::state::AppState;

/// A short URL.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ShortUrl {
    short_code: String,
    pub(super) short_url: String,
    long_url: String,
    date_created: String,
    visits_summary: VisitsSummary,
    tags: Vec<String>,
    meta: Meta,
    /// Always null: the domain is the default one.
    domain: Option<String>,
    title: Option<String>,
    crawlable: bool,
    forward_query: bool,
    has_redirect_rules: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    valid_since: Option<String>,
    valid_until: Option<String>,
    max_visits: Option<ClickLimit>,
}

/// The numbers of visits.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VisitsSummary {
    pub(super) total: u64,
    pub(super) non_bots: u64,
    pub(super) bots: u64,
}

impl From<PointClicks> for VisitsSummary {
    fn from(PointClicks { humans, bots }: PointClicks) -> VisitsSummary {
        VisitsSummary { total: humans + bots, non_bots: humans, bots }
    }
}

/// Returns links as answers show them, with their visits.
pub(super) async fn show_all(
    state: &AppState,
    caller: &Caller,
    origin: &ShortOrigin,
    links: Vec<Url>,
) -> Outcome<Vec<ShortUrl>> {
    let urls: Vec<Id> = links.iter().map(|link| link.id).collect();
    let boundaries = vec![Timestamp::FIRST, Timestamp::LAST];
    let series = state.store.click_series(SeriesQuery { urls, owner: caller.owner(), boundaries }).await?;
    let clicks = series.into_iter().map(|link| (link.url_id, link.points.first().copied().unwrap_or_default()));
    let clicks: HashMap<Id, PointClicks> = clicks.collect();
    let shown = links.into_iter().map(|link| {
        let clicks = clicks.get(&link.id).copied().unwrap_or_default();
        show(state, origin, link, clicks)
    });
    Ok(shown.collect())
}

/// Returns a link as answers show it.
pub(super) async fn show_one(
    state: &AppState,
    caller: &Caller,
    origin: &ShortOrigin,
    link: Url,
) -> Outcome<Option<ShortUrl>> {
    Ok(show_all(state, caller, origin, vec![link]).await?.pop())
}

fn show(state: &AppState, origin: &ShortOrigin, link: Url, clicks: PointClicks) -> ShortUrl {
    ShortUrl {
        short_url: origin.address(&link),
        short_code: link.short_code,
        long_url: link.original_url,
        date_created: date(link.created_at),
        visits_summary: clicks.into(),
        tags: link.tags,
        meta: Meta {
            valid_since: link.starts_at.map(date),
            valid_until: link.expires_at.map(date),
            max_visits: link.max_clicks,
        },
        domain: None,
        title: link.title,
        crawlable: false,
        forward_query: link.forward_query.unwrap_or(state.config.forward_query),
        has_redirect_rules: !link.rules.is_empty(),
    }
}

/// Returns a rule as answers show it. A type of condition that Shlink does not have keeps its name.
pub(super) fn show_rule(priority: usize, rule: &Rule) -> Value {
    let conditions = rule.conditions.iter().map(|condition| {
        let kind = match condition.kind.as_str() {
            "country" => "geolocation-country-code",
            "before" => "before-date",
            "after" => "after-date",
            "query" => "query-param",
            "query_any" => "any-value-query-param",
            other => other,
        };
        json!({ "type": kind, "matchKey": condition.key, "matchValue": condition.value })
    });
    let conditions: Vec<Value> = conditions.collect();
    json!({ "longUrl": rule.target, "priority": priority, "conditions": conditions })
}

/// Returns a time as Shlink writes it.
pub(super) fn date(time: Timestamp) -> String {
    format!("{time}+00:00")
}
