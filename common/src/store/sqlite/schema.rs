//! The schema of a database file, brought up to date one migration at a time.
//!
//! A migration and its row in the history are one transaction: a process that ends in between leaves neither.

use refinery::Target;
use rusqlite::{Connection, OptionalExtension};

mod embedded {
    refinery::embed_migrations!("../migrations/sqlite");
}

/// Why a schema is not the one of this build.
#[derive(Debug, thiserror::Error)]
pub(super) enum SchemaError {
    #[error("a newer version of Tern made the schema")]
    Newer,
    #[error("{0}")]
    Migration(refinery::Error),
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
}

impl From<refinery::Error> for SchemaError {
    fn from(error: refinery::Error) -> SchemaError {
        match error.kind() {
            refinery::error::Kind::MissingVersion(_) => SchemaError::Newer,
            _ => SchemaError::Migration(error),
        }
    }
}

/// Applies the migrations that the history lacks. A migration that fails leaves the schema of the one before it.
pub(super) fn migrate(db: &mut Connection) -> Result<(), SchemaError> {
    let versions = versions();
    if let Some(version) = find_unrecorded(db, &versions)? {
        embedded::migrations::runner().set_target(Target::FakeVersion(version)).run(db)?;
        tracing::info!(version, "a migration was applied without its row in the history; the row was added");
    }
    for version in versions {
        embedded::migrations::runner().set_grouped(true).set_target(Target::Version(version)).run(db)?;
    }
    Ok(())
}

/// Whether a file that bears no owner's mark holds the history of Tern's migrations.
pub(super) fn is_history_of_tern(db: &Connection) -> bool {
    let first =
        embedded::migrations::runner().get_migrations().iter().find(|migration| migration.version() == 1).cloned();
    let recorded: Result<String, _> =
        db.query_row("SELECT checksum FROM refinery_schema_history WHERE version = 1", [], |row| row.get(0));
    matches!((first, recorded), (Some(first), Ok(recorded)) if first.checksum().to_string() == recorded)
}

fn versions() -> Vec<i32> {
    let mut versions: Vec<i32> =
        embedded::migrations::runner().get_migrations().iter().map(refinery::Migration::version).collect();
    versions.sort_unstable();
    versions
}

/// Finds the migration that an earlier build applied and did not record: up to version 5 these were two transactions,
/// and a kill or a full disk came between them.
///
/// The proof is the schema itself: it equals, word for word, the one that the next migration makes.
fn find_unrecorded(db: &Connection, versions: &[i32]) -> Result<Option<i32>, SchemaError> {
    let Some(recorded) = last_recorded(db)? else { return Ok(None) };
    let Some(next) = versions.iter().copied().find(|version| *version > recorded) else { return Ok(None) };
    let found = schema(db)?;
    Ok((found == schema_of(next)? && found != schema_of(recorded)?).then_some(next))
}

/// The last version in the history, 0 if that is empty; `None` without a history.
fn last_recorded(db: &Connection) -> Result<Option<i32>, rusqlite::Error> {
    let exists = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'refinery_schema_history'";
    if db.query_row(exists, [], |_| Ok(())).optional()?.is_none() {
        return Ok(None);
    }
    db.query_row("SELECT coalesce(max(version), 0) FROM refinery_schema_history", [], |row| row.get(0)).map(Some)
}

/// The schema after a version, as the migrations make it in memory.
fn schema_of(version: i32) -> Result<Vec<[Option<String>; 4]>, SchemaError> {
    let mut db = Connection::open_in_memory()?;
    embedded::migrations::runner().set_target(Target::Version(version)).run(&mut db)?;
    Ok(schema(&db)?)
}

/// Every table, index and trigger but the history's, with the statement that makes it.
fn schema(db: &Connection) -> Result<Vec<[Option<String>; 4]>, rusqlite::Error> {
    let sql = "SELECT type, name, tbl_name, sql FROM sqlite_schema
               WHERE tbl_name <> 'refinery_schema_history' ORDER BY type, name";
    let mut statement = db.prepare(sql)?;
    let rows = statement.query_map([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]))?;
    rows.collect()
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
