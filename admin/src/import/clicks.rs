//! Clicks from the log of another service, which become events of the links that were imported.

use std::collections::HashMap;

use serde::Serialize;
use tern_common::event::{Details, EventRow, EventType};
use tern_common::store::{
    AdminStore, ImportedClick as ClickRow, Load, LoadError, LoadOutcome, NumberedRow, StoreError,
};
use tern_common::url::Url;
use tern_common::{ShortCode, Timestamp};
use tern_import::ImportedClick;

use super::batch::load_batch;
use super::plan::{Plan, tags_of};
use super::seen::SeenCodes;

/// The most links with new codes whose clicks are found. Clicks of further ones belong to no link.
const MAX_RENAMED: usize = 500_000;

/// The longest text of a click that is stored, in bytes.
const MAX_TEXT_LEN: usize = 2048;

/// The new codes of links that were imported under another code.
#[derive(Debug, Default)]
pub(super) struct LinksOfClicks(HashMap<Box<str>, Box<str>>);

/// The numbers of clicks by their outcome.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AddedClicks {
    /// Clicks that are events now and were none before.
    pub(super) events: u64,
    /// Clicks of imported links.
    pub(super) of_links: u64,
}

/// The details of the event of a click.
#[derive(Serialize)]
struct ClickDetails<'a> {
    imported: bool,
    short_code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    referrer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<&'a str>,
    /// Tells clicks of the same second apart.
    row: u64,
}

impl LinksOfClicks {
    /// Notes the code of the link of a row, if it is not the row's own.
    pub(super) fn note(&mut self, own: &str, code: Option<&str>) {
        if let Some(code) = code.filter(|code| *code != own && !own.is_empty())
            && self.0.len() < MAX_RENAMED
        {
            self.0.insert(own.into(), code.into());
        }
    }

    fn code_of<'a>(&'a self, click: &'a ImportedClick) -> &'a str {
        self.0.get(click.short_code.as_str()).map_or(click.short_code.as_str(), |code| code)
    }
}

/// Stores the clicks of one batch in one transaction. Their links have as many imported clicks less.
pub(super) async fn add_clicks(
    store: &dyn AdminStore,
    plan: &Plan,
    links: &LinksOfClicks,
    seen: Option<&SeenCodes>,
    clicks: Vec<ImportedClick>,
) -> Result<AddedClicks, LoadError> {
    let mut codes: Vec<ShortCode> =
        clicks.iter().filter_map(|click| ShortCode::parse(links.code_of(click)).ok()).collect();
    codes.sort_unstable();
    codes.dedup();
    let tags = tags_of(plan.source);
    let found = store.find_urls_by_codes(codes).await?.into_iter();
    // A link that was there before the import has clicks of its own.
    let found: HashMap<String, Url> = found
        .filter(|url| url.user_id == plan.owner && url.tags.iter().any(|tag| tag.starts_with(&tags)))
        .map(|url| (url.short_code.clone(), url))
        .collect();
    let mut rows = Vec::with_capacity(clicks.len());
    let mut added = AddedClicks::default();
    for click in &clicks {
        let code = links.code_of(click);
        let at = Timestamp::from_unix_seconds(click.at);
        if let Some(url) = found.get(code).filter(|_| at.can_be_written()) {
            rows.push(NumberedRow { line: rows.len() as u64, row: ClickRow(event_of(click, at, url)?) });
            added.of_links += 1;
        } else if plan.is_dry_run && seen.is_some_and(|seen| seen.has(code)) {
            added.of_links += 1;
        }
    }
    if plan.is_dry_run {
        added.events = added.of_links;
    } else if !rows.is_empty() {
        let (loaded, _) = load_batch(store, Load::ImportedClicks, rows).await?;
        added.events = match loaded {
            LoadOutcome::Inserted(events) | LoadOutcome::Partly { inserted: events, .. } => events,
            LoadOutcome::AlreadyThere(_) => 0,
        };
    }
    Ok(added)
}

fn event_of(click: &ImportedClick, at: Timestamp, url: &Url) -> Result<EventRow, StoreError> {
    let bounded = |text: &'_ Option<String>| {
        text.as_deref().map(|text| text[..text.floor_char_boundary(MAX_TEXT_LEN)].to_owned())
    };
    let (referrer, user_agent) = (bounded(&click.referrer), bounded(&click.user_agent));
    let details = serde_json::to_string(&ClickDetails {
        imported: true,
        short_code: &click.short_code,
        referrer: referrer.as_deref(),
        user_agent: user_agent.as_deref(),
        country: click.country.as_deref(),
        row: click.row,
    });
    let internal = |error: anyhow::Error| StoreError::Internal(error);
    Ok(EventRow {
        id: None,
        url_id: url.id,
        user_id: url.user_id,
        event_type: EventType::parse(EventType::CLICKED).map_err(|error| internal(error.into()))?,
        timestamp: Some(at),
        details: Details::parse(&details.map_err(|error| internal(error.into()))?)
            .map_err(|error| internal(error.into()))?,
    })
}
