//! How the standalone process is configured.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use tern_admin::AdminConfig;
use tern_common::config::{InvalidConfig, Reader, Variables};
use tern_common::telemetry::LogConfig;
use tern_redirector::config::RedirectorConfig;

/// The original's port.
const APP_PORT: u16 = 8000;

/// The redirector is in this process and serves a change within milliseconds: on a machine that is too busy for that,
/// a late answer is better than one that is not true yet.
const VISIBLE_WAIT: Duration = Duration::from_secs(5);

/// Everything the process is told from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `APP_PORT`, on loopback: the API, and short codes on every other path.
    pub listen: SocketAddr,
    /// `TERN_DATA_DIR`: where the database is.
    pub data_dir: PathBuf,
    pub log: LogConfig,
    pub admin: AdminConfig,
    pub redirector: RedirectorConfig,
}

impl Config {
    pub fn read(variables: &Variables) -> Result<Config, InvalidConfig> {
        let mut reader = Reader::new(variables);
        let config = Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, reader.get("APP_PORT", APP_PORT))),
            data_dir: reader.get("TERN_DATA_DIR", PathBuf::from("data")),
            log: LogConfig::read(&mut reader),
            admin: AdminConfig::read(&mut reader, VISIBLE_WAIT),
            redirector: RedirectorConfig::read(&mut reader),
        };
        reader.finish(config)
    }

    pub fn database(&self) -> PathBuf {
        self.data_dir.join("tern.db")
    }
}
