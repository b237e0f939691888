//! Handing out connections, and answering in time whatever the server does.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use deadpool_postgres::{ClientWrapper, Object, Pool, PoolError, Runtime};

use super::open::{OpenError, PostgresConfig};
use crate::store::{PoolStatus, Result, StoreError};

/// How long nobody tries to connect after one who could not: a server that comes back meets one try a second of each
/// process, and not all that wait for it.
const CONNECT_PAUSE: Duration = Duration::from_secs(1);

/// The pool, and how long to wait for it. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    pool: Pool,
    /// Makes the connections that are not of the pool, and keeps none.
    beside: Pool,
    request_timeout: Duration,
    shipping_timeout: Duration,
    long_statement_timeout: Duration,
    /// When connecting last failed: written by whoever failed, read by whoever would try next.
    failed_at: Arc<Mutex<Option<Instant>>>,
}

/// A connection of the pool, thrown away unless whoever had it says that it is done with it:
/// when a request is given up half-way, what its connection would answer next belongs to nobody.
pub(super) struct Lease(Option<Object>);

impl Lease {
    pub(super) fn client(&mut self) -> Result<&mut ClientWrapper> {
        self.0.as_deref_mut().ok_or_else(|| StoreError::Internal(anyhow!("the connection was given back")))
    }

    /// Commits the transaction that was begun on it, and gives the connection back.
    pub(super) async fn commit(mut self) -> Result<()> {
        self.client()?.batch_execute("COMMIT").await?;
        self.done();
        Ok(())
    }

    /// Gives the connection back to the pool.
    pub(super) fn done(mut self) {
        self.0.take();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // The connection closes, and the pool has room for another.
        self.0.take().map(Object::take);
    }
}

impl Connections {
    pub(super) fn new(config: &PostgresConfig) -> Result<Connections, OpenError> {
        let pool = |size| -> Result<Pool, OpenError> {
            Pool::builder(config.manager()?)
                .max_size(size)
                .runtime(Runtime::Tokio1)
                .wait_timeout(Some(config.pool_wait))
                .create_timeout(Some(config.connect_timeout))
                .build()
                .map_err(|error| OpenError::Unavailable(error.into()))
        };
        Ok(Connections {
            pool: pool(config.pool_size)?,
            beside: pool(1)?,
            request_timeout: config.request_timeout,
            shipping_timeout: config.shipping_timeout,
            long_statement_timeout: config.long_statement_timeout,
            failed_at: Arc::default(),
        })
    }

    pub(super) fn status(&self) -> PoolStatus {
        let status = self.pool.status();
        PoolStatus {
            pool: "connections",
            size: status.size,
            available: status.available,
            waiting: status.waiting,
            max: status.max_size,
        }
    }

    /// Does `work` on a connection, and answers in time.
    pub(super) async fn request<T>(&self, work: impl AsyncFnOnce(&mut ClientWrapper) -> Result<T>) -> Result<T> {
        self.in_time(async {
            let mut lease = self.lease().await?;
            let done = work(lease.client()?).await;
            // Whatever the database refused, the connection is good for the next; not so if it is at fault itself.
            if !matches!(done, Err(StoreError::Unavailable(_))) {
                lease.done();
            }
            done
        })
        .await
    }

    /// Gives up on `work` after the time that a request has.
    pub(super) async fn in_time<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        match tokio::time::timeout(self.request_timeout, work).await {
            Ok(done) => done,
            Err(_) => {
                // What is silent on one connection is so on all: the next request begins with a new one.
                self.pool.retain(|_, _| false);
                Err(StoreError::Unavailable(anyhow!("no answer within {:?}", self.request_timeout)))
            }
        }
    }

    /// Gives up on `work` some time after the server should itself have given up: for what may take long.
    pub(super) async fn patiently<T, E: From<StoreError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        within(self.long_statement_timeout + Duration::from_secs(1), work).await
    }

    /// Does `work` in a transaction of its own, and gives up on it after the time that a batch of clicks has.
    pub(super) async fn ship<T>(&self, work: impl AsyncFnOnce(&ClientWrapper) -> Result<T>) -> Result<T> {
        let mut lease = self.begin(self.shipping_timeout).await?;
        let shipping = async {
            let shipped = work(lease.client()?).await?;
            lease.commit().await?;
            Ok(shipped)
        };
        within(self.shipping_timeout, shipping).await
    }

    /// Takes a connection from the pool.
    pub(super) async fn lease(&self) -> Result<Lease> {
        let is_empty = self.pool.status().size == 0;
        if is_empty {
            self.check_pause()?;
        }
        match self.pool.get().await {
            Ok(object) => {
                if is_empty {
                    self.note_success();
                }
                Ok(Lease(Some(object)))
            }
            Err(error) => {
                if !matches!(error, PoolError::Timeout(deadpool_postgres::TimeoutType::Wait)) {
                    self.note_failure();
                }
                Err(StoreError::Unavailable(error.into()))
            }
        }
    }

    /// Takes a connection and begins a transaction whose statements may take long, in the time that a request has.
    /// Unless it is committed, it ends with the connection.
    pub(super) async fn begin_long(&self) -> Result<Lease> {
        self.begin(self.long_statement_timeout).await
    }

    async fn begin(&self, statement_timeout: Duration) -> Result<Lease> {
        self.in_time(async {
            let mut lease = self.lease().await?;
            lease.client()?.batch_execute(&format!("BEGIN; {}", take_at_most(statement_timeout))).await?;
            Ok(lease)
        })
        .await
    }

    /// The statement that lets those after it in a transaction take long.
    pub(super) fn take_longer(&self) -> String {
        take_at_most(self.long_statement_timeout)
    }

    /// Makes a connection beside the pool.
    pub(super) async fn connect(&self) -> Result<ClientWrapper> {
        self.check_pause()?;
        let connected = self.beside.get().await.map_err(|error| {
            self.note_failure();
            StoreError::Unavailable(error.into())
        })?;
        self.note_success();
        Ok(Object::take(connected))
    }

    /// A server that is away is asked now and then, and not by every request.
    fn check_pause(&self) -> Result<()> {
        let mut failed_at = self.failed_at.lock().unwrap_or_else(PoisonError::into_inner);
        match *failed_at {
            Some(at) if at.elapsed() < CONNECT_PAUSE => {
                Err(StoreError::Unavailable(anyhow!("connecting failed {:?} ago", at.elapsed())))
            }
            Some(_) => {
                // One tries for all, and nobody else before it is known what came of it.
                *failed_at = Some(Instant::now());
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn note_success(&self) {
        *self.failed_at.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn note_failure(&self) {
        *self.failed_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

fn take_at_most(statement_timeout: Duration) -> String {
    format!("SET LOCAL statement_timeout = {}", statement_timeout.as_millis())
}

async fn within<T, E: From<StoreError>>(limit: Duration, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let silent = |_| StoreError::Unavailable(anyhow!("no answer within {limit:?}"));
    tokio::time::timeout(limit, work).await.map_err(silent)?
}
