//! Events in SQLite.

use rusqlite::{Connection, OptionalExtension, Row, Transaction};

use super::error;
use super::listing::{Filter, List};
use crate::event::{Details, Event, EventFilter, NewEvent};
use crate::store::{Listing, Page, Result, StoreError};
use crate::{ClickSource, Id, Timestamp};

pub(super) const COLUMNS: &str = "id, url_id, user_id, event_type, timestamp, details";

pub(super) fn insert(db: &Transaction<'_>, event: &NewEvent) -> Result<Event> {
    let user_id = match event.user_id {
        Some(user_id) => user_id,
        None => find_owner(db, event.url_id)?.ok_or(StoreError::UnknownUrl(event.url_id))?,
    };
    append(db, event.url_id, user_id, event.event_type.as_str(), Timestamp::now(), &event.details)
}

/// Inserts an event and returns its row.
pub(super) fn append(
    db: &Transaction<'_>,
    url_id: Id,
    user_id: Id,
    event_type: &str,
    timestamp: Timestamp,
    details: &Details,
) -> Result<Event> {
    let sql = "INSERT INTO events (url_id, user_id, event_type, timestamp, details, visitor, referrer, source, target)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
               RETURNING id, url_id, user_id, event_type, timestamp, details";
    let ClickSource { visitor, referrer, source, target } = ClickSource::of_event(event_type, details);
    let visitor = visitor.map(|visitor| visitor.to_string());
    let values = (url_id, user_id, event_type, timestamp, details.as_str(), visitor, referrer, source, target);
    match db.prepare_cached(sql)?.query_row(values, from_row) {
        Ok(event) => Ok(event),
        Err(error) if error::is_foreign_key(&error) => Err(unknown_reference(db, url_id, user_id)?),
        Err(error) => Err(error.into()),
    }
}

/// Returns the owner of a url.
fn find_owner(db: &Connection, url_id: Id) -> Result<Option<Id>> {
    let sql = "SELECT user_id FROM urls WHERE id = ?1";
    Ok(db.prepare_cached(sql)?.query_row([url_id], |row| row.get(0)).optional()?)
}

/// Returns which of the two rows that an event refers to does not exist.
pub(super) fn unknown_reference(db: &Transaction<'_>, url_id: Id, user_id: Id) -> Result<StoreError> {
    Ok(match find_owner(db, url_id)? {
        None => StoreError::UnknownUrl(url_id),
        Some(_) => StoreError::UnknownUser(user_id),
    })
}

pub(super) fn find(db: &Connection, id: Id) -> Result<Option<Event>> {
    let sql = "SELECT id, url_id, user_id, event_type, timestamp, details FROM events WHERE id = ?1";
    Ok(db.prepare_cached(sql)?.query_row([id], from_row).optional()?)
}

pub(super) fn list(db: &Connection, filter: EventFilter, page: Page) -> Result<Listing<Event>> {
    list_of(filter).page(db, page, from_row)
}

/// Returns the first events after an id, by id.
pub(super) fn walk(db: &Connection, filter: EventFilter, after: i64, size: u32) -> Result<Vec<Event>> {
    list_of(filter).rows_after(db, after, size, from_row)
}

fn list_of(filter: EventFilter) -> List {
    let filters = [
        filter.url_id.map(|id| Filter::counted("url_id", id.get())),
        filter.user_id.map(|id| Filter::counted("user_id", id.get())),
        filter.event_type.map(|event_type| Filter::counted("event_type", event_type)),
    ];
    List { table: "events", columns: COLUMNS, filters: filters.into_iter().flatten().collect() }
}

/// The number of events above which they are deleted in parts, which takes a quarter of a second.
const MANY: i64 = 50_000;

/// Returns whether a url or a user has many events.
pub(super) fn are_many(db: &Connection, column: &'static str, id: Id) -> Result<bool> {
    let sql = "SELECT coalesce(max(n), 0) FROM row_counts WHERE list = 'events' AND filter = ?1";
    let n: i64 = db.prepare_cached(sql)?.query_row([format!("{column}={id}")], |row| row.get(0))?;
    Ok(n > MANY)
}

/// Deletes the first events of a url or a user. Returns false if fewer remain than one part.
pub(super) fn delete_part(db: &Transaction<'_>, column: &'static str, id: Id) -> Result<bool> {
    let last = format!("SELECT id FROM events WHERE {column} = ?1 ORDER BY id LIMIT 1 OFFSET ?2");
    let last: Option<Id> = db.prepare_cached(&last)?.query_row((id, EVENTS_AT_ONCE), |row| row.get(0)).optional()?;
    let Some(last) = last else { return Ok(false) };
    let delete = format!("DELETE FROM events WHERE {column} = ?1 AND id <= ?2");
    db.prepare_cached(&delete)?.execute((id, last))?;
    Ok(true)
}

/// The number of events that one transaction deletes while other writers wait.
const EVENTS_AT_ONCE: i64 = 5_000;

/// Returns whether a time before which events are deleted is credible.
/// A time after all existing events is not credible.
pub(super) fn is_credible(db: &Connection, horizon: Timestamp) -> Result<bool> {
    let newest = "SELECT timestamp >= ?1 FROM events ORDER BY id DESC LIMIT 1";
    match db.prepare_cached(newest)?.query_row([horizon], |row| row.get(0)).optional()? {
        // A load may have inserted old events last.
        Some(false) => {
            Ok(db.prepare_cached("SELECT 1 FROM events WHERE timestamp >= ?1 LIMIT 1")?.exists([horizon])?)
        }
        _ => Ok(true),
    }
}

/// Returns the first and the last id of the events before `horizon`.
pub(super) fn find_old(db: &Connection, horizon: Timestamp) -> Result<Option<(Id, Id)>> {
    let sql = "SELECT min(id), max(id) FROM events WHERE timestamp < ?1";
    let old = |row: &Row<'_>| Ok(row.get::<_, Option<Id>>(0)?.zip(row.get::<_, Option<Id>>(1)?));
    Ok(db.prepare_cached(sql)?.query_row([horizon], old)?)
}

/// Deletes the first old events between two ids. Returns the last id of them and their number.
pub(super) fn delete_old_part(db: &Transaction<'_>, from: Id, to: Id, horizon: Timestamp) -> Result<Option<(Id, u64)>> {
    let sql = "SELECT max(id) FROM (
                   SELECT id FROM events WHERE id BETWEEN ?1 AND ?2 AND timestamp < ?3 ORDER BY id LIMIT ?4
               )";
    let values = (from, to, horizon, EVENTS_AT_ONCE);
    let last: Option<Id> = db.prepare_cached(sql)?.query_row(values, |row| row.get(0))?;
    let Some(last) = last else { return Ok(None) };
    let sql = "DELETE FROM events WHERE id BETWEEN ?1 AND ?2 AND timestamp < ?3";
    Ok(Some((last, db.prepare_cached(sql)?.execute((from, last, horizon))? as u64)))
}

pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<Event> {
    Ok(Event {
        id: row.get(0)?,
        url_id: row.get(1)?,
        user_id: row.get(2)?,
        event_type: row.get(3)?,
        timestamp: row.get(4)?,
        details: row.get(5)?,
    })
}
