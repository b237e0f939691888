//! The feed of changes in PostgreSQL.
//!
//! The order of commits differs from the order of transaction ids and of any value that transactions write.
//! A position is therefore a PostgreSQL snapshot, which names the transactions that have ended.
//! A delta contains the changes of all transactions in the difference of two snapshots.
//! Deltas skip no change, and do not wait for open transactions.
//!
//! After a failover a position continues on the new timeline, with the help of a beat of the earlier one. If the promoted
//! server gives up, it continues on the earlier timeline where it left it.

use std::ops::RangeInclusive;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use anyhow::anyhow;
use deadpool_postgres::ClientWrapper;
use futures_util::TryStreamExt;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_postgres::types::Type;
use tokio_postgres::{Error, Row};

use super::connections::Connections;
use super::paging::{Entry, Reach, latest, part_of};
use super::pool::Lease;
use super::position::{Checkpoint, Epoch, Position, Snapshot as Seen};
use super::recent::Recent;
use super::{beats, error, query, urls};
use crate::link_digest::Bucket;
use crate::served_link::{FIELDS, LinkRow};
use crate::store::cursor;
use crate::store::{AgedChange, Cursor, Delta, LinkChange, LinkRows, Result, Snapshot, StoreError};

/// The number of rows in one batch of a snapshot.
const SNAPSHOT_BATCH: usize = 1_000;

/// The time for which a snapshot waits for the server's next row.
const SNAPSHOT_SILENCE: Duration = Duration::from_secs(10);

/// The query for the state of the feed, in one row. `pg_current_snapshot()` is the snapshot of this transaction.
///
/// The end of the write-ahead log is read after the snapshot was taken, since PostgreSQL takes it before it calls the first
/// volatile function. A transaction writes its commit into that log before a snapshot sees it.
const HEAD: &str = "SELECT look_at_server(), floor::text, pg_current_snapshot()::text,
           to_hex('url_changes'::regclass::oid::bigint) || '-' || salt, next_xid,
           CASE WHEN NOT pg_is_in_recovery() THEN (pg_current_wal_insert_lsn() - '0/0')::bigint END
    FROM replica_meta, pg_control_checkpoint()";

/// The query for the log entries of ended transactions that a position does not see, ordered by transaction and code.
///
/// Such transactions start from its xmax, were in progress, or are read in parts.
/// The query reads each gap between open transactions by the index.
/// A transaction that remains open or is read in parts causes no scan of its entries or of later ones.
///
/// A change has the time at which its transaction began. The snapshot `given` sees changes that were returned before.
/// The lateral LIMIT makes PostgreSQL look up links one by one, whatever number of changes the planner expects.
static CHANGES: LazyLock<String> = LazyLock::new(|| {
    let link: Vec<String> = FIELDS.iter().map(|field| format!("link.{field}")).collect();
    format!(
        "
    WITH moment AS MATERIALIZED (
        SELECT pg_current_snapshot() AS now, $4::text::pg_snapshot AS given
    ), gaps AS MATERIALIZED (
        SELECT open AS first, (open::text::bigint + 1)::text::xid8 AS past
        FROM moment, unnest($2::text::xid8[]) AS open WHERE pg_visible_in_snapshot(open, now)
        UNION ALL
        SELECT (open + 1)::text::xid8, coalesce(lead(open) OVER (ORDER BY open)::text::xid8, pg_snapshot_xmax(now))
        FROM moment, LATERAL (
            SELECT $1::bigint - 1
            UNION ALL SELECT open::text::bigint FROM pg_snapshot_xip(now) AS open WHERE open >= $1::text::xid8
        ) AS opens (open)
    ), entries AS MATERIALIZED (
        (
            SELECT entry.xid, entry.short_code, entry.changed_at, false AS in_part
            FROM (SELECT first, past FROM gaps ORDER BY first) AS gap CROSS JOIN LATERAL (
                SELECT xid, short_code, changed_at FROM url_changes WHERE xid >= gap.first AND xid < gap.past
                ORDER BY xid, short_code LIMIT $3
            ) AS entry
            ORDER BY gap.first, entry.xid, entry.short_code LIMIT $3
        ) UNION ALL (
            SELECT xid, short_code, changed_at, true FROM url_changes WHERE xid = $5::text::xid8 AND short_code > $6
            ORDER BY short_code LIMIT $7
        )
    )
    SELECT entry.short_code AS changed_code, {link}, entry.xid::text::bigint AS xid, entry.in_part,
           CASE WHEN NOT pg_visible_in_snapshot(entry.xid, given)
               THEN extract(epoch FROM clock_timestamp() - entry.changed_at)::double precision END AS age
    FROM moment CROSS JOIN entries AS entry
    LEFT JOIN LATERAL (
        SELECT * FROM served_links WHERE served_links.short_code = entry.short_code LIMIT 1
    ) AS link ON true",
        link = link.join(", ")
    )
});

/// The query for the current links of codes.
static LINKS: LazyLock<String> = LazyLock::new(|| {
    let link: Vec<String> = FIELDS.iter().map(|field| format!("link.{field}")).collect();
    format!(
        "SELECT asked.code AS changed_code, {link} FROM unnest($1::text[]) AS asked (code)
         LEFT JOIN LATERAL (
             SELECT * FROM served_links WHERE served_links.short_code = asked.code LIMIT 1
         ) AS link ON true",
        link = link.join(", ")
    )
});

/// The feed of changes over its own connection.
#[derive(Debug)]
pub(super) struct Feed {
    connections: Connections,
    /// The number of log entries in one delta.
    entries_each: usize,
    /// A connection, and the snapshot of the changes that were returned before its position was rewound.
    /// `None` once they have been returned again. Only the ages of changes depend on this value.
    rewound: Mutex<Option<(u64, Seen)>>,
    /// The codes of the last changes, at most as many as one delta has entries.
    recent: Mutex<Recent>,
}

/// The state of the feed when a transaction began.
struct Head {
    epoch: Epoch,
    floor: u64,
    seen: Seen,
    checkpoint: Checkpoint,
    wal: u64,
}

impl Feed {
    pub(super) fn new(connections: Connections, entries_each: usize) -> Feed {
        Feed { connections, entries_each, rewound: Mutex::default(), recent: Mutex::default() }
    }

    pub(super) async fn delta(&self, since: &Cursor) -> Result<Delta> {
        let cursor::Position::Postgres(since) = &since.0 else { return Ok(Delta::TooOld) };
        self.connections.feed(async |db, life| self.delta_within(db, life, since).await).await
    }

    pub(super) async fn snapshot(&self) -> Result<Snapshot> {
        // Both connections are made side by side.
        self.connections.warm_background();
        // The connection is read before the snapshot: if the server crashes in between, the connection has ended too.
        let life = self.connections.feed(async |_, life| Ok(life)).await?;
        let begun = self.connections.begin_snapshot(async |db| head(&db.query_typed(HEAD, &[]).await?));
        let (Head { epoch, checkpoint, seen, wal, .. }, lease) = begun.await?;
        let cursor = cursor(Position { epoch, checkpoint, life, wal, seen, parts: Vec::new() });
        let (sender, rows) = mpsc::channel(4);
        tokio::spawn(async move {
            match read_links(lease, None, &sender).await {
                Ok(lease) => {
                    // The receiver has every row, and need not wait for the end of the transaction.
                    drop(sender);
                    let _ = lease.commit().await;
                }
                // The receiver may have been dropped.
                Err(error) => _ = sender.send(Err(error)).await,
            }
        });
        Ok(Snapshot { cursor, rows })
    }

    /// Reads a delta over the connection `life`.
    async fn delta_within(&self, db: &ClientWrapper, life: u64, from: &Position) -> Result<Delta> {
        let mut since = from.clone();
        let mut given = since.seen.clone();
        let rewound = self.rewound.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, before)) = rewound.filter(|(at, _)| *at == life && since.life == life) {
            given = before;
        }
        let mut undone = Vec::new();
        if since.life != life {
            let head = head(&query::rows(db, HEAD, &[]).await?)?;
            if since.epoch.precedes(&head.epoch) {
                match self.fail_over(db, &mut since, &head).await? {
                    Some(changes) => undone = changes,
                    None => return Ok(Delta::TooOld),
                }
            } else if head.epoch.precedes(&since.epoch) {
                match self.fail_back(db, &mut since, &head).await? {
                    Some(changes) => undone = changes,
                    None => return Ok(Delta::TooOld),
                }
            }
            if since.checkpoint.place != head.checkpoint.place {
                // A server that crashed may give the ids of transactions without a trace again.
                // Ids from before the checkpoint it recovered from are safe, and each recovery ends with a checkpoint.
                since.rewind();
            }
        }
        let (head, entries) = read(db, &since, &given, self.entries_each).await?;
        // A position from the future belongs to a copy of this database with later changes.
        let is_of_future = since.seen.xmax > head.seen.xmax || since.checkpoint.place > head.checkpoint.place;
        if since.epoch != head.epoch || since.seen.xmin < head.floor || is_of_future {
            return Ok(Delta::TooOld);
        }
        let Reach { end, parts } = Reach::of(&entries, since.parts, self.entries_each);
        let more = end < u64::MAX || !parts.is_empty();
        *self.rewound.lock().unwrap_or_else(PoisonError::into_inner) = more.then_some((life, given));
        let seen = since.seen.extended(&head.seen, end, &parts);
        let read = entries.into_iter().filter(|entry| entry.in_part || entry.xid < end);
        // The entries were read after the codes that a failover may have undone, so their links are newer.
        let changes = latest(read.map(|entry| entry.change).chain(undone));
        let Head { epoch, checkpoint, wal, .. } = head;
        let reached = Position { epoch, checkpoint, life, wal, seen, parts };
        let codes = changes.iter().map(|change| change.change.short_code());
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.add(from, reached.clone(), codes, self.entries_each);
        Ok(Delta::Changes { changes, cursor: cursor(reached), more })
    }

    /// Moves a position to the timeline of a promoted standby.
    /// Returns the current links of the codes whose last changes the standby may lack. They leave no trace in its log.
    ///
    /// Returns `None` if the standby has no beat of the earlier timeline, or if these codes are not known.
    async fn fail_over(
        &self,
        db: &ClientWrapper,
        since: &mut Position,
        head: &Head,
    ) -> Result<Option<Vec<AgedChange>>> {
        let Some(beat) = beats::find(db, &since.epoch).await? else { return Ok(None) };
        let codes = self.recent.lock().unwrap_or_else(PoisonError::into_inner).codes_after(since, beat.wal);
        let Some(codes) = codes else { return Ok(None) };
        // The standby may have given any later id again.
        since.rewind_to(beat.xid + 1);
        (since.epoch, since.checkpoint) = (head.epoch, head.checkpoint);
        Ok(Some(current_links(db, &codes).await?))
    }

    /// Moves a position back to the timeline that it was on before the last failover, as when a promoted standby gives up in
    /// favour of a primary that was frozen.
    /// Returns the current links of the codes that were read on the timeline in between.
    ///
    /// Returns `None` if the position or these codes are not known.
    async fn fail_back(
        &self,
        db: &ClientWrapper,
        since: &mut Position,
        head: &Head,
    ) -> Result<Option<Vec<AgedChange>>> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner).before_failover(since, &head.epoch);
        let Some((position, codes)) = recent else { return Ok(None) };
        *since = position;
        Ok(Some(current_links(db, &codes).await?))
    }
}

/// Returns the current links of codes as changes, whose age is not known.
async fn current_links(db: &ClientWrapper, codes: &[String]) -> Result<Vec<AgedChange>> {
    let links = query::rows(db, &LINKS, &[&codes]).await?;
    let change = |row: &Row| Ok(AgedChange { change: link_change(row)?, age: None });
    Ok(links.iter().map(change).collect::<Result<_, Error>>()?)
}

/// Reads the state of the feed and the entries since a position, in one transaction and one round trip.
/// Changes that `given` sees have no age.
async fn read(
    client: &ClientWrapper,
    since: &Position,
    given: &Seen,
    entries_each: usize,
) -> Result<(Head, Vec<Entry>)> {
    let (head_sql, changes_sql) = tokio::try_join!(client.prepare_cached(HEAD), client.prepare_cached(&CHANGES))?;
    let Position { seen, parts, .. } = since;
    let xmax = i64::try_from(seen.xmax).map_err(|_| error::unexpected("transaction id"))?;
    let in_parts = |xid: &u64| parts.iter().any(|part| part.xid == *xid);
    let open: Vec<String> = seen.in_progress.iter().filter(|xid| !in_parts(xid)).map(u64::to_string).collect();
    let open = format!("{{{}}}", open.join(","));
    let part = parts.first();
    let (part_xid, after) = (part.map(|part| part.xid.to_string()), part.map(|part| part.after.as_str()));
    let (at_most, of_part) = (entries_each as i64, part_of(entries_each) as i64);
    let unseen: query::Values<'_> = &[&xmax, &open, &at_most, &given.to_string(), &part_xid, &after, &of_part];
    // Each future sends its statement when it is first polled, and `join!` polls them in this order.
    let (begun, head_rows, entries, ended) = tokio::join!(
        biased;
        client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
        client.query(&head_sql, &[]),
        client.query(&changes_sql, unseen),
        client.batch_execute("COMMIT"),
    );
    begun?;
    let head = head(&head_rows?)?;
    let entries = entries?.iter().map(entry).collect::<Result<_, Error>>()?;
    ended?;
    Ok((head, entries))
}

fn head(rows: &[Row]) -> Result<Head> {
    let row = rows.first().ok_or_else(|| error::unexpected("empty result"))?;
    // A standby does not know its primary's transactions in progress.
    let server: &str = row
        .try_get::<_, Option<&str>>(0)?
        .ok_or_else(|| StoreError::Unavailable(anyhow!("the database is a standby, which cannot feed replicas")))?;
    let (epoch, place) = Epoch::read(server, row.try_get(3)?).ok_or_else(|| error::unexpected("server"))?;
    Ok(Head {
        epoch,
        floor: row.try_get::<_, &str>(1)?.parse().map_err(|_| error::unexpected("floor"))?,
        seen: Seen::parse(row.try_get(2)?).ok_or_else(|| error::unexpected("snapshot"))?,
        checkpoint: Checkpoint {
            place,
            next_xid: full_xid(row.try_get(4)?).ok_or_else(|| error::unexpected("transaction id"))?,
        },
        wal: row.try_get::<_, i64>(5)?.cast_unsigned(),
    })
}

/// Parses a transaction id of the control file: the number of wraparounds, and the id since the last one.
fn full_xid(text: &str) -> Option<u64> {
    let (epoch, xid) = text.split_once(':')?;
    Some((u64::from(epoch.parse::<u32>().ok()?) << 32) | u64::from(xid.parse::<u32>().ok()?))
}

fn cursor(position: Position) -> Cursor {
    Cursor(cursor::Position::Postgres(Box::new(position)))
}

fn entry(row: &Row) -> Result<Entry, Error> {
    let age: Option<f64> = row.try_get("age")?;
    // After the clock was set back, a change may be in the future. Its age is zero.
    let age = age.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default());
    let change = AgedChange { change: link_change(row)?, age };
    Ok(Entry { change, xid: row.try_get::<_, i64>("xid")?.cast_unsigned(), in_part: row.try_get("in_part")? })
}

fn link_change(row: &Row) -> Result<LinkChange, Error> {
    Ok(match row.try_get::<_, Option<i64>>("url_id")? {
        Some(_) => LinkChange::Put(urls::link_row(row)?),
        None => LinkChange::Removed { short_code: row.try_get("changed_code")? },
    })
}

/// Returns the present links of buckets.
pub(super) async fn links_in(connections: &Connections, mut buckets: Vec<Bucket>) -> Result<LinkRows> {
    buckets.sort_unstable();
    let (_, mut lease) = connections.begin_snapshot(async |_| Ok(())).await?;
    let (sender, rows) = mpsc::channel(4);
    tokio::spawn(async move {
        // Adjacent buckets are read by one statement.
        for run in buckets.chunk_by(|one, next| one.last_id() + 1 == next.first_id()) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            match read_links(lease, Some(first.first_id()..=last.last_id()), &sender).await {
                Ok(same) => lease = same,
                Err(error) => {
                    let _ = sender.send(Err(error)).await;
                    return;
                }
            }
        }
        drop(sender);
        let _ = lease.commit().await;
    });
    Ok(rows)
}

/// Sends the rows of urls with these ids, or of all, to the receiver. Returns the lease, within whose transaction it reads.
async fn read_links(
    mut lease: Lease,
    ids: Option<RangeInclusive<i64>>,
    rows: &mpsc::Sender<Result<Vec<LinkRow>>>,
) -> Result<Lease> {
    let within = if ids.is_some() { " WHERE url_id BETWEEN $1 AND $2" } else { "" };
    let links = format!("SELECT {} FROM served_links{within}", FIELDS.join(", "));
    let ends = ids.into_iter().flat_map(|ids| [(*ids.start(), Type::INT8), (*ids.end(), Type::INT8)]);
    let ends: Vec<(i64, Type)> = ends.collect();
    let mut links = std::pin::pin!(lease.client()?.query_typed_raw(&links, ends).await?);
    let silent = |_| StoreError::Unavailable(anyhow!("no row within {SNAPSHOT_SILENCE:?}"));
    let mut batch = Vec::with_capacity(SNAPSHOT_BATCH);
    while let Some(row) = timeout(SNAPSHOT_SILENCE, links.try_next()).await.map_err(silent)?? {
        batch.push(urls::link_row(&row)?);
        if batch.len() == SNAPSHOT_BATCH && rows.send(Ok(std::mem::take(&mut batch))).await.is_err() {
            return Ok(lease);
        }
    }
    if !batch.is_empty() {
        // An error means that the receiver was dropped.
        let _ = rows.send(Ok(batch)).await;
    }
    Ok(lease)
}
