//! Partitions for future events, and the deletion of old events.

use std::time::Duration;

use deadpool_postgres::ClientWrapper;

use super::connections::Connections;
use super::pruning::with_lock;
use crate::store::{Result, RetentionOutcome};
use crate::{Id, Timestamp};

/// The advisory lock under which one process creates or drops partitions.
const PARTITIONS_LOCK: i64 = i64::from_be_bytes(*b"TERNPART");

/// The advisory lock under which one process deletes old events. That may take hours, during which partitions are created.
const DELETION_LOCK: i64 = i64::from_be_bytes(*b"TERNFRGT");

/// The distance from the last id to the begin of the last partition: five minutes of 50,000 clicks a second.
/// The upkeep runs every minute. If it is late, inserts still succeed.
const IDS_AHEAD: i64 = 1 << 24;

/// The number of events that one transaction deletes, in a fraction of a second.
const EVENTS_AT_ONCE: i64 = 20_000;

/// The limit on the wait for the lock of a partition change, since other clients wait behind it. The next upkeep retries.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '500ms'";

/// Creates partitions for future ids.
pub(super) async fn create_partitions(connections: &Connections) -> Result<()> {
    with_lock(connections, PARTITIONS_LOCK, async |db| {
        db.batch_execute(LOCK_TIMEOUT).await?;
        db.execute("SELECT make_event_partitions($1)", &[&IDS_AHEAD]).await?;
        Ok(())
    })
    .await
    .map(|_| ())
}

/// Deletes events that are older than `keep`, and drops the partitions that are then empty.
///
/// Dropping a partition with its events would leave them in the totals and counts.
pub(super) async fn delete_old_events(connections: &Connections, keep: Duration) -> Result<RetentionOutcome> {
    let Some((horizon, is_credible)) =
        with_lock(connections, DELETION_LOCK, async |db| find_horizon(db, keep).await).await?
    else {
        return Ok(RetentionOutcome::Deleted(0));
    };
    if !is_credible {
        return Ok(RetentionOutcome::Refused);
    }
    let tables = with_lock(connections, DELETION_LOCK, async |db| {
        let rows = db.query("SELECT 'events_' || first_id FROM event_partitions ORDER BY first_id", &[]).await?;
        Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>()?)
    })
    .await?;
    let mut deleted = 0;
    for table in tables.unwrap_or_default() {
        let sql = format!("SELECT min(id), max(id) FROM {table} WHERE timestamp < $1");
        let old = with_lock(connections, DELETION_LOCK, async |db| {
            let row = db.query_one(&sql, &[&horizon]).await?;
            Ok(row.try_get::<_, Option<Id>>(0)?.zip(row.try_get::<_, Option<Id>>(1)?))
        });
        let Some(Some((mut from, to))) = old.await? else { continue };
        while let Some(Some((last, events))) =
            with_lock(connections, DELETION_LOCK, async |db| delete_part(db, from, to, horizon).await).await?
        {
            deleted += events;
            let Some(next) = Id::new(last.get().saturating_add(1)).filter(|next| *next <= to) else { break };
            from = next;
        }
    }
    with_lock(connections, DELETION_LOCK, async |db| delete_old_counts(db, horizon).await).await?;
    with_lock(connections, PARTITIONS_LOCK, async |db| {
        db.batch_execute(LOCK_TIMEOUT).await?;
        Ok(db.execute("SELECT drop_empty_event_partitions()", &[]).await?)
    })
    .await?;
    Ok(RetentionOutcome::Deleted(deleted))
}

/// Returns the time before which events are deleted, and whether it is credible.
/// A time after all existing events is not credible.
async fn find_horizon(db: &ClientWrapper, keep: Duration) -> Result<(Timestamp, bool)> {
    let now: Timestamp = db.query_one("SELECT now()", &[]).await?.try_get(0)?;
    let horizon = now.minus(keep);
    let newest = "SELECT timestamp FROM events ORDER BY id DESC LIMIT 1";
    match db.query_opt(newest, &[]).await?.map(|row| row.try_get::<_, Timestamp>(0)).transpose()? {
        Some(newest) if newest < horizon => {
            // A load may have inserted old events last.
            let sql = "SELECT EXISTS (SELECT FROM events WHERE timestamp >= $1)";
            Ok((horizon, db.query_one(sql, &[&horizon]).await?.try_get(0)?))
        }
        _ => Ok((horizon, true)),
    }
}

/// Deletes the counts of clicks without an event whose whole hour is old.
async fn delete_old_counts(db: &ClientWrapper, horizon: Timestamp) -> Result<()> {
    // All transactions lock counts in this order, and the clicks of links before them.
    let sql = "SELECT FROM link_clicks WHERE url_id IN (
                   SELECT url_id FROM click_counts WHERE kind = 'V' AND hour <= $1::timestamptz - interval '1 hour'
               )
               ORDER BY url_id FOR UPDATE";
    db.execute(sql, &[&horizon]).await?;
    let sql = "WITH old AS MATERIALIZED (
                   SELECT url_id, hour, kind, value FROM click_counts
                   WHERE kind IN ('V', 'R', 'Q', 'S', 'T', 'D', 'E') AND hour <= $1::timestamptz - interval '1 hour'
                   ORDER BY url_id, hour, kind, value FOR UPDATE
               ), deleted AS (
                   DELETE FROM click_counts AS counted USING old
                   WHERE (counted.url_id, counted.hour, counted.kind, counted.value)
                       = (old.url_id, old.hour, old.kind, old.value)
                   RETURNING counted.url_id, counted.kind, counted.value, counted.clicks
               )
               UPDATE link_clicks AS counted SET clicks = counted.clicks - subtracted.n
               FROM (
                   SELECT url_id, sum(clicks) AS n FROM deleted WHERE kind = 'V' AND is_person(value) GROUP BY url_id
               ) AS subtracted
               WHERE counted.url_id = subtracted.url_id";
    db.execute(sql, &[&horizon]).await?;
    Ok(())
}

/// Deletes the first old events between two ids. Returns the last id of them and their number.
async fn delete_part(db: &ClientWrapper, from: Id, to: Id, horizon: Timestamp) -> Result<Option<(Id, u64)>> {
    let sql = "SELECT max(id) FROM (
                   SELECT id FROM events WHERE id BETWEEN $1 AND $2 AND timestamp < $3 ORDER BY id LIMIT $4
               ) AS first";
    let Some(last) = db.query_one(sql, &[&from, &to, &horizon, &EVENTS_AT_ONCE]).await?.try_get::<_, Option<Id>>(0)?
    else {
        return Ok(None);
    };
    // Each deletion of a url locks the url first too. Another order would cause deadlocks.
    let sql = "SELECT FROM urls WHERE id IN (SELECT url_id FROM events WHERE id BETWEEN $1 AND $2 AND timestamp < $3)
               ORDER BY id FOR KEY SHARE";
    db.execute(sql, &[&from, &last, &horizon]).await?;
    let sql = "DELETE FROM events WHERE id BETWEEN $1 AND $2 AND timestamp < $3";
    Ok(Some((last, db.execute(sql, &[&from, &last, &horizon]).await?)))
}
