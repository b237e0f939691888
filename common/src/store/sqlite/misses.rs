//! Codes without a link that were asked for, in SQLite.

use rusqlite::{Connection, Transaction};

use crate::Timestamp;
use crate::missed_code::{KEEP_MISSES, MOST_MISSES, MissedCode, NewMisses};
use crate::store::Result;

pub(super) fn count(db: &Transaction<'_>, misses: &[NewMisses]) -> Result<()> {
    let sql = "INSERT INTO misses VALUES (?1, ?2, ?3)
               ON CONFLICT DO UPDATE SET count = count + excluded.count, last_asked_at = excluded.last_asked_at";
    let mut statement = db.prepare_cached(sql)?;
    for NewMisses { short_code, count } in misses {
        statement.execute((short_code, count.cast_signed(), Timestamp::now()))?;
    }
    Ok(())
}

pub(super) fn list(db: &Connection, limit: u32) -> Result<Vec<MissedCode>> {
    let sql = "SELECT short_code, count, last_asked_at FROM misses
               WHERE NOT EXISTS (SELECT 1 FROM urls WHERE urls.short_code = misses.short_code)
               ORDER BY count DESC, short_code LIMIT ?1";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map([limit], |row| {
        let count = row.get::<_, i64>(1)?.unsigned_abs();
        Ok(MissedCode { short_code: row.get(0)?, count, last_asked_at: row.get(2)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Deletes old codes, and those that were asked for least beyond the bound.
pub(super) fn prune(db: &Transaction<'_>) -> Result<()> {
    let sql = "DELETE FROM misses WHERE last_asked_at < ?1 OR short_code IN (
                   SELECT short_code FROM misses ORDER BY count DESC, last_asked_at DESC, short_code LIMIT -1 OFFSET ?2
               )";
    db.execute(sql, (Timestamp::ago(KEEP_MISSES), MOST_MISSES))?;
    Ok(())
}
