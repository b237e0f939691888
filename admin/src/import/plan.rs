//! The decisions that hold for a whole import: owner, tag, conflicts.

use clap::ValueEnum;
use serde::Deserialize;
use tern_common::link_labels::Tag;
use tern_common::store::{AdminStore, Page, StoreError};
use tern_common::url::UrlFilter;
use tern_common::{Id, OwnAddresses, Timestamp};
use tern_import::Source;
use utoipa::ToSchema;

/// The most imports of one source on one day.
const MOST_TAGS: u32 = 100_000;

/// The treatment of a row whose code a link has already
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnConflict {
    /// Leave the link as it is, and skip the row.
    #[default]
    Skip,
    /// Create the row's link under a new code. A code that Tern refuses gets a new one, too.
    Rename,
    /// Give the link the values of the row, if it belongs to the same user.
    Overwrite,
    /// Import nothing at all, unless every code is free.
    Fail,
}

/// The decisions for all rows of an import.
#[derive(Clone, Debug)]
pub struct Plan {
    pub source: Source,
    pub owner: Id,
    /// The tag of each link that the import writes.
    pub tag: Tag,
    pub on_conflict: OnConflict,
    /// Whether nothing is written.
    pub is_dry_run: bool,
    /// The addresses to which no link may lead.
    pub own_addresses: OwnAddresses,
    pub short_code_length: usize,
}

/// The reason why the owner of imported links is not known.
#[derive(Debug, thiserror::Error)]
pub enum UnknownOwner {
    #[error("there is no user yet, and each link belongs to one: create a user first")]
    NoUser,
    #[error("there are several users: name the owner of the links")]
    SeveralUsers,
    #[error("user {0} does not exist")]
    Missing(Id),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Returns the owner of imported links: the given one, or the only user there is.
///
/// # Errors
/// When the given user does not exist, or none is given and there are several or none.
pub async fn find_owner(store: &dyn AdminStore, given: Option<Id>) -> Result<Id, UnknownOwner> {
    if let Some(id) = given {
        return store.find_user(id).await?.map(|user| user.id).ok_or(UnknownOwner::Missing(id));
    }
    let users = store.list_users(Page::first(2)).await?.rows;
    match users.as_slice() {
        [] => Err(UnknownOwner::NoUser),
        [user] => Ok(user.id),
        _ => Err(UnknownOwner::SeveralUsers),
    }
}

/// Returns the first tag for an import of today that no link has, such as `import:bitly-2026-11-28-2`.
///
/// # Errors
/// When the store cannot be read, or all tags of this day exist.
pub async fn find_tag(store: &dyn AdminStore, source: Source) -> Result<Tag, StoreError> {
    let today = Timestamp::now().to_string();
    let base = format!("{}{}", tags_of(source), today.split('T').next().unwrap_or_default());
    for number in 1..MOST_TAGS {
        let text = if number == 1 { base.clone() } else { format!("{base}-{number}") };
        let tag = Tag::parse(&text).map_err(|error| StoreError::Internal(error.into()))?;
        let filter = UrlFilter { tag: vec![tag.clone()], ..UrlFilter::default() };
        if store.walk_urls(filter, 0, 1).await?.is_empty() {
            return Ok(tag);
        }
    }
    Err(StoreError::Internal(anyhow::anyhow!("{MOST_TAGS} imports of {source} were made today")))
}

/// Returns the beginning of the tags of all imports from a source.
pub(super) fn tags_of(source: Source) -> String {
    format!("{ALL_TAGS}{source}-")
}

/// The beginning of the tags of all imports.
pub(super) const ALL_TAGS: &str = "import:";
