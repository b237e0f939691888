//! The schema of a database file, brought up to date one migration at a time.
//!
//! A migration and its row in the history are one transaction: a process that ends in between leaves neither.

use refinery::Target;
use rusqlite::Connection;

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
    for version in versions() {
        embedded::migrations::runner().set_grouped(true).set_target(Target::Version(version)).run(db)?;
    }
    Ok(())
}

fn versions() -> Vec<i32> {
    let mut versions: Vec<i32> =
        embedded::migrations::runner().get_migrations().iter().map(refinery::Migration::version).collect();
    versions.sort_unstable();
    versions
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
