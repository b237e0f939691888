//! Urls in SQLite.

use rusqlite::{Connection, OptionalExtension, Row, Transaction};

use super::{error, events, position};
use crate::event::{Details, EventType};
use crate::link_labels::{ExternalId, Notes, Tags};
use crate::routing::{self, Rules, Split};
use crate::served_link::LinkRow;
use crate::store::{Change, Placed, Result, Reused, StoreError};
use crate::url::{self, NewUrl, Title, Url, UrlChange, UrlReplacement};
use crate::{ClickLimit, Id, LinkOptions, LinkOptionsChange, TargetUrl, Timestamp};

pub(super) fn insert(db: &Transaction<'_>, url: &NewUrl) -> Result<Change<Url>> {
    let sql = format!(
        "INSERT INTO urls (user_id, short_code, original_url, title, is_active, created_at, updated_at,
                           starts_at, expires_at, expired_url, redirect_status, forward_query, max_clicks,
                           tags, notes, external_id, rules, split)
         VALUES (?1, ?2, ?3, ?4, ?14, ?5, ?5, ?6, ?7, ?8, ?9, ?10, ?15, ?11, ?12, ?13, ?16, ?17) RETURNING {}",
        Url::COLUMNS
    );
    let title = url.title.as_ref().map(Title::as_str);
    let (code, target) = (url.short_code.as_str(), url.original_url.as_given());
    let tags = json_of(&url.labels.tags.iter().collect::<Vec<_>>());
    let notes = url.labels.notes.as_ref().map(Notes::as_str);
    let external_id = url.labels.external_id.as_ref().map(ExternalId::as_str);
    let LinkOptions { starts_at, expires_at, expired_url, redirect_status, forward_query, max_clicks, rules, split } =
        &url.options;
    let now = Timestamp::now();
    let values = rusqlite::params![
        url.user_id,
        code,
        target,
        title,
        now,
        starts_at,
        expires_at,
        expired_url,
        redirect_status,
        forward_query,
        tags,
        notes,
        external_id,
        url.is_active,
        max_clicks,
        rules.to_stored(),
        split.to_stored()
    ];
    let inserted = db.prepare_cached(&sql)?.query_row(values, from_row).map_err(|error| {
        if error::is_foreign_key(&error) { StoreError::UnknownUser(url.user_id) } else { error.into() }
    })?;
    record(db, &inserted, EventType::CREATED)?;
    Ok(Change { value: inserted, mark: position::mark(db)? })
}

pub(super) fn find(db: &Connection, id: Id) -> Result<Option<Url>> {
    let sql = format!("SELECT {} FROM urls WHERE id = ?1", Url::COLUMNS);
    Ok(db.prepare_cached(&sql)?.query_row([id], from_row).optional()?)
}

fn find_active(db: &Connection, user_id: Id, target: &TargetUrl) -> Result<Option<Url>> {
    let sql = format!(
        "SELECT {} FROM urls INDEXED BY urls_user_id_target
         WHERE user_id = ?1 AND substr(original_url, -64) = substr(?2, -64) AND original_url = ?2
             AND is_active AND (starts_at IS NULL OR starts_at <= ?3) AND (expires_at IS NULL OR expires_at > ?3)
             AND NOT EXISTS (SELECT 1 FROM link_limits WHERE url_id = urls.id AND is_exhausted)
         ORDER BY id LIMIT 1",
        Url::COLUMNS
    );
    let values = (user_id, target.as_given(), Timestamp::now());
    Ok(db.prepare_cached(&sql)?.query_row(values, from_row).optional()?)
}

pub(super) fn reuse(db: &Transaction<'_>, url: &NewUrl, wanted: &UrlChange) -> Result<Reused> {
    match find_active(db, url.user_id, &url.original_url)? {
        Some(found) if wanted.is_fulfilled_by(&found) => Ok(Reused::Found(found)),
        _ => insert(db, url).map(Reused::Created),
    }
}

pub(super) fn put(db: &Transaction<'_>, replacement: &UrlReplacement) -> Result<Placed> {
    let sql = "SELECT id FROM urls WHERE user_id = ?1 AND external_id = ?2";
    let external_id = replacement.url.labels.external_id.as_ref().map(ExternalId::as_str);
    let found: Option<Id> =
        db.prepare_cached(sql)?.query_row((replacement.url.user_id, external_id), |row| row.get(0)).optional()?;
    if let Some(id) = found
        && let Some(replaced) = update(db, id, &replacement.change())?
    {
        return Ok(Placed::Replaced(replaced));
    }
    replacement.check_creation()?;
    insert(db, &replacement.url).map(Placed::Created)
}

pub(super) fn update(db: &Transaction<'_>, id: Id, change: &UrlChange) -> Result<Option<Change<Url>>> {
    let Some(before) = find(db, id)? else { return Ok(None) };
    change.check_identity(&before)?;
    if change.is_empty() {
        return Ok(Some(Change { value: before, mark: position::mark(db)? }));
    }
    let sql = format!(
        "UPDATE urls SET title = ?2, is_active = ?3, original_url = ?4, updated_at = ?5, starts_at = ?6,
             expires_at = ?7, expired_url = ?8, redirect_status = ?9, forward_query = ?10,
             tags = ?11, notes = ?12, external_id = ?13, imported_clicks = coalesce(?14, imported_clicks),
             max_clicks = ?15, rules = iif(?16, ?17, rules), split = iif(?18, ?19, split), revision = revision + 1
         WHERE id = ?1 RETURNING {}",
        Url::COLUMNS
    );
    let title = match &change.title {
        Some(title) => title.as_ref().map(Title::as_str),
        None => before.title.as_deref(),
    };
    let is_active = change.is_active.unwrap_or(before.is_active);
    let original_url = change.original_url.as_ref().map_or(before.original_url.as_str(), TargetUrl::as_given);
    let tags = change.labels.apply_to_tags(&before.tags);
    if tags.len() > Tags::MAX {
        return Err(StoreError::TooManyTags);
    }
    let notes = match &change.labels.notes {
        Some(notes) => notes.as_ref().map(Notes::as_str),
        None => before.notes.as_deref(),
    };
    let external_id = match &change.labels.external_id {
        Some(external_id) => external_id.as_ref().map(ExternalId::as_str),
        None => before.external_id.as_deref(),
    };
    let starts_at = change.options.starts_at.unwrap_or(before.starts_at);
    let expires_at = change.options.expires_at.unwrap_or(before.expires_at);
    let expired_url = match &change.options.expired_url {
        Some(target) => target.as_ref().map(TargetUrl::as_given),
        None => before.expired_url.as_deref(),
    };
    let status = change.options.redirect_status.unwrap_or(before.redirect_status);
    let forward_query = change.options.forward_query.unwrap_or(before.forward_query);
    let max_clicks = change.options.max_clicks.unwrap_or(before.max_clicks);
    let LinkOptionsChange { rules, split, .. } = &change.options;
    let now = Timestamp::now();
    let tags = json_of(&tags);
    let values = rusqlite::params![
        id,
        title,
        is_active,
        original_url,
        now,
        starts_at,
        expires_at,
        expired_url,
        status,
        forward_query,
        tags,
        notes,
        external_id,
        change.imported_clicks,
        max_clicks,
        rules.is_some(),
        rules.as_ref().and_then(Rules::to_stored),
        split.is_some(),
        split.as_ref().and_then(Split::to_stored)
    ];
    let mut updated = db.prepare_cached(&sql)?.query_row(values, from_row)?;
    // The row does not show yet which earlier clicks a new limit counts.
    if change.options.max_clicks.flatten().is_some()
        && let Some(found) = find(db, id)?
    {
        updated.clicks_left = found.clicks_left;
    }
    record(db, &updated, EventType::UPDATED)?;
    Ok(Some(Change { value: updated, mark: position::mark(db)? }))
}

pub(super) fn delete(db: &Transaction<'_>, id: Id, if_revision: Option<&[i64]>) -> Result<Option<Change<()>>> {
    check_revision(db, id, if_revision)?;
    let deleted = db.prepare_cached("DELETE FROM urls WHERE id = ?1")?.execute([id])?;
    Ok(if deleted == 0 { None } else { Some(Change { value: (), mark: position::mark(db)? }) })
}

/// Refuses a url that exists and has none of the given revisions.
pub(super) fn check_revision(db: &Connection, id: Id, accepted: Option<&[i64]>) -> Result<()> {
    if accepted.is_none() {
        return Ok(());
    }
    let sql = "SELECT revision FROM urls WHERE id = ?1";
    let revision: Option<i64> = db.prepare_cached(sql)?.query_row([id], |row| row.get(0)).optional()?;
    revision.map_or(Ok(()), |revision| url::check_revision(accepted, revision))
}

fn record(db: &Transaction<'_>, url: &Url, event_type: &str) -> Result<()> {
    let details = Details::of_url(&url.short_code, &url.original_url);
    events::append(db, url.id, url.user_id, event_type, Timestamp::now(), &details)?;
    Ok(())
}

/// Reads a row with [`Url::COLUMNS`].
pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<Url> {
    let max_clicks: Option<ClickLimit> = row.get("max_clicks")?;
    let taken: Option<i64> = row.get("taken_clicks")?;
    Ok(Url {
        id: row.get("id")?,
        user_id: row.get("user_id")?,
        short_code: row.get("short_code")?,
        original_url: row.get("original_url")?,
        title: row.get("title")?,
        is_active: row.get("is_active")?,
        starts_at: row.get("starts_at")?,
        expires_at: row.get("expires_at")?,
        expired_url: row.get("expired_url")?,
        redirect_status: row.get("redirect_status")?,
        forward_query: row.get("forward_query")?,
        max_clicks,
        clicks_left: max_clicks.map(|limit| limit.left(taken.unwrap_or(0))),
        rules: routing::of_row(row.get_ref("rules")?.as_str_or_null().unwrap_or_default()),
        split: routing::of_row(row.get_ref("split")?.as_str_or_null().unwrap_or_default()),
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
        tags: tags_of(row)?,
        notes: row.get("notes")?,
        external_id: row.get("external_id")?,
        revision: row.get("revision")?,
        clicks: row.get("clicks")?,
        last_clicked_at: row.get("last_clicked_at")?,
        imported_clicks: row.get("imported_clicks")?,
    })
}

/// Returns tags as the column `tags` stores them.
pub(super) fn json_of(tags: &[&str]) -> String {
    serde_json::to_string(tags).expect("texts can be serialised")
}

/// Reads the column `tags`. An array with other values than texts, from another program, is read as no tags.
fn tags_of(row: &Row<'_>) -> rusqlite::Result<Vec<String>> {
    Ok(serde_json::from_str(row.get_ref("tags")?.as_str().unwrap_or_default()).unwrap_or_default())
}

/// Reads a row of the view `served_links`.
pub(super) fn link_row(row: &Row<'_>) -> rusqlite::Result<LinkRow> {
    Ok(LinkRow {
        short_code: text(row, "short_code")?,
        url_id: row.get("url_id")?,
        owner_id: row.get("owner_id")?,
        original_url: text(row, "original_url")?,
        is_active: row.get("is_active")?,
        starts_at: row.get("starts_at")?,
        expires_at: row.get("expires_at")?,
        expired_url: optional_text(row, "expired_url")?,
        redirect_status: row.get("redirect_status")?,
        forward_query: row.get("forward_query")?,
        max_clicks: row.get("max_clicks")?,
        is_exhausted: row.get("is_exhausted")?,
        rules: optional_text(row, "rules")?,
        split: optional_text(row, "split")?,
    })
}

/// Reads a text of a served link. A text that is not UTF-8 becomes empty, so that only its own link is refused.
pub(super) fn text(row: &Row<'_>, column: &str) -> rusqlite::Result<String> {
    Ok(optional_text(row, column)?.unwrap_or_default())
}

fn optional_text(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<String>> {
    Ok(row.get_ref(column)?.as_str_or_null().unwrap_or(Some("")).map(str::to_owned))
}
