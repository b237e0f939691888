//! Loads a file into PostgreSQL in one transaction.
//!
//! COPY stages the rows in a temporary table of the load's own connection. One statement inserts them from there.
//! No transaction is open while the load waits for rows, so a slow source delays no other client.

use std::time::Duration;

use anyhow::anyhow;
use deadpool_postgres::ClientWrapper;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};

use super::connections::Connections;
use super::staging::{Stageable, batch, find_twins, mark};
use super::{error, sifting};
use crate::Timestamp;
use crate::store::judgement::{self, FORGET_STAGED, Judgement};
use crate::store::{Batches, Load, LoadError, LoadOutcome, NumberedRow, Result, SkippedRow, SkippedRows, StoreError};

/// The advisory lock under which one file is judged and inserted: "TERNLOAD".
/// No constraint would refuse products and events without ids that another load inserts too.
const LOAD_LOCK: i64 = i64::from_be_bytes(*b"TERNLOAD");

/// The number of attempts to judge and insert, since other clients may insert rows in between.
const ATTEMPTS: usize = 5;

/// The number of attempts to lock a sequence that other clients use, with a pause after each.
const SEQUENCE_ATTEMPTS: usize = 30;
const SEQUENCE_PAUSE: Duration = Duration::from_secs(1);

pub(super) async fn load(
    connections: &Connections,
    load: Load,
    skipped: Option<SkippedRows>,
) -> Result<LoadOutcome, LoadError> {
    match load {
        Load::Users(batches) => load_rows(connections, batches, skipped).await,
        Load::Urls(batches) => load_rows(connections, batches, skipped).await,
        Load::Events(batches) => load_rows(connections, batches, skipped).await,
        Load::Products(batches) => load_rows(connections, batches, skipped).await,
        Load::ImportedClicks(batches) => load_rows(connections, batches, skipped).await,
    }
}

async fn load_rows<T: Stageable>(
    connections: &Connections,
    batches: Batches<T>,
    skipped: Option<SkippedRows>,
) -> Result<LoadOutcome, LoadError> {
    let db = connections.connect_for_long().await?;
    let create = format!("CREATE TEMPORARY TABLE staged (line bigint, {})", T::COLUMNS);
    connections.limit_long(batch::<StoreError>(&db, &create)).await?;
    match (stage(connections, &db, batches, skipped.as_ref()).await, skipped) {
        (Ok(()), skipped) => connections.limit_long(insert::<T>(&db, skipped.as_ref())).await,
        // An earlier refused row is reported first, as if rows were inserted one after another.
        (Err(error @ (LoadError::Row { .. } | LoadError::File(_))), None) => {
            connections.limit_long(mark::<T>(&db)).await?;
            connections.limit_long(judge::<T>(&db)).await?.verdict()?;
            Err(error)
        }
        (Err(error), _) => Err(error),
    }
}

/// Loaded links get no audit entries, which would take longer than the rows themselves.
const BEGIN: &str = "BEGIN; SET LOCAL tern.audit = 'off'";

/// Copies the rows into `staged` as they arrive. Rows before an error remain staged.
async fn stage<T: Stageable>(
    connections: &Connections,
    db: &ClientWrapper,
    mut batches: Batches<T>,
    skipped: Option<&SkippedRows>,
) -> Result<(), LoadError> {
    loop {
        let cut_short = || Err(LoadError::File("was not read to its end".to_owned()));
        let batch = batches.recv().await.unwrap_or_else(cut_short)?;
        if batch.is_empty() {
            return Ok(());
        }
        let mut fit = Vec::with_capacity(batch.len());
        let mut refused = None;
        for numbered in batch {
            match (numbered.row.unfit(), skipped) {
                (None, _) => fit.push(numbered),
                (Some(reason), Some(skipped)) => {
                    let row = SkippedRow { line: numbered.line, id: None, reason };
                    skipped.send(row).await.map_err(|_| LoadError::unreported())?;
                }
                (Some(reason), None) => {
                    refused = Some(LoadError::Row { line: numbered.line, reason });
                    break;
                }
            }
        }
        connections.limit_long(stage_batch(db, &fit)).await?;
        if let Some(refused) = refused {
            return Err(refused);
        }
    }
}

async fn stage_batch<T: Stageable>(db: &ClientWrapper, rows: &[NumberedRow<T>]) -> Result<(), StoreError> {
    let copy = db.copy_in("COPY staged FROM STDIN (FORMAT BINARY)").await?;
    let types: Vec<Type> = [Type::INT8].iter().chain(T::TYPES).cloned().collect();
    let mut writer = std::pin::pin!(BinaryCopyInWriter::new(copy, &types));
    for numbered in rows {
        let line = numbered.line.cast_signed();
        let mut values: Vec<&(dyn ToSql + Sync)> = vec![&line];
        values.extend(numbered.row.values());
        let derived = numbered.row.derived();
        values.extend(derived.iter().map(|value| value as &(dyn ToSql + Sync)));
        writer.as_mut().write(&values).await?;
    }
    writer.finish().await?;
    Ok(())
}

/// Inserts the staged rows: all of them, or with `skipped` those that can be inserted.
async fn insert<T: Stageable>(db: &ClientWrapper, skipped: Option<&SkippedRows>) -> Result<LoadOutcome, LoadError> {
    mark::<T>(db).await?;
    if skipped.is_none() {
        batch::<StoreError>(db, FORGET_STAGED).await?;
    }
    // No other load judges or inserts until this connection ends.
    db.execute("SELECT pg_advisory_lock($1)", &[&LOAD_LOCK]).await.map_err(StoreError::from)?;
    let (mut there, mut refused) = (0, None);
    for _ in 0..ATTEMPTS {
        if let Some(skipped) = skipped {
            there += sifting::sift::<T>(db, skipped).await?;
            if sifting::is_empty(db).await? {
                return Ok(LoadOutcome::Partly { inserted: 0, there });
            }
        } else {
            let judged = judge::<T>(db).await?;
            judged.verdict()?;
            if judged.is_nothing_new() {
                return Ok(LoadOutcome::AlreadyThere(judged.there));
            }
        }
        // Outside the transaction, since a sequence that moves far is locked until the transaction ends.
        move_past::<T>(db).await?;
        match insert_marked::<T>(db).await {
            Ok(inserted) if skipped.is_some() => return Ok(LoadOutcome::Partly { inserted, there }),
            Ok(inserted) => return Ok(LoadOutcome::Inserted(inserted)),
            Err(error) if error::violates_any(&error) => {
                batch::<StoreError>(db, "ROLLBACK").await?;
                refused = Some(error);
            }
            Err(error) => return Err(StoreError::from(error).into()),
        }
    }
    let refused = refused.map_or_else(|| anyhow!("no attempt was made"), anyhow::Error::new);
    Err(StoreError::Unavailable(refused.context("in each attempt, other clients inserted conflicting rows first"))
        .into())
}

async fn insert_marked<T: Stageable>(db: &ClientWrapper) -> Result<u64, tokio_postgres::Error> {
    let id = format!("coalesce(s.id, nextval('{}_id_seq'))", T::TABLE);
    let sql = T::INSERT.replace("{id}", &id) + " ORDER BY s.line";
    db.batch_execute(BEGIN).await?;
    let inserted = db.execute(&sql, &[&Timestamp::now()]).await?;
    if let Some(after) = T::AFTER_INSERT {
        db.batch_execute(after).await?;
    }
    db.batch_execute("COMMIT").await?;
    Ok(inserted)
}

async fn judge<T: Stageable>(db: &ClientWrapper) -> Result<Judgement> {
    let last_id = find_twins::<T>(db).await?;
    let row = db.query_one(&judgement::judge::<T>(last_id), &[]).await?;
    Ok(Judgement::new(row.try_get(0)?, [row.try_get(1)?, row.try_get(2)?, row.try_get(3)?], row.try_get(4)?))
}

/// Moves the sequence past the ids in the file.
async fn move_past<T: Stageable>(db: &ClientWrapper) -> Result<()> {
    let sql = format!("SELECT move_past('{}_id_seq', max(id)) FROM marked HAVING max(id) IS NOT NULL", T::TABLE);
    for _ in 1..SEQUENCE_ATTEMPTS {
        match db.execute(&sql, &[]).await {
            Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                tokio::time::sleep(SEQUENCE_PAUSE).await;
            }
            done => return Ok(done.map(|_| ())?),
        }
    }
    Ok(db.execute(&sql, &[]).await.map(|_| ())?)
}
