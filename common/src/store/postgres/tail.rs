//! Clicks in the order of their ids, as far as no running transaction can add one between them.

use deadpool_postgres::ClientWrapper;

use tokio_postgres::Error;

use super::{events, query};
use crate::event::EventType;
use crate::store::{ClickTail, NewClicks, Result};

/// Returns the transactions that may have taken ids of events: each has this lock before its first id, until its end.
const WRITERS: &str = "SELECT virtualtransaction FROM pg_locks
    WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND granted AND relation = 'events'::regclass
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// Reads the clicks that were stored since the last read.
pub(super) async fn follow(db: &ClientWrapper, tail: &mut ClickTail, limit: u32) -> Result<NewClicks> {
    let last_id = query::last_id("events");
    let (last_id, writers) = (db.prepare_cached(&last_id).await?, db.prepare_cached(WRITERS).await?);
    // The id is read first: a transaction that took an id up to it has the lock, or has ended.
    let (latest, writers) = tokio::join!(biased; db.query_one(&last_id, &[]), db.query(&writers, &[]));
    let latest: i64 = latest?.try_get(0)?;
    let writers = writers?.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, Error>>()?;
    let has_gap = tail.advance(latest, writers);
    let Some((after, up_to)) = tail.readable() else {
        return Ok(NewClicks { clicks: Vec::new(), has_more: false, has_gap });
    };
    // A statement after those above sees the events of every transaction that has ended.
    let sql = format!(
        "SELECT {} FROM events WHERE event_type = $1 AND id > $2 AND id <= $3 ORDER BY id LIMIT {limit}",
        events::COLUMNS
    );
    let rows = query::rows(db, &sql, &[&EventType::CLICKED, &after, &up_to]).await?;
    let clicks = rows.iter().map(events::from_row).collect::<Result<Vec<_>, Error>>()?;
    Ok(NewClicks { has_more: tail.note(&clicks, limit), clicks, has_gap })
}
