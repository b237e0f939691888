//! Connections to the server: how one is made, and when the next attempt may begin.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use deadpool_postgres::ClientWrapper;
use tokio::time::timeout;
use tokio_postgres::{Config, Error, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::backoff::Backoff;
use crate::store::{Result, StoreError};

/// Time for a whole connection: TCP, TLS, the password and the settings are up to eight round trips, of 280 ms to the
/// other side of the world.
const CONNECT_TIME: Duration = Duration::from_secs(4);

/// Time without a new attempt after a connection that failed: a server that comes back meets one attempt a second from
/// each process.
const CONNECT_PAUSE: Duration = Duration::from_secs(1);

/// A connection to the server, and which one it is.
pub(super) struct Connection {
    pub(super) client: ClientWrapper,
    /// A random number that tells it from every other connection.
    pub(super) id: u64,
    /// The process of the server that serves the connection.
    pub(super) backend: i32,
}

/// Makes the connections of all pools of a store.
pub(super) struct Connector {
    config: Config,
    tls: MakeRustlsConnect,
    /// The statement that begins each session.
    session: String,
    retry: Mutex<Retry>,
    /// When the server last answered a request, on any connection.
    answered_at: Mutex<Option<Instant>>,
}

/// The state of attempts after one that failed.
struct Retry {
    backoff: Backoff,
    /// When the next attempt may begin; `None` while attempts succeed.
    from: Option<Instant>,
}

impl fmt::Debug for Connector {
    /// Leaves out the settings, which hold the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

impl Connector {
    pub(super) fn new(config: Config, tls: MakeRustlsConnect, session: String) -> Connector {
        Connector {
            config,
            tls,
            session,
            retry: Mutex::new(Retry { backoff: Backoff::new(CONNECT_PAUSE, CONNECT_PAUSE), from: None }),
            answered_at: Mutex::default(),
        }
    }

    /// Makes a connection and runs `setup` on it.
    pub(super) async fn connect(&self, setup: &str) -> Result<Connection> {
        let connected = timeout(CONNECT_TIME, async {
            let client = self.client().await?;
            let begin = format!("{}; {setup}; SELECT pg_backend_pid()", self.session);
            // The process is in the last row; the statements before it return rows, too.
            let backend = client.simple_query(&begin).await?.iter().rev().find_map(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
                _ => None,
            });
            let backend =
                backend.ok_or_else(|| StoreError::Internal(anyhow!("the server did not name its process")))?;
            let id = getrandom::u64().map_err(|error| StoreError::Internal(anyhow!("no randomness: {error}")))?;
            Ok(Connection { client, id, backend })
        });
        let connected = match connected.await {
            Ok(connected) => connected,
            Err(_) => Err(StoreError::Unavailable(anyhow!("no connection within {CONNECT_TIME:?}"))),
        };
        let mut retry = self.retry.lock().unwrap_or_else(PoisonError::into_inner);
        retry.from = connected.is_err().then(|| Instant::now() + retry.backoff.pause());
        connected
    }

    /// Makes a connection, without a time limit and before its session begins.
    pub(super) async fn client(&self) -> Result<ClientWrapper, Error> {
        let (client, connection) = self.config.connect(self.tls.clone()).await?;
        // The statement that the connection breaks under reports the error.
        Ok(ClientWrapper::new(client, tokio::spawn(async { drop(connection.await) })))
    }

    /// Whether an attempt may begin now. After a failure one attempt speaks for all: the others wait for its outcome.
    pub(super) fn may_connect(&self) -> bool {
        let mut retry = self.retry.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match retry.from {
            Some(from) if now < from => false,
            Some(_) => {
                retry.from = Some(now + retry.backoff.pause());
                true
            }
            None => true,
        }
    }

    pub(super) fn note_answer(&self) {
        *self.answered_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// When the server last answered a request.
    pub(super) fn last_answer(&self) -> Option<Instant> {
        *self.answered_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
