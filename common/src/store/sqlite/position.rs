//! The end of the change log. With one writer, the order of sequences is the order of commits.

use rusqlite::{Connection, OptionalExtension, Transaction};

use crate::store::cursor::{MarkPosition, Sequence};
use crate::store::{Mark, Result};

/// Returns the mark of the last change of this transaction, or of the last one before it.
pub(super) fn mark(db: &Transaction<'_>) -> Result<Mark> {
    Ok(Mark(MarkPosition::Sqlite(head(db)?)))
}

pub(super) fn head(db: &Connection) -> Result<Sequence> {
    let epoch: i64 = db.prepare_cached("SELECT epoch FROM replica_meta")?.query_row([], |row| row.get(0))?;
    Ok(Sequence { epoch: epoch.cast_unsigned(), number: last_sequence(db)?.unsigned_abs() })
}

/// Returns the sequence of the last change in the log, or 0 before the first.
pub(super) fn last_sequence(db: &Connection) -> Result<i64> {
    // Not max(sequence): pruning may have emptied the log.
    let sequence: Option<i64> = db
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'url_changes'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(sequence.unwrap_or(0))
}
