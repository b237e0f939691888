//! Opening a database file: whose it is, and whether its schema is ours.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

/// Marks the file as Tern's: "TERN" in the header's application id.
const APPLICATION_ID: u32 = u32::from_be_bytes(*b"TERN");

mod embedded {
    refinery::embed_migrations!("../migrations/sqlite");
}

/// Why a database file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{} is not a SQLite database", .0.display())]
    NotADatabase(PathBuf),
    #[error("{} is a SQLite database of another program", .0.display())]
    Foreign(PathBuf),
    #[error("{} was made by a newer version of Tern", .0.display())]
    Newer(PathBuf),
    #[error("{}: {reason}", .path.display())]
    Unusable { path: PathBuf, reason: String },
    #[error("{0:#}")]
    Other(anyhow::Error),
}

impl OpenError {
    pub(super) fn other(error: impl Into<anyhow::Error>) -> OpenError {
        OpenError::Other(error.into())
    }

    fn unusable(path: &Path, reason: impl ToString) -> OpenError {
        OpenError::Unusable { path: path.to_owned(), reason: reason.to_string() }
    }
}

/// Makes sure that a database of ours, with the schema of this build, is at `path`.
pub(super) fn prepare(path: &Path) -> Result<(), OpenError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(directory).map_err(|error| OpenError::unusable(directory, error))?;
    // Two processes that start at once must not both migrate; the lock ends with this function.
    let lock = File::open(directory).map_err(|error| OpenError::unusable(directory, error))?;
    lock.lock().map_err(|error| OpenError::unusable(directory, error))?;

    let is_new = check_owner(path)?;
    let mut connection = Connection::open(path).map_err(|error| OpenError::unusable(path, error))?;
    if is_new {
        // Before the switch to WAL, so that it stands in the file itself, where `check_owner` looks.
        connection
            .pragma_update(None, "application_id", APPLICATION_ID)
            .map_err(|error| OpenError::unusable(path, error))?;
    }
    connection.pragma_update(None, "journal_mode", "WAL").map_err(|error| OpenError::unusable(path, error))?;
    connection.busy_timeout(super::LOCK_WAIT).map_err(|error| OpenError::unusable(path, error))?;
    embedded::migrations::runner().run(&mut connection).map_err(|error| match error.kind() {
        refinery::error::Kind::MissingVersion(_) => OpenError::Newer(path.to_owned()),
        _ => OpenError::unusable(path, error),
    })?;
    Ok(())
}

/// Reads the header without SQLite, which would already write to a file that is not ours.
/// True if there is no database yet.
fn check_owner(path: &Path) -> Result<bool, OpenError> {
    /// Offsets and texts from the "Database File Format" page of SQLite's documentation.
    const MAGIC: &[u8; 16] = b"SQLite format 3\0";
    const APPLICATION_ID_AT: std::ops::Range<usize> = 68..72;

    let mut header = Vec::new();
    match File::open(path).and_then(|file| file.take(100).read_to_end(&mut header)) {
        Ok(0) => return Ok(true),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(OpenError::unusable(path, error)),
    }
    if header.len() < 100 || !header.starts_with(MAGIC) {
        return Err(OpenError::NotADatabase(path.to_owned()));
    }
    if header[APPLICATION_ID_AT] != APPLICATION_ID.to_be_bytes() {
        return Err(OpenError::Foreign(path.to_owned()));
    }
    Ok(false)
}
