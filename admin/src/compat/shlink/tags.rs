//! Tags with the numbers of their short URLs and visits, renamed and removed.

use std::collections::HashMap;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use tern_common::PointClicks;
use tern_common::link_labels::Tag;
use tern_common::store::{Page, PageStart, Total};
use tern_common::tag_count::{TagCount, TagFilter};
use tern_common::url::{UrlFilter, UrlSort};

use super::page::Asked;
use super::problem::{Outcome, Problem};
use super::query::Query;
use super::requests::Fields;
use super::shown::VisitsSummary;
use crate::access::Caller;
use crate::http::answer::Json;
use crate::http::error::{Error, bad_request};
use crate::resources::many_urls::change_matching;
use crate::resources::url_requests::UpdateUrl;
use crate::state::AppState;

/// The attempts to change all links of a tag while other clients change them, too.
const ATTEMPTS: usize = 3;

/// A tag with its numbers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownTag {
    tag: String,
    short_urls_count: u64,
    visits_summary: VisitsSummary,
    /// The name of the total in earlier versions of Shlink.
    visits_count: u64,
}

pub(super) async fn list(state: &AppState, caller: &Caller, query: &Query) -> Outcome<Response> {
    let mut tags = read(state, caller, query).await?;
    if let Some((field, is_descending)) = query.order()? {
        match field {
            "tag" if is_descending => tags.reverse(),
            "tag" => {}
            _ => return Err(Problem::invalid("orderBy", "orderBy must be tag-ASC or tag-DESC")),
        }
    }
    let names: Vec<String> = tags.into_iter().map(|tag| tag.tag).collect();
    answer(query, &names)
}

/// Answers tags with their numbers.
pub(super) async fn count(state: &AppState, caller: &Caller, query: &Query) -> Outcome<Response> {
    let tags = read(state, caller, query).await?;
    let clicks = state.store.count_clicks_by_tag(TagFilter { user_id: caller.owner() }).await?;
    let mut shown: Vec<ShownTag> = tags.into_iter().map(|tag| show(tag, &clicks)).collect();
    if let Some((field, is_descending)) = query.order()? {
        match field {
            "tag" => {}
            "shortUrlsCount" => shown.sort_by_key(|tag| tag.short_urls_count),
            "visits" | "visitsCount" => shown.sort_by_key(|tag| tag.visits_summary.total),
            "nonBotVisits" => shown.sort_by_key(|tag| tag.visits_summary.non_bots),
            _ => {
                let message = "orderBy must be tag, shortUrlsCount, visits or nonBotVisits, with -ASC or -DESC";
                return Err(Problem::invalid("orderBy", message));
            }
        }
        if is_descending {
            shown.reverse();
        }
    }
    answer(query, &shown)
}

/// Returns the tags of the caller's links by name, within the search of the request.
async fn read(state: &AppState, caller: &Caller, query: &Query) -> Outcome<Vec<TagCount>> {
    let sought = query.get("searchTerm").map(str::to_lowercase);
    let filter = TagFilter { user_id: caller.owner() };
    let mut tags = Vec::new();
    let mut page = Page::first(Page::MAX_SIZE);
    loop {
        let listing = state.store.list_tags(filter, page).await?;
        tags.extend(listing.rows.into_iter().filter(|tag| sought.as_ref().is_none_or(|text| tag.tag.contains(text))));
        if !listing.has_next {
            return Ok(tags);
        }
        page = Page { start: PageStart::After(listing.last), size: Page::MAX_SIZE };
    }
}

fn show(tag: TagCount, clicks: &HashMap<String, PointClicks>) -> ShownTag {
    let visits_summary = VisitsSummary::from(clicks.get(&tag.tag).copied().unwrap_or_default());
    ShownTag { short_urls_count: tag.links, visits_count: visits_summary.total, tag: tag.tag, visits_summary }
}

/// Answers the page of a request; all items if it names no page.
fn answer<T: Serialize>(query: &Query, items: &[T]) -> Outcome<Response> {
    let all = u32::try_from(items.len().max(1)).unwrap_or(u32::MAX);
    let asked = Asked::read(query, all, all)?;
    let skipped = usize::try_from(asked.offset()).unwrap_or(usize::MAX).min(items.len());
    let data: Vec<&T> = items[skipped..].iter().take(asked.size as usize).collect();
    let pagination = asked.describe(data.len(), items.len() as u64);
    Ok(Json(json!({ "tags": { "data": data, "pagination": pagination } })).into_response())
}

/// Gives a tag another name on each link. A name that another tag has is a conflict.
pub(super) async fn rename(state: &AppState, caller: &Caller, body: &[u8]) -> Outcome<Response> {
    let fields = Fields::read(body)?;
    let name = |field: &'static str| {
        let text = fields.text(field)?.ok_or_else(|| Problem::invalid(field, format!("{field} is required")))?;
        Ok::<_, Problem>((
            Tag::parse(&text).map_err(|invalid| Problem::invalid(field, format!("{field}: {invalid}"))),
            text,
        ))
    };
    let (old, old_text) = name("oldName")?;
    // A text that cannot be a tag is the name of none.
    let old = old.map_err(|_| Problem::tag_not_found(&old_text))?;
    let new = name("newName")?.0?;
    if links_of(state, caller, std::slice::from_ref(&old)).await? == Total::Exactly(0) {
        return Err(Problem::tag_not_found(&old_text));
    }
    if old == new {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    if links_of(state, caller, std::slice::from_ref(&new)).await? != Total::Exactly(0) {
        let (from, to) = (old.as_str(), new.as_str());
        let message = format!("You cannot rename tag {from} to {to}, because it already exists");
        let problem = Problem::new("tag-conflict", Error::new(StatusCode::CONFLICT, message));
        return Err(problem.with("oldName", json!(from)).with("newName", json!(to)));
    }
    change(state, caller, vec![old], Some(new)).await
}

/// Removes tags from all links. Unknown tags are ignored, as Shlink does.
pub(super) async fn delete(state: &AppState, caller: &Caller, query: &Query) -> Outcome<Response> {
    let tags = query.tags("tags")?;
    if tags.is_empty() {
        return Err(Problem::invalid("tags", "tags is required: name each tag, as in tags[]=a&tags[]=b"));
    }
    change(state, caller, tags, None).await
}

async fn links_of(state: &AppState, caller: &Caller, tags: &[Tag]) -> Outcome<Total> {
    let filter = filter_of(caller, tags);
    Ok(state.store.list_urls(filter, UrlSort::default(), Page::first(1)).await?.total)
}

fn filter_of(caller: &Caller, tags: &[Tag]) -> UrlFilter {
    UrlFilter { tag: tags.to_vec(), user_id: caller.owner(), ..UrlFilter::default() }
}

/// Removes tags from all links that have one of them, and adds another, in one transaction.
async fn change(state: &AppState, caller: &Caller, removed: Vec<Tag>, added: Option<Tag>) -> Outcome<Response> {
    for attempt in 1.. {
        let expect = match links_of(state, caller, &removed).await? {
            Total::Exactly(0) => break,
            Total::Exactly(links) => links,
            Total::Above(most) => {
                let message = format!("More than {most} links have the tag; change them in parts with PATCH /urls");
                return Err(bad_request(message).into());
            }
        };
        let set = UpdateUrl {
            remove_tags: Some(removed.clone()),
            add_tags: added.clone().map(|tag| vec![tag]),
            ..UpdateUrl::default()
        };
        match change_matching(state, caller, filter_of(caller, &removed), expect, set).await {
            Ok(()) => break,
            // Another client has changed the links since they were counted.
            Err(error) if error.status() == StatusCode::CONFLICT && attempt < ATTEMPTS => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}
