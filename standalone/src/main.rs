//! The program `tern`: both planes in one process, with no other service to install.

mod backup;
mod config;
mod follow;
mod link_settings;
mod sample;
mod serve;
mod shell;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory as _, Parser, Subcommand};
use tern_admin::export_command::{self, ExportCommand};
use tern_admin::import::{ImportCommand, ImportSettings};
use tern_admin::load::{LoadCommand, load_files};
use tern_admin::{TokenCommand, token_command};
use tern_client::LinkArguments;
use tern_common::console::write_line;
use tern_common::process::Exit;
use tern_common::{probe, process};
use tokio::runtime::Runtime;

use crate::backup::RestoreCommand;
use crate::config::{Config, NAME};
use crate::shell::Shell;

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
    /// Copy the embedded store to a new directory, also while a server runs
    Backup {
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Restore a copy that `tern backup` made into TERN_DATA_DIR
    Restore(RestoreCommand),
    /// Create, find and change links over the API of a server (TERN_URL, TERN_TOKEN)
    #[command(after_help = tern_client::EXIT_CODES)]
    Link(LinkArguments),
    /// Print the script with which a shell completes commands and options
    Completions { shell: Shell },
    /// Write the manual pages
    #[command(hide = true)]
    Manual {
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve { sample } => with_settings(|config, runtime| runtime.block_on(serve::serve(config, sample))),
        Command::Load(command) => with_settings(|config, runtime| runtime.block_on(load(&config, &command))),
        Command::Import(command) => with_settings(|config, runtime| runtime.block_on(import(&config, &command))),
        Command::Export(command) => with_settings(|config, runtime| runtime.block_on(export(&config, &command))),
        Command::Healthcheck => with_settings(|config, _| probe::ask(config.redirector.ops_listen, "/ready")),
        Command::Sample { directory } => with_settings(|_, _| sample::write(&directory)),
        Command::Token(command) => {
            with_settings(|config, runtime| runtime.block_on(run_token_command(&config, command)))
        }
        Command::Backup { directory } => with_settings(|config, _| backup::backup(&config, &directory)),
        Command::Restore(command) => with_settings(|config, _| backup::restore(&config, &command)),
        Command::Link(arguments) => run_link_command(&arguments),
        Command::Completions { shell } => without_settings(|| shell::write_completions(shell, Cli::command())),
        Command::Manual { directory } => without_settings(|| shell::write_manual(Cli::command(), &directory)),
    }
}

fn with_settings(main: impl FnOnce(Config, &Runtime) -> anyhow::Result<()>) -> ExitCode {
    process::run(NAME, Config::read, main)
}

fn run_link_command(arguments: &LinkArguments) -> ExitCode {
    process::run(NAME, link_settings::read, |server, _| {
        tern_client::run(arguments, &server)
            .map_err(|failure| Exit { code: failure.exit_code(), message: failure.to_string() }.into())
    })
}

/// Runs a command that reads no setting.
fn without_settings(command: impl FnOnce() -> anyhow::Result<()>) -> ExitCode {
    process::run(NAME, |_| Ok(()), |(), _| command())
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
