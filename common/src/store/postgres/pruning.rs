//! What is forgotten and folded now and then.

use std::time::Duration;

use deadpool_postgres::ClientWrapper;

use super::connections::Connections;
use crate::store::Result;

/// So that two processes do not fold at once, of which the second would only wait: "FOLD".
const FOLD_LOCK: i64 = i64::from_be_bytes(*b"TERNFOLD");

/// Longer than any log, and no more than an interval holds.
const LONGEST_KEPT: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Folds deltas into the totals, unless another process does.
pub(super) async fn fold(connections: &Connections) -> Result<()> {
    let sql = "WITH folded AS (DELETE FROM row_count_deltas RETURNING list, filter, n)
               INSERT INTO row_counts AS counted
               SELECT list, filter, sum(n) FROM folded GROUP BY list, filter
               ON CONFLICT (list, filter) DO UPDATE SET n = counted.n + excluded.n;
               DELETE FROM row_counts WHERE n = 0";
    alone(connections, FOLD_LOCK, async |db| Ok(db.batch_execute(sql).await?)).await?;
    Ok(())
}

/// Does `work` in a transaction of its own, unless another process has the lock.
pub(super) async fn alone<T>(
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

/// Forgets changes older than `keep`, and raises the floor above them in the same transaction.
pub(super) async fn prune(connections: &Connections, keep: Duration) -> Result<u64> {
    // By transaction, not by time: whatever is left below the floor would be seen by no cursor.
    // Nor does the floor rise above a transaction that is open: each cursor taken since it began would be too old.
    let floor = "UPDATE replica_meta SET floor = greatest(floor, least(
                     pg_snapshot_xmin(pg_current_snapshot()), (newest.xid::text::numeric + 1)::text::xid8
                 ))
                 FROM (
                     SELECT xid FROM url_changes WHERE changed_at < now() - $1::float8 * interval '1 second'
                     ORDER BY changed_at DESC LIMIT 1
                 ) AS newest";
    let below = "DELETE FROM url_changes WHERE xid < (SELECT floor FROM replica_meta)";
    connections
        .upkeep(async |db| match db.execute(floor, &[&keep.min(LONGEST_KEPT).as_secs_f64()]).await? {
            0 => Ok(0),
            _ => Ok(db.execute(below, &[]).await?),
        })
        .await
}
