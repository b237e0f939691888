//! PostgreSQL under the contract: a database for each app, on a server for all.

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

/// Holds a lock until it is dropped.
#[derive(Debug)]
pub struct Lock(Child);

impl Database {
    /// The answer to a write that [`Database::lock`] holds up.
    /// No load locks tables, so other causes are more likely.
    pub const LOCKED: &str = "Database is unavailable";
    pub const RETRY_AFTER: Option<&str> = None;

    pub async fn create(_directory: &Path) -> Database {
        let config = PostgresConfig::new(Postgres::shared().create_database());
        migrate(&config).await.unwrap();
        let store = PostgresStore::new(&config).unwrap();
        let name = config.url.rsplit('/').next().unwrap().to_owned();
        Database { store: Arc::new(store), name }
    }

    /// Another handle, which what happens to the first one does not touch.
    pub async fn another_store(&self) -> Arc<dyn AdminStore> {
        Arc::new(PostgresStore::new(&PostgresConfig::new(Postgres::shared().url(&self.name))).unwrap())
    }

    /// Before its first use: nobody can connect from then on.
    pub fn take_away(&self) {
        Postgres::shared().psql("postgres", &format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }

    /// Somebody else locks out all writers until the value is dropped.
    pub fn lock(&self) -> Lock {
        self.lock_tables("users, urls, events", "urls", "EXCLUSIVE", "ExclusiveLock")
    }

    /// Somebody else locks out those who read the tokens.
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

    /// Somebody works on it past Tern.
    pub fn make_urls_old(&self) {
        let update = "UPDATE urls SET created_at = 'epoch', updated_at = 'epoch'";
        Postgres::shared().psql(&self.name, update);
    }

    /// Inserts an event of the first link past Tern, with details that no check of Tern's has seen.
    pub async fn write_event(&self, details: &str) {
        let values = format!("(1, 1, 't', now(), '{details}')");
        let insert = format!("INSERT INTO events (url_id, user_id, event_type, timestamp, details) VALUES {values}");
        Postgres::shared().psql(&self.name, &insert);
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The end of its input ends psql, and with it the transaction.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
