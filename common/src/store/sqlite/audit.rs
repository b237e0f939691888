//! Audit entries in SQLite. Triggers write them.

use rusqlite::{Connection, OptionalExtension, Row, Transaction};

use super::listing::{Filter, List};
use super::query;
use crate::audit::{AuditEntry, AuditFilter};
use crate::store::{Listing, Page, Result};
use crate::{Id, Timestamp};

/// The number of entries that one transaction deletes while other writers wait.
const ENTRIES_AT_ONCE: i64 = 5_000;

pub(super) fn find(db: &Connection, id: Id) -> Result<Option<AuditEntry>> {
    let sql = format!("SELECT {} FROM audit_entries WHERE id = ?1", AuditEntry::COLUMNS);
    Ok(db.prepare_cached(&sql)?.query_row([id], from_row).optional()?)
}

pub(super) fn list(db: &Connection, filter: AuditFilter, page: Page) -> Result<Listing<AuditEntry>> {
    let filters = [
        filter.url_id.map(|id| Filter::counted("url_id", id.get())),
        filter.token.map(|token| Filter::counted("token", token)),
        filter.user_id.map(|id| Filter::counted("user_id", id.get())),
    ];
    let filters = filters.into_iter().flatten().collect();
    List { table: "audit_entries", columns: AuditEntry::COLUMNS, filters }.page(db, page, from_row)
}

pub(super) fn last_id(db: &Connection) -> Result<i64> {
    query::last_id(db, "audit_entries")
}

/// Adds the name of a token to the entries after `last_id`.
pub(super) fn sign(db: &Transaction<'_>, last_id: i64, token: &str) -> Result<()> {
    db.prepare_cached("UPDATE audit_entries SET token = ?2 WHERE id > ?1")?.execute((last_id, token))?;
    Ok(())
}

/// Deletes the first entries that are older than `horizon`, unless even the newest one is.
pub(super) fn delete_part(db: &Transaction<'_>, horizon: Timestamp) -> Result<u64> {
    let sql = "DELETE FROM audit_entries
               WHERE id IN (SELECT id FROM audit_entries ORDER BY id LIMIT ?2) AND at < ?1
                   AND (SELECT at FROM audit_entries ORDER BY id DESC LIMIT 1) >= ?1";
    Ok(db.prepare_cached(sql)?.execute((horizon, ENTRIES_AT_ONCE))? as u64)
}

/// Deletes some entries of a user's links. Returns whether more may remain.
pub(super) fn delete_part_of_user(db: &Transaction<'_>, user: Id) -> Result<bool> {
    let sql = "DELETE FROM audit_entries
               WHERE id IN (SELECT id FROM audit_entries WHERE user_id = ?1 LIMIT ?2)";
    Ok(db.prepare_cached(sql)?.execute((user, ENTRIES_AT_ONCE))? as u64 == ENTRIES_AT_ONCE.unsigned_abs())
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<AuditEntry> {
    Ok(AuditEntry {
        id: row.get("id")?,
        url_id: row.get("url_id")?,
        user_id: row.get("user_id")?,
        action: row.get("action")?,
        before: row.get("before")?,
        after: row.get("after")?,
        at: row.get("at")?,
        token: row.get("token")?,
    })
}
