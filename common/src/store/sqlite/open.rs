//! Opening a database file: whose it is, and whether its schema is ours.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::connections::LOCK_WAIT;
use super::error::OpenError;
use super::schema::{self, SchemaError};
use crate::private_files::FileLock;

/// Marks the file as Tern's: "TERN" in the header's application id.
pub(super) const APPLICATION_ID: u32 = u32::from_be_bytes(*b"TERN");

/// How long a start waits for another process that brings the schema up to date.
const MIGRATION_WAIT: Duration = Duration::from_secs(30);

/// Makes sure that a database of ours, with the schema of this build, is at `path`.
pub(super) fn prepare(path: &Path) -> Result<(), OpenError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let unwritable = |error| OpenError::unusable(directory, format_args!("cannot be written: {error}"));
    fs::create_dir_all(directory).map_err(unwritable)?;
    // Two processes that start at once must not both migrate; the lock ends with this function.
    let lock = path.with_extension("lock");
    let _lock = FileLock::take(&lock, MIGRATION_WAIT).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => OpenError::unusable(directory, error),
        _ => unwritable(error),
    })?;

    check_owner(path).inspect_err(|_| {
        // The directory of another program stays as it was.
        drop(fs::remove_file(&lock));
    })?;
    let unusable = |error: rusqlite::Error| OpenError::unusable(path, error);
    let mut connection = Connection::open(path).map_err(unusable)?;
    connection.busy_timeout(LOCK_WAIT).map_err(unusable)?;
    // Asked of SQLite: a first start that was killed is taken back only when the file is opened again.
    let mark: u32 = connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(unusable)?;
    if mark != APPLICATION_ID {
        // Before the switch to WAL, so that it stands in the file itself, where `check_owner` looks.
        connection.pragma_update(None, "application_id", APPLICATION_ID).map_err(unusable)?;
    }
    connection.pragma_update(None, "journal_mode", "WAL").map_err(unusable)?;
    schema::migrate(&mut connection).map_err(|error| match error {
        SchemaError::Newer => OpenError::Newer(path.to_owned()),
        SchemaError::Sqlite(error) => unusable(error),
        SchemaError::Migration(error) => OpenError::unusable(path, explain(&error)),
    })
}

/// Says why a migration failed, and what an operator can do.
fn explain(error: &refinery::Error) -> String {
    if matches!(error.kind(), refinery::error::Kind::DivergentVersion(..)) {
        return "a build of Tern from before its first release made the schema; nothing was changed; \
                begin with an empty TERN_DATA_DIR, and load the rows into it"
            .to_owned();
    }
    let source = std::error::Error::source(error);
    let cause = match source.and_then(|source| source.downcast_ref()) {
        // Without the statement, which is the whole migration.
        Some(rusqlite::Error::SqlInputError { msg, .. }) => msg.clone(),
        _ => source.map_or_else(|| error.to_string(), ToString::to_string),
    };
    let is_schema = cause.contains("already exists") || cause.contains("no such") || cause.contains("duplicate column");
    if is_schema {
        format!(
            "the schema is not one that a version of Tern makes ({cause}); nothing was changed; \
             restore a backup, or undo by hand what was added to the schema"
        )
    } else {
        format!("the schema could not be brought up to date ({cause}); nothing was changed; the next start tries again")
    }
}

/// Refuses a file that is not ours.
///
/// Reads the header without SQLite, which would already write to a file that is not ours.
fn check_owner(path: &Path) -> Result<(), OpenError> {
    /// Offsets and texts from the "Database File Format" page of SQLite's documentation.
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
