//! The command `tern link`: links on the command line, over the HTTP API of a server.
//!
//! The crate knows no other crate of Tern: a server may be older or newer than the command.

mod api;
mod edit;
mod failure;
mod fields;
mod link;
mod list;
mod output;
mod qr;
mod routing;
mod stats;

pub use api::{InvalidUrl, Server};
use clap::{Args, Subcommand};
pub use failure::{EXIT_CODES, Failure, Kind};

use crate::api::Api;
use crate::output::Output;

/// The arguments of `tern link`.
#[derive(Debug, Args)]
pub struct LinkArguments {
    /// Print the answer of the API as JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: LinkCommand,
}

#[derive(Debug, Subcommand)]
enum LinkCommand {
    /// Create a link
    #[command(visible_alias = "create")]
    Add(edit::Add),
    /// List links, newest last; in a pipe, one short URL a line
    #[command(visible_alias = "list")]
    Ls(list::List),
    /// Show a link
    Show {
        /// Short code or short URL of the link
        code: String,
    },
    /// Change a link; options that are absent change nothing
    Edit(edit::Edit),
    /// Delete links and their clicks; asks only on a terminal
    Rm(edit::Remove),
    /// Show the clicks of a link: people and bots apart, by time, and where they came from
    Stats(stats::Stats),
    /// Write the QR code of a link to a file, or draw it on a terminal
    Qr(qr::Qr),
}

/// Runs a command against a server.
///
/// # Errors
/// With the sentence of the API, or with the reason why the server did not answer.
pub fn run(arguments: &LinkArguments, server: &Server) -> Result<(), Failure> {
    let api = Api::new(server)?;
    let mut output = Output::new(arguments.json);
    let ended = match &arguments.command {
        LinkCommand::Add(add) => add.run(&api, &mut output),
        LinkCommand::Ls(list) => list.run(&api, &mut output),
        LinkCommand::Show { code } => link::show(&api, code, &mut output),
        LinkCommand::Edit(edit) => edit.run(&api, &mut output),
        LinkCommand::Rm(remove) => remove.run(&api, &mut output),
        LinkCommand::Stats(stats) => stats.run(&api, &mut output),
        LinkCommand::Qr(qr) => qr.run(&api, &mut output),
    };
    match ended {
        // The reader of a pipe, such as `head`, has enough.
        Err(failure) if failure.is_closed_pipe() => Ok(()),
        ended => ended,
    }
}
