//! The embedded database under the contract: a file for each app.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tern_common::store::{AdminStore, SqliteStore};

#[derive(Debug)]
pub struct Database {
    pub store: Arc<dyn AdminStore>,
    path: PathBuf,
}

impl Database {
    /// The answer to a write that [`Database::lock`] holds up.
    pub const LOCKED: &str = "The database is busy, with the load of a file perhaps; please try again in a moment";
    pub const RETRY_AFTER: Option<&str> = Some("1");

    /// A new one, in a directory of its own below `directory`.
    pub async fn create(directory: &Path) -> Database {
        let path = directory.join("data").join("tern.db");
        Database { store: Arc::new(SqliteStore::open(&path).await.unwrap()), path }
    }

    /// Another handle, which what happens to the first one does not touch.
    pub async fn another_store(&self) -> Arc<dyn AdminStore> {
        Arc::new(SqliteStore::open(&self.path).await.unwrap())
    }

    /// Before its first use: nobody can connect from then on.
    pub fn take_away(&self) {
        std::fs::remove_dir_all(self.path.parent().unwrap()).unwrap();
    }

    /// Another process takes the lock of all writers and keeps it until the value is dropped.
    pub fn lock(&self) -> rusqlite::Connection {
        let connection = rusqlite::Connection::open(&self.path).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        connection
    }

    /// Somebody works on it past Tern; every time is 1970 where it says so.
    pub fn make_urls_old(&self) {
        let connection = rusqlite::Connection::open(&self.path).unwrap();
        connection.execute("UPDATE urls SET created_at = 0, updated_at = 0", []).unwrap();
    }

    /// Inserts an event of the first link past Tern, with details that no check of Tern's has seen.
    pub async fn write_event(&self, details: &str) {
        let connection = rusqlite::Connection::open(&self.path).unwrap();
        let insert = "INSERT INTO events (url_id, user_id, event_type, timestamp, details) VALUES (1, 1, 't', 0, ?1)";
        connection.execute(insert, [details]).unwrap();
    }
}
