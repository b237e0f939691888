//! Events in PostgreSQL.

use deadpool_postgres::ClientWrapper;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Error, Row};

use super::listing::{Filter, List, SummedListing};
use super::{error, query};
use crate::event::{Event, EventFilter, NewEvent};
use crate::store::{Page, Result, StoreError};
use crate::{ClickSource, Id, Timestamp};

pub(super) const COLUMNS: &str = "id, url_id, user_id, event_type, timestamp, details";

pub(super) async fn insert(db: &ClientWrapper, event: &NewEvent) -> Result<Event> {
    let sql = "INSERT INTO events (url_id, user_id, event_type, timestamp, details, visitor, referrer, source, target)
               VALUES ($1, coalesce($2, (SELECT user_id FROM urls WHERE id = $1)), $3, $4, $5, $6, $7, $8, $9)
               RETURNING id, url_id, user_id, event_type, timestamp, details";
    let event_type = event.event_type.as_str();
    let ClickSource { visitor, referrer, source, target } = ClickSource::of_event(event_type, &event.details);
    let visitor = visitor.map(|visitor| visitor.to_string());
    let (url_id, user_id, now) = (event.url_id, event.user_id, Timestamp::now());
    let values: query::Values<'_> =
        &[&url_id, &user_id, &event_type, &now, &event.details, &visitor, &referrer, &source, &target];
    match query::row(db, sql, values).await {
        Ok(Some(row)) => Ok(from_row(&row)?),
        Ok(None) => Err(error::unexpected("empty result")),
        Err(error) if error::violates(&error, "events_url_id_fkey") => Err(StoreError::UnknownUrl(url_id)),
        Err(error) => match user_id {
            Some(user_id) if error::violates(&error, "events_user_id_fkey") => Err(StoreError::UnknownUser(user_id)),
            // Only a link that does not exist has no owner.
            None if error.code() == Some(&SqlState::NOT_NULL_VIOLATION) => Err(StoreError::UnknownUrl(url_id)),
            _ => Err(error.into()),
        },
    }
}

pub(super) async fn find(db: &ClientWrapper, id: Id) -> Result<Option<Event>> {
    let sql = "SELECT id, url_id, user_id, event_type, timestamp, details FROM events WHERE id = $1";
    Ok(query::row(db, sql, &[&id]).await?.as_ref().map(from_row).transpose()?)
}

pub(super) async fn list(db: &ClientWrapper, filter: EventFilter, page: Page) -> Result<SummedListing<Event>> {
    list_of(filter).page(db, page, from_row).await
}

/// Returns the first events after an id, by id.
pub(super) async fn walk(db: &ClientWrapper, filter: EventFilter, after: i64, size: u32) -> Result<Vec<Event>> {
    list_of(filter).rows_after(db, after, size, from_row).await
}

fn list_of(filter: EventFilter) -> List {
    let filters = [
        filter.url_id.map(|id| Filter::counted("url_id", id)),
        filter.user_id.map(|id| Filter::counted("user_id", id)),
        filter.event_type.map(|event_type| Filter::counted("event_type", event_type)),
    ];
    List { table: "events", columns: COLUMNS, filters: filters.into_iter().flatten().collect() }
}

/// The number of events above which they are deleted in parts, which takes a sixth of a second.
const MANY: i64 = 50_000;

/// Returns whether a url or a user has many events.
pub(super) async fn are_many(db: &ClientWrapper, column: &'static str, id: Id) -> Result<bool> {
    let sql = "SELECT row_total('events', $1)";
    let row =
        query::row(db, sql, &[&format!("{column}={id}")]).await?.ok_or_else(|| error::unexpected("empty result"))?;
    Ok(row.try_get::<_, i64>(0)? > MANY)
}

/// Deletes the first events of a url or a user. Returns false if fewer remain than one part.
pub(super) async fn delete_part(db: &mut ClientWrapper, column: &'static str, id: Id) -> Result<bool> {
    let part = MANY / 2;
    let transaction = db.transaction().await?;
    let last = format!("SELECT id FROM events WHERE {column} = $1 ORDER BY id LIMIT 1 OFFSET $2");
    let last = transaction.query_opt(&transaction.prepare_cached(&last).await?, &[&id, &part]).await?;
    let Some(last) = last else { return Ok(false) };
    let last: Id = last.try_get(0)?;
    // First lock their urls in the order of ids, as each deletion of a url does.
    let lock = format!(
        "SELECT FROM urls WHERE id IN (SELECT url_id FROM events WHERE {column} = $1 AND id <= $2)
         ORDER BY id FOR KEY SHARE"
    );
    transaction.execute(&transaction.prepare_cached(&lock).await?, &[&id, &last]).await?;
    // The bound keeps PostgreSQL from reading the partitions beyond it.
    let delete = format!("DELETE FROM events WHERE {column} = $1 AND id <= $2");
    transaction.execute(&transaction.prepare_cached(&delete).await?, &[&id, &last]).await?;
    transaction.commit().await?;
    Ok(true)
}

pub(super) fn from_row(row: &Row) -> Result<Event, Error> {
    Ok(Event {
        id: row.try_get(0)?,
        url_id: row.try_get(1)?,
        user_id: row.try_get(2)?,
        event_type: row.try_get(3)?,
        timestamp: row.try_get(4)?,
        details: row.try_get(5)?,
    })
}
