//! Checks before a database file is used: its owner, and its schema.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::connections::LOCK_WAIT;
use super::error::OpenError;
use super::schema::{self, SchemaError};
use crate::private_files::FileLock;

/// The application id in the header of Tern's database files: "TERN".
pub(super) const APPLICATION_ID: u32 = u32::from_be_bytes(*b"TERN");

/// The time for which a start waits for another process that migrates the schema.
const MIGRATION_WAIT: Duration = Duration::from_secs(30);

/// Makes sure that `path` is a database of Tern with the schema of this build.
pub(super) fn prepare(path: &Path) -> Result<(), OpenError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let unwritable = |error| OpenError::unusable(directory, format_args!("cannot be written: {error}"));
    fs::create_dir_all(directory).map_err(unwritable)?;
    // Only one of two starting processes may migrate. The lock ends with this function.
    let lock = path.with_extension("lock");
    let _lock = FileLock::take(&lock, MIGRATION_WAIT).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => OpenError::unusable(directory, error),
        _ => unwritable(error),
    })?;

    check_owner(path).inspect_err(|_| {
        // The directory of another program remains as it was.
        drop(fs::remove_file(&lock));
    })?;
    let unusable = |error: rusqlite::Error| OpenError::unusable(path, error);
    let mut connection = Connection::open(path).map_err(unusable)?;
    connection.busy_timeout(LOCK_WAIT).map_err(unusable)?;
    // SQLite reads the mark, since it rolls a killed first start back only when the file is opened again.
    let mark: u32 = connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(unusable)?;
    if mark != APPLICATION_ID {
        // Written before the switch to WAL, so that it is in the file itself, where `check_owner` reads it.
        connection.pragma_update(None, "application_id", APPLICATION_ID).map_err(unusable)?;
    }
    connection.pragma_update(None, "journal_mode", "WAL").map_err(unusable)?;
    schema::migrate(&mut connection).map_err(|error| match error {
        SchemaError::Newer => OpenError::Newer(path.to_owned()),
        SchemaError::Sqlite(error) => unusable(error),
        SchemaError::Migration(error) => OpenError::unusable(path, explain(&error)),
    })
}

/// Returns why a migration failed, and what an operator can do.
fn explain(error: &refinery::Error) -> String {
    if matches!(error.kind(), refinery::error::Kind::DivergentVersion(..)) {
        return "the schema is from a build of Tern before its first release; nothing was changed; \
                start with an empty TERN_DATA_DIR, and load the rows into it"
            .to_owned();
    }
    let source = std::error::Error::source(error);
    let cause = match source.and_then(|source| source.downcast_ref()) {
        // The message leaves out the statement, which is the whole migration.
        Some(rusqlite::Error::SqlInputError { msg, .. }) => msg.clone(),
        _ => source.map_or_else(|| error.to_string(), ToString::to_string),
    };
    let is_schema = cause.contains("already exists") || cause.contains("no such") || cause.contains("duplicate column");
    if is_schema {
        format!(
            "the schema is not one of any version of Tern ({cause}); nothing was changed; \
             restore a backup, or remove by hand what was added to the schema"
        )
    } else {
        format!("the schema could not be brought up to date ({cause}); nothing was changed; the next start tries again")
    }
}

/// Refuses the file of another program.
///
/// Reads the header without SQLite, which might write to the file.
pub(super) fn check_owner(path: &Path) -> Result<(), OpenError> {
    // Offsets and texts from the "Database File Format" page of SQLite's documentation.
    const MAGIC: &[u8; 16] = b"SQLite format 3\0";
    const APPLICATION_ID_AT: std::ops::Range<usize> = 68..72;

    let mut header = Vec::new();
    match File::open(path).and_then(|file| file.take(100).read_to_end(&mut header)) {
        Ok(0) => return Ok(()),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(OpenError::unusable(path, error)),
    }
    if header.len() < 100 || !header.starts_with(MAGIC) {
        return Err(OpenError::NotADatabase(path.to_owned()));
    }
    if header[APPLICATION_ID_AT] != APPLICATION_ID.to_be_bytes() {
        return Err(OpenError::Foreign(path.to_owned()));
    }
    Ok(())
}
