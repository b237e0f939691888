//! Connecting to the server, and the pause after an attempt that failed.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use deadpool_postgres::ClientWrapper;
use tokio::time::timeout;

use super::hosts::{Hosts, Session};
use crate::backoff::Backoff;
use crate::store::{Result, StoreError};

/// The time for a whole connection. TCP, TLS, password and settings need up to eight round trips of at most 280 ms.
pub(super) const CONNECT_TIME: Duration = Duration::from_secs(4);

/// The pause after an attempt that failed. A server that restarts gets one attempt a second from each process.
const CONNECT_PAUSE: Duration = Duration::from_secs(1);

/// A connection to the server, with its identity.
pub(super) struct Connection {
    pub(super) client: ClientWrapper,
    /// A random number that identifies the connection.
    pub(super) id: u64,
    /// The id of the server process that serves the connection.
    pub(super) backend: i32,
}

/// The maker of the connections of all pools of a store.
pub(super) struct Connector {
    hosts: Hosts,
    /// The statement that begins each session.
    session: String,
    retry: Mutex<Retry>,
    /// The time of the server's last answer, on any connection.
    answered_at: Mutex<Option<Instant>>,
}

/// The state of attempts to connect.
struct Retry {
    backoff: Backoff,
    /// The time from which the next attempt may begin. `None` while attempts succeed.
    from: Option<Instant>,
}

impl fmt::Debug for Connector {
    /// Leaves out the settings, which contain the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

impl Connector {
    pub(super) fn new(hosts: Hosts, session: String) -> Connector {
        Connector {
            hosts,
            session,
            retry: Mutex::new(Retry { backoff: Backoff::new(CONNECT_PAUSE, CONNECT_PAUSE), from: None }),
            answered_at: Mutex::default(),
        }
    }

    /// Makes a connection and runs `setup` on it.
    pub(super) async fn connect(&self, setup: &str) -> Result<Connection> {
        let connected = timeout(CONNECT_TIME, async {
            let Session { client, backend } = self.begin(setup).await?;
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

    /// Begins a session on the primary and runs `setup` in it, without a time limit.
    pub(super) async fn begin(&self, setup: &str) -> Result<Session> {
        self.hosts.connect(&format!("{}; {setup}", self.session)).await
    }

    /// Returns whether an attempt may begin now. After a failure one attempt begins, and all others wait for its result.
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

    /// Returns when the server last answered a request.
    pub(super) fn last_answer(&self) -> Option<Instant> {
        *self.answered_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
