//! The feed of changes in PostgreSQL, whose transactions do not commit in the order of anything they wrote.
//!
//! A position is a snapshot of the transactions that had ended, and a delta is what the difference of two snapshots
//! brought: nothing is skipped, and nothing waits for a transaction that stays open.

use std::time::Duration;

use anyhow::anyhow;
use deadpool_postgres::ClientWrapper;
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio_postgres::binary_copy::{BinaryCopyOutRow, BinaryCopyOutStream};
use tokio_postgres::types::Type;
use tokio_postgres::{Error, Row};

use super::connections::Connections;
use super::pool::Lease;
use super::position::{Epoch, Position, Snapshot as Seen};
use super::{error, query};
use crate::link::LinkRow;
use crate::store::cursor;
use crate::store::{AgedChange, Cursor, Delta, LinkChange, Result, Snapshot, StoreError};

/// Rows handed over at a time in a snapshot.
const SNAPSHOT_BATCH: usize = 1_000;

/// How long a snapshot waits for the server's next row.
const SNAPSHOT_SILENCE: Duration = Duration::from_secs(10);

/// Of more entries in the log than this no delta is made: a snapshot must do, which comes in parts and has the time it
/// needs. Twice as many did not always fit, on a busy machine, into the second and a half that a statement has.
const DELTA_ENTRIES: i64 = 50_000;

/// How many transactions a position is set back when the server may have crashed since it was taken.
/// Ids are handed out that often only in minutes; what a crash forgets was handed out within its last seconds.
const REWIND: u64 = 1_000_000;

/// Where the feed stands, in one row. PostgreSQL gives its snapshot as the transaction has it.
const HEAD: &str = "SELECT replica_epoch(), floor::text, pg_current_snapshot()::text,
           (SELECT (checkpoint_lsn - '0/0')::text FROM pg_control_checkpoint())
    FROM replica_meta";

/// The log's entries of transactions that a snapshot does not see: those from its xmax on, and those in progress.
/// It is what `xid >= xmin AND NOT pg_visible_in_snapshot(xid, snapshot)` says, without a walk over everything since
/// the oldest open transaction began.
///
/// A transaction stamps its changes when it begins, and those that the fourth snapshot sees were given before.
///
/// The lateral LIMIT has the urls looked up one by one, whatever the planner thinks of the number of changes.
const CHANGES: &str = "
    WITH entries AS MATERIALIZED (
        SELECT short_code, xid, changed_at FROM url_changes WHERE xid >= $1::text::xid8
        UNION ALL
        SELECT short_code, xid, changed_at FROM url_changes WHERE xid = ANY ($2::text::xid8[])
        LIMIT $3::bigint + 1
    )
    SELECT changed.short_code, url.id, url.user_id, url.original_url, url.is_active,
           extract(epoch FROM clock_timestamp() - changed.at)::double precision AS age,
           (SELECT count(*) FROM entries) AS entries
    FROM (
        SELECT short_code, min(changed_at) FILTER (WHERE NOT pg_visible_in_snapshot(xid, $4::text::pg_snapshot)) AS at
        FROM entries GROUP BY short_code
    ) AS changed
    LEFT JOIN LATERAL (
        SELECT id, user_id, original_url, is_active FROM urls WHERE urls.short_code = changed.short_code LIMIT 1
    ) AS url ON true";

/// Where the feed stood when a transaction began.
struct Head {
    epoch: Epoch,
    floor: u64,
    seen: Seen,
    checkpoint: u64,
}

pub(super) async fn delta(connections: &Connections, since: &Cursor) -> Result<Delta> {
    let cursor::Position::Postgres(since) = &since.0 else { return Ok(Delta::TooOld) };
    connections.feed(async |db, life| delta_within(db, life, since).await).await
}

pub(super) async fn snapshot(connections: &Connections) -> Result<Snapshot> {
    // Known before the snapshot is taken: if the server crashes in between, this life is over.
    let life = connections.feed(async |_, life| Ok(life)).await?;
    let (head, lease) = connections.begin_snapshot(async |db| head(&query::rows(db, HEAD, &[]).await?)).await?;
    let cursor = position(head, life);
    let (sender, rows) = mpsc::channel(4);
    tokio::spawn(async move {
        if let Err(error) = read_all(lease, &sender).await {
            // The receiver may have lost interest, which is its right.
            let _ = sender.send(Err(error)).await;
        }
    });
    Ok(Snapshot { cursor, rows })
}

/// Reads a delta. Positions that were taken on the connection `life` are told from all others.
async fn delta_within(db: &ClientWrapper, life: u64, since: &Position) -> Result<Delta> {
    let mut seen = since.seen.clone();
    if since.life != life {
        let head = head(&query::rows(db, HEAD, &[]).await?)?;
        if since.seen.xmin < head.floor {
            return Ok(Delta::TooOld);
        }
        // A server that crashed forgets which ids it gave to transactions that left no trace, and gives them again.
        seen = Seen::below(head.floor.max(since.seen.xmin.saturating_sub(REWIND)).max(1));
    }
    let (head, changes) = read(db, &seen, &since.seen).await?;
    // A position from the future belongs to a copy of this database that went on elsewhere.
    if since.epoch != head.epoch || seen.xmin < head.floor || seen.xmax > head.seen.xmax {
        return Ok(Delta::TooOld);
    }
    if changes.first().is_some_and(|row| row.get::<_, i64>("entries") > DELTA_ENTRIES) {
        return Ok(Delta::TooOld);
    }
    let changes = changes.iter().map(aged_change).collect::<Result<_, Error>>()?;
    Ok(Delta::Changes { changes, cursor: position(head, life), more: false })
}

/// Reads where the feed stands, and what came since `seen`, in one transaction and one round trip.
/// What `given` sees is no news, even if it has to be given once more.
async fn read(client: &ClientWrapper, seen: &Seen, given: &Seen) -> Result<(Head, Vec<Row>)> {
    let (head_sql, changes_sql) = (client.prepare_cached(HEAD).await?, client.prepare_cached(CHANGES).await?);
    let xmax = seen.xmax.to_string();
    let in_progress: Vec<String> = seen.in_progress.iter().map(u64::to_string).collect();
    let in_progress = format!("{{{}}}", in_progress.join(","));
    let unseen: query::Values<'_> = &[&xmax, &in_progress, &DELTA_ENTRIES, &given.to_string()];
    // The futures send when they are first polled, which `join!` does in this order.
    let (begun, head_rows, changes, ended) = tokio::join!(
        biased;
        client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
        client.query(&head_sql, &[]),
        client.query(&changes_sql, unseen),
        client.batch_execute("COMMIT"),
    );
    begun?;
    let head = head(&head_rows?)?;
    let changes = changes?;
    ended?;
    Ok((head, changes))
}

fn head(rows: &[Row]) -> Result<Head> {
    let row = rows.first().ok_or_else(|| error::unexpected("silence"))?;
    // What a standby says of transactions in progress is not what its primary would say.
    let epoch: &str = row
        .try_get::<_, Option<&str>>(0)?
        .ok_or_else(|| StoreError::Unavailable(anyhow!("the database is a standby, which cannot feed replicas")))?;
    Ok(Head {
        epoch: Epoch::parse(epoch).ok_or_else(|| error::unexpected("epoch"))?,
        floor: row.try_get::<_, &str>(1)?.parse().map_err(|_| error::unexpected("floor"))?,
        seen: Seen::parse(row.try_get(2)?).ok_or_else(|| error::unexpected("snapshot"))?,
        checkpoint: row.try_get::<_, &str>(3)?.parse().map_err(|_| error::unexpected("checkpoint"))?,
    })
}

fn position(head: Head, life: u64) -> Cursor {
    let Head { epoch, checkpoint, seen, .. } = head;
    Cursor(cursor::Position::Postgres(Box::new(Position { epoch, checkpoint, life, seen })))
}

fn aged_change(row: &Row) -> Result<AgedChange, Error> {
    let age: Option<f64> = row.try_get("age")?;
    // A clock that was set back makes a change of the future: it is new.
    let age = age.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default());
    Ok(AgedChange { change: link_change(row)?, age })
}

fn link_change(row: &Row) -> Result<LinkChange, Error> {
    let short_code = row.try_get(0)?;
    let Some(url_id) = row.try_get(1)? else { return Ok(LinkChange::Removed { short_code }) };
    Ok(LinkChange::Put(LinkRow {
        short_code,
        url_id,
        owner_id: row.try_get(2)?,
        original_url: row.try_get(3)?,
        is_active: row.try_get(4)?,
    }))
}

/// Hands over every row, within the transaction that was begun.
async fn read_all(mut lease: Lease, rows: &mpsc::Sender<Result<Vec<LinkRow>>>) -> Result<()> {
    let db = lease.client()?;
    let copy = "COPY (SELECT short_code, id, user_id, original_url, is_active FROM urls) TO STDOUT (FORMAT BINARY)";
    let types = [Type::TEXT, Type::INT8, Type::INT8, Type::TEXT, Type::BOOL];
    let stream = BinaryCopyOutStream::new(db.copy_out(copy).await?, &types);
    let mut stream = std::pin::pin!(stream);
    let mut batch = Vec::with_capacity(SNAPSHOT_BATCH);
    loop {
        let silent = |_| StoreError::Unavailable(anyhow!("no row within {SNAPSHOT_SILENCE:?}"));
        let row = tokio::time::timeout(SNAPSHOT_SILENCE, stream.next()).await.map_err(silent)?;
        let is_last = row.is_none();
        batch.extend(row.transpose()?.map(|row| link_row(&row)).transpose()?);
        let is_full = batch.len() == SNAPSHOT_BATCH || (is_last && !batch.is_empty());
        if is_full && rows.send(Ok(std::mem::take(&mut batch))).await.is_err() {
            return Ok(());
        }
        if is_last {
            break;
        }
    }
    lease.commit().await
}

fn link_row(row: &BinaryCopyOutRow) -> Result<LinkRow, Error> {
    Ok(LinkRow {
        short_code: row.try_get(0)?,
        url_id: row.try_get(1)?,
        owner_id: row.try_get(2)?,
        original_url: row.try_get(3)?,
        is_active: row.try_get(4)?,
    })
}
