//! The program `tern`: both planes in one process, with no other service to install.

mod config;
mod follow;
mod sample;
mod serve;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use tern_admin::export_command::{self, ExportCommand};
use tern_admin::import::{ImportCommand, ImportSettings};
use tern_admin::load::{LoadCommand, load_files};
use tern_admin::{TokenCommand, token_command};
use tern_common::console::write_line;
use tern_common::{probe, process};

use crate::config::{Config, NAME};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Short links: redirects from memory, an API to manage them, every click recorded.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the API and the redirects until SIGTERM or SIGINT
    Serve {
        /// Load sample users, links and events if the store has none
        #[arg(long)]
        sample: bool,
    },
    /// Load CSV files of users, urls, events or products, recognised by their headers
    Load(LoadCommand),
    /// Import files of other link services, or undo an import
    Import(ImportCommand),
    /// Write all links that the filters match to standard output
    Export(ExportCommand),
    /// Check that the server with these settings is ready; exit with 1 if it is not
    Healthcheck,
    /// Write sample CSV files: 400 users, 2000 links, 3422 changes, 6000 clicks
    Sample {
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Create, list and revoke tokens for the API
    #[command(subcommand)]
    Token(TokenCommand),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    process::run(NAME, Config::read, |config, runtime| match cli.command {
        Command::Serve { sample } => runtime.block_on(serve::serve(config, sample)),
        Command::Load(command) => runtime.block_on(load(&config, &command)),
        Command::Import(command) => runtime.block_on(import(&config, &command)),
        Command::Export(command) => runtime.block_on(export(&config, &command)),
        Command::Healthcheck => probe::ask(config.redirector.ops_listen, "/ready"),
        Command::Sample { directory } => sample::write(&directory),
        Command::Token(command) => runtime.block_on(run_token_command(&config, command)),
    })
}

async fn load(config: &Config, command: &LoadCommand) -> anyhow::Result<()> {
    let is_new = config.lacks_store()?;
    if is_new {
        // A mistyped file name or directory must not create a store.
        for file in &command.files {
            fs::metadata(file).with_context(|| format!("{}: cannot be read", file.display()))?;
        }
    }
    let store = config.open_store().await?;
    let note = if is_new { " (new; created in TERN_DATA_DIR)" } else { "" };
    write_line(NAME, &format!("store: {}{note}", config.place()));
    let (out, report) = (&mut std::io::stdout(), &mut std::io::stderr());
    load_files(&*store, command, &config.admin.own_addresses, out, report).await
}

async fn import(config: &Config, command: &ImportCommand) -> anyhow::Result<()> {
    // A link needs a user, so an import never creates the store.
    let store = config.open_existing_store().await?;
    write_line(NAME, &format!("store: {}", config.place()));
    let settings = ImportSettings::of(&config.admin, NAME);
    let (out, report) = (&mut std::io::stdout(), &mut std::io::stderr());
    tern_admin::import::run(&*store, command, &settings, out, report).await
}

async fn export(config: &Config, command: &ExportCommand) -> anyhow::Result<()> {
    let store = config.open_existing_store().await?;
    write_line(NAME, &format!("store: {}", config.place()));
    export_command::run(store, command, &config.admin.own_addresses, &mut std::io::stdout()).await
}

async fn run_token_command(config: &Config, command: TokenCommand) -> anyhow::Result<()> {
    let store = config.open_existing_store().await?;
    write_line(NAME, &format!("store: {}", config.place()));
    token_command::run(&*store, command, &mut std::io::stdout()).await
}
