//! SQLite below the contract's tests: a file for each app.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tern_common::store::{AdminStore, SqliteStore};

#[derive(Debug)]
pub struct Database {
    pub store: Arc<dyn AdminStore>,
    path: PathBuf,
}

impl Database {
    /// Message of a write that [`Database::lock`] blocks.
    pub const LOCKED: &str = "The database is busy, for example with the load of a file; please try again in a moment";
    pub const RETRY_AFTER: Option<&str> = Some("1");

    /// Creates a database in a directory of its own below `directory`.
    pub async fn create(directory: &Path) -> Database {
        let path = directory.join("data").join("tern.db");
        Database { store: Arc::new(SqliteStore::open(&path).await.unwrap()), path }
    }

    /// Opens another store, independent of the first one.
    pub async fn another_store(&self) -> Arc<dyn AdminStore> {
        Arc::new(SqliteStore::open(&self.path).await.unwrap())
    }

    /// Deletes the database before its first use, so that no connection can be opened.
    pub fn destroy(&self) {
        std::fs::remove_dir_all(self.path.parent().unwrap()).unwrap();
    }

    /// Takes the write lock as another process would, until the value is dropped.
    pub fn lock(&self) -> rusqlite::Connection {
        let connection = rusqlite::Connection::open(&self.path).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        connection
    }

    /// Sets the times of all urls to 1970, by direct SQL.
    pub fn make_urls_old(&self) {
        let connection = rusqlite::Connection::open(&self.path).unwrap();
        connection.execute("UPDATE urls SET created_at = 0, updated_at = 0", []).unwrap();
    }

    /// Inserts an event of the first link by direct SQL, without Tern's checks of its details.
    pub async fn write_event(&self, details: &str) {
        let connection = rusqlite::Connection::open(&self.path).unwrap();
        let insert = "INSERT INTO events (url_id, user_id, event_type, timestamp, details) VALUES (1, 1, 't', 0, ?1)";
        connection.execute(insert, [details]).unwrap();
    }
}
