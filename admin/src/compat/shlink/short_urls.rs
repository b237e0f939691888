//! Short URLs: list, create, read, edit and delete.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tern_common::Timestamp;
use tern_common::store::Page;
use tern_common::url::{FilterTime, SearchTerm, SortKey, TagMode, Url, UrlFilter, UrlSort};

use super::domain;
use super::page::Asked;
use super::problem::{Outcome, Problem};
use super::query::{Query, after};
use super::requests::{Creation, Fields, read_edit};
use super::shown::{show_all, show_one, show_rule};
use crate::access::Caller;
use crate::compat::by_code;
use crate::http::answer::Json;
use crate::http::error::{Error, Result, internal};
use crate::resources::shown_url::ShortOrigin;
use crate::resources::url_requests::CreateUrl;
use crate::resources::urls;
use crate::state::{AppState, VisibleHeader};

/// The number of short URLs of a page, as Shlink has it.
const PER_PAGE: u32 = 10;

pub(super) async fn list(state: &AppState, caller: &Caller, origin: &ShortOrigin, query: &Query) -> Outcome<Response> {
    let asked = Asked::read(query, PER_PAGE, Page::MAX_SIZE)?;
    let (filter, sort) = (read_filter(caller, query)?, read_sort(query)?);
    let listing = if query.get("domain").is_none_or(|domain| domain::is_own(origin, domain)) {
        state.store.list_urls(filter, sort, asked.page()).await?
    } else {
        tern_common::store::Listing::empty()
    };
    let total = asked.total(listing.total, listing.rows.len(), listing.has_next);
    let data = show_all(state, caller, origin, listing.rows).await?;
    let pagination = asked.describe(data.len(), total);
    Ok(Json(json!({ "shortUrls": { "data": data, "pagination": pagination } })).into_response())
}

fn read_filter(caller: &Caller, query: &Query) -> Outcome<UrlFilter> {
    let search = query.get("searchTerm").map(SearchTerm::parse).transpose();
    let not_tag = query.tags("excludeTags")?;
    if query.is_second("excludeTagsMode", ["any", "all"])? && not_tag.len() > 1 {
        return Err(Problem::invalid(
            "excludeTagsMode",
            "Tern excludes short URLs with any of the tags; excludeTagsMode must be any",
        ));
    }
    let is_all = query.is_second("tagsMode", ["any", "all"])?;
    Ok(UrlFilter {
        user_id: caller.owner(),
        search: search.map_err(|invalid| Problem::invalid("searchTerm", format!("searchTerm {invalid}")))?,
        tag: query.tags("tags")?,
        tag_mode: if is_all { TagMode::All } else { TagMode::Any },
        not_tag,
        created_from: query.time("startDate")?.map(FilterTime),
        created_to: query.time("endDate")?.map(|time| FilterTime(after(time))),
        ends_after: query.flag("excludePastValidUntil")?.then(Timestamp::now),
        has_clicks_left: query.flag("excludeMaxVisitsReached")?,
        ..UrlFilter::default()
    })
}

fn read_sort(query: &Query) -> Outcome<UrlSort> {
    let Some((field, is_descending)) = query.order()? else {
        return Ok(UrlSort { key: SortKey::CreatedAt, is_descending: true });
    };
    let key = match field {
        "dateCreated" => SortKey::CreatedAt,
        "shortCode" => SortKey::ShortCode,
        "title" => SortKey::Title,
        // The order is that of the visits by people, which are counted for each link.
        "visits" | "nonBotVisits" => SortKey::Clicks,
        _ => {
            return Err(Problem::invalid(
                "orderBy",
                "Tern orders by dateCreated, shortCode, title, visits and nonBotVisits",
            ));
        }
    };
    Ok(UrlSort { key, is_descending })
}

pub(super) async fn create(state: &AppState, caller: &Caller, origin: &ShortOrigin, body: &[u8]) -> Outcome<Response> {
    by_code::check_creator(caller)?;
    let creation = Creation::read(Fields::read(body)?, origin, &state.config.own_addresses)?;
    let Creation { request, custom_slug, find_if_exists } = creation;
    let created = urls::create(state, caller, request, find_if_exists).await;
    let (visible, link) = created.map_err(|error| refuse_slug(error, custom_slug.as_deref()))?;
    answer(state, caller, origin, visible, link).await
}

/// Creates a short URL by `GET`, for bookmarks and scripts.
pub(super) async fn shorten(
    state: &AppState,
    caller: &Caller,
    origin: &ShortOrigin,
    query: &Query,
) -> Outcome<Response> {
    by_code::check_creator(caller)?;
    let is_text = query.is_second("format", ["json", "txt"])?;
    let given = query.get("longUrl").ok_or_else(|| Problem::invalid("longUrl", "longUrl is required"))?;
    let target = state.config.own_addresses.parse_target(given);
    let target = target.map_err(|refused| Problem::invalid("longUrl", format!("longUrl {refused}")))?;
    // The same request gets the same short URL, as with Shlink.
    let (visible, link) = urls::create(state, caller, CreateUrl::new(target, None), true).await?;
    if is_text {
        let text = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
        return Ok((text, visible, origin.address(&link)).into_response());
    }
    answer(state, caller, origin, visible, link).await
}

/// Names the slug of a short URL that was not created because another one has it.
fn refuse_slug(error: Error, slug: Option<&str>) -> Problem {
    match slug {
        Some(slug) if error.status() == StatusCode::CONFLICT => {
            let message = format!("Provided slug \"{slug}\" is already in use.");
            let error = Error::new(StatusCode::BAD_REQUEST, message);
            Problem::new("non-unique-slug", error).with("customSlug", json!(slug))
        }
        _ => error.into(),
    }
}

pub(super) async fn show(
    state: &AppState,
    caller: &Caller,
    origin: &ShortOrigin,
    query: &Query,
    code: &str,
) -> Outcome<Response> {
    let link = find(state, caller, origin, query, code).await?;
    answer(state, caller, origin, None, link).await
}

pub(super) async fn edit(
    state: &AppState,
    caller: &Caller,
    origin: &ShortOrigin,
    query: &Query,
    code: &str,
    body: &[u8],
) -> Outcome<Response> {
    let request = read_edit(Fields::read(body)?, &state.config.own_addresses)?;
    let link = find(state, caller, origin, query, code).await?;
    let changed = urls::change(state, caller, link.id, request, None).await;
    let (visible, link) = changed.map_err(|error| gone(error, code))?;
    answer(state, caller, origin, Some(visible), link).await
}

pub(super) async fn delete(
    state: &AppState,
    caller: &Caller,
    origin: &ShortOrigin,
    query: &Query,
    code: &str,
) -> Outcome<Response> {
    let link = find(state, caller, origin, query, code).await?;
    let visible = urls::delete(state, caller, link.id, None).await.map_err(|error| gone(error, code))?;
    Ok((StatusCode::NO_CONTENT, visible, ()).into_response())
}

/// Answers the rules of a short URL.
pub(super) async fn show_rules(
    state: &AppState,
    caller: &Caller,
    origin: &ShortOrigin,
    query: &Query,
    code: &str,
) -> Outcome<Response> {
    let link = find(state, caller, origin, query, code).await?;
    let rules = link.rules.iter().enumerate().map(|(at, rule)| show_rule(at + 1, rule));
    let rules: Vec<_> = rules.collect();
    Ok(Json(json!({ "defaultLongUrl": link.original_url, "redirectRules": rules })).into_response())
}

/// Finds the link of a code. A short URL of another domain does not exist.
pub(super) async fn find(
    state: &AppState,
    caller: &Caller,
    origin: &ShortOrigin,
    query: &Query,
    code: &str,
) -> Outcome<Url> {
    let is_own = query.get("domain").is_none_or(|domain| domain::is_own(origin, domain));
    let found = if is_own { by_code::find(state, caller, code).await? } else { None };
    found.ok_or_else(|| Problem::code_not_found(code))
}

/// Names the code of a link that was deleted meanwhile.
fn gone(error: Error, code: &str) -> Problem {
    if error.status() == StatusCode::NOT_FOUND { Problem::code_not_found(code) } else { error.into() }
}

async fn answer(
    state: &AppState,
    caller: &Caller,
    origin: &ShortOrigin,
    visible: Option<VisibleHeader>,
    link: Url,
) -> Outcome<Response> {
    let shown = show_one(state, caller, origin, link).await?;
    let shown: Result<_> = shown.ok_or_else(|| internal(anyhow::anyhow!("a link is not shown")));
    Ok((visible, Json(shown?)).into_response())
}
