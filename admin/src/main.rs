//! `tern-admin`: serve the API, migrate the database, load files.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::{Parser, Subcommand};
use prometheus::Registry;
use tern_admin::config::VISIBLE_WAIT;
use tern_admin::load::{LoadCommand, load_files};
use tern_admin::{
    Access, AdminConfig, AppState, Metrics, Readiness, TokenCommand, Visibility, keep_in_order, token_command,
};
use tern_common::bus::{Bus, Message, RedisBus};
use tern_common::cache::{Cache, RedisCache};
use tern_common::config::{InvalidConfig, Reader, Variables};
use tern_common::descriptors;
use tern_common::listening;
use tern_common::probe;
use tern_common::process::{self, StopSignals};
use tern_common::redis::RedisConfig;
use tern_common::seal::Seal;
use tern_common::store::postgres::migrate;
use tern_common::store::{PostgresConfig, PostgresStore, Store, WatchedStore, export_pools};
use tern_common::telemetry::{LogConfig, SAID, export_process, start_log};
use tern_serving::{Limits, PortStats, Serving};
use tokio::net::TcpListener;
use tokio::time::Instant;

/// How the process calls itself.
const NAME: &str = "tern-admin";

/// How long requests that are under way have when the process is told to end:
/// less than the 10 s after which container runtimes lose patience.
const DRAIN: Duration = Duration::from_secs(8);

/// Only where somebody looks at `/ready` is it worth the wait.
const NOTICE: Duration = Duration::ZERO;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The admin plane of Tern, over PostgreSQL and Redis.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the API until told to stop
    Serve,
    /// Bring the database to the schema of this version
    Migrate,
    /// Load CSV files of users, urls, events or products, told apart by their headers
    Load(LoadCommand),
    /// Make, list and revoke the tokens that the API is used with
    #[command(subcommand)]
    Token(TokenCommand),
    /// Ask the admin plane that runs with these settings whether it is up; if not, the exit code is 1
    Healthcheck,
}

/// Everything the process is told from outside.
#[derive(Clone, Debug)]
struct Config {
    database: PostgresConfig,
    redis: RedisConfig,
    log: LogConfig,
    admin: AdminConfig,
    /// `DRAIN_NOTICE`: how long `/ready` says 503 before the port closes.
    notice: Duration,
}

impl Config {
    fn read(variables: &Variables) -> Result<Config, InvalidConfig> {
        let mut reader = Reader::new(variables);
        let database = PostgresConfig::read(&mut reader);
        let database = reader.demand("DATABASE_URL", database);
        let redis = RedisConfig::read(&mut reader);
        let redis = reader.demand("REDIS_URL", redis);
        let log = LogConfig::read(&mut reader);
        let admin = AdminConfig::read(&mut reader, VISIBLE_WAIT);
        let notice = reader.get("DRAIN_NOTICE", NOTICE);
        let complete = || Some(Config { database: database?, redis: redis?, log, admin, notice });
        let config = complete();
        reader.finish_some(config)
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    process::run(NAME, Config::read, |config, runtime| match cli.command {
        Command::Serve => runtime.block_on(serve(config)),
        Command::Migrate => runtime.block_on(bring_up_to_date(&config)),
        Command::Load(command) => runtime.block_on(load(&config, &command)),
        Command::Token(command) => runtime.block_on(change_tokens(&config, command)),
        Command::Healthcheck => probe::ask(config.admin.ops_listen.unwrap_or(config.admin.listen), "/health"),
    })
}

/// Serves until SIGTERM or SIGINT, then finishes what is under way.
async fn serve(config: Config) -> anyhow::Result<()> {
    let mut stop = StopSignals::listen()?;
    let log = start_log(&config.log)?;
    let (listener, address) = listen(config.admin.listen, "ADMIN_LISTEN, APP_PORT").await?;
    let ops_listener = match config.admin.ops_listen {
        Some(ops_listen) => Some(listen(ops_listen, "ADMIN_OPS_LISTEN").await?),
        None => None,
    };
    let registry = Registry::new();
    log.export(&registry)?;
    export_process(&registry)?;
    let store: Arc<dyn Store> = Arc::new(open_store(&config).await?);
    export_pools(&store, &registry)?;
    let seal = Seal::follow(Arc::clone(&store));
    let bus = RedisBus::new(&config.redis, Arc::clone(&seal));
    bus.export(&registry)?;
    let bus: Arc<dyn Bus> = Arc::new(bus);
    let cache = RedisCache::new(&config.redis, seal);
    cache.export(&registry)?;
    let cache: Arc<dyn Cache> = Arc::new(cache);
    let state = AppState {
        store: Arc::new(WatchedStore::new(Arc::clone(&store), config.admin.slow_query)),
        cache,
        readiness: Readiness::default(),
        visibility: Visibility::start(Arc::clone(&bus)),
        bus,
        access: Access::open(Arc::clone(&store), &config.admin, &registry).await?,
        config: Arc::new(config.admin.clone()),
        log_file: config.log.file.as_deref().map(Into::into),
        metrics: Metrics::register(&registry)?,
    };
    let (readiness, metrics) = (state.readiness.clone(), state.metrics.clone());
    let upkeep = tokio::spawn(keep_in_order(store, config.admin.event_retention, metrics));
    let warning = state.access.warning();
    let all = descriptors::for_ports();
    let of_operators = descriptors::part(all, Limits::OPERATORS_DESCRIPTORS, 8);
    let (mut ops, mut ops_address) = (None, None);
    if let Some((listener, address)) = ops_listener {
        let router = tern_admin::operators_router(state.clone(), config.admin.ops_hosts.clone());
        let stats = PortStats::register(&registry, "ops")?;
        ops = Some(Serving::start(listener, router, Limits::operators(of_operators), stats));
        ops_address = Some(address);
    }
    let limits = Limits::api(&config.admin.access.trusted_proxies, all.saturating_sub(of_operators));
    let stats = PortStats::register(&registry, "api")?;
    let mut api = Serving::start(listener, tern_admin::router(state), limits, stats);
    let mut addresses = vec![("API", format!("http://{address}/urls"))];
    addresses.extend(ops_address.map(|address| ("metrics", format!("http://{address}/metrics"))));
    addresses.extend([("docs", format!("http://{address}/docs")), ("store", config.database.place())]);
    process::announce(NAME, &addresses);
    warning.into_iter().for_each(|warning| process::say(NAME, warning));
    if config.admin.own_addresses.is_empty() {
        process::say(NAME, "PUBLIC_URL is not set: links to the addresses of this Tern itself are not refused.");
    }
    let ops_ended = async {
        match &mut ops {
            Some(ops) => ops.ended().await,
            None => std::future::pending().await,
        }
    };
    let signal = tokio::select! {
        signal = stop.received() => signal,
        error = api.ended() => return Err(error),
        error = ops_ended => return Err(error),
    };
    process::say(NAME, &format!("{signal}: finishing what is under way."));
    readiness.leave();
    api.leave();
    tokio::select! {
        () = tokio::time::sleep(config.notice) => {}
        // Somebody has no patience.
        _ = stop.received() => {}
    }
    let is_drained = api.drain(Instant::now() + DRAIN).await;
    if let Some(ops) = &ops {
        ops.abort();
    }
    upkeep.abort();
    tracing::info!(target: SAID, is_drained, "drained");
    process::say(
        NAME,
        if is_drained { "Drained: every request was answered." } else { "Drained: some requests were cut." },
    );
    Ok(())
}

/// Listens on an address; the error names the settings that it comes from.
async fn listen(address: SocketAddr, variables: &str) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listen = async {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    listen.await.map_err(|error| anyhow!(listening::refusal(address, variables, &error)))
}

async fn bring_up_to_date(config: &Config) -> anyhow::Result<()> {
    let place = config.database.place();
    migrate(&config.database).await.with_context(|| place.clone())?;
    process::say(NAME, &format!("{place} has the schema of this version."));
    Ok(())
}

/// Opens the store; an error names its place.
async fn open_store(config: &Config) -> anyhow::Result<PostgresStore> {
    PostgresStore::open(&config.database).await.with_context(|| config.database.place())
}

/// Opens the store for a command, and says where it is.
async fn open_for_command(config: &Config) -> anyhow::Result<PostgresStore> {
    process::say(NAME, &format!("store: {}", config.database.place()));
    open_store(config).await
}

async fn load(config: &Config, command: &LoadCommand) -> anyhow::Result<()> {
    let store = open_for_command(config).await?;
    let (out, report) = (&mut std::io::stdout(), &mut std::io::stderr());
    load_files(&store, command, &config.admin.own_addresses, out, report).await?;
    // The poll finds it too, half a second later.
    if let Err(error) = RedisBus::new(&config.redis, Arc::default()).publish(Message::Invalidation).await {
        process::say(NAME, &format!("the redirectors were not told ({error}); they will notice by themselves"));
    }
    Ok(())
}

async fn change_tokens(config: &Config, command: TokenCommand) -> anyhow::Result<()> {
    let store = open_for_command(config).await?;
    token_command::run(&store, command, &mut std::io::stdout()).await
}
