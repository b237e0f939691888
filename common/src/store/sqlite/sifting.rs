//! Removal of the rows that cannot be loaded from a file whose other rows are loaded.
//!
//! Each refused row is reported as soon as the database returns it.

use rusqlite::Connection;

use super::staging::{Stageable, find_twins, mark};
use crate::store::judgement::{
    COUNT_SIFTED, DROP_SIFTED, LIST_SIFTED, MAX_ROUNDS, UNMARK, sift_by_file, sift_by_store,
};
use crate::store::{LoadError, Result, SkippedRow, SkippedRows, StoreError};

/// Removes the rows that cannot be inserted, reports them, and returns how many rows the store already has.
pub(super) fn sift<T: Stageable>(connection: &Connection, skipped: &SkippedRows) -> Result<u64, LoadError> {
    let last_id = find_twins::<T>(connection)?;
    let (_, there) = remove_rows::<T>(connection, &sift_by_store::<T>(last_id), skipped)?;
    for round in 1.. {
        if let (0, _) = remove_rows::<T>(connection, &sift_by_file::<T>(round >= MAX_ROUNDS), skipped)? {
            break;
        }
    }
    Ok(there)
}

/// Removes the rows that `sift` finds from the file. Returns their number, and how many of them the store already has.
fn remove_rows<T: Stageable>(
    connection: &Connection,
    sift: &str,
    skipped: &SkippedRows,
) -> Result<(u64, u64), LoadError> {
    connection.execute_batch(sift).map_err(StoreError::from)?;
    let count = connection.query_row(COUNT_SIFTED, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)));
    let (all, there) = count.map_err(StoreError::from)?;
    if there < all {
        report(connection, skipped)?;
    }
    connection.execute_batch(DROP_SIFTED).map_err(StoreError::from)?;
    if all > 0 {
        connection.execute_batch(UNMARK).map_err(StoreError::from)?;
        mark::<T>(connection)?;
    }
    Ok((all.unsigned_abs(), there.unsigned_abs()))
}

fn report(connection: &Connection, skipped: &SkippedRows) -> Result<(), LoadError> {
    let mut listed = connection.prepare(LIST_SIFTED).map_err(StoreError::from)?;
    let rows = listed.query_map([], |row| {
        Ok(SkippedRow { line: row.get::<_, i64>(0)?.unsigned_abs(), id: row.get(1)?, reason: row.get(2)? })
    });
    for row in rows.map_err(StoreError::from)? {
        let row = row.map_err(StoreError::from)?;
        skipped.blocking_send(row).map_err(|_| LoadError::unreported())?;
    }
    Ok(())
}

pub(super) fn is_empty(connection: &Connection) -> Result<bool> {
    Ok(!connection.query_row("SELECT EXISTS (SELECT 1 FROM marked)", [], |row| row.get(0))?)
}
