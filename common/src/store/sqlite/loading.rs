//! Loads a file into SQLite in one transaction.
//!
//! The load has its own connection, and stages and judges the rows without any lock on the database.
//! Other writers wait only while the rows are inserted.

use std::time::Duration;

use anyhow::anyhow;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, Error, ErrorCode, TransactionBehavior};

use super::staging::{Stageable, find_twins, mark};
use super::{counting, sifting};
use crate::Timestamp;
use crate::store::judgement::{self, FORGET_STAGED, Judgement};
use crate::store::{Batches, Load, LoadError, LoadOutcome, NumberedRow, Result, SkippedRows, StoreError};

/// The time for which a load waits for the write lock: many times as long as other writers have it.
const LOCK_WAIT: Duration = Duration::from_secs(30);

/// The number of attempts to judge and insert, since other clients may insert rows in between.
const ATTEMPTS: usize = 5;

/// The settings of the connection. The cache has room for the pages that some 100,000 rows change, so each is written once.
const SETUP: &str = "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = FILE;
    PRAGMA cache_size = -65536; PRAGMA temp.cache_size = -16384;";

/// Opens a connection for one load.
pub(super) fn connect(path: &str) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(LOCK_WAIT)?;
    // `counting` replaces the triggers of an insert.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.execute_batch(SETUP)?;
    Ok(connection)
}

pub(super) fn load(
    connection: &mut Connection,
    load: Load,
    skipped: Option<&SkippedRows>,
) -> Result<LoadOutcome, LoadError> {
    match load {
        Load::Users(batches) => load_rows(connection, batches, skipped),
        Load::Urls(batches) => load_rows(connection, batches, skipped),
        Load::Events(batches) => load_rows(connection, batches, skipped),
        Load::Products(batches) => load_rows(connection, batches, skipped),
        Load::ImportedClicks(batches) => load_rows(connection, batches, skipped),
    }
}

fn load_rows<T: Stageable>(
    connection: &mut Connection,
    batches: Batches<T>,
    skipped: Option<&SkippedRows>,
) -> Result<LoadOutcome, LoadError> {
    connection.execute_batch(&create::<T>()).map_err(StoreError::from)?;
    if let Err(error) = stage(connection, batches) {
        if skipped.is_none() && !matches!(error, LoadError::Store(_)) {
            // An earlier refused row is reported first, as if rows were inserted one after another.
            mark::<T>(connection)?;
            judge::<T>(connection)?.verdict()?;
        }
        return Err(error);
    }
    mark::<T>(connection)?;
    if skipped.is_none() {
        connection.execute_batch(FORGET_STAGED).map_err(StoreError::from)?;
    }
    let now = Timestamp::now();
    let mut there = 0;
    for _ in 0..ATTEMPTS {
        let loads = count_loads(connection)?;
        if let Some(skipped) = skipped {
            there += sifting::sift::<T>(connection, skipped)?;
            if sifting::is_empty(connection)? {
                return Ok(LoadOutcome::Partly { inserted: 0, there });
            }
        } else {
            let judged = judge::<T>(connection)?;
            judged.verdict()?;
            if judged.is_nothing_new() {
                return Ok(LoadOutcome::AlreadyThere(judged.there));
            }
        }
        counting::sum_up::<T>(connection, now)?;
        match insert::<T>(connection, loads, now)? {
            Some(inserted) if skipped.is_some() => return Ok(LoadOutcome::Partly { inserted, there }),
            Some(inserted) => return Ok(LoadOutcome::Inserted(inserted)),
            None => {}
        }
    }
    Err(StoreError::Unavailable(anyhow!("in each attempt, other clients inserted conflicting rows first")).into())
}

fn create<T: Stageable>() -> String {
    format!("CREATE TEMPORARY TABLE staged (line INTEGER, id INTEGER, {})", T::COLUMNS)
}

/// Stages the rows as they arrive. Rows before an error remain staged.
fn stage<T: Stageable>(connection: &mut Connection, mut batches: Batches<T>) -> Result<(), LoadError> {
    loop {
        let cut_short = || Err(LoadError::File("was not read to its end".to_owned()));
        let batch = batches.blocking_recv().unwrap_or_else(cut_short)?;
        if batch.is_empty() {
            return Ok(());
        }
        stage_batch(connection, &batch).map_err(StoreError::from)?;
    }
}

fn stage_batch<T: Stageable>(connection: &mut Connection, batch: &[NumberedRow<T>]) -> Result<(), Error> {
    // The transaction writes only the temporary database, so it locks no other connection out.
    let transaction = connection.transaction()?;
    let mut stage = transaction.prepare_cached(T::STAGE)?;
    for numbered in batch {
        numbered.row.stage(numbered.line.cast_signed(), &mut stage)?;
    }
    drop(stage);
    transaction.commit()
}

fn judge<T: Stageable>(connection: &Connection) -> Result<Judgement> {
    let last_id = find_twins::<T>(connection)?;
    Ok(connection.query_row(&judgement::judge::<T>(last_id), [], |row| {
        Ok(Judgement::new(row.get(0)?, [row.get(1)?, row.get(2)?, row.get(3)?], row.get(4)?))
    })?)
}

/// Inserts the rows of `marked`.
/// Returns `None` if another file was loaded since the judgement, or other rows exclude some of these.
fn insert<T: Stageable>(connection: &mut Connection, loads: i64, now: Timestamp) -> Result<Option<u64>, LoadError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(StoreError::from)?;
    // No constraint would refuse products and events without ids that another load inserted too.
    if count_loads(&transaction)? != loads {
        return Ok(None);
    }
    let inserted = match transaction.execute(T::INSERT, [now]) {
        Ok(inserted) => inserted as u64,
        Err(Error::SqliteFailure(failure, _)) if failure.code == ErrorCode::ConstraintViolation => return Ok(None),
        Err(error) => return Err(StoreError::from(error).into()),
    };
    counting::add::<T>(&transaction)?;
    if let Some(after) = T::AFTER_INSERT {
        transaction.execute_batch(after).map_err(StoreError::from)?;
    }
    transaction
        .pragma_update(None, "user_version", loads.wrapping_add(1) & i64::from(i32::MAX))
        .map_err(StoreError::from)?;
    transaction.commit().map_err(StoreError::from)?;
    Ok(Some(inserted))
}

/// Returns the number of files loaded so far, which is the user version in the header of the database.
fn count_loads(connection: &Connection) -> Result<i64> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

#[cfg(test)]
#[path = "loading_tests.rs"]
mod tests;
