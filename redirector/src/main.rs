//! `tern-redirector`: the life of the process, top to bottom.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::{Parser, Subcommand};
use prometheus::Registry;
use tern_common::bus::{Bus, RedisBus};
use tern_common::config::{InvalidConfig, Reader, Variables};
use tern_common::private_files::make_private;
use tern_common::probe;
use tern_common::process::{self, StopSignals};
use tern_common::redis::RedisConfig;
use tern_common::seal::Seal;
use tern_common::store::postgres::OpenError;
use tern_common::store::{PostgresConfig, PostgresStore, Store, export_pools};
use tern_common::systemd::Notifier;
use tern_common::telemetry::{LogConfig, SAID, export_process, start_log};
use tern_redirector::config::RedirectorConfig;
use tern_redirector::hand_over::{self, Fate, Offer, Predecessor};
use tern_redirector::sockets::{Activation, Sockets};
use tern_redirector::{Redirector, StartError};
use tokio::sync::Notify;
use tokio::time::timeout;

/// How the process calls itself.
const NAME: &str = "tern-redirector";

/// Clients that connect to a socket of systemd wait so long in its queue until the links are loaded; then they are better
/// told to try again.
const QUEUE_PATIENCE: Duration = Duration::from_secs(5);

/// Between tries to look at the schema of a database that is away.
const SCHEMA_RETRY: Duration = Duration::from_secs(1);

/// How long a start waits to hear that it is not for this database, before it makes journals: who starts it again and
/// again would fill the disk with them.
const SCHEMA_PATIENCE: Duration = Duration::from_millis(200);

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
    /// Serve until told to stop, which is what is done without a command
    Serve {
        /// Take the ports over from the redirector that serves on the same TERN_DATA_DIR, if there is one
        #[arg(long)]
        take_over: bool,
    },
    /// Ask the redirector that runs with these settings whether it is ready; if not, the exit code is 1
    Healthcheck,
}

/// Everything the process is told from outside.
#[derive(Clone, Debug)]
struct Config {
    database: PostgresConfig,
    redis: RedisConfig,
    log: LogConfig,
    redirector: RedirectorConfig,
    activation: Activation,
    /// Where a process waits for the one that follows.
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

/// Serves until SIGTERM or SIGINT, or until another process serves in its place, then drains. It needs neither PostgreSQL
/// nor Redis to go on, nor, with a snapshot file, to begin.
async fn serve(config: Config, takes_over: bool) -> anyhow::Result<()> {
    let mut stop = StopSignals::listen()?;
    config.redirector.ensure_writable()?;
    let log = start_log(&config.log)?;
    make_private(config.redirector.private_files().chain(config.log.file.clone()));
    let registry = Registry::new();
    log.export(&registry)?;
    export_process(&registry)?;
    let postgres = Arc::new(PostgresStore::new(&config.database)?);
    let store: Arc<dyn Store> = postgres.clone();
    export_pools(&store, &registry)?;
    let bus = RedisBus::new(&config.redis, Seal::follow(Arc::clone(&store)));
    bus.export(&registry)?;
    let bus: Arc<dyn Bus> = Arc::new(bus);
    if let Ok(Err(error)) = timeout(SCHEMA_PATIENCE, postgres.check_schema()).await
        && !matches!(error, OpenError::Unavailable(_))
    {
        return Err(error.into());
    }
    let path = &config.hand_over;
    let taken = if takes_over { hand_over::take_over(path).await.with_context(|| unreachable(path))? } else { None };
    let (sockets, predecessor) = match taken {
        Some((sockets, predecessor)) => (sockets, Some(predecessor)),
        None => {
            let sockets = passed_or_bound(config.activation, &config.redirector);
            (sockets.map_err(|error| explain(error, path))?, None)
        }
    };
    let for_the_next = sockets.try_clone().context("cannot keep the sockets for the process that follows")?;
    let refused = Notify::new();
    let mut redirector = tokio::select! {
        started = Redirector::start_on(sockets, patience(predecessor.as_ref(), &refused), config.redirector, store, bus, &registry) => started?,
        // Nobody was accepted yet.
        _ = stop.received() => return Ok(()),
        () = refused.notified() => bail!("another process took over from the redirector that waits at {} first", path.display()),
        error = foreign_schema(&postgres) => return Err(error.into()),
    };
    let offer = offer(path, for_the_next, predecessor).await;
    let links = format!("http://{}/<short_code>", redirector.local_addr());
    process::announce(
        NAME,
        &[("short links", links), ("metrics", format!("http://{}/metrics", redirector.ops_addr()))],
    );
    redirector.warning().into_iter().for_each(|warning| process::say(NAME, &warning));

    let signal = tokio::select! {
        signal = stop.received() => Some(signal),
        () = taken_over(offer.as_ref()) => None,
        error = redirector.ended() => return Err(error),
        error = foreign_schema(&postgres) => return Err(error.into()),
    };
    // With what it holds of the sockets.
    drop(offer);
    let why = signal.unwrap_or("Another process serves");
    process::say(NAME, &format!("{why}: finishing what is under way."));
    if signal.is_some() {
        tokio::select! {
            () = redirector.give_notice() => {}
            // Somebody has no patience.
            _ = stop.received() => {}
        }
    }
    let deadline = redirector.drain_deadline();
    let connections = match signal {
        Some(_) => redirector.drain_connections(deadline).await,
        None => redirector.drain_followed(deadline).await,
    };
    let clicks_kept = redirector.finish(deadline).await;
    let (finished, cut) = (connections.finished, connections.cut);
    tracing::info!(target: SAID, finished, cut, clicks_kept, "drained");
    let kept = format!("{clicks_kept} clicks kept for the next start");
    process::say(NAME, &format!("Drained: {finished} connections finished, {cut} cut; {kept}."));
    Ok(())
}

fn passed_or_bound(activation: Activation, config: &RedirectorConfig) -> Result<Sockets, StartError> {
    activation.sockets(config)?.map_or_else(|| Sockets::bind(config), Ok)
}

/// Adds what helps where a redirector with the same data directory may have the port.
fn explain(error: StartError, hand_over: &Path) -> anyhow::Error {
    match &error {
        StartError::Listen { error: cause, .. } if cause.kind() == io::ErrorKind::AddrInUse && hand_over.exists() => {
            anyhow!(
                "{error}; if a redirector with this TERN_DATA_DIR has it, replace that one: {NAME} serve --take-over"
            )
        }
        _ => error.into(),
    }
}

fn unreachable(path: &Path) -> String {
    format!("cannot take over from the redirector that waits at {} (TERN_DATA_DIR)", path.display())
}

/// Waits until the sockets have to be served, whatever is loaded: nobody else serves them any more, or those who wait
/// are better told to try again. Where another process serves them already, `refused` is notified.
async fn patience(predecessor: Option<&Predecessor>, refused: &Notify) {
    match predecessor {
        Some(predecessor) => {
            if predecessor.fate().await == Fate::Followed {
                refused.notify_one();
                std::future::pending().await
            }
        }
        None => tokio::time::sleep(QUEUE_PATIENCE).await,
    }
}

/// Waits for the process that follows, and only then tells the one before that it may end: there is always one.
async fn offer(path: &Path, sockets: Sockets, predecessor: Option<Predecessor>) -> Option<Offer> {
    let offer = Offer::at(path, sockets);
    if let Err(error) = &offer {
        tracing::warn!(path = %path.display(), %error, "no other process will be able to take over from this one");
    }
    if let Some(predecessor) = predecessor
        && let Err(error) = predecessor.follow().await
    {
        tracing::warn!(%error, "the redirector before this one ended too early");
    }
    offer.ok()
}

async fn taken_over(offer: Option<&Offer>) {
    match offer {
        Some(offer) => offer.taken().await,
        None => std::future::pending().await,
    }
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
