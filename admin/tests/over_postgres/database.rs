//! PostgreSQL below the contract's tests: a database for each app, on one server.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use tern_common::store::postgres::migrate;
use tern_common::store::{AdminStore, PostgresConfig, PostgresStore};
use tern_testkit::postgres::Postgres;

#[derive(Debug)]
pub struct Database {
    pub store: Arc<dyn AdminStore>,
    name: String,
}

/// Table lock that is released on drop.
#[derive(Debug)]
pub struct Lock(Child);

impl Database {
    /// Message of a write that [`Database::lock`] blocks.
    /// A load locks no tables, so other causes are more likely.
    pub const LOCKED: &str = "Database is unavailable";
    pub const RETRY_AFTER: Option<&str> = None;

    pub async fn create(_directory: &Path) -> Database {
        let config = PostgresConfig::new(Postgres::shared().create_database());
        migrate(&config).await.unwrap();
        let store = PostgresStore::new(&config).unwrap();
        let name = config.url.rsplit('/').next().unwrap().to_owned();
        Database { store: Arc::new(store), name }
    }

    /// Opens another store, independent of the first one.
    pub async fn another_store(&self) -> Arc<dyn AdminStore> {
        Arc::new(PostgresStore::new(&PostgresConfig::new(Postgres::shared().url(&self.name))).unwrap())
    }

    /// Drops the database before its first use, so that no connection can be opened.
    pub fn destroy(&self) {
        Postgres::shared().psql("postgres", &format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }

    /// Locks out all writers by another session until the value is dropped.
    pub fn lock(&self) -> Lock {
        self.lock_tables("users, urls, events", "urls", "EXCLUSIVE", "ExclusiveLock")
    }

    /// Locks out readers of the tokens by another session.
    pub fn lock_tokens(&self) -> Lock {
        self.lock_tables("tokens", "tokens", "ACCESS EXCLUSIVE", "AccessExclusiveLock")
    }

    fn lock_tables(&self, tables: &str, one: &str, mode: &str, held_as: &str) -> Lock {
        let url = Postgres::shared().url(&self.name);
        let mut psql = Command::new("psql");
        psql.args(["-X", "-q", "-d", &url]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut psql = psql.spawn().unwrap();
        writeln!(psql.stdin.as_mut().unwrap(), "BEGIN; LOCK TABLE {tables} IN {mode} MODE;").unwrap();
        let held = format!(
            "SELECT count(*) FROM pg_locks WHERE mode = '{held_as}' AND granted AND relation = '{one}'::regclass"
        );
        while Postgres::shared().psql(&self.name, &held).trim() != "1" {
            std::thread::yield_now();
        }
        Lock(psql)
    }

    /// Sets the times of all urls to 1970, by direct SQL.
    pub fn make_urls_old(&self) {
        let update = "UPDATE urls SET created_at = 'epoch', updated_at = 'epoch'";
        Postgres::shared().psql(&self.name, update);
    }

    /// Inserts an event of the first link by direct SQL, without Tern's checks of its details.
    pub async fn write_event(&self, details: &str) {
        let values = format!("(1, 1, 't', now(), '{details}')");
        let insert = format!("INSERT INTO events (url_id, user_id, event_type, timestamp, details) VALUES {values}");
        Postgres::shared().psql(&self.name, &insert);
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing its standard input ends psql, and with it the transaction.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
