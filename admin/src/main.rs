//! The program `tern-admin`: serves the API, migrates the database, loads files, changes tokens.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};
use tern_admin::config::VISIBLE_WAIT;
use tern_admin::export_command::{self, ExportCommand};
use tern_admin::import::{ImportCommand, ImportSettings};
use tern_admin::load::{LoadCommand, load_files};
use tern_admin::ports::Sockets;
use tern_admin::{AdminConfig, AppState, Seams, TokenCommand, find_hidden_links, maintain_store, token_command};
use tern_common::bus::{Bus, Message, RedisBus};
use tern_common::config::{InvalidConfig, Reader, Variables};
use tern_common::console::{CONSOLE_TARGET, announce, write_line};
use tern_common::lifecycle::Lifecycle;
use tern_common::redis::RedisConfig;
use tern_common::store::postgres::migrate;
use tern_common::store::{AdminStore, PostgresConfig, PostgresStore, export_pools};
use tern_common::telemetry::LogConfig;
use tern_common::{probe, process};
use tokio::time::Instant;

/// The name of the process, before each line on standard error.
const NAME: &str = "tern-admin";

/// The longest time of a drain, less than the 10 s after which container runtimes kill a process.
const DRAIN: Duration = Duration::from_secs(8);

/// Default of `DRAIN_NOTICE`, which helps only where a load balancer polls `/ready`.
const NOTICE: Duration = Duration::ZERO;

const WITHOUT_PUBLIC_URL: &str = "PUBLIC_URL is not set: links to this service's own addresses are not refused.";

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
    /// Serve the API until SIGTERM or SIGINT
    Serve,
    /// Migrate the database to the schema of this version
    Migrate,
    /// Load CSV files of users, urls, events or products, recognised by their headers
    Load(LoadCommand),
    /// Import files of other link services, or undo an import
    Import(ImportCommand),
    /// Write all links that the filters match to standard output
    Export(ExportCommand),
    /// Create, list and revoke tokens for the API
    #[command(subcommand)]
    Token(TokenCommand),
    /// Check that the admin with these settings answers; exit with 1 if it does not
    Healthcheck,
}

/// The settings of the process.
#[derive(Clone, Debug)]
struct Config {
    database: PostgresConfig,
    redis: RedisConfig,
    log: LogConfig,
    admin: AdminConfig,
    /// `DRAIN_NOTICE`: the time in which `/ready` answers 503 before the drain; 0 drains at once.
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
        Command::Migrate => runtime.block_on(migrate_store(&config)),
        Command::Load(command) => runtime.block_on(load(&config, &command)),
        Command::Import(command) => runtime.block_on(import(&config, &command)),
        Command::Export(command) => runtime.block_on(export(&config, &command)),
        Command::Token(command) => runtime.block_on(run_token_command(&config, command)),
        Command::Healthcheck => probe::ask(config.admin.ops_listen.unwrap_or(config.admin.listen), "/health"),
    })
}

/// Serves until SIGTERM or SIGINT, then drains.
async fn serve(config: Config) -> anyhow::Result<()> {
    let mut lifecycle = Lifecycle::begin(NAME, &config.log)?;
    let sockets = Sockets::bind(&config.admin).await?;
    let store: Arc<dyn AdminStore> = Arc::new(open_store(&config).await?);
    export_pools(store.clone(), lifecycle.registry())?;
    let seams = Seams::over_redis(Arc::clone(&store), &config.redis, lifecycle.registry())?;
    let state = AppState::build(seams, config.admin.clone(), config.log.file.clone(), lifecycle.registry()).await?;
    let state = Arc::new(state);
    let upkeep = tokio::spawn(maintain_store(store, config.admin.clone(), state.metrics.clone()));
    let mut addresses = sockets.addresses();
    addresses.push(("store", config.database.place()));
    let mut ports = sockets.serve(&state, lifecycle.registry())?;
    let hidden = find_hidden_links(&*state.store).await.unwrap_or_default();
    let without_own_addresses = config.admin.own_addresses.is_empty().then_some(WITHOUT_PUBLIC_URL);
    let open = state.access.warning();
    announce(NAME, &addresses, open.as_deref().into_iter().chain(without_own_addresses).chain(hidden.as_deref()));

    let signal = tokio::select! {
        signal = lifecycle.stop_signal() => signal,
        error = ports.ended() => return Err(error),
    };
    lifecycle.report_end(signal);
    state.readiness.end();
    ports.give_notice();
    lifecycle.give_notice(tokio::time::sleep(config.notice)).await;
    let is_drained = ports.drain(Instant::now() + DRAIN).await;
    upkeep.abort();
    tracing::info!(target: CONSOLE_TARGET, is_drained, "drained");
    write_line(
        NAME,
        if is_drained { "Drained: every request was answered." } else { "Drained: some requests were cut." },
    );
    Ok(())
}

async fn migrate_store(config: &Config) -> anyhow::Result<()> {
    let place = config.database.place();
    migrate(&config.database).await.with_context(|| place.clone())?;
    write_line(NAME, &format!("{place} has the schema of this version."));
    Ok(())
}

/// Opens the store. An error names its place.
async fn open_store(config: &Config) -> anyhow::Result<PostgresStore> {
    PostgresStore::open(&config.database).await.with_context(|| config.database.place())
}

/// Opens the store for a command, and reports its place.
async fn open_for_command(config: &Config) -> anyhow::Result<PostgresStore> {
    write_line(NAME, &format!("store: {}", config.database.place()));
    open_store(config).await
}

async fn load(config: &Config, command: &LoadCommand) -> anyhow::Result<()> {
    let store = open_for_command(config).await?;
    let (out, report) = (&mut std::io::stdout(), &mut std::io::stderr());
    load_files(&store, command, &config.admin.own_addresses, out, report).await?;
    publish_hint(config).await;
    Ok(())
}

async fn import(config: &Config, command: &ImportCommand) -> anyhow::Result<()> {
    let store = open_for_command(config).await?;
    let settings = ImportSettings::of(&config.admin, NAME);
    let (out, report) = (&mut std::io::stdout(), &mut std::io::stderr());
    let imported = tern_admin::import::run(&store, command, &settings, out, report).await;
    publish_hint(config).await;
    imported
}

async fn export(config: &Config, command: &ExportCommand) -> anyhow::Result<()> {
    let store = Arc::new(open_for_command(config).await?);
    export_command::run(store, command, &config.admin.own_addresses, &mut std::io::stdout()).await
}

/// Tells the redirectors about new links. Without the hint, they find them when they poll.
async fn publish_hint(config: &Config) {
    if let Err(error) = RedisBus::new(&config.redis, Arc::default()).publish(Message::Invalidation).await {
        write_line(
            NAME,
            &format!("publishing a hint to the redirectors failed ({error}); they find the new links when they poll"),
        );
    }
}

async fn run_token_command(config: &Config, command: TokenCommand) -> anyhow::Result<()> {
    let store = open_for_command(config).await?;
    token_command::run(&store, command, &mut std::io::stdout()).await
}
