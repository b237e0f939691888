//! The command `token create | list | revoke`, which changes the tokens of the store, also while a server runs.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Subcommand;
use tern_common::config::Setting;
use tern_common::store::{AdminStore, StoreError};
use tern_common::token::{NewToken, Role, Secret, Token, TokenKey, TokenName, TokenState};
use tern_common::{Id, Timestamp};

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Create a token and print it; it cannot be shown again
    Create {
        /// Name of the token: letters, digits, '.', '_', '-'
        name: TokenName,
        /// viewer (reads), editor (changes users, links, events), admin (everything) or metrics (only /metrics)
        #[arg(long)]
        role: Role,
        /// Lifetime of the token, such as 90d; without it the token does not expire
        #[arg(long, value_name = "DURATION", value_parser = parse_lifetime)]
        expires: Option<Duration>,
        /// Id of the user to whose links, events and statistics the token is limited; without it the token is not limited
        #[arg(long, value_name = "ID", value_parser = parse_id)]
        user: Option<Id>,
    },
    /// List all tokens, with those that are expired or revoked
    List,
    /// Revoke a token; servers refuse it within two seconds
    Revoke { name: TokenName },
}

/// Returns the command of this program that creates a token, for messages to the operator.
pub(crate) fn creation_command() -> String {
    let program = std::env::args_os().next().map(PathBuf::from);
    let name = program.as_deref().and_then(Path::file_name).unwrap_or_default();
    format!("{} token create NAME --role admin", name.display())
}

fn parse_id(text: &str) -> Result<Id, String> {
    Id::parse(text).ok_or_else(|| "expected the id of a user, such as 7".to_owned())
}

fn parse_lifetime(text: &str) -> Result<Duration, String> {
    let lifetime = <Duration as Setting>::parse(text).filter(|lifetime| *lifetime >= Duration::from_secs(1));
    lifetime.ok_or_else(|| format!("expected {}", <Duration as Setting>::EXPECTED))
}

/// Runs the command and writes its result to `out`.
///
/// # Errors
/// When the store fails, the name of a new token is taken, or there is no token to revoke.
pub async fn run(store: &dyn AdminStore, command: TokenCommand, out: &mut dyn Write) -> anyhow::Result<()> {
    match command {
        TokenCommand::Create { name, role, expires, user } => {
            if user.is_some() && !role.fits_a_user() {
                bail!("the role {role} reads data of all users; use --role viewer or --role editor with --user");
            }
            let secret = Secret::generate();
            let expires_at = expires.map(end_of_lifetime);
            let token = NewToken { name, role, hash: secret.hash(), expires_at, user_id: user };
            create(store, token, &secret, out).await
        }
        TokenCommand::List => list(&store.list_tokens().await?, out),
        TokenCommand::Revoke { name } => {
            if !store.revoke_token(&TokenKey::Name(name.clone())).await? {
                bail!("there is no token {} to revoke", name.as_str());
            }
            Ok(writeln!(out, "Revoked {}.", name.as_str())?)
        }
    }
}

async fn create(store: &dyn AdminStore, token: NewToken, secret: &Secret, out: &mut dyn Write) -> anyhow::Result<()> {
    let name = token.name.clone();
    match store.insert_token(token).await {
        Ok(_) => {
            writeln!(out, "{}", secret.reveal()).context("the token was created, but printing it failed; revoke it")
        }
        Err(StoreError::TokenNameTaken) => {
            bail!("there is a token {} already; revoke it first, or use another name", name.as_str())
        }
        Err(StoreError::UnknownUser(id)) => {
            bail!("there is no user {id}; create the user first, or name another one (GET /users lists them)")
        }
        Err(error) => Err(error.into()),
    }
}

fn end_of_lifetime(lifetime: Duration) -> Timestamp {
    let seconds = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_unix_seconds(Timestamp::now().unix_seconds().saturating_add(seconds))
}

fn list(tokens: &[Token], out: &mut dyn Write) -> anyhow::Result<()> {
    let now = Timestamp::now();
    writeln!(
        out,
        "{:24} {:8} {:8} {:20} {:20} {:20} STATE",
        "NAME", "ROLE", "USER ID", "CREATED", "EXPIRES", "LAST USED"
    )?;
    for token in tokens {
        let time = |time: Option<Timestamp>| time.map_or_else(|| "never".to_owned(), |time| time.to_string());
        let state = match token.state(now) {
            TokenState::Valid => "valid",
            TokenState::Revoked => "revoked",
            TokenState::Expired => "expired",
        };
        writeln!(
            out,
            "{:24} {:8} {:8} {:20} {:20} {:20} {state}",
            token.name,
            token.role,
            token.user_id.map_or_else(|| "-".to_owned(), |id| id.to_string()),
            token.created_at.to_string(),
            time(token.expires_at),
            time(token.last_used_at)
        )?;
    }
    Ok(())
}
