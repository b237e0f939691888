//! `tern-redirector`: the life of the process, top to bottom.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use prometheus::Registry;
use tern_common::bus::{Bus, RedisBus};
use tern_common::config::{InvalidConfig, Reader, Variables, environment};
use tern_common::process::{self, StopSignals};
use tern_common::redis::RedisConfig;
use tern_common::store::postgres::OpenError;
use tern_common::store::{PostgresConfig, PostgresStore, Store, export_pools};
use tern_common::telemetry::{LogConfig, start_log};
use tern_redirector::Redirector;
use tern_redirector::config::RedirectorConfig;

/// How the process calls itself.
const NAME: &str = "tern-redirector";

/// Between tries to look at the schema of a database that is away.
const SCHEMA_RETRY: Duration = Duration::from_secs(1);

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Everything the process is told from outside.
#[derive(Clone, Debug)]
struct Config {
    database: PostgresConfig,
    redis: RedisConfig,
    log: LogConfig,
    redirector: RedirectorConfig,
}

impl Config {
    fn read(variables: &Variables) -> Result<Config, InvalidConfig> {
        let mut reader = Reader::new(variables);
        let data_dir = reader.get("TERN_DATA_DIR", PathBuf::from("data"));
        let mut redirector = RedirectorConfig::read(&mut reader);
        redirector.replica.file = Some(data_dir.join("links.snapshot"));
        redirector.journal.root = data_dir.join("clicks");
        let database = PostgresConfig::read(&mut reader);
        let database = reader.demand("DATABASE_URL", database);
        let redis = RedisConfig::read(&mut reader);
        let redis = reader.demand("REDIS_URL", redis);
        let log = LogConfig::read(&mut reader);
        let complete = || Some(Config { database: database?, redis: redis?, log, redirector });
        let config = complete();
        reader.finish_some(config)
    }
}

fn main() -> ExitCode {
    process::run(NAME, Config::read(&environment()), |config, runtime| runtime.block_on(serve(config)))
}

/// Serves until SIGTERM or SIGINT, then drains. It needs neither PostgreSQL nor Redis to go on, nor, with a snapshot
/// file, to begin.
async fn serve(config: Config) -> anyhow::Result<()> {
    let mut stop = StopSignals::listen()?;
    let log = start_log(&config.log).context("cannot write the log (LOG_FILE)")?;
    let registry = Registry::new();
    log.export(&registry)?;
    let postgres = Arc::new(PostgresStore::new(&config.database)?);
    let store: Arc<dyn Store> = postgres.clone();
    export_pools(&store, &registry)?;
    let bus = RedisBus::new(&config.redis);
    bus.export(&registry)?;
    let bus: Arc<dyn Bus> = Arc::new(bus);
    let mut redirector = Redirector::start(config.redirector, store, bus, &registry).await?;
    announce("redirects", redirector.local_addr(), "/<short_code>");
    announce("metrics", redirector.ops_addr(), "/metrics");

    let signal = tokio::select! {
        signal = stop.received() => signal,
        error = redirector.ended() => return Err(error),
        error = foreign_schema(&postgres) => return Err(error.into()),
    };
    process::say(NAME, &format!("{signal}: finishing what is under way."));
    let deadline = redirector.drain_deadline();
    let connections = redirector.drain_connections(deadline).await;
    let clicks_kept = redirector.finish(deadline).await;
    let (finished, cut) = (connections.finished, connections.cut);
    tracing::info!(finished, cut, clicks_kept, "drained");
    let kept = format!("{clicks_kept} clicks kept for the next start");
    process::say(NAME, &format!("Drained: {finished} connections finished, {cut} cut; {kept}."));
    Ok(())
}

/// Asks until the database answers whether its schema is ours; comes back only if it is not.
async fn foreign_schema(postgres: &PostgresStore) -> OpenError {
    loop {
        match postgres.check_schema().await {
            Ok(()) => std::future::pending().await,
            Err(OpenError::Unavailable(_)) => tokio::time::sleep(SCHEMA_RETRY).await,
            Err(error) => return error,
        }
    }
}

fn announce(what: &str, address: SocketAddr, path: &str) {
    process::say(NAME, &format!("{what:<10} http://{address}{path}"));
}
