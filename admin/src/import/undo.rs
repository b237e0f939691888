//! The way back: removes what an import made, found by its tag.
//!
//! A link that the import created is deleted. A link that it overwrote gets the values back that its audit entry has.
//! Each part is one transaction, and an undo that was killed is continued by a second one.

use serde::{Deserialize, Serialize};
use tern_common::audit::{AuditEntry, AuditFilter};
use tern_common::link_labels::{ExternalId, LinkLabelsChange, Notes, Tag, Tags};
use tern_common::routing::{Rules, Split};
use tern_common::store::{AdminStore, ListCursor, Page, PageStart, StoreError, UrlSelection};
use tern_common::url::{Title, Url, UrlChange, UrlFilter};
use tern_common::{ClickLimit, Id, LinkOptions, RedirectStatus, TargetUrl, Timestamp};
use utoipa::ToSchema;

use super::plan::ALL_TAGS;

/// The links of one part.
const LINKS_AT_ONCE: u32 = 500;

/// The number of links that an undo changed
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Undone {
    /// Links that the import had created, and that are deleted now.
    #[schema(example = 398)]
    pub deleted: u64,
    /// Links that the import had overwritten, and that have their earlier values again.
    #[schema(example = 2)]
    pub restored: u64,
    /// Links that remain as they are, each with the reason.
    pub kept: Vec<KeptLink>,
}

/// A link that an undo left as it is
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct KeptLink {
    #[schema(example = "summer")]
    pub short_code: String,
    #[schema(example = "its audit entries are gone, so its earlier values are not known")]
    pub reason: String,
}

/// The reason why nothing was undone, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    #[error("{0:?} is no tag of an import, such as import:bitly-2026-11-28")]
    NoImport(String),
    #[error("no link has the tag {0}")]
    Unknown(String),
    #[error("{found} links have the tag and not {expected}, so nothing was undone")]
    OtherCount { expected: u64, found: u64 },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The values that a link had before, as its audit entry has them.
#[derive(Deserialize)]
struct Before {
    original_url: TargetUrl,
    title: Option<Title>,
    is_active: bool,
    starts_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    expired_url: Option<TargetUrl>,
    redirect_status: Option<RedirectStatus>,
    forward_query: Option<bool>,
    max_clicks: Option<ClickLimit>,
    #[serde(default)]
    rules: Rules,
    #[serde(default)]
    split: Split,
    tags: Vec<String>,
    notes: Option<Notes>,
    external_id: Option<ExternalId>,
    imported_clicks: i64,
}

/// The tags of a link in an audit entry.
#[derive(Deserialize)]
struct TagsOnly {
    tags: Vec<String>,
}

/// The treatment of a link.
enum Way {
    Delete,
    Restore(Box<UrlChange>),
    Keep(&'static str),
}

/// Undoes the import with this tag, for the links of one owner if there is one.
///
/// # Errors
/// When the tag is none of an import, no link has it, or another number of links than `expect` has it.
pub async fn undo(
    store: &dyn AdminStore,
    tag: &str,
    expect: Option<u64>,
    owner: Option<Id>,
) -> Result<Undone, UndoError> {
    let parsed = Tag::parse(tag).ok().filter(|tag| tag.as_str().starts_with(ALL_TAGS));
    let tag = parsed.ok_or_else(|| UndoError::NoImport(tag.to_owned()))?;
    let filter = UrlFilter { tag: vec![tag.clone()], user_id: owner, ..UrlFilter::default() };
    let found = count(store, &filter).await?;
    match expect {
        Some(expected) if expected != found => return Err(UndoError::OtherCount { expected, found }),
        _ if found == 0 => return Err(UndoError::Unknown(tag.as_str().to_owned())),
        _ => {}
    }
    let (mut undone, mut after) = (Undone::default(), 0);
    loop {
        let part = store.walk_urls(filter.clone(), after, LINKS_AT_ONCE).await?;
        let Some(last) = part.last() else { return Ok(undone) };
        after = last.id.get();
        undo_part(store, &tag, part, &mut undone).await?;
    }
}

/// Counts the links of a filter.
async fn count(store: &dyn AdminStore, filter: &UrlFilter) -> Result<u64, StoreError> {
    let (mut links, mut after) = (0, 0);
    loop {
        let part = store.walk_urls(filter.clone(), after, LINKS_AT_ONCE).await?;
        links += part.len() as u64;
        match part.last() {
            Some(last) => after = last.id.get(),
            None => return Ok(links),
        }
    }
}

async fn undo_part(store: &dyn AdminStore, tag: &Tag, part: Vec<Url>, undone: &mut Undone) -> Result<(), StoreError> {
    let (mut deleted, mut restored) = (Vec::new(), Vec::new());
    for url in part {
        match way_back(store, tag, &url).await? {
            Way::Delete => deleted.push(url.id),
            Way::Restore(change) => restored.push((url, *change)),
            Way::Keep(reason) => {
                undone.kept.push(KeptLink { short_code: url.short_code, reason: reason.to_owned() });
            }
        }
    }
    let (codes, changes): (Vec<String>, Vec<(Id, UrlChange)>) =
        restored.into_iter().map(|(url, change)| (url.short_code, (url.id, change))).unzip();
    if !changes.is_empty() {
        for (short_code, result) in codes.into_iter().zip(store.change_urls(changes).await?.value) {
            match result {
                Ok(_) => undone.restored += 1,
                Err(error) => undone.kept.push(KeptLink { short_code, reason: error.to_string() }),
            }
        }
    }
    undone.deleted += delete(store, deleted).await?;
    Ok(())
}

/// Deletes links at once, or one by one if they have many events or another client deleted one.
async fn delete(store: &dyn AdminStore, ids: Vec<Id>) -> Result<u64, StoreError> {
    if ids.is_empty() {
        return Ok(0);
    }
    match store.delete_urls(UrlSelection::Ids { ids: ids.clone(), owner: None }).await {
        Err(StoreError::TooManyEvents | StoreError::UnknownUrl(_)) => {}
        deleted => return Ok(deleted?.value),
    }
    let mut deleted = 0;
    for id in ids {
        deleted += u64::from(store.delete_url(id, None).await?.is_some());
    }
    Ok(deleted)
}

/// Finds out what the import did with a link.
async fn way_back(store: &dyn AdminStore, tag: &Tag, url: &Url) -> Result<Way, StoreError> {
    // No change was made since the import created it, and a creation by an import has no audit entry.
    if url.revision == 1 {
        return Ok(Way::Delete);
    }
    let filter = AuditFilter { url_id: Some(url.id), ..AuditFilter::default() };
    let mut page = Page::first(Page::MAX_SIZE);
    let mut is_first = true;
    loop {
        let entries = store.list_audit(filter.clone(), page).await?.rows;
        let Some(last) = entries.last() else {
            return Ok(if is_first { Way::Keep(GONE) } else { Way::Delete });
        };
        let next = PageStart::After(ListCursor::at(last.id));
        for entry in entries {
            if let Some(way) = way_of(&entry, tag, std::mem::take(&mut is_first)) {
                return Ok(way);
            }
        }
        page.start = next;
    }
}

const GONE: &str = "its audit entries are gone, so it is not known which values it had before";

/// Returns the way back, if the entry of a change shows it. Entries are given in their order.
fn way_of(entry: &AuditEntry, tag: &Tag, is_first: bool) -> Option<Way> {
    let has_tag = |link: &Option<_>| {
        let details: &tern_common::event::Details = link.as_ref()?;
        let link: TagsOnly = serde_json::from_str(details.as_str()).ok()?;
        Some(link.tags.iter().any(|own| own == tag.as_str()))
    };
    match (has_tag(&entry.before), has_tag(&entry.after)) {
        (Some(false), Some(true)) => {
            Some(match entry.before.as_ref().and_then(|link| change_back(link.as_str(), tag)) {
                Some(change) => Way::Restore(Box::new(change)),
                None => Way::Keep("its earlier values cannot be read"),
            })
        }
        // The oldest entry knows a link that had the tag already: the import created it, or older entries are gone.
        (Some(true), _) if is_first && is_whole(entry) => Some(Way::Delete),
        (Some(true), _) if is_first => Some(Way::Keep(GONE)),
        _ => None,
    }
}

/// Returns whether the entry has the first change of its link.
fn is_whole(entry: &AuditEntry) -> bool {
    #[derive(Deserialize)]
    struct Revision {
        revision: i64,
    }
    let before = entry.before.as_ref().and_then(|link| serde_json::from_str(link.as_str()).ok());
    before.is_some_and(|Revision { revision }| revision == 1)
}

fn change_back(link: &str, tag: &Tag) -> Option<UrlChange> {
    let before: Before = serde_json::from_str(link).ok()?;
    let tags = before.tags.iter().filter(|text| *text != tag.as_str()).filter_map(|text| Tag::parse(text).ok());
    let options = LinkOptions {
        starts_at: before.starts_at,
        expires_at: before.expires_at,
        expired_url: before.expired_url,
        redirect_status: before.redirect_status,
        forward_query: before.forward_query,
        max_clicks: before.max_clicks,
        rules: before.rules,
        split: before.split,
    };
    Some(UrlChange {
        title: Some(before.title),
        is_active: Some(before.is_active),
        original_url: Some(before.original_url),
        options: options.into(),
        labels: LinkLabelsChange {
            tags: Some(Tags::new(tags).ok()?),
            notes: Some(before.notes),
            external_id: Some(before.external_id),
            ..LinkLabelsChange::default()
        },
        imported_clicks: Some(before.imported_clicks),
        ..UrlChange::default()
    })
}
