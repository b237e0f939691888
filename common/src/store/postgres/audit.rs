//! Audit entries in PostgreSQL. Triggers write them, with the token from the setting `tern.token` of the transaction.

use std::time::Duration;

use deadpool_postgres::{ClientWrapper, Transaction};
use tokio_postgres::{Error, Row};

use super::connections::Connections;
use super::listing::{Filter, List, SummedListing};
use super::pruning::{LONGEST_RETENTION, with_lock};
use super::query;
use crate::Id;
use crate::audit::{AuditEntry, AuditFilter};
use crate::store::{Page, Result};

/// The advisory lock under which one process deletes old entries.
const DELETION_LOCK: i64 = i64::from_be_bytes(*b"TERNAUDT");

/// The number of entries that one transaction deletes.
const ENTRIES_AT_ONCE: i64 = 20_000;

/// Returns the column with which a statement signs its audit entries. Its parameter is [`author`](crate::store::author::author).
pub(super) fn signed_by(parameter: &str) -> String {
    format!("set_config('tern.token', {parameter}, true)")
}

/// Makes a transaction write no audit entries, for the deletion of a user: its entries are deleted, too.
pub(super) async fn omit(transaction: &Transaction<'_>) -> Result<(), Error> {
    transaction.batch_execute("SET LOCAL tern.audit = 'off'").await
}

pub(super) async fn find(db: &ClientWrapper, id: Id) -> Result<Option<AuditEntry>> {
    let sql = format!("SELECT {} FROM audit_entries WHERE id = $1", AuditEntry::COLUMNS);
    Ok(query::row(db, &sql, &[&id]).await?.as_ref().map(from_row).transpose()?)
}

pub(super) async fn list(db: &ClientWrapper, filter: AuditFilter, page: Page) -> Result<SummedListing<AuditEntry>> {
    let filters = [
        filter.url_id.map(|id| Filter::counted("url_id", id)),
        filter.token.map(|token| Filter::counted("token", token)),
        filter.user_id.map(|id| Filter::counted("user_id", id)),
    ];
    let filters = filters.into_iter().flatten().collect();
    List { table: "audit_entries", columns: AuditEntry::COLUMNS, filters }.page(db, page, from_row).await
}

/// Deletes the entries that are older than `keep`, unless even the newest one is.
pub(super) async fn delete_old(connections: &Connections, keep: Duration) -> Result<u64> {
    let sql = "WITH horizon AS (SELECT now() - $1::float8 * interval '1 second' AS at)
               DELETE FROM audit_entries USING horizon
               WHERE id IN (SELECT id FROM audit_entries ORDER BY id LIMIT $2) AND audit_entries.at < horizon.at
                   AND (SELECT at FROM audit_entries ORDER BY id DESC LIMIT 1) >= horizon.at";
    let keep = keep.min(LONGEST_RETENTION).as_secs_f64();
    let mut deleted = 0;
    loop {
        let part =
            with_lock(connections, DELETION_LOCK, async |db| Ok(db.execute(sql, &[&keep, &ENTRIES_AT_ONCE]).await?));
        let part = part.await?.unwrap_or(0);
        deleted += part;
        if part < ENTRIES_AT_ONCE.unsigned_abs() {
            return Ok(deleted);
        }
    }
}

/// Deletes some entries of a user's links. Returns whether more may remain.
pub(super) async fn delete_part_of_user(db: &ClientWrapper, user: Id) -> Result<bool> {
    let sql = "DELETE FROM audit_entries WHERE id IN (SELECT id FROM audit_entries WHERE user_id = $1 LIMIT $2)";
    let deleted = query::execute(db, sql, &[&user, &ENTRIES_AT_ONCE]).await?;
    Ok(deleted == ENTRIES_AT_ONCE.unsigned_abs())
}

fn from_row(row: &Row) -> Result<AuditEntry, Error> {
    Ok(AuditEntry {
        id: row.try_get("id")?,
        url_id: row.try_get("url_id")?,
        user_id: row.try_get("user_id")?,
        action: row.try_get("action")?,
        before: row.try_get("before")?,
        after: row.try_get("after")?,
        at: row.try_get("at")?,
        token: row.try_get("token")?,
    })
}
