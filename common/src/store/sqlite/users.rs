//! Users in SQLite.

use rusqlite::{Connection, OptionalExtension, Row, Transaction};

use super::listing::List;
use super::{position, query};
use crate::store::{Change, ImportOutcome, Listing, Page, Result, StoreError};
use crate::user::{NewUser, User, UserChange, UserRow};
use crate::{Id, Timestamp};

const COLUMNS: &str = "id, username, email, created_at";

pub(super) fn insert(db: &Transaction<'_>, user: &NewUser) -> Result<User> {
    let sql = "INSERT INTO users (username, email, created_at) VALUES (?1, ?2, ?3)
               RETURNING id, username, email, created_at";
    Ok(db.prepare_cached(sql)?.query_row((user.username.as_str(), user.email.as_str(), Timestamp::now()), from_row)?)
}

pub(super) fn find(db: &Connection, id: Id) -> Result<Option<User>> {
    let sql = "SELECT id, username, email, created_at FROM users WHERE id = ?1";
    Ok(db.prepare_cached(sql)?.query_row([id], from_row).optional()?)
}

pub(super) fn list(db: &Connection, page: Page) -> Result<Listing<User>> {
    List { table: "users", columns: COLUMNS, filters: Vec::new() }.page(db, page, from_row)
}

pub(super) fn update(db: &Transaction<'_>, id: Id, change: &UserChange) -> Result<Option<User>> {
    let sql = "UPDATE users SET username = coalesce(?2, username), email = coalesce(?3, email) WHERE id = ?1
               RETURNING id, username, email, created_at";
    let username = change.username.as_ref().map(|username| username.as_str());
    let email = change.email.as_ref().map(|email| email.as_str());
    Ok(db.prepare_cached(sql)?.query_row((id, username, email), from_row).optional()?)
}

pub(super) fn delete(db: &Transaction<'_>, id: Id, cascade: bool) -> Result<Option<Change<()>>> {
    if cascade {
        db.execute("DELETE FROM urls WHERE user_id = ?1", [id])?;
    } else {
        let urls: i64 =
            db.prepare_cached("SELECT count(*) FROM urls WHERE user_id = ?1")?.query_row([id], |row| row.get(0))?;
        if urls > 0 {
            return Err(StoreError::UserOwnsUrls { user: id, urls: urls.unsigned_abs() });
        }
    }
    if db.prepare_cached("DELETE FROM users WHERE id = ?1")?.execute([id])? == 0 {
        return Ok(None);
    }
    if cascade {
        // Those of the links that are deleted with the user, too.
        db.execute("DELETE FROM audit_entries WHERE user_id = ?1", [id])?;
    }
    Ok(Some(Change { value: (), mark: position::mark(db)? }))
}

/// The number of a user's links that one transaction deletes while other writers wait.
const LINKS_AT_ONCE: i64 = 1_000;

/// The number of events on a user's links that one transaction deletes.
const EVENTS_AT_ONCE: i64 = 5_000;

/// Returns whether deleting a user's links, or events on them, at once would delay other writers for too long.
pub(super) fn is_large(db: &Connection, id: Id) -> Result<bool> {
    let sql = "SELECT (SELECT count(*) FROM (SELECT 1 FROM urls WHERE user_id = ?1 LIMIT ?2 + 1)) > ?2
                   OR (SELECT count(*) FROM (
                       SELECT 1 FROM urls JOIN events ON events.url_id = urls.id WHERE urls.user_id = ?1 LIMIT ?3
                   )) = ?3";
    Ok(db.prepare_cached(sql)?.query_row((id, LINKS_AT_ONCE, EVENTS_AT_ONCE), |row| row.get(0))?)
}

/// Deletes the first links of a user, or if those have many events, the first of these. Returns false without links.
pub(super) fn delete_part(db: &Transaction<'_>, id: Id) -> Result<bool> {
    let sql = "SELECT max(id) FROM (SELECT id FROM urls WHERE user_id = ?1 ORDER BY id LIMIT ?2)";
    let last: Option<Id> = db.prepare_cached(sql)?.query_row((id, LINKS_AT_ONCE), |row| row.get(0))?;
    let Some(last) = last else { return Ok(false) };
    let events = "DELETE FROM events WHERE id IN (
                      SELECT events.id FROM urls JOIN events ON events.url_id = urls.id
                      WHERE urls.user_id = ?1 AND urls.id <= ?2 LIMIT ?3
                  )";
    let gone = db.prepare_cached(events)?.execute((id, last, EVENTS_AT_ONCE))?;
    if (gone as u64) < EVENTS_AT_ONCE.unsigned_abs() {
        db.prepare_cached("DELETE FROM urls WHERE user_id = ?1 AND id <= ?2")?.execute((id, last))?;
    }
    Ok(true)
}

/// Imports a row unless an existing one excludes it. The check comes first, since a refused insert would use up an id.
pub(super) fn import(db: &Transaction<'_>, row: &UserRow) -> Result<ImportOutcome> {
    if let Some(id) = row.id {
        let last_id = query::last_id(db, "users")?;
        if id > Id::farthest_given(last_id) {
            return Ok(ImportOutcome::IdTooFar(id, last_id));
        }
        if let Some(holder) = find(db, id)? {
            let is_same = holder.username == row.username.as_str();
            return Ok(if is_same { ImportOutcome::Duplicate } else { ImportOutcome::IdTaken(id) });
        }
    }
    let taken = "SELECT 1 FROM users WHERE username = ?1 OR email = ?2";
    if db.prepare_cached(taken)?.exists((row.username.as_str(), row.email.as_str()))? {
        return Ok(ImportOutcome::Duplicate);
    }
    let sql = "INSERT INTO users (id, username, email, created_at) VALUES (?1, ?2, ?3, ?4)";
    let created_at = row.created_at.unwrap_or_else(Timestamp::now);
    db.prepare_cached(sql)?.execute((row.id, row.username.as_str(), row.email.as_str(), created_at))?;
    Ok(ImportOutcome::Inserted)
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User { id: row.get(0)?, username: row.get(1)?, email: row.get(2)?, created_at: row.get(3)? })
}
