//! The settings of the program `tern`.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::Context;
use tern_admin::{AdminConfig, VisibleWait};
use tern_common::config::{InvalidConfig, Reader, Variables};
use tern_common::process::MissingInput;
use tern_common::redis::RedisConfig;
use tern_common::store::{AdminStore, PostgresConfig, PostgresStore, SqliteStore};
use tern_common::systemd::Notifier;
use tern_common::telemetry::LogConfig;
use tern_redirector::config::RedirectorConfig;

/// The name of the process, before each line on standard error.
pub const NAME: &str = "tern";

/// Default of `VISIBLE_WAIT`. The redirector in this process normally serves a change within milliseconds.
/// On a busy machine a late answer is better than one that is not true yet.
const VISIBLE_WAIT: VisibleWait = VisibleWait::exactly(Duration::from_secs(5));

/// The settings of the process.
#[derive(Clone, Debug)]
pub struct Config {
    /// `TERN_DATA_DIR`: the directory of the embedded database, the snapshot file and the journals of clicks.
    pub data_dir: PathBuf,
    /// The shared database; with `None` the embedded one is used.
    pub database: Option<PostgresConfig>,
    /// The shared bus and cache; with `None` they are in this process.
    pub redis: Option<RedisConfig>,
    pub log: LogConfig,
    /// The settings of the API, whose port also serves short codes.
    pub admin: AdminConfig,
    pub redirector: RedirectorConfig,
}

impl Config {
    pub fn read(variables: &Variables) -> Result<Config, InvalidConfig> {
        let mut reader = Reader::new(variables);
        let data_dir = reader.get("TERN_DATA_DIR", PathBuf::from("data"));
        let database = PostgresConfig::read(&mut reader);
        let redis = RedisConfig::read(&mut reader);
        let visible_wait = if redis.is_none() { VISIBLE_WAIT } else { tern_admin::config::VISIBLE_WAIT };
        let mut redirector = RedirectorConfig::read(&mut reader);
        // The embedded database needs a snapshot file, too, because it may be damaged.
        redirector.replica.file = Some(data_dir.join("links.snapshot"));
        redirector.journal.root = data_dir.join("clicks");
        redirector.notifier = Notifier::read(variables);
        // The API port is served by the control threads, one for each core.
        redirector.other_recorders = available_parallelism().map_or(1, usize::from);
        let mut admin = AdminConfig::read(&mut reader, visible_wait);
        // Short codes are served on both ports.
        admin.own_addresses = admin.own_addresses.with_listener(admin.listen).with_listener(redirector.listen);
        let config = Config { data_dir, database, redis, log: LogConfig::read(&mut reader), admin, redirector };
        reader.finish(config)
    }

    /// Lists the files that earlier builds may have left open to other users.
    pub fn private_files(&self) -> impl Iterator<Item = PathBuf> {
        let database = ["tern.db", "tern.db-wal", "tern.db-shm"].map(|name| self.data_dir.join(name));
        self.redirector.private_files().chain(database).chain(self.log.file.clone())
    }

    /// Opens the store that the settings name. Creates an embedded one if there is none.
    pub async fn open_store(&self) -> anyhow::Result<Arc<dyn AdminStore>> {
        Ok(match &self.database {
            Some(database) => Arc::new(PostgresStore::open(database).await.with_context(|| database.place())?),
            None => Arc::new(SqliteStore::open(&self.store_file()).await?),
        })
    }

    /// Opens the store for a command that creates none.
    ///
    /// # Errors
    /// [`MissingInput`] where no store is in the data directory.
    pub async fn open_existing_store(&self) -> anyhow::Result<Arc<dyn AdminStore>> {
        if self.lacks_store()? {
            return Err(MissingInput(format!(
                "there is no store at {} (TERN_DATA_DIR), and nothing was changed.\n\
                 Run the command where `tern serve` runs, or set TERN_DATA_DIR to its data directory or DATABASE_URL to its \
                 database. `tern serve` and `tern load` create a new store.",
                self.place()
            ))
            .into());
        }
        self.open_store().await
    }

    /// Returns whether [`Config::open_store`] would create a store in the data directory.
    pub fn lacks_store(&self) -> anyhow::Result<bool> {
        let is_there = || self.store_file().try_exists().with_context(|| format!("cannot look for {}", self.place()));
        Ok(self.database.is_none() && !is_there()?)
    }

    /// Returns the place of the store: the absolute path of its file, or the database and its server.
    pub fn place(&self) -> String {
        match &self.database {
            Some(database) => database.place(),
            None => {
                let file = self.store_file();
                std::path::absolute(&file).unwrap_or(file).display().to_string()
            }
        }
    }

    fn store_file(&self) -> PathBuf {
        self.data_dir.join("tern.db")
    }
}
