//! The tokens of the store in memory, so that no request waits for the database to be admitted.
//!
//! The list is read every second, and when a client sends a token that is not on it. While the database is unavailable,
//! the last list remains valid. A list that cannot be read for some seconds while the database answers other calls is not
//! valid, because a token on it may have been revoked.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use axum::extract::ConnectInfo;
use axum::http::HeaderValue;
use axum::http::request::Parts;
use prometheus::{
    IntCounter, IntGauge, Registry, register_int_counter_with_registry, register_int_gauge_with_registry,
};
use tempfile::NamedTempFile;
use tern_common::Timestamp;
use tern_common::budget::Budget;
use tern_common::client::{Proxies, UNKNOWN};
use tern_common::console::CONSOLE_TARGET;
use tern_common::store::AdminStore;
use tern_common::token::{NewToken, Role, Secret, Token, TokenHash};
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::local::is_from_this_machine;
use super::requirement::TokenRequirement;
use crate::config::{AccessConfig, AdminConfig, AuthMode};
use crate::request_log::quota::LogQuota;
use crate::shared_call::SharedCall;
use crate::token_command::creation_command;

/// Time between two reads of the list. With the time of a read, a revoked token is refused within two seconds.
const REFRESH: Duration = Duration::from_secs(1);

/// The greatest age of a valid list while the database answers other calls.
const MAX_AGE: Duration = Duration::from_secs(6);

/// Consecutive reads that fail while the database answers other calls, before the list is stale.
/// The first of them may have begun while the database was unavailable.
const FAILURES: u32 = 2;

/// Time between two writes of the times when tokens were used.
const NOTE_USES: Duration = Duration::from_secs(2);

/// Seconds after which the use of a token is written again.
const USES_APART: i64 = 60;

/// Reads of the list between two warnings about an API that is open to every client: a minute.
const WARN_EVERY: u32 = 60;

/// Reads of the list between two reports of requests without log entries: ten seconds.
const REPORT_EVERY: u32 = 10;

/// Budget of each client for requests without a valid token: enough for mistyped tokens, too few to fill the log.
const FAILURES_AT_ONCE: u32 = 30;
const FAILURES_PER_SECOND: u32 = 1;

/// The tokens of the API, the budgets of their requests, and the state that opens or closes the API.
#[derive(Debug)]
pub struct Access {
    store: Arc<dyn AdminStore>,
    mode: AuthMode,
    /// Whether the API port listens on loopback.
    is_local: bool,
    token_concurrency: usize,
    requirement: TokenRequirement,
    /// The list of tokens, which each request reads and `reading` replaces.
    bearers: RwLock<Arc<[Arc<Bearer>]>>,
    reading: SharedCall,
    /// The start of the last successful read of the list.
    read_at: Mutex<Instant>,
    /// Whether the list is too old to be valid.
    is_stale: AtomicBool,
    proxies: Proxies,
    /// Requests of each token, or of each client where no token is needed.
    pub(super) requests: Budget,
    pub(super) failures: Budget,
    pub(super) refused: IntCounter,
    is_off: IntGauge,
    pub(crate) log_quota: LogQuota,
}

/// A token, its last use and its requests under way.
#[derive(Debug)]
pub(super) struct Bearer {
    pub(super) token: Token,
    /// Seconds since the epoch at which a request last used the token.
    used_at: Arc<AtomicI64>,
    /// Permits of requests that the token may have under way.
    pub(super) in_flight: Arc<Semaphore>,
}

impl Bearer {
    /// Records a use of the token now.
    ///
    /// # Errors
    /// The message for the client, if the token is expired or revoked.
    pub(super) fn use_now(&self) -> Result<(), &'static str> {
        let now = Timestamp::now();
        match self.token.refusal(now) {
            Some(refusal) => Err(refusal),
            None => {
                self.used_at.fetch_max(now.unix_seconds(), Ordering::Relaxed);
                Ok(())
            }
        }
    }
}

impl Access {
    /// Reads the tokens, creates the first one if the settings say so, and follows the store until the value is dropped.
    ///
    /// # Errors
    /// When other machines could reach the API without a token.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn open(
        store: Arc<dyn AdminStore>,
        config: &AdminConfig,
        registry: &Registry,
    ) -> anyhow::Result<Arc<Access>> {
        let AccessConfig { mode, token_concurrency, requests_per_second, .. } = config.access;
        let access = Arc::new(Access {
            store,
            mode,
            is_local: config.listen.ip().is_loopback(),
            token_concurrency,
            requirement: TokenRequirement::read(config.access.requirement_file.clone()),
            bearers: RwLock::new(Arc::new([])),
            reading: SharedCall::default(),
            read_at: Mutex::new(Instant::now()),
            is_stale: AtomicBool::new(false),
            proxies: config.access.trusted_proxies.clone(),
            requests: Budget::new(requests_per_second, requests_per_second),
            failures: Budget::new(FAILURES_AT_ONCE, FAILURES_PER_SECOND),
            refused: register_int_counter_with_registry!(
                "tern_admin_authentication_failures_total",
                "Requests refused because they had no valid token.",
                registry
            )?,
            is_off: register_int_gauge_with_registry!(
                "tern_admin_authentication_off",
                "1 while the API answers every request without a token, else 0.",
                registry
            )?,
            log_quota: LogQuota::register(registry)?,
        });
        access.read().await?;
        access.requirement.ensure_recorded()?;
        if access.bearers().is_empty() {
            match mode {
                AuthMode::Tokens => access.create_first_token(&config.access.token_file).await?,
                AuthMode::Auto if !access.is_local => bail!(
                    "other machines can reach {}, and there is no token yet: create one ({}), \
                     or set ADMIN_AUTH=tokens to have one created, or ADMIN_AUTH=none to admit every client",
                    config.listen,
                    creation_command()
                ),
                AuthMode::Auto | AuthMode::Off => {}
            }
        }
        if let Some(warning) = access.warning() {
            tracing::warn!(target: CONSOLE_TARGET, "{warning}");
        }
        tokio::spawn(follow(Arc::downgrade(&access)));
        tokio::spawn(note_uses(Arc::downgrade(&access)));
        Ok(access)
    }

    /// Creates the first token, and writes it to a file that only this user can read.
    async fn create_first_token(&self, file: &Path) -> anyhow::Result<()> {
        let secret = Secret::generate();
        let in_file = || format!("cannot write the first token to {} (ADMIN_TOKEN_FILE)", file.display());
        // The token is written before it is valid, since one that is in the store alone would be lost.
        // A temporary file receives it, since another process may create the first token meanwhile.
        let directory = file.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(directory).with_context(in_file)?;
        let mut temporary = NamedTempFile::new_in(directory).with_context(in_file)?;
        writeln!(temporary, "{}", secret.reveal())
            .and_then(|()| temporary.as_file().sync_all())
            .with_context(in_file)?;
        let name = "first".parse()?;
        let token = NewToken { name, role: Role::Admin, hash: secret.hash(), expires_at: None, user_id: None };
        if self.store.insert_first_token(token).await? {
            temporary.persist(file).with_context(in_file)?;
            tracing::warn!(file = %file.display(), "the first token was created; read it from the file");
        }
        Ok(self.read().await?)
    }

    /// Returns whether this request needs no token.
    ///
    /// A proxy or a browser on this machine must not admit the clients or pages behind it.
    pub(crate) fn is_open_to(&self, request: &Parts) -> bool {
        self.mode == AuthMode::Off || self.is_open() && is_from_this_machine(request)
    }

    /// Returns the address of the client that sent a request, or `UNKNOWN`.
    pub(crate) fn client(&self, request: &Parts) -> IpAddr {
        let peer = request.extensions.get::<ConnectInfo<SocketAddr>>().map_or(UNKNOWN, |ConnectInfo(peer)| peer.ip());
        let forwarded_for = request.headers.get_all("x-forwarded-for").iter().map(HeaderValue::as_bytes);
        self.proxies.client(peer, forwarded_for)
    }

    /// Returns whether programs on this machine need no token.
    pub fn is_open(&self) -> bool {
        let never_closed = self.bearers().is_empty() && !self.requirement.was_seen();
        self.mode == AuthMode::Off || self.mode == AuthMode::Auto && self.is_local && never_closed
    }

    /// Returns whether no client ever needs a token (`ADMIN_AUTH=none`).
    pub(crate) fn needs_no_token(&self) -> bool {
        self.mode == AuthMode::Off
    }

    /// Returns whether the API is open, and the first token closes it.
    pub(crate) fn closes_with_a_token(&self) -> bool {
        self.mode != AuthMode::Off && self.is_open()
    }

    /// Reads the list after a token was created or revoked. If that fails, the list is read within a second.
    pub(crate) async fn refresh(&self) {
        if let Err(error) = self.read().await {
            tracing::warn!(%error, "reading the changed tokens failed; the last list remains valid; trying again");
        }
    }

    /// Returns whether the list of tokens is too old to admit requests.
    pub(super) fn is_stale(&self) -> bool {
        self.mode != AuthMode::Off && self.is_stale.load(Ordering::Acquire)
    }

    fn is_old(&self) -> bool {
        self.read_at.lock().unwrap_or_else(PoisonError::into_inner).elapsed() > MAX_AGE
    }

    /// Finds the token with this hash on the list.
    pub(super) fn find(&self, hash: &TokenHash) -> Option<Arc<Bearer>> {
        // Each token is compared, so that the time does not tell which of them was nearly matched.
        self.bearers()
            .iter()
            .fold(None, |found, bearer| if bearer.token.hash.is(hash) { Some(bearer) } else { found })
            .cloned()
    }

    pub(super) fn bearers(&self) -> Arc<[Arc<Bearer>]> {
        Arc::clone(&self.bearers.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the list, or waits for another caller who reads it.
    pub(super) async fn read(&self) -> tern_common::store::Result<()> {
        let read = async || {
            let began = Instant::now();
            self.replace_bearers(self.store.list_tokens().await?);
            *self.read_at.lock().unwrap_or_else(PoisonError::into_inner) = began;
            self.is_stale.store(false, Ordering::Release);
            Ok(())
        };
        self.reading.run(read).await
    }

    fn replace_bearers(&self, tokens: Vec<Token>) {
        if !tokens.is_empty() && self.mode == AuthMode::Auto && self.is_local {
            self.requirement.record();
        }
        let known = self.bearers();
        let bearers = tokens.into_iter().map(|token| {
            let known = known.iter().find(|bearer| bearer.token.id == token.id);
            Arc::new(match known {
                Some(known) => {
                    Bearer { token, used_at: Arc::clone(&known.used_at), in_flight: Arc::clone(&known.in_flight) }
                }
                None => Bearer {
                    used_at: Arc::new(AtomicI64::new(i64::MIN)),
                    in_flight: Arc::new(Semaphore::new(self.token_concurrency)),
                    token,
                },
            })
        });
        *self.bearers.write().unwrap_or_else(PoisonError::into_inner) = bearers.collect();
        self.is_off.set(self.is_open().into());
    }

    /// Writes to the store when tokens were last used.
    async fn note_uses(&self) -> tern_common::store::Result<()> {
        let bearers = self.bearers();
        let uses = bearers.iter().filter_map(|bearer| {
            let used_at = bearer.used_at.load(Ordering::Relaxed);
            let written = bearer.token.last_used_at.map_or(i64::MIN, Timestamp::unix_seconds);
            let is_newer = used_at > written.saturating_add(USES_APART);
            is_newer.then_some((bearer.token.id, Timestamp::from_unix_seconds(used_at)))
        });
        let uses: Vec<_> = uses.collect();
        if uses.is_empty() { Ok(()) } else { self.store.note_token_uses(uses).await }
    }

    /// Returns a warning for the operator if the API needs no token, or stays closed without one.
    pub fn warning(&self) -> Option<String> {
        match self.mode {
            AuthMode::Off => Some("ADMIN_AUTH=none: every client that reaches the API may do everything.".to_owned()),
            AuthMode::Auto if self.bearers().is_empty() && !self.is_open() => Some(format!(
                "The database has no token, but the API required one before (tokens-required in TERN_DATA_DIR), so it stays \
                 closed. Create a token: {}",
                creation_command()
            )),
            AuthMode::Auto | AuthMode::Tokens => self.is_open().then(|| {
                format!(
                    "The API is open to every program on this machine; do not forward its port. \
                     To close it, create a token: {}",
                    creation_command()
                )
            }),
        }
    }
}

async fn follow(access: Weak<Access>) {
    let mut is_read = true;
    let mut failures = 0;
    let mut ticks = interval(REFRESH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for n in 1u32.. {
        ticks.tick().await;
        let Some(access) = access.upgrade() else { return };
        if n % WARN_EVERY == 0 && access.mode == AuthMode::Off {
            tracing::warn!("ADMIN_AUTH=none: every client that reaches the API may do everything");
        }
        if n % REPORT_EVERY == 0 {
            access.log_quota.report();
        }
        let began = Instant::now();
        let read = access.read().await;
        match &read {
            Err(error) if is_read => {
                tracing::warn!(%error, "reading the tokens failed; the last list remains valid; trying again");
            }
            Ok(()) if !is_read => tracing::info!("reading the tokens succeeds again"),
            _ => {}
        }
        is_read = read.is_ok();
        let answers_others = access.store.last_answer().is_some_and(|answered| answered >= began);
        failures = if read.is_err() && answers_others { failures + 1 } else { 0 };
        if failures >= FAILURES && access.is_old() && !access.is_stale.swap(true, Ordering::AcqRel) {
            tracing::error!(
                "reading the tokens fails while the database answers other calls; requests with a token are answered \
                 503; trying again"
            );
        }
    }
}

async fn note_uses(access: Weak<Access>) {
    let mut is_noted = true;
    loop {
        sleep(NOTE_USES).await;
        let Some(access) = access.upgrade() else { return };
        let noted = access.note_uses().await;
        if let Err(error) = &noted
            && is_noted
        {
            tracing::warn!(%error, "writing the last uses of tokens failed; trying again");
        }
        is_noted = noted.is_ok();
    }
}
