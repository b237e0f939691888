//! The feed of changes in SQLite. With one writer, the order of sequences in the change log is the order of commits.

use std::time::Duration;

use deadpool_sqlite::Object;
use rusqlite::{Connection, Transaction};
use tokio::sync::{mpsc, oneshot};

use super::commits::Commits;
use super::position::head;
use super::urls;
use crate::served_link::LinkRow;
use crate::store::cursor::{Position, Sequence};
use crate::store::{AgedChange, Cursor, Delta, LinkChange, Result, Snapshot, StoreError};

/// The number of rows in one batch of a snapshot.
const SNAPSHOT_BATCH: usize = 1_000;

/// The largest number of log entries in one delta.
const DELTA_CHANGES: i64 = 10_000;

fn cursor(at: Sequence) -> Cursor {
    Cursor(Position::Sqlite(at))
}

pub(super) async fn snapshot(connection: Object) -> Result<Snapshot> {
    let (cursor_sender, cursor) = oneshot::channel();
    let (sender, rows) = mpsc::channel(4);
    tokio::spawn(async move {
        let rows_sender = sender.clone();
        let read = super::connections::interact(connection, move |connection| {
            read_all(connection, cursor_sender, &rows_sender)
        });
        if let Err(error) = read.await {
            // The receiver may have been dropped.
            let _ = sender.send(Err(error)).await;
        }
    });
    let cursor = cursor.await.map_err(|_| StoreError::Unavailable(anyhow::anyhow!("the snapshot could not start")))?;
    Ok(Snapshot { cursor, rows })
}

fn read_all(
    connection: &mut Connection,
    at: oneshot::Sender<Cursor>,
    rows: &mpsc::Sender<Result<Vec<LinkRow>>>,
) -> Result<()> {
    let transaction = connection.transaction()?;
    // If the receiver was dropped, the next send fails.
    let _ = at.send(cursor(head(&transaction)?));
    let mut statement = transaction.prepare_cached("SELECT * FROM served_links")?;
    let mut links = statement.query_map([], urls::link_row)?;
    loop {
        let batch: Vec<LinkRow> = links.by_ref().take(SNAPSHOT_BATCH).collect::<Result<_, _>>()?;
        if batch.is_empty() || rows.blocking_send(Ok(batch)).is_err() {
            return Ok(());
        }
    }
}

pub(super) fn delta(db: &Connection, since: &Cursor, commits: &Commits) -> Result<Delta> {
    let Position::Sqlite(since) = since.0 else { return Ok(Delta::TooOld) };
    let head = head(db)?;
    let floor: i64 = db.prepare_cached("SELECT floor FROM replica_meta")?.query_row([], |row| row.get(0))?;
    // A cursor from the future belongs to a copy of this database with later changes.
    if since.epoch != head.epoch || since.number < floor.unsigned_abs() || since.number > head.number {
        return Ok(Delta::TooOld);
    }
    let from = since.number.cast_signed();
    let last: Option<i64> = db
        .prepare_cached(
            "SELECT max(sequence) FROM
             (SELECT sequence FROM url_changes WHERE sequence > ?1 ORDER BY sequence LIMIT ?2)",
        )?
        .query_row((from, DELTA_CHANGES), |row| row.get(0))?;
    let Some(last) = last else {
        return Ok(Delta::Changes { changes: Vec::new(), cursor: cursor(head), more: false });
    };
    let changes = db
        .prepare_cached(
            "SELECT change.short_code AS changed_code, link.*, min(change.sequence) AS first
             FROM url_changes AS change LEFT JOIN served_links AS link ON link.short_code = change.short_code
             WHERE change.sequence > ?1 AND change.sequence <= ?2
             GROUP BY change.short_code",
        )?
        .query_map((from, last), |row| {
            let change = match row.get::<_, Option<i64>>("url_id")? {
                Some(_) => LinkChange::Put(urls::link_row(row)?),
                None => LinkChange::Removed { short_code: urls::text(row, "changed_code")? },
            };
            Ok(AgedChange { change, age: commits.age(row.get("first")?) })
        })?
        .collect::<Result<_, _>>()?;
    let reached = Sequence { epoch: head.epoch, number: last.unsigned_abs() };
    Ok(Delta::Changes { changes, more: reached.number < head.number, cursor: cursor(reached) })
}

pub(super) fn prune(db: &Transaction<'_>, keep: Duration) -> Result<u64> {
    let keep = i64::try_from(keep.as_secs()).unwrap_or(i64::MAX);
    // The limit is a sequence and not a time, so that a clock set back leaves no gap below the floor.
    let floor: Option<i64> =
        db.query_row("SELECT max(sequence) FROM url_changes WHERE changed_at < unixepoch() - ?1", [keep], |row| {
            row.get(0)
        })?;
    let Some(floor) = floor else { return Ok(0) };
    db.execute("UPDATE replica_meta SET floor = max(floor, ?1)", [floor])?;
    Ok(db.execute("DELETE FROM url_changes WHERE sequence <= ?1", [floor])? as u64)
}
