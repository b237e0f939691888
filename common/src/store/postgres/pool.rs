//! A pool of connections that abandoned requests do not drain.
//!
//! Separate tasks make connections, and rescue the connection of a request that was abandoned half-way.
//! The end of a request interrupts neither.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::anyhow;
use deadpool_postgres::ClientWrapper;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;

use super::connector::{Connection, Connector};
use crate::store::{PoolStatus, Result, StoreError};

/// The number of connections that one pool makes at a time.
const CONNECTING: usize = 2;

/// The time for the statement of an abandoned request before it is cancelled. Most statements end within it.
const GRACE: Duration = Duration::from_millis(25);

/// The time for a connection to answer after its request was abandoned. Then it is closed.
const RESCUE_TIME: Duration = Duration::from_secs(2);

/// A pool of connections. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Pool(Arc<Shared>);

struct Shared {
    name: &'static str,
    max: usize,
    /// The time for which a request waits for a connection.
    wait: Duration,
    /// The statements to run on each new connection.
    setup: &'static str,
    connector: Arc<Connector>,
    /// The pool whose connections cancel the statements of this one. `None` lets them run to their end.
    control: Option<Pool>,
    state: Mutex<State>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("name", &self.name).field("max", &self.max).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct State {
    /// Idle connections. The one that was used last is used next.
    idle: Vec<Connection>,
    /// The number of open connections: idle, in use, or being rescued.
    open: usize,
    /// The number of connections that are being made.
    connecting: usize,
    /// Waiting requests, the oldest first. Empty while a connection is idle.
    waiting: VecDeque<oneshot::Sender<Result<Lease>>>,
}

impl Pool {
    pub(super) fn new(
        name: &'static str,
        max: usize,
        wait: Duration,
        setup: &'static str,
        connector: &Arc<Connector>,
        control: Option<&Pool>,
    ) -> Pool {
        let (connector, control) = (Arc::clone(connector), control.cloned());
        Pool(Arc::new(Shared { name, max, wait, setup, connector, control, state: Mutex::default() }))
    }

    pub(super) fn status(&self) -> PoolStatus {
        let state = self.0.lock();
        PoolStatus {
            pool: self.0.name,
            size: state.open,
            available: state.idle.len(),
            waiting: state.waiting.iter().filter(|waiter| !waiter.is_closed()).count(),
            max: self.0.max,
        }
    }

    /// Takes an idle connection, or waits for the first one that is released or made.
    pub(super) async fn lease(&self) -> Result<Lease> {
        self.lease_within(self.0.wait).await
    }

    /// Begins to make a connection if there is none, without a request that waits for it.
    pub(super) fn warm(&self) {
        let mut state = self.0.lock();
        if state.open + state.connecting == 0 && self.0.connector.may_connect() {
            state.connecting += 1;
            tokio::spawn(Arc::clone(&self.0).connect());
        }
    }

    /// Takes a connection as [`Pool::lease`] does, but waits for up to `wait`.
    pub(super) async fn lease_within(&self, wait: Duration) -> Result<Lease> {
        let handed = {
            let mut state = self.0.lock();
            while let Some(connection) = state.idle.pop() {
                if !connection.client.is_closed() {
                    return Ok(Lease::new(connection, Arc::clone(&self.0)));
                }
                state.open -= 1;
            }
            let (sender, handed) = oneshot::channel();
            state.waiting.push_back(sender);
            self.0.provide(&mut state);
            handed
        };
        match timeout(wait, handed).await {
            Ok(Ok(lease)) => lease,
            _ => Err(StoreError::Unavailable(anyhow!("no connection was free within {wait:?}"))),
        }
    }

    /// Asks the server to cancel the statement of one of its processes.
    async fn cancel(&self, backend: i32) -> Result<()> {
        let mut lease = self.lease().await?;
        lease.client()?.batch_execute(&format!("SELECT pg_cancel_backend({backend})")).await?;
        lease.release();
        Ok(())
    }

    /// Closes the idle connections.
    pub(super) fn close_idle(&self) {
        let closed = {
            let mut state = self.0.lock();
            state.open -= state.idle.len();
            std::mem::take(&mut state.idle)
        };
        drop(closed);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code under the lock can panic and leave the state inconsistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts connections for the waiting requests, or refuses them if no connection exists and none may be started.
    fn provide(self: &Arc<Self>, state: &mut State) {
        state.waiting.retain(|waiter| !waiter.is_closed());
        while state.connecting < CONNECTING.min(state.waiting.len())
            && state.open + state.connecting < self.max
            && self.connector.may_connect()
        {
            state.connecting += 1;
            tokio::spawn(Arc::clone(self).connect());
        }
        if state.open + state.connecting == 0 {
            self.refuse(state, "connecting failed a moment ago");
        }
    }

    fn refuse(&self, state: &mut State, reason: &str) {
        for waiter in state.waiting.drain(..) {
            // The request may have been abandoned meanwhile.
            let _ = waiter.send(Err(StoreError::Unavailable(anyhow!("{reason}"))));
        }
    }

    async fn connect(self: Arc<Self>) {
        let connected = self.connector.connect(self.setup).await;
        let connection = {
            let mut state = self.lock();
            state.connecting -= 1;
            match connected {
                Ok(connection) => {
                    state.open += 1;
                    connection
                }
                Err(error) => {
                    // While connections exist, requests wait for those.
                    if state.open == 0 {
                        self.refuse(&mut state, &format!("{error:#}"));
                    }
                    return;
                }
            }
        };
        self.release(connection);
        self.provide(&mut self.lock());
    }

    /// Gives a connection to the oldest waiting request, or adds it to the idle ones.
    fn release(self: &Arc<Self>, mut connection: Connection) {
        loop {
            let waiter = {
                let mut state = self.lock();
                match state.waiting.pop_front() {
                    Some(waiter) => waiter,
                    None => return state.idle.push(connection),
                }
            };
            match waiter.send(Ok(Lease::new(connection, Arc::clone(self)))) {
                Ok(()) | Err(Err(_)) => return,
                Err(Ok(mut refused)) => match refused.connection.take() {
                    Some(taken) => connection = taken,
                    None => return,
                },
            }
        }
    }

    fn close(self: &Arc<Self>, connection: Connection) {
        drop(connection);
        let mut state = self.lock();
        state.open -= 1;
        self.provide(&mut state);
    }

    /// Waits until the abandoned statement of a connection has ended, and releases the connection.
    async fn rescue(self: Arc<Self>, connection: Connection, is_in_transaction: bool) {
        // The server answers this statement after all earlier ones.
        let last = if is_in_transaction { "ROLLBACK" } else { "" };
        match timeout(RESCUE_TIME, self.end(&connection, last)).await {
            Ok(Ok(())) => self.release(connection),
            _ => self.close(connection),
        }
    }

    async fn end(&self, connection: &Connection, last: &str) -> Result<()> {
        let mut ended = std::pin::pin!(connection.client.batch_execute(last));
        if let Ok(ended) = timeout(GRACE, &mut ended).await {
            return Ok(ended?);
        }
        // The answer confirms that the signal was sent. The protocol's own request to cancel has no answer, and a late one
        // would end the next statement of the connection.
        if let Some(control) = &self.control {
            control.cancel(connection.backend).await?;
        }
        match ended.await {
            Err(error) if error.code() == Some(&SqlState::QUERY_CANCELED) => {
                Ok(connection.client.batch_execute(last).await?)
            }
            ended => Ok(ended?),
        }
    }
}

/// A connection in use.
///
/// If it is dropped before [`Lease::release`], it is rescued, since an abandoned statement may still run on it.
#[derive(Debug)]
pub(super) struct Lease {
    connection: Option<Connection>,
    pool: Arc<Shared>,
    is_used: bool,
    is_in_transaction: bool,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Lease {
    fn new(connection: Connection, pool: Arc<Shared>) -> Lease {
        Lease { connection: Some(connection), pool, is_used: false, is_in_transaction: false }
    }

    pub(super) fn client(&mut self) -> Result<&mut ClientWrapper> {
        self.is_used = true;
        let connection = self.connection.as_mut();
        connection
            .map(|connection| &mut connection.client)
            .ok_or_else(|| StoreError::Internal(anyhow!("the connection is already released")))
    }

    /// Returns the random number of the connection.
    pub(super) fn id(&self) -> Option<u64> {
        self.connection.as_ref().map(|connection| connection.id)
    }

    /// Returns the process of the server that served the connection when it began.
    pub(super) fn backend(&self) -> Option<i32> {
        self.connection.as_ref().map(|connection| connection.backend)
    }

    /// Returns the connection to a caller that begins a transaction by itself. It is rolled back unless it has ended when the
    /// connection is released.
    pub(super) fn client_for_transaction(&mut self) -> Result<&mut ClientWrapper> {
        self.is_in_transaction = true;
        self.client()
    }

    /// Runs the statements that begin a transaction. It is rolled back unless it is committed.
    pub(super) async fn begin(&mut self, statements: &str) -> Result<()> {
        self.is_in_transaction = true;
        Ok(self.client()?.batch_execute(statements).await?)
    }

    /// Commits the transaction, and releases the connection.
    pub(super) async fn commit(mut self) -> Result<()> {
        self.client()?.batch_execute("COMMIT").await?;
        self.release();
        Ok(())
    }

    /// Releases the connection to the pool.
    pub(super) fn release(mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.release(connection);
        }
    }

    /// Closes the connection.
    pub(super) fn close(mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.close(connection);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let pool = Arc::clone(&self.pool);
        match Handle::try_current() {
            _ if !self.is_used && !connection.client.is_closed() => pool.release(connection),
            Ok(runtime) if !connection.client.is_closed() => {
                runtime.spawn(pool.rescue(connection, self.is_in_transaction));
            }
            _ => pool.close(connection),
        }
    }
}
