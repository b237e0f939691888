//! The sums of the links that redirectors serve. Triggers append their changes, and the upkeep folds and verifies them.

use futures_util::TryStreamExt;
use tokio_postgres::types::Type;

use super::connections::Connections;
use super::pruning::with_lock;
use super::{error, query};
use crate::link_digest::{Bucket, DigestKey, LinkSums};
use crate::store::cursor::Position;
use crate::store::{Cursor, Result, StoreError};

/// The advisory lock under which one process folds sums and verifies them: "TERNSUMS".
const SUMS_LOCK: i64 = i64::from_be_bytes(*b"TERNSUMS");

/// The query for the sums at a position.
///
/// A change that the position does not see is left out: it is not added while it is not folded, and else added again.
/// A restored change may have the id of a future transaction. Every position sees it.
const SUMS: &str = "SELECT bucket, xor_all(digest) FROM (
        SELECT bucket, digest FROM link_sums
        UNION ALL
        SELECT bucket, digest FROM link_sum_changes
        WHERE (folded_at IS NULL) = (
            pg_visible_in_snapshot(xid, $1::text::pg_snapshot) OR xid >= pg_snapshot_xmax(pg_current_snapshot())
        )
    ) AS sums
    GROUP BY bucket HAVING xor_all(digest) <> 0";

/// The statements that fold changes. Folded ones remain for ten minutes, for sums at a position from before the fold.
const FOLD: &str = "
    WITH folded AS (UPDATE link_sum_changes SET folded_at = now() WHERE folded_at IS NULL RETURNING bucket, digest)
    INSERT INTO link_sums AS sums
    SELECT bucket, xor_all(digest) FROM folded GROUP BY bucket HAVING xor_all(digest) <> 0
    ON CONFLICT (bucket) DO UPDATE SET digest = sums.digest # excluded.digest;
    DELETE FROM link_sums WHERE digest = 0;
    DELETE FROM link_sum_changes WHERE folded_at < now() - interval '10 minutes'";

/// The query that verifies a part of the sums. Each minute a part, and every link within about a day.
const VERIFY: &str = "SELECT verify_link_sums(reltuples::bigint / 1440) FROM pg_class WHERE oid = 'urls'::regclass";

pub(super) async fn digest_key(connections: &Connections) -> Result<DigestKey> {
    let key = connections.control(async |db| Ok(query::row(db, "SELECT digest_key FROM replica_meta", &[]).await?));
    let row = key.await?.ok_or_else(|| error::unexpected("empty result"))?;
    Ok(DigestKey::new(row.try_get(0)?))
}

/// Returns the sums at a position.
pub(super) async fn read(connections: &Connections, at: &Cursor) -> Result<LinkSums> {
    let Position::Postgres(at) = &at.0 else { return Ok(LinkSums::new()) };
    let seen = at.seen.to_string();
    let (_, mut lease) = connections.begin_snapshot(async |_| Ok(())).await?;
    let read = async {
        let mut rows = std::pin::pin!(lease.client()?.query_typed_raw(SUMS, [(seen, Type::TEXT)]).await?);
        let mut sums = LinkSums::new();
        while let Some(row) = rows.try_next().await? {
            sums.insert(Bucket::new(row.try_get(0)?), row.try_get::<_, i64>(1)?.cast_unsigned());
        }
        Ok::<_, StoreError>(sums)
    };
    let sums = connections.limit_long(read).await?;
    lease.commit().await?;
    Ok(sums)
}

/// Folds changes into the sums, and verifies a part of the sums, unless another process does so.
pub(super) async fn maintain(connections: &Connections) -> Result<()> {
    with_lock(connections, SUMS_LOCK, async |db| Ok(db.batch_execute(FOLD).await?)).await?;
    let verified = with_lock(connections, SUMS_LOCK, async |db| Ok(db.query(VERIFY, &[]).await?)).await?;
    let wrong = verified.unwrap_or_default().len();
    if wrong > 0 {
        tracing::error!(
            buckets = wrong,
            "links were changed without the triggers of their table; sums of links were corrected; redirectors correct the \
             links at their next audit"
        );
    }
    Ok(())
}
