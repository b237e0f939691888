//! Copies of a database file, which are made while other processes use it.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::connections::{LOCK_WAIT, existing};
use super::error::OpenError;
use super::open::check_owner;

/// The longest wait for a writer that locks the whole file, such as a migration.
const BUSY_LIMIT: Duration = Duration::from_secs(30);

/// The pause between attempts to read a locked file.
const PAUSE: Duration = Duration::from_millis(50);

/// The number of rows of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contents {
    pub users: u64,
    pub links: u64,
    pub events: u64,
}

/// Copies the database at `from` to the new file `to`, as it is at one moment, and checks the copy.
///
/// Other processes read and write meanwhile. All pages are read in one transaction: with several, each commit of another
/// process would begin the copy anew, and under load it would never end.
///
/// # Errors
/// When `from` is no database of Tern, when either file fails, and when the copy is damaged.
pub fn copy_database(from: &Path, to: &Path) -> Result<Contents, OpenError> {
    check_owner(from)?;
    let unreadable = |error: rusqlite::Error| OpenError::unusable(from, error);
    let unwritable = |error: rusqlite::Error| OpenError::unusable(to, error);
    let source = Connection::open(existing(from)).map_err(unreadable)?;
    source.busy_timeout(LOCK_WAIT).map_err(unreadable)?;
    let mut target = Connection::open(to).map_err(unwritable)?;
    let began = Instant::now();
    let backup = Backup::new(&source, &mut target).map_err(unwritable)?;
    while backup.step(-1).map_err(unreadable)? != StepResult::Done {
        if began.elapsed() > BUSY_LIMIT {
            return Err(OpenError::unusable(from, "another process locks the file; try again"));
        }
        std::thread::park_timeout(PAUSE);
    }
    drop(backup);
    drop(target);
    File::open(to).and_then(|file| file.sync_all()).map_err(|error| OpenError::unusable(to, error))?;
    check_database(to)
}

/// Checks that a file is an undamaged database of Tern, and counts its rows.
///
/// # Errors
/// When it is not.
pub fn check_database(path: &Path) -> Result<Contents, OpenError> {
    check_owner(path)?;
    let unusable = |error: rusqlite::Error| OpenError::unusable(path, error);
    let database = Connection::open(existing(path)).map_err(unusable)?;
    let fault: String = database.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(unusable)?;
    if fault != "ok" {
        return Err(OpenError::unusable(path, format_args!("the database is damaged: {fault}")));
    }
    let count = |table: &str| {
        let sql = format!("SELECT count(*) FROM {table}");
        database.query_row(&sql, [], |row| row.get(0)).map(i64::unsigned_abs).map_err(unusable)
    };
    Ok(Contents { users: count("users")?, links: count("urls")?, events: count("events")? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::SqliteStore;

    #[tokio::test]
    async fn copy_of_a_database_is_whole_and_a_damaged_one_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let [original, copy] = ["tern.db", "copy.db"].map(|name| directory.path().join(name));
        let store = SqliteStore::open(&original).await.unwrap();
        let empty = Contents { users: 0, links: 0, events: 0 };
        assert_eq!(copy_database(&original, &copy).unwrap(), empty);
        assert_eq!(check_database(&copy).unwrap(), empty);
        drop(store);
        SqliteStore::open(&copy).await.unwrap();

        let mut bytes = std::fs::read(&copy).unwrap();
        let pages = bytes.len() / 4096;
        // The schema stays readable.
        bytes[pages * 2048..].fill(0xff);
        std::fs::write(&copy, bytes).unwrap();
        assert!(check_database(&copy).is_err());
        std::fs::write(&copy, "no database").unwrap();
        assert!(matches!(check_database(&copy), Err(OpenError::NotADatabase(_))));
        assert!(matches!(copy_database(&copy, &directory.path().join("x")), Err(OpenError::NotADatabase(_))));
    }
}
