//! How the standalone process is configured.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use tern_admin::{AdminConfig, VisibleWait};
use tern_common::config::{InvalidConfig, Reader, Variables};
use tern_common::redis::RedisConfig;
use tern_common::store::{PostgresConfig, PostgresStore, SqliteStore, Store};
use tern_common::systemd::Notifier;
use tern_common::telemetry::LogConfig;
use tern_redirector::config::RedirectorConfig;

/// The redirector is in this process and serves a change within milliseconds: on a machine that is too busy for that,
/// a late answer is better than one that is not true yet.
const VISIBLE_WAIT: VisibleWait = VisibleWait::exactly(Duration::from_secs(5));

/// Everything the process is told from outside.
#[derive(Clone, Debug)]
pub struct Config {
    /// `TERN_DATA_DIR`: where the embedded database is, the snapshot file of its links, and the journals of clicks.
    pub data_dir: PathBuf,
    /// The shared database, in place of the embedded one.
    pub database: Option<PostgresConfig>,
    /// The shared bus and cache, in place of those in this process.
    pub redis: Option<RedisConfig>,
    pub log: LogConfig,
    /// Its port serves short codes, too, on every path that the API does not know.
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
        // The embedded database may be damaged as well as a shared one may be away.
        redirector.replica.file = Some(data_dir.join("links.snapshot"));
        redirector.journal.root = data_dir.join("clicks");
        redirector.notifier = Notifier::read(variables);
        // The API's port is served by the control threads, of which there is one a core.
        redirector.other_recorders = available_parallelism().map_or(1, usize::from);
        let mut admin = AdminConfig::read(&mut reader, visible_wait);
        // Both ports serve short codes.
        admin.own_addresses = admin.own_addresses.with_listener(admin.listen).with_listener(redirector.listen);
        let config = Config { data_dir, database, redis, log: LogConfig::read(&mut reader), admin, redirector };
        reader.finish(config)
    }

    /// The store that the settings name.
    pub async fn open_store(&self) -> anyhow::Result<Arc<dyn Store>> {
        Ok(match &self.database {
            Some(database) => Arc::new(PostgresStore::open(database).await?),
            None => Arc::new(SqliteStore::open(&self.data_dir.join("tern.db")).await?),
        })
    }
}
