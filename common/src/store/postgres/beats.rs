//! Beats: an admin writes the end of the write-ahead log into a table, once a second.
//!
//! A promoted standby that has a beat of the earlier timeline has the log of that timeline up to the beat.

use deadpool_postgres::ClientWrapper;

use super::position::Epoch;
use super::{error, query};
use crate::store::Result;

/// The last beat of one timeline.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beat {
    /// The end of the write-ahead log before the beat was committed.
    pub(super) wal: u64,
    /// The transaction of the beat. A server that has the beat gives no id up to this one again.
    pub(super) xid: u64,
}

/// Writes a beat of the current timeline, unless a concurrent admin has written a later one.
///
/// The commit waits for no disk and for no standby: a beat that is lost was too late to be of use.
pub(super) async fn write(db: &ClientWrapper) -> Result<()> {
    let sql = "INSERT INTO failover_beats AS last (timeline, wal, xid)
               SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8), (pg_current_wal_insert_lsn() - '0/0')::bigint,
                   pg_current_xact_id()
               WHERE set_config('synchronous_commit', 'off', true) = 'off'
               ON CONFLICT (timeline) DO UPDATE SET wal = excluded.wal, xid = excluded.xid
               WHERE last.wal < excluded.wal";
    query::execute(db, sql, &[]).await?;
    Ok(())
}

/// Returns the last beat of the timeline of `epoch` that this server has.
pub(super) async fn find(db: &ClientWrapper, epoch: &Epoch) -> Result<Option<Beat>> {
    let sql = "SELECT wal, xid::text FROM failover_beats WHERE timeline = $1";
    let Some(row) = query::row(db, sql, &[&epoch.timeline()]).await? else { return Ok(None) };
    let xid = row.try_get::<_, &str>(1)?.parse().map_err(|_| error::unexpected("transaction id"))?;
    Ok(Some(Beat { wal: row.try_get::<_, i64>(0)?.cast_unsigned(), xid }))
}
