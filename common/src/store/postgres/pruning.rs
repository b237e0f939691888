//! Folding of totals, and pruning of the change log.

use std::time::Duration;

use deadpool_postgres::ClientWrapper;

use super::connections::Connections;
use crate::store::Result;

/// The advisory lock under which one process folds: "TERNFOLD". A second one would only wait.
const FOLD_LOCK: i64 = i64::from_be_bytes(*b"TERNFOLD");

/// The longest duration that pruning passes to PostgreSQL, whose intervals have a limit.
pub(super) const LONGEST_RETENTION: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Folds deltas into the totals, unless another process does so.
pub(super) async fn fold(connections: &Connections) -> Result<()> {
    let sql = "WITH folded AS (DELETE FROM row_count_deltas RETURNING list, filter, n)
               INSERT INTO row_counts AS counted
               SELECT list, filter, sum(n) FROM folded GROUP BY list, filter
               ON CONFLICT (list, filter) DO UPDATE SET n = counted.n + excluded.n;
               DELETE FROM row_counts WHERE n = 0";
    with_lock(connections, FOLD_LOCK, async |db| Ok(db.batch_execute(sql).await?)).await?;
    Ok(())
}

/// Does `work` in its own transaction, unless another process has the lock.
pub(super) async fn with_lock<T>(
    connections: &Connections,
    lock: i64,
    work: impl AsyncFnOnce(&ClientWrapper) -> Result<T>,
) -> Result<Option<T>> {
    connections
        .upkeep(async |db| {
            let locked = db.query_one("SELECT pg_try_advisory_xact_lock($1)", &[&lock]).await?;
            if locked.try_get(0)? { work(db).await.map(Some) } else { Ok(None) }
        })
        .await
}

/// Deletes changes older than `keep`, and raises the floor above them in the same transaction.
pub(super) async fn prune(connections: &Connections, keep: Duration) -> Result<u64> {
    // The limit is a transaction and not a time, since no cursor sees changes below the floor.
    // The floor stays below open transactions. Otherwise each cursor since their begin would be too old.
    let floor = "UPDATE replica_meta SET floor = greatest(floor, least(
                     pg_snapshot_xmin(pg_current_snapshot()), (newest.xid::text::numeric + 1)::text::xid8
                 ))
                 FROM (
                     SELECT xid FROM url_changes WHERE changed_at < now() - $1::float8 * interval '1 second'
                     ORDER BY changed_at DESC LIMIT 1
                 ) AS newest";
    let below = "DELETE FROM url_changes WHERE xid < (SELECT floor FROM replica_meta)";
    connections
        .upkeep(async |db| match db.execute(floor, &[&keep.min(LONGEST_RETENTION).as_secs_f64()]).await? {
            0 => Ok(0),
            _ => Ok(db.execute(below, &[]).await?),
        })
        .await
}
