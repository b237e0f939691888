//! Actions of YOURLS, and the fields of their answers.

use axum::http::{Method, StatusCode};
use tern_common::own_addresses::RefusedTarget;
use tern_common::store::{Page, PageStart, Total};
use tern_common::url::{SortKey, Title, Url, UrlFilter, UrlSort};
use tern_common::{ShortCode, StatsQuery, StatsScope, Timestamp};

use super::answer::{Answer, Failure, Fields};
use super::parameters::Parameters;
use crate::access::Caller;
use crate::compat::by_code;
use crate::http::error::{Result, bad_request, internal, not_found};
use crate::resources::shown_url::ShortOrigin;
use crate::resources::url_requests::CreateUrl;
use crate::resources::urls;
use crate::state::AppState;

/// The version of YOURLS whose answers these are.
const VERSION: &str = "1.9.2";

/// The most links of an answer.
const MOST_LINKS: u32 = Page::MAX_SIZE;

const NOT_FOUND: &str = "Error: short URL not found";

/// Returns the method whose role a request needs, since YOURLS also creates links by `GET`.
pub(super) fn method(parameters: &Parameters) -> Method {
    if parameters.get("action") == Some("shorturl") { Method::POST } else { Method::GET }
}

/// Carries out the action of a request.
pub(super) async fn act(
    state: &AppState,
    caller: &Caller,
    origin: &ShortOrigin,
    parameters: &Parameters,
) -> Result<Answer, Failure> {
    let answer = match parameters.get("action") {
        Some("shorturl") => return shorten(state, caller, origin, parameters).await,
        Some("expand") => expand(origin, &find(state, caller, parameters).await?),
        Some("url-stats") => {
            let link = find(state, caller, parameters).await?;
            success(Fields::default().with_fields("link", fields_of(origin, &link)))
        }
        Some("stats") => list(state, caller, origin, parameters).await?,
        Some("db-stats") => success(Fields::default().with_fields("db-stats", totals(state, caller).await?)),
        Some("version") => {
            let answer = success(Fields::default().with("version", VERSION));
            Answer { simple: Some(VERSION.to_owned()), ..answer }
        }
        _ => {
            let known = "shorturl, expand, url-stats, stats, db-stats or version";
            return Err(bad_request(format!("Unknown or missing \"action\" parameter: it must be {known}")).into());
        }
    };
    Ok(answer)
}

fn success(fields: Fields) -> Answer {
    Answer { fields: fields.with("statusCode", 200).with("message", "success"), simple: None }
}

/// Creates a link.
async fn shorten(
    state: &AppState,
    caller: &Caller,
    origin: &ShortOrigin,
    parameters: &Parameters,
) -> Result<Answer, Failure> {
    by_code::check_creator(caller)?;
    let refuse = |code| move |message: String| Failure::with_code(bad_request(message), code);
    let target = match parameters.get("url") {
        Some(text) => state.config.own_addresses.parse_target(text).map_err(|refused| {
            let code = if matches!(refused, RefusedTarget::Own(_)) { "error:noloop" } else { "error:nourl" };
            refuse(code)(format!("The URL {refused}"))
        })?,
        None => return Err(refuse("error:nourl")("Missing or malformed URL".to_owned())),
    };
    let keyword = parameters.get("keyword").map(ShortCode::parse).transpose();
    let keyword = keyword.map_err(|invalid| refuse("error:keyword")(format!("The keyword is invalid: {invalid}")))?;
    let title = parameters.get("title").map(Title::parse).transpose();
    let title = title.map_err(|invalid| refuse("error:title")(format!("The title is invalid: {invalid}")))?;

    let request = CreateUrl { title: title.map(Some), ..CreateUrl::new(target, keyword) };
    let created = urls::create(state, caller, request, false).await;
    let (_, link) = created.map_err(|error| match error.status() {
        StatusCode::CONFLICT => {
            let message = format!("Short URL {} already exists", parameters.get("keyword").unwrap_or_default());
            refuse("error:keyword")(message)
        }
        _ => error.into(),
    })?;
    let short_url = origin.address(&link);
    let title = link.title.as_deref().unwrap_or_default();
    let url = Fields::default()
        .with("keyword", &link.short_code)
        .with("url", &link.original_url)
        .with("title", title)
        .with("date", date(link.created_at))
        .with("ip", "");
    let fields = Fields::default()
        .with_fields("url", url)
        .with("status", "success")
        .with("code", "")
        .with("message", format!("{} added to database", link.original_url))
        .with("title", title)
        .with("shorturl", &short_url)
        .with("statusCode", 200)
        .with("errorCode", "");
    Ok(Answer { fields, simple: Some(short_url) })
}

fn expand(origin: &ShortOrigin, link: &Url) -> Answer {
    let fields = Fields::default()
        .with("keyword", &link.short_code)
        .with("shorturl", origin.address(link))
        .with("longurl", &link.original_url)
        .with("title", link.title.as_deref().unwrap_or_default());
    Answer { simple: Some(link.original_url.clone()), ..success(fields) }
}

/// Finds the link that `shorturl` names: a code, or a whole short URL.
async fn find(state: &AppState, caller: &Caller, parameters: &Parameters) -> Result<Url> {
    let given = parameters.get("shorturl").ok_or_else(|| bad_request("Missing \"shorturl\" parameter"))?;
    by_code::find(state, caller, code_of(given)).await?.ok_or_else(|| not_found(NOT_FOUND))
}

/// Returns the code of a short URL, or a code as it is.
fn code_of(given: &str) -> &str {
    let path = given.split_once("://").map_or(given, |(_, rest)| rest.split_once('/').map_or("", |(_, path)| path));
    path.split(['?', '#']).next().unwrap_or_default().trim_matches('/')
}

/// Lists links, and the totals of all.
async fn list(state: &AppState, caller: &Caller, origin: &ShortOrigin, parameters: &Parameters) -> Result<Answer> {
    let (key, is_descending) = match parameters.get("filter") {
        None | Some("top") => (SortKey::Clicks, true),
        Some("bottom") => (SortKey::Clicks, false),
        Some("last") => (SortKey::CreatedAt, true),
        Some("rand" | "random") => (SortKey::Id, true),
        Some(_) => return Err(bad_request("filter must be top, bottom, last or rand")),
    };
    let limit =
        parameters.number("limit")?.map_or(10, |limit| u32::try_from(limit).unwrap_or(MOST_LINKS)).min(MOST_LINKS);
    let mut start = parameters.number("start")?.unwrap_or(0);
    if key == SortKey::Id {
        start = random_below(count(state, caller).await?.saturating_sub(limit.into()) + 1)?;
    }
    let links = rows(state, caller, UrlSort { key, is_descending }, start, limit).await?;
    let fields = links
        .iter()
        .zip(1..)
        .fold(Fields::default(), |fields, (link, n)| fields.with_fields(format!("link_{n}"), fields_of(origin, link)));
    let totals = totals(state, caller).await?;
    Ok(success(Fields::default().with_fields("links", fields).with_fields("stats", totals)))
}

/// Returns up to `limit` links from the row at `start` on. They may be on two pages.
async fn rows(state: &AppState, caller: &Caller, sort: UrlSort, start: u64, limit: u32) -> Result<Vec<Url>> {
    let mut links = Vec::new();
    if limit == 0 {
        return Ok(links);
    }
    let (pages, skipped) = (start / u64::from(limit), (start % u64::from(limit)) as usize);
    for number in [pages.saturating_add(1), pages.saturating_add(2)] {
        let page = Page { start: PageStart::Number(number), size: limit };
        let listing = state.store.list_urls(of_caller(caller), sort, page).await?;
        links.extend(listing.rows);
        if !listing.has_next || links.len() >= skipped + limit as usize {
            break;
        }
    }
    Ok(links.into_iter().skip(skipped).take(limit as usize).collect())
}

fn of_caller(caller: &Caller) -> UrlFilter {
    UrlFilter { user_id: caller.owner(), ..UrlFilter::default() }
}

async fn count(state: &AppState, caller: &Caller) -> Result<u64> {
    let listing = state.store.list_urls(of_caller(caller), UrlSort::default(), Page::first(1)).await?;
    Ok(match listing.total {
        Total::Exactly(n) => n,
        Total::Above(n) => n,
    })
}

fn random_below(end: u64) -> Result<u64> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| internal(anyhow::anyhow!("no random bytes: {error}")))?;
    Ok(u64::from_le_bytes(random) % end.max(1))
}

/// Returns the numbers of links and of their clicks by people, as the links have them.
async fn totals(state: &AppState, caller: &Caller) -> Result<Fields> {
    let scope = StatsScope::All { tag: None, owner: caller.owner() };
    let clicks = state.store.statistics(StatsQuery::of_all_time(scope)).await?.unwrap_or_default().humans;
    Ok(Fields::default().with("total_links", count(state, caller).await?).with("total_clicks", clicks))
}

fn fields_of(origin: &ShortOrigin, link: &Url) -> Fields {
    Fields::default()
        .with("shorturl", origin.address(link))
        .with("url", &link.original_url)
        .with("title", link.title.as_deref().unwrap_or_default())
        .with("timestamp", date(link.created_at))
        .with("ip", "")
        .with("clicks", link.clicks)
}

/// Returns a time as YOURLS writes it.
fn date(time: Timestamp) -> String {
    time.to_string().replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_read_from_a_short_url() {
        let check = |given: &str, expected: &str| assert_eq!(code_of(given), expected, "{given}");
        check("sale", "sale");
        check("/sale/", "sale");
        check("https://go.example/sale", "sale");
        check("http://go.example:8000/sale/?a=b#c", "sale");
        check("https://go.example", "");
        check("go.example/sale", "go.example/sale");
    }
}
