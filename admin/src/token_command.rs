//! `token create | list | revoke`: who may use the API, from the command line, with the server running or not.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Subcommand;
use tern_common::Timestamp;
use tern_common::config::Setting;
use tern_common::store::{AdminStore, StoreError};
use tern_common::token::{NewToken, Role, Secret, Token, TokenName};

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token and print it; it is shown this once
    Create {
        /// What to call it: letters, digits, '.', '_', '-'
        name: TokenName,
        /// viewer (reads), editor (changes users, links, events), admin (everything) or metrics (/metrics alone)
        #[arg(long)]
        role: Role,
        /// How long it is good, such as 90d; for ever unless given
        #[arg(long, value_name = "DURATION", value_parser = parse_lifetime)]
        expires: Option<Duration>,
    },
    /// List the tokens there are and were
    List,
    /// Make a token good for nothing; servers notice within two seconds
    Revoke { name: TokenName },
}

fn parse_lifetime(text: &str) -> Result<Duration, String> {
    let lifetime = <Duration as Setting>::parse(text).filter(|lifetime| *lifetime >= Duration::from_secs(1));
    lifetime.ok_or_else(|| format!("expected {}", <Duration as Setting>::EXPECTED))
}

/// Does what was asked and writes what there is to say to `out`.
///
/// # Errors
/// When the store does not do it, or there is nothing to do it to.
pub async fn run(store: &dyn AdminStore, command: TokenCommand, out: &mut dyn Write) -> anyhow::Result<()> {
    match command {
        TokenCommand::Create { name, role, expires } => create(store, name, role, expires, out).await,
        TokenCommand::List => list(&store.list_tokens().await?, out),
        TokenCommand::Revoke { name } => {
            if !store.revoke_token(&name).await? {
                bail!("there is no token {} that is good for anything", name.as_str());
            }
            Ok(writeln!(out, "Revoked {}.", name.as_str())?)
        }
    }
}

async fn create(
    store: &dyn AdminStore,
    name: TokenName,
    role: Role,
    expires: Option<Duration>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let secret = Secret::generate();
    let expires_at = expires.map(|lifetime| {
        let seconds = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
        Timestamp::from_unix_seconds(Timestamp::now().unix_seconds().saturating_add(seconds))
    });
    let token = NewToken { name: name.clone(), role, hash: secret.hash(), expires_at };
    match store.insert_token(token).await {
        Ok(_) => writeln!(out, "{}", secret.reveal()).context("the token was made and could not be shown; revoke it"),
        Err(StoreError::TokenNameTaken) => {
            bail!("there is a token {} already; revoke it first, or take another name", name.as_str())
        }
        Err(error) => Err(error.into()),
    }
}

fn list(tokens: &[Token], out: &mut dyn Write) -> anyhow::Result<()> {
    let now = Timestamp::now();
    writeln!(out, "{:24} {:8} {:20} {:20} {:20} STATE", "NAME", "ROLE", "CREATED", "EXPIRES", "LAST USED")?;
    for token in tokens {
        let time = |time: Option<Timestamp>| time.map_or_else(|| "never".to_owned(), |time| time.to_string());
        let state = match token.refusal(now) {
            None => "good",
            Some(_) if token.revoked_at.is_some() => "revoked",
            Some(_) => "expired",
        };
        writeln!(
            out,
            "{:24} {:8} {:20} {:20} {:20} {state}",
            token.name,
            token.role,
            token.created_at.to_string(),
            time(token.expires_at),
            time(token.last_used_at)
        )?;
    }
    Ok(())
}
