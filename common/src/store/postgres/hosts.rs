//! The hosts of a database, of which one takes changes.
//!
//! A connection is attempted on all of them, each begun a moment after the one before it, and the first primary wins.
//! A host that is silent therefore costs that moment, and a standby is never used before its promotion.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::anyhow;
use deadpool_postgres::ClientWrapper;
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::FuturesUnordered;
use tokio::net::lookup_host;
use tokio::time::sleep;
use tokio_postgres::config::{Host, TargetSessionAttrs};
use tokio_postgres::{Config, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::store::postgres::error;
use crate::store::{Result, StoreError};

/// The time after which an attempt on the next address begins beside the ones under way.
const STAGGER: Duration = Duration::from_millis(250);

/// The pause before a failed attempt is repeated, while the attempt on another address gets no answer.
const REPEAT: Duration = Duration::from_millis(500);

/// The port of PostgreSQL without another one in the URL.
const DEFAULT_PORT: u16 = 5432;

/// The statement that ends the beginning of a session.
const LOOK: &str = "SELECT pg_backend_pid(), pg_is_in_recovery(), current_setting('transaction_read_only')";

/// A session on a primary, and the id of its server process.
pub(super) struct Session {
    pub(super) client: ClientWrapper,
    pub(super) backend: i32,
}

/// The hosts of a database.
pub(super) struct Hosts {
    /// The settings of a connection to each host.
    hosts: Vec<Config>,
    tls: MakeRustlsConnect,
    /// Whether a primary whose transactions are read-only is refused as well.
    demands_writable: bool,
    /// The host that accepted the last session, which is tried first.
    last: AtomicUsize,
}

/// The way to one address of a host.
struct Attempt<'a> {
    host: usize,
    config: Config,
    tls: &'a MakeRustlsConnect,
    begin: &'a str,
    demands_writable: bool,
}

impl Hosts {
    /// Cuts the settings of a connection into those of each host.
    ///
    /// # Errors
    /// Names the part of the settings that cannot be used.
    pub(super) fn new(config: &Config, tls: MakeRustlsConnect) -> Result<Hosts, anyhow::Error> {
        let (names, addresses, ports) = (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
        let number = names.len().max(addresses.len());
        if number == 0 {
            return Err(anyhow!("it names no host"));
        }
        if !names.is_empty() && !addresses.is_empty() && names.len() != addresses.len() {
            return Err(anyhow!("it has {} hosts and {} addresses of hosts", names.len(), addresses.len()));
        }
        if ports.len() > 1 && ports.len() != number {
            return Err(anyhow!(
                "it has {number} hosts and {} ports; give one port, or one for each host",
                ports.len()
            ));
        }
        if config.get_target_session_attrs() == TargetSessionAttrs::ReadOnly {
            return Err(anyhow!(
                "target_session_attrs=read-only excludes the primary, and only the primary takes clicks"
            ));
        }
        let hosts = (0..number).map(|n| {
            let mut host = without_hosts(config);
            match names.get(n) {
                Some(Host::Tcp(name)) => _ = host.host(name),
                Some(Host::Unix(path)) => _ = host.host_path(path),
                None => {}
            }
            if let Some(address) = addresses.get(n) {
                host.hostaddr(*address);
            }
            host.port(ports.get(n).or(ports.first()).copied().unwrap_or(DEFAULT_PORT));
            host
        });
        let demands_writable = config.get_target_session_attrs() == TargetSessionAttrs::ReadWrite;
        Ok(Hosts { hosts: hosts.collect(), tls, demands_writable, last: AtomicUsize::new(0) })
    }

    /// Begins a session with the statements of `begin` on the first host that answers and is a primary.
    pub(super) async fn connect(&self, begin: &str) -> Result<Session> {
        let last = self.last.load(Ordering::Relaxed);
        let others = (0..self.hosts.len()).filter(|host| *host != last);
        let order: Vec<usize> = std::iter::once(last).chain(others).collect();
        let (host, session) = race(order.len(), |n| self.connect_to(order[n], begin).boxed()).await?;
        self.last.store(host, Ordering::Relaxed);
        Ok(session)
    }

    /// Begins a session on the first address of a host that accepts one.
    async fn connect_to(&self, host: usize, begin: &str) -> Result<(usize, Session)> {
        let config = &self.hosts[host];
        let addresses: Vec<Option<IpAddr>> = match config.get_hosts() {
            [Host::Tcp(name)] if config.get_hostaddrs().is_empty() => {
                let found = lookup_host((name.as_str(), 0)).await;
                let found =
                    found.map_err(|error| StoreError::Unavailable(anyhow!("{name} has no address: {error}")))?;
                found.map(|address| Some(address.ip())).collect()
            }
            _ => vec![None],
        };
        let on_address = |n: usize| {
            let mut config = config.clone();
            if let Some(address) = addresses[n] {
                config.hostaddr(address);
            }
            Attempt { host, config, tls: &self.tls, begin, demands_writable: self.demands_writable }.run().boxed()
        };
        race(addresses.len(), on_address).await
    }
}

impl Attempt<'_> {
    async fn run(self) -> Result<(usize, Session)> {
        match self.begin().await {
            Ok(session) => Ok((self.host, session)),
            Err(StoreError::Unavailable(cause)) => {
                Err(StoreError::Unavailable(cause.context(format!("connecting to {}", name_of(&self.config)))))
            }
            Err(other) => Err(other),
        }
    }

    async fn begin(&self) -> Result<Session> {
        let (client, connection) = self.config.connect(self.tls.clone()).await?;
        // The statement that the connection breaks under reports the error.
        let client = ClientWrapper::new(client, tokio::spawn(async { drop(connection.await) }));
        let answers = client.simple_query(&format!("{}; {LOOK}", self.begin)).await?;
        // The last row has the state of the server. The statements before it return rows too.
        let row = answers.iter().rev().find_map(|answer| match answer {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let column = |n| row.and_then(|row| row.get(n));
        let backend = column(0).and_then(|backend| backend.parse().ok()).ok_or_else(|| error::unexpected("process"))?;
        if column(1) != Some("f") {
            let reason = "the server is a standby, which takes no changes; DATABASE_URL has to name the primary";
            return Err(StoreError::Unavailable(anyhow!(reason)));
        }
        if self.demands_writable && column(2) != Some("off") {
            let reason = "the database is read-only, and DATABASE_URL has target_session_attrs=read-write";
            return Err(StoreError::Unavailable(anyhow!(reason)));
        }
        Ok(Session { client, backend })
    }
}

/// Returns the host and the port of the settings of one host.
fn name_of(config: &Config) -> String {
    let host = match (config.get_hosts().first(), config.get_hostaddrs().first()) {
        (Some(Host::Tcp(name)), _) => name.clone(),
        (Some(Host::Unix(path)), _) => path.display().to_string(),
        (None, address) => address.map(IpAddr::to_string).unwrap_or_default(),
    };
    format!("{host}:{}", config.get_ports().first().copied().unwrap_or(DEFAULT_PORT))
}

/// Returns the settings of a connection without the hosts.
fn without_hosts(config: &Config) -> Config {
    let mut copy = Config::new();
    if let Some(user) = config.get_user() {
        copy.user(user);
    }
    if let Some(password) = config.get_password() {
        copy.password(password);
    }
    if let Some(name) = config.get_dbname() {
        copy.dbname(name);
    }
    if let Some(options) = config.get_options() {
        copy.options(options);
    }
    if let Some(name) = config.get_application_name() {
        copy.application_name(name);
    }
    if let Some(time) = config.get_connect_timeout() {
        copy.connect_timeout(*time);
    }
    if let Some(time) = config.get_tcp_user_timeout() {
        copy.tcp_user_timeout(*time);
    }
    if let Some(interval) = config.get_keepalives_interval() {
        copy.keepalives_interval(interval);
    }
    if let Some(retries) = config.get_keepalives_retries() {
        copy.keepalives_retries(retries);
    }
    copy.keepalives(config.get_keepalives())
        .keepalives_idle(config.get_keepalives_idle())
        .ssl_mode(config.get_ssl_mode())
        .ssl_negotiation(config.get_ssl_negotiation())
        .channel_binding(config.get_channel_binding());
    copy
}

/// Runs `count` attempts beside each other and returns the first success. Dropped attempts close their connections.
///
/// An attempt begins once the one before it has failed, or has taken [`STAGGER`]. A failed one is repeated until every other
/// one has failed too, since a standby may be promoted while the old primary is silent.
async fn race<'a, T: 'a>(count: usize, attempt: impl Fn(usize) -> BoxFuture<'a, Result<T>>) -> Result<T> {
    let run = |n: usize, pause: Duration| {
        let attempt = attempt(n);
        async move {
            if !pause.is_zero() {
                sleep(pause).await;
            }
            (n, attempt.await)
        }
    };
    let mut waiting = 0..count;
    let mut running = FuturesUnordered::new();
    let mut failures: Vec<Option<StoreError>> = (0..count).map(|_| None).collect();
    while failures.iter().any(Option::is_none) {
        running.extend(waiting.next().map(|n| run(n, Duration::ZERO)));
        let stagger = async { if waiting.is_empty() { std::future::pending().await } else { sleep(STAGGER).await } };
        tokio::select! {
            biased;
            Some((n, ended)) = running.next() => match ended {
                Ok(won) => return Ok(won),
                Err(failure) => {
                    if matches!(failure, StoreError::Unavailable(_)) {
                        running.push(run(n, REPEAT));
                    }
                    failures[n] = Some(failure);
                }
            },
            () = stagger => {}
        }
    }
    Err(all(failures.into_iter().flatten().collect()))
}

/// Returns one error for the failures of all attempts.
fn all(mut failures: Vec<StoreError>) -> StoreError {
    match failures.len() {
        1 => failures.remove(0),
        0 => StoreError::Unavailable(anyhow!("the host has no address")),
        _ => {
            // A refusal that a later attempt would repeat is more important than a host that is away.
            if let Some(other) = failures.iter().position(|failure| !matches!(failure, StoreError::Unavailable(_))) {
                return failures.remove(other);
            }
            let text = |failure: &StoreError| match failure {
                StoreError::Unavailable(cause) => format!("{cause:#}"),
                other => other.to_string(),
            };
            let texts: Vec<String> = failures.iter().map(text).collect();
            StoreError::Unavailable(anyhow!("{}", texts.join("; ")))
        }
    }
}
