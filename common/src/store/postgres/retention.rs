//! Room for the events to come, and the end of those that were kept long enough.

use std::time::Duration;

use deadpool_postgres::ClientWrapper;

use super::connections::Connections;
use super::pruning::alone;
use crate::store::{Forgotten, Result};
use crate::{Id, Timestamp};

/// So that one process at a time makes or drops partitions.
const PARTITIONS_LOCK: i64 = i64::from_be_bytes(*b"TERNPART");

/// So that one process at a time forgets events. Another lock, since that may take hours, and ids go on meanwhile.
const FORGETTING_LOCK: i64 = i64::from_be_bytes(*b"TERNFRGT");

/// How far ahead of the ids drawn the last partition begins: five minutes of 50,000 clicks a second, and this is called
/// every minute. Whoever is late makes nothing fail.
const IDS_AHEAD: i64 = 1 << 24;

/// Events forgotten in one transaction: a fraction of a second.
const FORGOTTEN_AT_ONCE: i64 = 20_000;

/// How long others wait for a lock that a partition's coming or going waits for. Whoever gives up tries again.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '500ms'";

/// Makes partitions ahead of the ids.
pub(super) async fn make_room(connections: &Connections) -> Result<()> {
    alone(connections, PARTITIONS_LOCK, async |db| {
        db.batch_execute(LOCK_TIMEOUT).await?;
        db.execute("SELECT make_event_partitions($1)", &[&IDS_AHEAD]).await?;
        Ok(())
    })
    .await
    .map(|_| ())
}

/// Forgets events that are older than `keep`, and drops the partitions that this leaves empty.
///
/// The events are deleted and not just dropped with their partitions, since totals and counts have to lose them.
pub(super) async fn forget(connections: &Connections, keep: Duration) -> Result<Forgotten> {
    let Some((horizon, is_credible)) =
        alone(connections, FORGETTING_LOCK, async |db| find_horizon(db, keep).await).await?
    else {
        return Ok(Forgotten::Events(0));
    };
    if !is_credible {
        return Ok(Forgotten::Refused);
    }
    let tables = alone(connections, FORGETTING_LOCK, async |db| {
        let rows = db.query("SELECT 'events_' || first_id FROM event_partitions ORDER BY first_id", &[]).await?;
        Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>()?)
    })
    .await?;
    let mut forgotten = 0;
    for table in tables.unwrap_or_default() {
        let sql = format!("SELECT min(id), max(id) FROM {table} WHERE timestamp < $1");
        let old = alone(connections, FORGETTING_LOCK, async |db| {
            let row = db.query_one(&sql, &[&horizon]).await?;
            Ok(row.try_get::<_, Option<Id>>(0)?.zip(row.try_get::<_, Option<Id>>(1)?))
        });
        let Some(Some((mut from, to))) = old.await? else { continue };
        while let Some(Some((last, events))) =
            alone(connections, FORGETTING_LOCK, async |db| forget_some(db, from, to, horizon).await).await?
        {
            forgotten += events;
            let Some(next) = Id::new(last.get().saturating_add(1)).filter(|next| *next <= to) else { break };
            from = next;
        }
    }
    alone(connections, FORGETTING_LOCK, async |db| forget_counts(db, horizon).await).await?;
    alone(connections, PARTITIONS_LOCK, async |db| {
        db.batch_execute(LOCK_TIMEOUT).await?;
        Ok(db.execute("SELECT drop_empty_event_partitions()", &[]).await?)
    })
    .await?;
    Ok(Forgotten::Events(forgotten))
}

/// Returns the time before which events are forgotten, and whether it can be believed: some event is newer, if there are
/// events at all.
async fn find_horizon(db: &ClientWrapper, keep: Duration) -> Result<(Timestamp, bool)> {
    let now: Timestamp = db.query_one("SELECT now()", &[]).await?.try_get(0)?;
    let horizon = now.minus(keep);
    let newest = "SELECT timestamp FROM events ORDER BY id DESC LIMIT 1";
    match db.query_opt(newest, &[]).await?.map(|row| row.try_get::<_, Timestamp>(0)).transpose()? {
        Some(newest) if newest < horizon => {
            // A file may have brought old events last.
            let sql = "SELECT EXISTS (SELECT FROM events WHERE timestamp >= $1)";
            Ok((horizon, db.query_one(sql, &[&horizon]).await?.try_get(0)?))
        }
        _ => Ok((horizon, true)),
    }
}

/// Forgets the counts of clicks that have no event, once their whole hour is old.
async fn forget_counts(db: &ClientWrapper, horizon: Timestamp) -> Result<()> {
    // In the order in which others lock counts.
    let sql = "WITH old AS MATERIALIZED (
                   SELECT url_id, kind, hour, value FROM click_counts
                   WHERE kind IN ('B', 'R') AND hour <= $1::timestamptz - interval '1 hour'
                   ORDER BY url_id, kind, hour, value FOR UPDATE
               )
               DELETE FROM click_counts AS counted USING old
               WHERE (counted.url_id, counted.kind, counted.hour, counted.value)
                   = (old.url_id, old.kind, old.hour, old.value)";
    db.execute(sql, &[&horizon]).await?;
    Ok(())
}

/// Forgets the first of the events between two ids; tells the last id and how many there were.
async fn forget_some(db: &ClientWrapper, from: Id, to: Id, horizon: Timestamp) -> Result<Option<(Id, u64)>> {
    let sql = "SELECT max(id) FROM (
                   SELECT id FROM events WHERE id BETWEEN $1 AND $2 AND timestamp < $3 ORDER BY id LIMIT $4
               ) AS first";
    let Some(last) =
        db.query_one(sql, &[&from, &to, &horizon, &FORGOTTEN_AT_ONCE]).await?.try_get::<_, Option<Id>>(0)?
    else {
        return Ok(None);
    };
    // Their urls first, as whoever deletes one does: each would have what the other waits for.
    let sql = "SELECT FROM urls WHERE id IN (SELECT url_id FROM events WHERE id BETWEEN $1 AND $2 AND timestamp < $3)
               ORDER BY id FOR KEY SHARE";
    db.execute(sql, &[&from, &last, &horizon]).await?;
    let sql = "DELETE FROM events WHERE id BETWEEN $1 AND $2 AND timestamp < $3";
    Ok(Some((last, db.execute(sql, &[&from, &last, &horizon]).await?)))
}
