//! Urls in PostgreSQL. A change is one statement that writes the row and its event, and returns the mark.

use deadpool_postgres::ClientWrapper;
use tokio_postgres::{Error, Row};

use super::query::MARK;
use super::{audit, error, query};
use crate::event::EventType;
use crate::link_labels::{LinkLabels, Tag};
use crate::routing::{self, Rules, Split};
use crate::served_link::LinkRow;
use crate::store::author::author;
use crate::store::{Change, Placed, Result, Reused, StoreError};
use crate::url::{self, NewUrl, Title, Url, UrlChange, UrlReplacement};
use crate::{ClickLimit, Id, LinkOptions, LinkOptionsChange, TargetUrl, Timestamp};

pub(super) async fn insert(db: &ClientWrapper, url: &NewUrl) -> Result<Change<Url>> {
    // The user is selected first, so that an unknown user uses up no id.
    let sql = format!(
        "WITH url AS (
             INSERT INTO urls (user_id, short_code, original_url, title, is_active, created_at, updated_at,
                               starts_at, expires_at, expired_url, redirect_status, forward_query, max_clicks,
                               tags, notes, external_id, rules, split)
             SELECT id, $2, $3, $4, $16, $5, $5, $7, $8, $9, $10, $11, $17, $12, $13, $14, $18, $19 FROM users WHERE id = $1
             RETURNING {columns}
         ), event AS (
             INSERT INTO events (url_id, user_id, event_type, timestamp, details)
             SELECT id, user_id, $6, $5, url_details(short_code, original_url) FROM url
         )
         SELECT url.*, {MARK}, {signed} FROM url",
        columns = Url::COLUMNS,
        signed = audit::signed_by("$15")
    );
    let title = url.title.as_ref().map(Title::as_str);
    let (code, target) = (url.short_code.as_str(), url.original_url.as_given());
    let now = Timestamp::now();
    let LinkOptions { starts_at, expires_at, expired_url, redirect_status, forward_query, max_clicks, rules, split } =
        &url.options;
    let LinkLabels { tags, notes, external_id } = &url.labels;
    let tags: Vec<&str> = tags.iter().collect();
    let author = author();
    let values: query::Values<'_> = &[
        &url.user_id,
        &code,
        &target,
        &title,
        &now,
        &EventType::CREATED,
        starts_at,
        expires_at,
        expired_url,
        redirect_status,
        forward_query,
        &tags,
        &notes,
        &external_id,
        &author.as_deref(),
        &url.is_active,
        max_clicks,
        &rules.to_stored(),
        &split.to_stored(),
    ];
    match query::row(db, &sql, values).await {
        Ok(Some(row)) => read_change(&row),
        Ok(None) => Err(StoreError::UnknownUser(url.user_id)),
        // The user was deleted while the statement ran.
        Err(error) if is_reference(&error) => Err(StoreError::UnknownUser(url.user_id)),
        Err(error) => Err(error.into()),
    }
}

fn is_reference(error: &Error) -> bool {
    ["urls_user_id_fkey", "events_user_id_fkey"].iter().any(|constraint| error::violates(error, constraint))
}

pub(super) async fn find(db: &ClientWrapper, id: Id) -> Result<Option<Url>> {
    let sql = format!("SELECT {} FROM urls WHERE id = $1", Url::COLUMNS);
    Ok(query::row(db, &sql, &[&id]).await?.as_ref().map(from_row).transpose()?)
}

async fn find_active(db: &ClientWrapper, user_id: Id, target: &TargetUrl) -> Result<Option<Url>> {
    let sql = format!(
        "SELECT {} FROM urls
         WHERE user_id = $1 AND right(original_url, 64) = right($2, 64) AND original_url = $2
             AND is_active AND (starts_at IS NULL OR starts_at <= $3) AND (expires_at IS NULL OR expires_at > $3)
             AND NOT EXISTS (SELECT FROM link_limits WHERE url_id = urls.id AND is_exhausted)
         ORDER BY id LIMIT 1",
        Url::COLUMNS
    );
    let found = query::row(db, &sql, &[&user_id, &target.as_given(), &Timestamp::now()]).await?;
    Ok(found.as_ref().map(from_row).transpose()?)
}

/// Finds or inserts a url in a transaction, under a lock for its owner and target.
pub(super) async fn reuse(db: &ClientWrapper, url: &NewUrl, wanted: &UrlChange) -> Result<Reused> {
    let key = format!("tern reuse {} {}", url.user_id, url.original_url.as_given());
    query::execute(db, "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", &[&key]).await?;
    match find_active(db, url.user_id, &url.original_url).await? {
        Some(found) if wanted.is_fulfilled_by(&found) => Ok(Reused::Found(found)),
        _ => Ok(Reused::Created(insert(db, url).await?)),
    }
}

/// Replaces or inserts a url in a transaction.
pub(super) async fn put(db: &ClientWrapper, replacement: &UrlReplacement) -> Result<Placed> {
    let url = &replacement.url;
    let sql = "SELECT id FROM urls WHERE user_id = $1 AND external_id = $2 FOR NO KEY UPDATE";
    let Some(found) = query::row(db, sql, &[&url.user_id, &url.labels.external_id]).await? else {
        replacement.check_creation()?;
        return Ok(Placed::Created(insert(db, url).await?));
    };
    let replaced = update(db, found.try_get(0)?, &replacement.change()).await?;
    Ok(Placed::Replaced(replaced.ok_or_else(|| error::unexpected("empty result"))?))
}

pub(super) async fn update(db: &ClientWrapper, id: Id, change: &UrlChange) -> Result<Option<Change<Url>>> {
    if change.is_empty() {
        let sql = format!("SELECT {}, {MARK} FROM urls WHERE id = $1", Url::COLUMNS);
        let found: Option<Change<Url>> = query::row(db, &sql, &[&id]).await?.as_ref().map(read_change).transpose()?;
        return match &found {
            Some(found) => change.check_identity(&found.value),
            None => Ok(()),
        }
        .map(|()| found);
    }
    if let Some(row) = update_all(db, &[id], change).await?.first() {
        let mut changed = read_change(row)?;
        // The row does not show yet which earlier clicks the new limit counts.
        if change.options.max_clicks.flatten().is_some()
            && let Some(found) = find(db, id).await?
        {
            changed.value.clicks_left = found.clicks_left;
        }
        return Ok(Some(changed));
    }
    match find(db, id).await? {
        Some(other) => change.check_identity(&other).map(|()| None),
        None => Ok(None),
    }
}

/// Changes the urls of these ids that have the code and a revision of the change, and returns a row for each.
pub(super) async fn update_all(db: &ClientWrapper, ids: &[Id], change: &UrlChange) -> Result<Vec<Row>> {
    let sql = format!(
        "WITH url AS (
             UPDATE urls SET
                 title = CASE WHEN $2 THEN $3 ELSE title END,
                 is_active = coalesce($4, is_active),
                 original_url = coalesce($5, original_url),
                 starts_at = CASE WHEN $8 THEN $9 ELSE starts_at END,
                 expires_at = CASE WHEN $10 THEN $11 ELSE expires_at END,
                 expired_url = CASE WHEN $12 THEN $13 ELSE expired_url END,
                 redirect_status = CASE WHEN $14 THEN $15 ELSE redirect_status END,
                 forward_query = CASE WHEN $16 THEN $17 ELSE forward_query END,
                 max_clicks = CASE WHEN $29 THEN $30 ELSE max_clicks END,
                 notes = CASE WHEN $18 THEN $19 ELSE notes END,
                 external_id = CASE WHEN $20 THEN $21 ELSE external_id END,
                 tags = ARRAY(
                     SELECT tag FROM unnest(coalesce($22, tags) || $23) WITH ORDINALITY AS given (tag, n)
                     WHERE tag <> ALL ($24) GROUP BY tag ORDER BY min(n)
                 ),
                 imported_clicks = coalesce($28, imported_clicks),
                 rules = CASE WHEN $31 THEN $32 ELSE rules END,
                 split = CASE WHEN $33 THEN $34 ELSE split END,
                 updated_at = $6
             WHERE id = ANY ($1) AND ($25::bigint[] IS NULL OR revision = ANY ($25))
                 AND short_code = coalesce($27, short_code)
             RETURNING {columns}
         ), event AS (
             INSERT INTO events (url_id, user_id, event_type, timestamp, details)
             SELECT id, user_id, $7, $6, url_details(short_code, original_url) FROM url
         )
         SELECT url.*, {MARK}, {signed} FROM url",
        columns = Url::COLUMNS,
        signed = audit::signed_by("$26")
    );
    let title = change.title.as_ref().and_then(|title| title.as_ref()).map(Title::as_str);
    let target = change.original_url.as_ref().map(TargetUrl::as_given);
    let now = Timestamp::now();
    let LinkOptionsChange {
        starts_at,
        expires_at,
        expired_url,
        redirect_status,
        forward_query,
        max_clicks,
        rules,
        split,
    } = &change.options;
    let labels = &change.labels;
    let tags: Option<Vec<&str>> = labels.tags.as_ref().map(|tags| tags.iter().collect());
    let [add_tags, remove_tags] =
        [&labels.add_tags, &labels.remove_tags].map(|tags| tags.iter().map(Tag::as_str).collect::<Vec<_>>());
    let author = author();
    let values: query::Values<'_> = &[
        &ids,
        &change.title.is_some(),
        &title,
        &change.is_active,
        &target,
        &now,
        &EventType::UPDATED,
        &starts_at.is_some(),
        &starts_at.flatten(),
        &expires_at.is_some(),
        &expires_at.flatten(),
        &expired_url.is_some(),
        &expired_url.as_ref().and_then(Option::as_ref),
        &redirect_status.is_some(),
        &redirect_status.flatten(),
        &forward_query.is_some(),
        &forward_query.flatten(),
        &labels.notes.is_some(),
        &labels.notes.as_ref().and_then(Option::as_ref),
        &labels.external_id.is_some(),
        &labels.external_id.as_ref().and_then(Option::as_ref),
        &tags,
        &add_tags,
        &remove_tags,
        &change.if_revision,
        &author.as_deref(),
        &change.short_code,
        &change.imported_clicks,
        &max_clicks.is_some(),
        &max_clicks.flatten(),
        &rules.is_some(),
        &rules.as_ref().and_then(Rules::to_stored),
        &split.is_some(),
        &split.as_ref().and_then(Split::to_stored),
    ];
    Ok(query::rows(db, &sql, values).await?)
}

pub(super) async fn delete(db: &ClientWrapper, id: Id, if_revision: Option<&[i64]>) -> Result<Option<Change<()>>> {
    let sql = format!(
        "WITH gone AS (
             DELETE FROM urls WHERE id = $1 AND ($3::bigint[] IS NULL OR revision = ANY ($3)) RETURNING id
         )
         SELECT {MARK}, {signed} FROM gone",
        signed = audit::signed_by("$2")
    );
    match query::row(db, &sql, &[&id, &author().as_deref(), &if_revision]).await? {
        Some(row) => Ok(Some(Change { value: (), mark: query::mark(&row)? })),
        None => check_revision(db, id, if_revision).await.map(|()| None),
    }
}

/// Refuses a url that exists and has none of the given revisions.
pub(super) async fn check_revision(db: &ClientWrapper, id: Id, accepted: Option<&[i64]>) -> Result<()> {
    if accepted.is_none() {
        return Ok(());
    }
    match query::row(db, "SELECT revision FROM urls WHERE id = $1", &[&id]).await? {
        Some(row) => url::check_revision(accepted, row.try_get(0)?),
        None => Ok(()),
    }
}

fn read_change(row: &Row) -> Result<Change<Url>> {
    Ok(Change { value: from_row(row)?, mark: query::mark(row)? })
}

/// Reads a row with [`Url::COLUMNS`].
pub(super) fn from_row(row: &Row) -> Result<Url, Error> {
    let max_clicks: Option<ClickLimit> = row.try_get("max_clicks")?;
    let taken: Option<i64> = row.try_get("taken_clicks")?;
    Ok(Url {
        id: row.try_get("id")?,
        user_id: row.try_get("user_id")?,
        short_code: row.try_get("short_code")?,
        original_url: row.try_get("original_url")?,
        title: row.try_get("title")?,
        is_active: row.try_get("is_active")?,
        starts_at: row.try_get("starts_at")?,
        expires_at: row.try_get("expires_at")?,
        expired_url: row.try_get("expired_url")?,
        redirect_status: row.try_get("redirect_status")?,
        forward_query: row.try_get("forward_query")?,
        max_clicks,
        clicks_left: max_clicks.map(|limit| limit.left(taken.unwrap_or(0))),
        rules: routing::of_row(row.try_get("rules")?),
        split: routing::of_row(row.try_get("split")?),
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
        tags: row.try_get("tags")?,
        notes: row.try_get("notes")?,
        external_id: row.try_get("external_id")?,
        revision: row.try_get("revision")?,
        clicks: row.try_get("clicks")?,
        last_clicked_at: row.try_get("last_clicked_at")?,
        imported_clicks: row.try_get("imported_clicks")?,
    })
}

/// Reads a row of the view `served_links`.
pub(super) fn link_row(row: &Row) -> Result<LinkRow, Error> {
    Ok(LinkRow {
        short_code: row.try_get("short_code")?,
        url_id: row.try_get("url_id")?,
        owner_id: row.try_get("owner_id")?,
        original_url: row.try_get("original_url")?,
        is_active: row.try_get("is_active")?,
        starts_at: row.try_get("starts_at")?,
        expires_at: row.try_get("expires_at")?,
        expired_url: row.try_get("expired_url")?,
        redirect_status: row.try_get("redirect_status")?,
        forward_query: row.try_get("forward_query")?,
        max_clicks: row.try_get("max_clicks")?,
        is_exhausted: row.try_get("is_exhausted")?,
        rules: row.try_get("rules")?,
        split: row.try_get("split")?,
    })
}
