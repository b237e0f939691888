//! Removal of the rows that cannot be loaded from a file whose other rows are loaded.
//!
//! Each refused row is reported as soon as the database returns it.

use deadpool_postgres::ClientWrapper;
use futures_util::TryStreamExt;

use super::staging::{Stageable, batch, find_twins, mark};
use crate::store::judgement::{
    COUNT_SIFTED, DROP_SIFTED, LIST_SIFTED, MAX_ROUNDS, UNMARK, sift_by_file, sift_by_store,
};
use crate::store::{LoadError, Result, SkippedRow, SkippedRows, StoreError};

/// Removes the rows that cannot be inserted, reports them, and returns how many rows the store already has.
pub(super) async fn sift<T: Stageable>(db: &ClientWrapper, skipped: &SkippedRows) -> Result<u64, LoadError> {
    let last_id = find_twins::<T>(db).await?;
    let (_, there) = remove_rows::<T>(db, &sift_by_store::<T>(last_id), skipped).await?;
    for round in 1.. {
        if let (0, _) = remove_rows::<T>(db, &sift_by_file::<T>(round >= MAX_ROUNDS), skipped).await? {
            break;
        }
    }
    Ok(there)
}

/// Removes the rows that `sift` finds from the file. Returns their number, and how many of them the store already has.
async fn remove_rows<T: Stageable>(
    db: &ClientWrapper,
    sift: &str,
    skipped: &SkippedRows,
) -> Result<(u64, u64), LoadError> {
    batch::<StoreError>(db, sift).await?;
    let (all, there) = count(db).await?;
    if there < all {
        report(db, skipped).await?;
    }
    batch::<StoreError>(db, DROP_SIFTED).await?;
    if all > 0 {
        batch::<StoreError>(db, UNMARK).await?;
        mark::<T>(db).await?;
    }
    Ok((all, there))
}

async fn count(db: &ClientWrapper) -> Result<(u64, u64)> {
    let row = db.query_one(COUNT_SIFTED, &[]).await?;
    Ok((row.try_get::<_, i64>(0)?.unsigned_abs(), row.try_get::<_, i64>(1)?.unsigned_abs()))
}

async fn report(db: &ClientWrapper, skipped: &SkippedRows) -> Result<(), LoadError> {
    let rows = db.query_raw(LIST_SIFTED, [0_i64; 0]).await.map_err(StoreError::from)?;
    let mut rows = std::pin::pin!(rows);
    while let Some(row) = rows.try_next().await.map_err(StoreError::from)? {
        let row = row_of(&row)?;
        skipped.send(row).await.map_err(|_| LoadError::unreported())?;
    }
    Ok(())
}

fn row_of(row: &tokio_postgres::Row) -> Result<SkippedRow> {
    Ok(SkippedRow { line: row.try_get::<_, i64>(0)?.unsigned_abs(), id: row.try_get(1)?, reason: row.try_get(2)? })
}

pub(super) async fn is_empty(db: &ClientWrapper) -> Result<bool> {
    let row = db.query_one("SELECT NOT EXISTS (SELECT 1 FROM marked)", &[]).await?;
    Ok(row.try_get(0)?)
}
