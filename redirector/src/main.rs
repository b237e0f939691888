//! `tern-redirector`: the process from its settings to its end.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use tern_common::bus::RedisBus;
use tern_common::config::{InvalidConfig, Reader, Variables};
use tern_common::console::{CONSOLE_TARGET, announce, write_line};
use tern_common::lifecycle::Lifecycle;
use tern_common::private_files::make_private;
use tern_common::redis::RedisConfig;
use tern_common::seal::Seal;
use tern_common::store::{PostgresConfig, PostgresStore, export_pools};
use tern_common::systemd::Notifier;
use tern_common::telemetry::LogConfig;
use tern_common::{probe, process};
use tern_redirector::config::RedirectorConfig;
use tern_redirector::sockets::Activation;
use tern_redirector::succession::Succession;
use tern_redirector::{Redirector, schema};

/// Name of the process in its log and on the console.
const NAME: &str = "tern-redirector";

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Short links, answered from memory, over PostgreSQL and Redis.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM or SIGINT; the default without a command
    Serve {
        /// Take the ports over from the redirector that serves on the same TERN_DATA_DIR, if there is one
        #[arg(long)]
        take_over: bool,
    },
    /// Ask the redirector that runs with these settings whether it is ready; exit with code 1 if it is not
    Healthcheck,
}

/// Settings of the process.
#[derive(Clone, Debug)]
struct Config {
    database: PostgresConfig,
    redis: RedisConfig,
    log: LogConfig,
    redirector: RedirectorConfig,
    activation: Activation,
    /// Path of the Unix socket at which a serving process waits for its successor.
    hand_over: PathBuf,
}

impl Config {
    fn read(variables: &Variables) -> Result<Config, InvalidConfig> {
        let mut reader = Reader::new(variables);
        let data_dir = reader.get("TERN_DATA_DIR", PathBuf::from("data"));
        let mut redirector = RedirectorConfig::read(&mut reader);
        redirector.replica.file = Some(data_dir.join("links.snapshot"));
        redirector.journal.root = data_dir.join("clicks");
        redirector.notifier = Notifier::read(variables);
        let database = PostgresConfig::read(&mut reader);
        let database = reader.demand("DATABASE_URL", database);
        let redis = RedisConfig::read(&mut reader);
        let redis = reader.demand("REDIS_URL", redis);
        let log = LogConfig::read(&mut reader);
        let (activation, hand_over) = (Activation::read(variables), data_dir.join("hand-over.socket"));
        let complete = || Some(Config { database: database?, redis: redis?, log, redirector, activation, hand_over });
        let config = complete();
        reader.finish_some(config)
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    process::run(NAME, Config::read, |config, runtime| match cli.command {
        None => runtime.block_on(serve(config, false)),
        Some(Command::Serve { take_over }) => runtime.block_on(serve(config, take_over)),
        Some(Command::Healthcheck) => probe::ask(config.redirector.ops_listen, "/ready"),
    })
}

/// Serves until SIGTERM or SIGINT, or until a successor process serves, then drains.
///
/// Redirects continue without PostgreSQL and Redis. With a snapshot file, a start needs neither.
async fn serve(config: Config, takes_over: bool) -> anyhow::Result<()> {
    config.redirector.ensure_writable()?;
    let mut lifecycle = Lifecycle::begin(NAME, &config.log)?;
    let registry = lifecycle.registry().clone();
    make_private(config.redirector.private_files().chain(config.log.file.clone()));
    let postgres = Arc::new(PostgresStore::new(&config.database)?);
    export_pools(postgres.clone(), &registry)?;
    let bus = RedisBus::new(&config.redis, Seal::follow(postgres.clone()));
    bus.export(&registry)?;
    schema::refuse_foreign(&postgres).await?;
    let (sockets, succession) =
        Succession::begin(config.hand_over, takes_over, config.activation, &config.redirector).await?;
    let start_deadline = succession.start_deadline();
    let mut redirector = tokio::select! {
        started = Redirector::start_on(
            sockets, start_deadline, config.redirector, postgres.clone(), postgres.clone(), Arc::new(bus), &registry
        ) => started?,
        // No client has been accepted yet, so there is nothing to drain.
        _ = lifecycle.stop_signal() => return Ok(()),
        error = succession.overtaken() => return Err(error),
        error = schema::foreign(&postgres) => return Err(error.into()),
    };
    let offer = succession.complete().await;
    let links = format!("http://{}/<short_code>", redirector.local_addr());
    let metrics = format!("http://{}/metrics", redirector.ops_addr());
    announce(NAME, &[("short links", links), ("metrics", metrics)], redirector.warning().as_deref());

    let signal = tokio::select! {
        signal = lifecycle.stop_signal() => Some(signal),
        () = offer.taken() => None,
        error = redirector.ended() => return Err(error),
        error = schema::foreign(&postgres) => return Err(error.into()),
    };
    // Close the copies of the listening sockets.
    drop(offer);
    lifecycle.report_end(signal.unwrap_or("A successor process serves"));
    if signal.is_some() {
        lifecycle.give_notice(redirector.give_notice()).await;
    }
    let deadline = redirector.drain_deadline();
    let connections = match signal {
        Some(_) => redirector.drain_connections(deadline).await,
        None => redirector.drain_after_take_over(deadline).await,
    };
    let clicks_retained = redirector.finish(deadline).await;
    let (finished, cut) = (connections.finished, connections.cut);
    tracing::info!(target: CONSOLE_TARGET, finished, cut, clicks_retained, "drained");
    let retained = format!("{clicks_retained} clicks retained for the next start");
    write_line(NAME, &format!("Drained: {finished} connections finished, {cut} cut; {retained}."));
    Ok(())
}
