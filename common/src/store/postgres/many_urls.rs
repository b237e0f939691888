//! Many urls in PostgreSQL: a few statements within one transaction.

use std::collections::{HashMap, HashSet};

use deadpool_postgres::ClientWrapper;
use serde_json::json;

use super::urls::{from_row, update_all};
use super::{audit, error, query, url_lists, urls};
use crate::event::EventType;
use crate::link_labels::{ExternalId, Notes};
use crate::store::author::author;
use crate::store::{Change, Commit, Page, Result, StoreError, Total, UrlSelection};
use crate::url::{NewUrl, Title, Url, UrlChange, UrlFilter, UrlSort};
use crate::{Id, ShortCode, TargetUrl, Timestamp};

/// The columns of new urls as [`to_json`] writes them, with `n` as their order.
const ITEMS: &str = "json_to_recordset($1::text::json) AS item (
    n int, user_id bigint, short_code text, original_url text, title text, is_active boolean,
    starts_at bigint, expires_at bigint, expired_url text, redirect_status smallint, forward_query boolean,
    max_clicks bigint, rules text, split text, tags text[], notes text, external_id text
)";

pub(super) async fn insert(db: &ClientWrapper, new: &[NewUrl], commit: Commit) -> Result<Change<Vec<Result<Url>>>> {
    sign(db).await?;
    // The lock prevents the deletion of an owner meanwhile, which would fail the whole statement.
    let users = "SELECT id FROM users WHERE id = ANY ($1) ORDER BY id FOR KEY SHARE";
    let owners: HashSet<Id> = new.iter().map(|url| url.user_id).collect();
    let owners: Vec<Id> = owners.into_iter().collect();
    let owners = query::rows(db, users, &[&owners]).await?;
    let owners: HashSet<Id> = owners.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    let known = |url: &NewUrl| owners.contains(&url.user_id);
    db.batch_execute("SAVEPOINT no_url").await?;
    let mut inserted = insert_rows(db, new.iter().filter(|url| known(url))).await?;
    // Of items with the same unique values, the first one was inserted.
    let mut outcomes: Vec<Option<Result<Url>>> = new
        .iter()
        .map(|url| {
            if known(url) {
                inserted.remove(&key(url)).map(Ok)
            } else {
                Some(Err(StoreError::UnknownUser(url.user_id)))
            }
        })
        .collect();
    let refused: Vec<usize> = (0..new.len()).filter(|n| outcomes[*n].is_none()).collect();
    let positions: HashMap<Id, usize> =
        outcomes.iter().enumerate().filter_map(|(n, outcome)| Some((outcome.as_ref()?.as_ref().ok()?.id, n))).collect();
    for (n, reason) in reasons(db, new, refused, &positions).await? {
        outcomes[n] = Some(Err(reason));
    }
    let outcomes: Vec<Result<Url>> = outcomes.into_iter().flatten().collect();
    if commit.undoes(&outcomes) {
        db.batch_execute("ROLLBACK TO SAVEPOINT no_url").await?;
    }
    Ok(Change { value: outcomes, mark: query::current_mark(db).await? })
}

/// The values by which a row is recognised: its code, its owner and its external id.
type Key = (String, Id, Option<String>);

fn key(url: &NewUrl) -> Key {
    let external_id = url.labels.external_id.as_ref().map(|id| id.as_str().to_owned());
    (url.short_code.as_str().to_owned(), url.user_id, external_id)
}

/// Inserts the urls that no other row excludes.
async fn insert_rows(db: &ClientWrapper, new: impl Iterator<Item = &NewUrl>) -> Result<HashMap<Key, Url>> {
    let sql = format!(
        "WITH url AS (
             INSERT INTO urls (user_id, short_code, original_url, title, is_active, created_at, updated_at,
                               starts_at, expires_at, expired_url, redirect_status, forward_query, max_clicks,
                               rules, split, tags, notes, external_id)
             SELECT user_id, short_code, original_url, title, is_active, $2, $2,
                    to_timestamp(starts_at), to_timestamp(expires_at), expired_url, redirect_status, forward_query,
                    max_clicks,
                    rules, split, tags, notes, external_id
             FROM {ITEMS} ORDER BY n
             ON CONFLICT DO NOTHING
             RETURNING {columns}
         ), event AS (
             INSERT INTO events (url_id, user_id, event_type, timestamp, details)
             SELECT id, user_id, $3, $2, url_details(short_code, original_url) FROM url
         )
         SELECT * FROM url",
        columns = Url::COLUMNS
    );
    let rows = query::rows(db, &sql, &[&to_json(new), &Timestamp::now(), &EventType::CREATED]).await?;
    let urls = rows.iter().map(|row| {
        let url = from_row(row)?;
        Ok(((url.short_code.clone(), url.user_id, url.external_id.clone()), url))
    });
    urls.collect()
}

fn to_json<'a>(new: impl Iterator<Item = &'a NewUrl>) -> String {
    let items = new.enumerate().map(|(n, url)| {
        json!({
            "n": n,
            "user_id": url.user_id,
            "short_code": url.short_code.as_str(),
            "original_url": url.original_url.as_given(),
            "title": url.title.as_ref().map(Title::as_str),
            "is_active": url.is_active,
            "starts_at": url.options.starts_at.map(Timestamp::unix_seconds),
            "expires_at": url.options.expires_at.map(Timestamp::unix_seconds),
            "expired_url": url.options.expired_url.as_ref().map(TargetUrl::as_given),
            "redirect_status": url.options.redirect_status,
            "forward_query": url.options.forward_query,
            "max_clicks": url.options.max_clicks,
            "rules": url.options.rules.to_stored(),
            "split": url.options.split.to_stored(),
            "tags": url.labels.tags.iter().collect::<Vec<_>>(),
            "notes": url.labels.notes.as_ref().map(Notes::as_str),
            "external_id": url.labels.external_id.as_ref().map(ExternalId::as_str),
        })
    });
    serde_json::Value::from_iter(items).to_string()
}

/// Returns why the urls at these positions were not inserted. `positions` has those that were, by their ids.
async fn reasons(
    db: &ClientWrapper,
    new: &[NewUrl],
    refused: Vec<usize>,
    positions: &HashMap<Id, usize>,
) -> Result<Vec<(usize, StoreError)>> {
    if refused.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT (SELECT id FROM urls WHERE short_code = item.short_code) AS code_holder,
             (
                 SELECT id FROM urls WHERE (user_id, external_id) = (item.user_id, item.external_id)
             ) AS external_id_holder
         FROM {ITEMS} ORDER BY n"
    );
    let rows = query::rows(db, &sql, &[&to_json(refused.iter().map(|n| &new[*n]))]).await?;
    let reason = |(n, row): (usize, &tokio_postgres::Row)| {
        // A later url of the call may have a value of this one, and did not exclude it.
        let excludes = |holder: Option<Id>| holder.is_some_and(|id| positions.get(&id).is_none_or(|at| *at < n));
        let reason = if excludes(row.try_get("code_holder")?) {
            StoreError::ShortCodeTaken
        } else if excludes(row.try_get("external_id_holder")?) {
            StoreError::ExternalIdTaken
        } else {
            // The row that excluded it is gone, or a load uses the ids of the sequence.
            return Err(StoreError::Unavailable(anyhow::anyhow!("the row that excluded a link is gone")));
        };
        Ok((n, reason))
    };
    refused.into_iter().zip(&rows).map(reason).collect()
}

pub(super) async fn find_by_codes(db: &ClientWrapper, codes: &[ShortCode]) -> Result<Vec<Url>> {
    let sql = format!("SELECT {} FROM urls WHERE short_code = ANY ($1)", Url::COLUMNS);
    let codes: Vec<&str> = codes.iter().map(ShortCode::as_str).collect();
    Ok(query::rows(db, &sql, &[&codes]).await?.iter().map(from_row).collect::<Result<_, _>>()?)
}

pub(super) async fn change(db: &ClientWrapper, changes: &[(Id, UrlChange)]) -> Result<Change<Vec<Result<Url>>>> {
    let mut outcomes = Vec::with_capacity(changes.len());
    for (id, change) in changes {
        // A refused statement would end the transaction.
        db.batch_execute("SAVEPOINT one_url").await?;
        match urls::update(db, *id, change).await {
            Ok(Some(changed)) => outcomes.push(Ok(changed.value)),
            Ok(None) => outcomes.push(Err(StoreError::UnknownUrl(*id))),
            Err(refused) if refused.is_of_one_change() => {
                db.batch_execute("ROLLBACK TO SAVEPOINT one_url").await?;
                outcomes.push(Err(refused));
            }
            Err(error) => return Err(error),
        }
        db.batch_execute("RELEASE SAVEPOINT one_url").await?;
    }
    Ok(Change { value: outcomes, mark: query::current_mark(db).await? })
}

pub(super) async fn update(db: &ClientWrapper, selection: &UrlSelection, change: &UrlChange) -> Result<Change<u64>> {
    let urls = select(db, selection, "FOR NO KEY UPDATE").await?;
    for url in &urls {
        change.check(url).map_err(|error| error.by(url.id))?;
    }
    let ids: Vec<Id> = urls.iter().map(|url| url.id).collect();
    if let Some(Some(external_id)) = &change.labels.external_id {
        check_external_id(db, &ids, external_id).await?;
    }
    let changed = if change.is_empty() { 0 } else { update_all(db, &ids, change).await?.len() };
    Ok(Change { value: changed as u64, mark: query::current_mark(db).await? })
}

/// Refuses an external id that two urls of one owner would have.
async fn check_external_id(db: &ClientWrapper, ids: &[Id], external_id: &ExternalId) -> Result<()> {
    let sql = "SELECT id FROM (
                   SELECT id, user_id, row_number() OVER (PARTITION BY user_id ORDER BY id) AS n
                   FROM urls WHERE id = ANY ($1)
               ) AS chosen
               WHERE n > 1 OR EXISTS (
                   SELECT FROM urls AS other
                   WHERE other.user_id = chosen.user_id AND other.external_id = $2 AND other.id <> chosen.id
               )
               ORDER BY id LIMIT 1";
    match query::row(db, sql, &[&ids, external_id]).await? {
        Some(row) => Err(StoreError::ExternalIdTaken.by(row.try_get(0)?)),
        None => Ok(()),
    }
}

pub(super) async fn delete(db: &ClientWrapper, selection: &UrlSelection) -> Result<Change<u64>> {
    sign(db).await?;
    let urls = select(db, selection, "FOR UPDATE").await?;
    let ids: Vec<Id> = urls.iter().map(|url| url.id).collect();
    let most = i64::from(UrlSelection::MAX_EVENTS) + 1;
    let count = "SELECT count(*) FROM (SELECT FROM events WHERE url_id = ANY ($1) LIMIT $2) AS counted";
    let events = query::row(db, count, &[&ids, &most]).await?.ok_or_else(|| error::unexpected("empty result"))?;
    if events.try_get::<_, i64>(0)? >= most {
        return Err(StoreError::TooManyEvents);
    }
    let deleted = query::execute(db, "DELETE FROM urls WHERE id = ANY ($1)", &[&ids]).await?;
    Ok(Change { value: deleted, mark: query::current_mark(db).await? })
}

/// Returns the urls of a selection, locked in the order of their ids.
async fn select(db: &ClientWrapper, selection: &UrlSelection, lock: &str) -> Result<Vec<Url>> {
    match selection {
        UrlSelection::Ids { ids, owner } => {
            let urls = locked(db, ids, *owner, lock).await?;
            let found: HashSet<Id> = urls.iter().map(|url| url.id).collect();
            match ids.iter().find(|id| !found.contains(id)) {
                Some(missing) => Err(StoreError::UnknownUrl(*missing)),
                None => Ok(urls),
            }
        }
        UrlSelection::Filter { filter, expect } => {
            let ids = matching(db, filter, *expect).await?;
            let urls = locked(db, &ids, None, lock).await?;
            // A concurrent change before the lock may have added or removed a match.
            if matching(db, filter, *expect).await? != ids {
                return Err(StoreError::Busy(anyhow::anyhow!("another client changes the same links")));
            }
            Ok(urls)
        }
    }
}

async fn locked(db: &ClientWrapper, ids: &[Id], owner: Option<Id>, lock: &str) -> Result<Vec<Url>> {
    let sql = format!(
        "SELECT {} FROM urls WHERE id = ANY ($1) AND user_id = coalesce($2, user_id) ORDER BY id {lock}",
        Url::COLUMNS
    );
    let rows = query::rows(db, &sql, &[&ids, &owner]).await?;
    Ok(rows.iter().map(from_row).collect::<Result<_, _>>()?)
}

async fn matching(db: &ClientWrapper, filter: &UrlFilter, expect: u64) -> Result<Vec<Id>> {
    let page = Page::first(UrlSelection::MAX as u32);
    let found = url_lists::list(db, filter.clone(), UrlSort::default(), &page).await?.listing;
    if found.total != Total::Exactly(expect) || found.has_next {
        return Err(StoreError::OtherCount { expected: expect, found: found.total });
    }
    Ok(found.rows.iter().map(|url| url.id).collect())
}

/// Signs the audit entries of this transaction.
async fn sign(db: &ClientWrapper) -> Result<()> {
    query::execute(db, &format!("SELECT {}", audit::signed_by("$1")), &[&author().as_deref()]).await?;
    Ok(())
}
