//! The tokens of the store, as they were a moment ago: a request waits for no database to be let in.
//!
//! The list is read again every second, and when somebody sends a token that is not on it. While the database is away
//! the last one counts: nobody is locked out, and nobody comes in who could not before. A list that cannot be read for
//! some seconds while the database answers other calls does not count: a token on it may have been revoked.

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

use super::closed::Closed;
use super::local::is_from_here;
use crate::config::{AccessConfig, AdminConfig, AuthMode};
use crate::request_log::quota::LogQuota;
use crate::shared_look::SharedLook;

/// Time between two readings of the list. With the reading itself, a revoked token is refused within two seconds.
const REFRESH: Duration = Duration::from_secs(1);

/// Age of a list that is still believed while the database answers other calls.
const BELIEVED: Duration = Duration::from_secs(6);

/// Readings that fail while the database answers other calls, one after the other, before the list is not believed. The
/// first one may have begun while the database was away.
const FAILURES: u32 = 2;

/// Time between two notes of when tokens were used.
const NOTE_USES: Duration = Duration::from_secs(2);

/// How much later a token has to be used for that to be written down again, in seconds.
const USES_APART: i64 = 60;

/// Readings of the list between two warnings of an API that is open to everybody: a minute.
const WARN_EVERY: u32 = 60;

/// Readings of the list between two reports of requests that have no log entry of their own: ten seconds.
const REPORT_EVERY: u32 = 10;

/// Of attempts without a right token, for each client: somebody who mistyped needs few, and a log should not drown.
const FAILURES_AT_ONCE: u32 = 30;
const FAILURES_PER_SECOND: u32 = 1;

/// Who may use the API.
#[derive(Debug)]
pub struct Access {
    store: Arc<dyn AdminStore>,
    mode: AuthMode,
    /// Whether nobody but this machine reaches the port.
    is_local: bool,
    token_concurrency: usize,
    closed: Closed,
    /// Read by every request, replaced by whoever has `reading`.
    bearers: RwLock<Arc<[Arc<Bearer>]>>,
    reading: SharedLook,
    /// When the reading that brought the list began.
    read_at: Mutex<Instant>,
    /// Whether the list is too old to be believed.
    is_disbelieved: AtomicBool,
    proxies: Proxies,
    /// Of each token, or of each client where none is asked for.
    pub(super) requests: Budget,
    pub(super) failures: Budget,
    pub(super) refused: IntCounter,
    is_off: IntGauge,
    pub(crate) log_quota: LogQuota,
}

/// A token, and what its holder is doing.
#[derive(Debug)]
pub(super) struct Bearer {
    pub(super) token: Token,
    /// Seconds since the epoch; moved by every request.
    used_at: Arc<AtomicI64>,
    /// Permits of requests that the token may have under way.
    pub(super) in_flight: Arc<Semaphore>,
}

impl Bearer {
    /// Takes the token as used now, unless it is good for nothing, and says why.
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
    /// Reads the tokens, makes the first one where that is asked for, and follows the store until the value is dropped.
    ///
    /// # Errors
    /// When the API could be reached from outside without a token.
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
            closed: Closed::read(config.access.closed_note.clone()),
            bearers: RwLock::new(Arc::new([])),
            reading: SharedLook::default(),
            read_at: Mutex::new(Instant::now()),
            is_disbelieved: AtomicBool::new(false),
            proxies: config.access.trusted_proxies.clone(),
            requests: Budget::new(requests_per_second, requests_per_second),
            failures: Budget::new(FAILURES_AT_ONCE, FAILURES_PER_SECOND),
            refused: register_int_counter_with_registry!(
                "tern_admin_authentication_failures_total",
                "Requests that were refused for want of a valid token.",
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
        access.closed.ensure_kept()?;
        if access.bearers().is_empty() {
            match mode {
                AuthMode::Tokens => access.make_first(&config.access.token_file).await?,
                AuthMode::Auto if !access.is_local => bail!(
                    "{} can be reached from outside, and there is no token yet: make one (token create NAME --role admin), \
                     or set ADMIN_AUTH=tokens to have one made, or ADMIN_AUTH=none to let everybody in",
                    config.listen
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

    /// Makes the first token, and leaves it in a file that only this user can read, as temporary files are made.
    async fn make_first(&self, file: &Path) -> anyhow::Result<()> {
        let secret = Secret::generate();
        let in_file = || format!("cannot write the first token to {} (ADMIN_TOKEN_FILE)", file.display());
        // Before it counts: a token that is in the store alone would be lost. One beside it, since another process may
        // be first after all.
        let directory = file.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(directory).with_context(in_file)?;
        let mut unsure = NamedTempFile::new_in(directory).with_context(in_file)?;
        writeln!(unsure, "{}", secret.reveal()).and_then(|()| unsure.as_file().sync_all()).with_context(in_file)?;
        let name = "first".parse()?;
        let token = NewToken { name, role: Role::Admin, hash: secret.hash(), expires_at: None };
        if self.store.insert_first_token(token).await? {
            unsure.persist(file).with_context(in_file)?;
            tracing::warn!(file = %file.display(), "the first token was made; it is in the file");
        }
        Ok(self.read().await?)
    }

    /// Whether this request needs no token.
    ///
    /// A proxy or a browser on this machine is no reason to let in whoever is behind it.
    pub(crate) fn is_open_to(&self, request: &Parts) -> bool {
        self.mode == AuthMode::Off || self.is_open() && is_from_here(request)
    }

    /// The address that a request came from, as far as it is known.
    pub(crate) fn client(&self, request: &Parts) -> IpAddr {
        let peer = request.extensions.get::<ConnectInfo<SocketAddr>>().map_or(UNKNOWN, |ConnectInfo(peer)| peer.ip());
        let forwarded_for = request.headers.get_all("x-forwarded-for").iter().map(HeaderValue::as_bytes);
        self.proxies.client(peer, forwarded_for)
    }

    /// Whether programs on this machine, at least, need no token.
    pub fn is_open(&self) -> bool {
        let never_closed = self.bearers().is_empty() && !self.closed.is_noted();
        self.mode == AuthMode::Off || self.mode == AuthMode::Auto && self.is_local && never_closed
    }

    /// Whether no request may be admitted by the list of tokens, because it is too old.
    pub(super) fn is_disbelieved(&self) -> bool {
        self.mode != AuthMode::Off && self.is_disbelieved.load(Ordering::Acquire)
    }

    fn is_old(&self) -> bool {
        self.read_at.lock().unwrap_or_else(PoisonError::into_inner).elapsed() > BELIEVED
    }

    /// Whose token it is, as far as is known.
    pub(super) fn find(&self, hash: &TokenHash) -> Option<Arc<Bearer>> {
        // All of them, so that the time tells nothing.
        self.bearers()
            .iter()
            .fold(None, |found, bearer| if bearer.token.hash.is(hash) { Some(bearer) } else { found })
            .cloned()
    }

    fn bearers(&self) -> Arc<[Arc<Bearer>]> {
        Arc::clone(&self.bearers.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the list, or finds that somebody else did since this was called.
    pub(super) async fn read(&self) -> tern_common::store::Result<()> {
        let read = async || {
            let began = Instant::now();
            self.keep(self.store.list_tokens().await?);
            *self.read_at.lock().unwrap_or_else(PoisonError::into_inner) = began;
            self.is_disbelieved.store(false, Ordering::Release);
            Ok(())
        };
        self.reading.look(read).await
    }

    fn keep(&self, tokens: Vec<Token>) {
        if !tokens.is_empty() && self.mode == AuthMode::Auto && self.is_local {
            self.closed.note();
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

    /// Writes down when tokens were used.
    async fn note_uses(&self) -> tern_common::store::Result<()> {
        let bearers = self.bearers();
        let uses = bearers.iter().filter_map(|bearer| {
            let used_at = bearer.used_at.load(Ordering::Relaxed);
            let written = bearer.token.last_used_at.map_or(i64::MIN, Timestamp::unix_seconds);
            let is_news = used_at > written.saturating_add(USES_APART);
            is_news.then_some((bearer.token.id, Timestamp::from_unix_seconds(used_at)))
        });
        let uses: Vec<_> = uses.collect();
        if uses.is_empty() { Ok(()) } else { self.store.note_token_uses(uses).await }
    }

    /// A sentence for the operator who starts an API that needs no token.
    pub fn warning(&self) -> Option<&'static str> {
        match self.mode {
            AuthMode::Off => Some("ADMIN_AUTH=none: every client that reaches the API may do everything."),
            AuthMode::Auto if self.bearers().is_empty() && !self.is_open() => Some(
                "The database has no token, but the API required one before (tokens-required in TERN_DATA_DIR), so it stays \
                 closed. Make a token: token create NAME --role admin",
            ),
            AuthMode::Auto | AuthMode::Tokens => self.is_open().then_some(
                "The API is open to every program on this machine; do not forward its port. \
                 To close it, make a token: token create NAME --role admin",
            ),
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
                tracing::warn!(%error, "the tokens could not be read; the last list counts; reading again");
            }
            Ok(()) if !is_read => tracing::info!("the tokens are read again"),
            _ => {}
        }
        is_read = read.is_ok();
        let answers_others = access.store.last_answer().is_some_and(|answered| answered >= began);
        failures = if read.is_err() && answers_others { failures + 1 } else { 0 };
        if failures >= FAILURES && access.is_old() && !access.is_disbelieved.swap(true, Ordering::AcqRel) {
            tracing::error!(
                "the tokens cannot be read while the database answers other calls; requests with a token are answered \
                 503; reading again"
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
            tracing::warn!(%error, "the uses of tokens could not be noted; trying again");
        }
        is_noted = noted.is_ok();
    }
}
