//! Summaries of the counts of past hours and days in PostgreSQL.
//!
//! A summary is used unless one of its hours is in `late_click_counts`, where each change of a past hour is recorded.
//! So the statistics are exact at every moment, and the upkeep may be late.

use std::time::{Duration, Instant};

use deadpool_postgres::{ClientWrapper, Transaction};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, IsolationLevel, Row};

use super::connections::Connections;
use super::stats::{self, fold};
use crate::Timestamp;
use crate::statistics::ClickFilter;
use crate::store::folded_clicks::{ALL_LINKS, DAY_HOURS, Gap, HOUR_SECONDS, MANY_ROWS, day_of};
use crate::store::{Result, StoreError};

/// The number of late hours of links that one transaction summarises, in a fraction of a second.
const HOURS_AT_ONCE: i64 = 200;

/// The time that one run of the upkeep spends. The next run continues.
const TIME: Duration = Duration::from_secs(20);

/// Lets one process at a time summarise. The lock precedes the first statement, which decides what the transaction sees.
const LOCK: &str = "LOCK TABLE click_summary_state IN EXCLUSIVE MODE NOWAIT";

/// Moves totals of past hours to one part, and writes the summaries of hours and days whose counts changed.
pub(super) async fn write(connections: &Connections) -> Result<()> {
    let until = Instant::now() + TIME;
    let done = connections.maintain(async |db| {
        merge_totals(db).await?;
        advance(db).await?;
        settle(db).await?;
        while Instant::now() < until && summarise(db).await? {}
        Ok(())
    });
    match done.await {
        // Another process summarises, or changed what this one read. The next run continues.
        Err(StoreError::Unavailable(cause)) if is_conflict(&cause) => Ok(()),
        done => done,
    }
}

fn is_conflict(cause: &anyhow::Error) -> bool {
    let code = cause.downcast_ref::<Error>().and_then(Error::code);
    [&SqlState::LOCK_NOT_AVAILABLE, &SqlState::T_R_SERIALIZATION_FAILURE].into_iter().any(|kind| code == Some(kind))
}

/// Begins a transaction of one process at a time.
async fn begin(db: &mut ClientWrapper, isolation: IsolationLevel) -> Result<Transaction<'_>> {
    let transaction = db.build_transaction().isolation_level(isolation).start().await?;
    // After a large load, a statement moves or reads more than the statements of requests.
    transaction.batch_execute(&format!("SET LOCAL statement_timeout = '10min'; {LOCK}")).await?;
    Ok(transaction)
}

async fn execute(db: &Transaction<'_>, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<u64> {
    Ok(db.execute(&db.prepare_cached(sql).await?, values).await?)
}

/// Moves the counts of past hours from the parts of connections to part 0.
async fn merge_totals(db: &mut ClientWrapper) -> Result<()> {
    let transaction = begin(db, IsolationLevel::ReadCommitted).await?;
    // A row that a writer has locked stays until the next run, so that neither waits for the other.
    let sql = "WITH moved AS (
                   DELETE FROM click_totals WHERE ctid = ANY (ARRAY(
                       SELECT ctid FROM click_totals
                       WHERE part IN (1, 2, 3, 4) AND hour < (SELECT past FROM click_summary_state)
                       FOR UPDATE SKIP LOCKED
                   ))
                   RETURNING hour, kind, value, clicks
               ), merged AS (
                   INSERT INTO click_totals AS counted
                   SELECT 0, hour, kind, value, sum(clicks) FROM moved GROUP BY hour, kind, value
                   ON CONFLICT (part, hour, kind, value) DO UPDATE SET clicks = counted.clicks + excluded.clicks
                   RETURNING hour
               )
               SELECT DISTINCT hour FROM merged";
    let hours = stats::rows(&transaction, sql, &[]).await?;
    let hours = hours.iter().map(|row| row.try_get(0)).collect::<Result<Vec<Timestamp>, Error>>()?;
    if !hours.is_empty() {
        let sql = "DELETE FROM click_totals WHERE part = 0 AND hour = ANY ($1) AND clicks = 0";
        execute(&transaction, sql, &[&hours]).await?;
    }
    Ok(transaction.commit().await?)
}

/// Makes hours past that have ended. Those of links with many counts become late, so that they get summaries.
async fn advance(db: &mut ClientWrapper) -> Result<()> {
    let transaction = begin(db, IsolationLevel::ReadCommitted).await?;
    // After a long pause of the upkeep, candidates of older hours would take too long.
    let sql = "WITH passed AS MATERIALIZED (
                   SELECT past AS since, now.hour AS until, greatest(past, now.hour - interval '48 hours') AS near
                   FROM click_summary_state CROSS JOIN (SELECT date_trunc('hour', now(), 'UTC') AS hour) AS now
                   WHERE past < now.hour
               ), ended AS (
                   SELECT hour AS start, hour + interval '1 hour' AS until, hour AS late
                   FROM passed CROSS JOIN LATERAL generate_series(near, until - interval '1 hour', '1 hour') AS hour
                   UNION ALL
                   SELECT day, day + interval '24 hours', day + interval '23 hours'
                   FROM passed CROSS JOIN LATERAL generate_series(
                       date_trunc('day', near, 'UTC'), until - interval '24 hours', '24 hours'
                   ) AS day
               )
               INSERT INTO late_click_counts
               SELECT 0, hour FROM passed
               CROSS JOIN LATERAL generate_series(since, until - interval '1 hour', '1 hour') AS hour
               UNION ALL
               SELECT links.url_id, ended.late
               FROM ended JOIN link_clicks AS links ON links.last_clicked_at >= ended.start
               WHERE links.clicks >= $1 AND (
                   SELECT count(*) FROM (
                       SELECT FROM click_counts AS counted
                       WHERE counted.url_id = links.url_id AND counted.hour >= ended.start AND counted.hour < ended.until
                       LIMIT $1
                   ) AS first
               ) = $1";
    execute(&transaction, sql, &[&MANY_ROWS]).await?;
    let sql = "UPDATE click_summary_state SET past = date_trunc('hour', now(), 'UTC'), settled = NULL
               WHERE past < date_trunc('hour', now(), 'UTC')";
    execute(&transaction, sql, &[]).await?;
    Ok(transaction.commit().await?)
}

/// Notes which transactions may have counted clicks of an hour without knowing that it is past.
async fn settle(db: &mut ClientWrapper) -> Result<()> {
    let transaction = begin(db, IsolationLevel::ReadCommitted).await?;
    let sql = "UPDATE click_summary_state SET settled = pg_snapshot_xmax(pg_current_snapshot()) WHERE settled IS NULL";
    execute(&transaction, sql, &[]).await?;
    Ok(transaction.commit().await?)
}

/// Summarises some of the late hours, and their days. Returns whether more may remain.
async fn summarise(db: &mut ClientWrapper) -> Result<bool> {
    let transaction = begin(db, IsolationLevel::RepeatableRead).await?;
    let sql = "SELECT past FROM click_summary_state WHERE settled <= pg_snapshot_xmin(pg_current_snapshot())";
    let Some(state) = stats::rows(&transaction, sql, &[]).await?.pop() else { return Ok(false) };
    let past = state.try_get::<_, Timestamp>(0)?.unix_seconds();
    let sql = "SELECT DISTINCT url_id, hour FROM (
                   SELECT url_id, hour FROM late_click_counts ORDER BY url_id, hour LIMIT $1
               ) AS first ORDER BY url_id, hour";
    let late = keys_of(&stats::rows(&transaction, sql, &[&HOURS_AT_ONCE]).await?)?;
    if late.is_empty() {
        return Ok(false);
    }
    let mut days: Vec<(i64, i64)> = late.iter().map(|(url_id, hour)| (*url_id, day_of(*hour))).collect();
    days.dedup();

    let (ids, hours) = columns(&late);
    let sql =
        "DELETE FROM late_click_counts AS late USING unnest($1::bigint[], $2::timestamptz[]) AS key (url_id, hour)
               WHERE late.url_id = key.url_id AND late.hour = key.hour";
    execute(&transaction, sql, &[&ids, &hours]).await?;
    for (keys, hours) in [(&late, 1), (&days, DAY_HOURS)] {
        let (ids, starts) = columns(keys);
        let sql = "DELETE FROM click_summaries AS summary
                   USING unnest($1::bigint[], $2::timestamptz[]) AS key (url_id, start)
                   WHERE summary.url_id = key.url_id AND summary.hours = $3::bigint AND summary.start = key.start";
        execute(&transaction, sql, &[&ids, &starts, &hours]).await?;
    }
    let days = days.into_iter().filter(|(_, day)| day + DAY_HOURS * HOUR_SECONDS <= past).collect::<Vec<_>>();
    // Hours first, since days are summarised from them.
    for (keys, hours, lengths) in [(&late, 1, [].as_slice()), (&days, DAY_HOURS, [1].as_slice())] {
        for (url_id, start) in find_many(&transaction, keys, hours).await? {
            let gap = Gap { url_id, from: start, to: start + hours * HOUR_SECONDS };
            let folded = fold(&transaction, vec![gap], lengths, ClickFilter::All).await?;
            if folded.is_empty() {
                continue;
            }
            let counts = serde_json::to_string(&folded).map_err(|error| StoreError::Internal(error.into()))?;
            let sql = "INSERT INTO click_summaries (url_id, hours, start, counts) VALUES ($1, $2::bigint, $3, $4)";
            execute(&transaction, sql, &[&url_id, &hours, &Timestamp::from_unix_seconds(start), &counts]).await?;
        }
    }
    transaction.commit().await?;
    Ok(true)
}

/// Returns those hours or days that have many counts, of links that exist. The links are locked against deletion.
async fn find_many(db: &Transaction<'_>, keys: &[(i64, i64)], hours: i64) -> Result<Vec<(i64, i64)>> {
    let (ids, starts) = columns(keys);
    let lock = "SELECT FROM urls WHERE id = ANY ($1) ORDER BY id FOR KEY SHARE";
    execute(db, lock, &[&ids]).await?;
    let sql = "SELECT key.url_id, key.start FROM unnest($1::bigint[], $2::timestamptz[]) AS key (url_id, start)
               WHERE key.url_id = $5 OR EXISTS (SELECT FROM urls WHERE id = key.url_id) AND (
                   SELECT count(*) FROM (
                       SELECT FROM click_counts AS counted
                       WHERE counted.url_id = key.url_id
                           AND counted.hour >= key.start AND counted.hour < key.start + $3 * interval '1 hour'
                       LIMIT $4
                   ) AS first
               ) = $4";
    keys_of(&stats::rows(db, sql, &[&ids, &starts, &(hours as f64), &MANY_ROWS, &ALL_LINKS]).await?)
}

fn keys_of(rows: &[Row]) -> Result<Vec<(i64, i64)>> {
    let key = |row: &Row| Ok((row.try_get(0)?, row.try_get::<_, Timestamp>(1)?.unix_seconds()));
    Ok(rows.iter().map(key).collect::<Result<_, Error>>()?)
}

fn columns(keys: &[(i64, i64)]) -> (Vec<i64>, Vec<Timestamp>) {
    keys.iter().map(|(url_id, start)| (*url_id, Timestamp::from_unix_seconds(*start))).unzip()
}
