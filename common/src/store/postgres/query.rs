//! Statements that are prepared once on each connection, and marks of transactions.

use deadpool_postgres::ClientWrapper;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

use super::error;
use crate::store::cursor::MarkPosition;
use crate::store::postgres::position::Transaction;
use crate::store::{Mark, Result};

pub(super) type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

pub(super) async fn rows(db: &ClientWrapper, sql: &str, values: Values<'_>) -> Result<Vec<Row>, Error> {
    let statement = db.prepare_cached(sql).await?;
    db.query(&statement, values).await
}

pub(super) async fn row(db: &ClientWrapper, sql: &str, values: Values<'_>) -> Result<Option<Row>, Error> {
    let statement = db.prepare_cached(sql).await?;
    db.query_opt(&statement, values).await
}

pub(super) async fn execute(db: &ClientWrapper, sql: &str, values: Values<'_>) -> Result<u64, Error> {
    let statement = db.prepare_cached(sql).await?;
    db.execute(&statement, values).await
}

/// The columns from which [`mark`] reads the mark of this transaction.
///
/// The session remembers the server, since `look_at_server` takes a tenth of the time of a change.
pub(super) const MARK: &str = "coalesce(nullif(current_setting('tern.server', true), ''), look_at_server()) AS server,
    (SELECT to_hex('url_changes'::regclass::oid::bigint) || '-' || salt FROM replica_meta) AS log, pg_current_xact_id_if_assigned()::text AS xid";

/// Returns the mark of a transaction of several statements, after the last of them.
pub(super) async fn current_mark(db: &ClientWrapper) -> Result<Mark> {
    mark(&row(db, &format!("SELECT {MARK}"), &[]).await?.ok_or_else(|| error::unexpected("empty result"))?)
}

/// Reads the mark of this transaction from the columns of [`MARK`].
///
/// A transaction without changes has no id. Every position of its history covers its mark.
pub(super) fn mark(row: &Row) -> Result<Mark> {
    let xid: Option<&str> = row.try_get("xid")?;
    let transaction = Transaction::parse(row.try_get("server")?, row.try_get("log")?, xid.unwrap_or("0"));
    transaction.map(|transaction| Mark(MarkPosition::Postgres(transaction))).ok_or_else(|| error::unexpected("epoch"))
}

/// Returns the query for the largest id that a table ever had. Its result is 0 before the first row.
pub(super) fn last_id(table: &str) -> String {
    format!("SELECT coalesce(pg_sequence_last_value('{table}_id_seq'), 0)")
}
