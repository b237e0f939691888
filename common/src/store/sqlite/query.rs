//! Queries for every table.

use rusqlite::Connection;

use crate::store::Result;

/// Returns the largest id that a table ever had, or 0 before the first row.
pub(super) fn last_id(db: &Connection, table: &str) -> Result<i64> {
    let sql = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = ?1";
    Ok(db.prepare_cached(sql)?.query_row([table], |row| row.get(0))?)
}
