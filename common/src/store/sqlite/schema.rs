//! Migrations of the schema of a database file.
//!
//! One transaction contains a migration and its row in the history, so a process that is killed leaves both or neither.

use refinery::Target;
use rusqlite::Connection;

mod embedded {
    refinery::embed_migrations!("../migrations/sqlite");
}

/// The reason why a schema is not the one of this build.
#[derive(Debug, thiserror::Error)]
pub(super) enum SchemaError {
    #[error("the schema is from a newer version of Tern")]
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

/// Applies the missing migrations one by one. If one fails, the schema of the previous one remains.
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
