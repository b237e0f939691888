//! Codes without a link that were asked for, in PostgreSQL.

use deadpool_postgres::ClientWrapper;
use tokio_postgres::{Error, Row};

use super::connections::Connections;
use super::query;
use crate::missed_code::{KEEP_MISSES, MOST_MISSES, MissedCode, NewMisses};
use crate::store::Result;

pub(super) async fn count(db: &ClientWrapper, misses: &[NewMisses]) -> Result<()> {
    let (codes, counts): (Vec<&str>, Vec<i64>) =
        misses.iter().map(|missed| (missed.short_code.as_str(), missed.count.cast_signed())).unzip();
    query::row(db, "SELECT count_misses($1, $2)", &[&codes, &counts]).await?;
    Ok(())
}

pub(super) async fn list(db: &ClientWrapper, limit: u32) -> Result<Vec<MissedCode>> {
    let sql = "SELECT short_code, count, last_asked_at FROM misses
               WHERE NOT EXISTS (SELECT FROM urls WHERE urls.short_code = misses.short_code)
               ORDER BY count DESC, short_code LIMIT $1";
    let missed = |row: &Row| {
        let count = row.try_get::<_, i64>(1)?.unsigned_abs();
        Ok(MissedCode { short_code: row.try_get(0)?, count, last_asked_at: row.try_get(2)? })
    };
    Ok(query::rows(db, sql, &[&i64::from(limit)]).await?.iter().map(missed).collect::<Result<_, Error>>()?)
}

/// Deletes old codes, and those that were asked for least beyond the bound.
pub(super) async fn prune(connections: &Connections) -> Result<()> {
    // A row that a redirector has locked stays until the next run, so that neither waits for the other.
    let sql = "WITH pruned AS MATERIALIZED (
                   SELECT short_code FROM misses
                   WHERE last_asked_at < now() - make_interval(secs => $1) OR short_code IN (
                       SELECT short_code FROM misses ORDER BY count DESC, last_asked_at DESC, short_code OFFSET $2
                   )
                   FOR UPDATE SKIP LOCKED
               )
               DELETE FROM misses USING pruned WHERE misses.short_code = pruned.short_code";
    let (keep, most) = (KEEP_MISSES.as_secs_f64(), i64::from(MOST_MISSES));
    connections.upkeep(async |db| Ok(db.execute(sql, &[&keep, &most]).await.map(|_| ())?)).await
}
