//! Connections for each kind of work, and time limits that do not depend on the server.
//!
//! Each kind of work has its own pool, so that none waits for another kind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use deadpool_postgres::ClientWrapper;
use tokio::sync::{OnceCell, Semaphore};
use tokio_postgres::error::{Severity, SqlState};

use super::connector::{CONNECT_TIME, Connector};
use super::open::{OpenError, PostgresConfig};
use super::pool::{Lease, Pool};
use super::pooler;
use crate::store::{PoolStatus, Result, StoreError};

/// The number of connections for tokens, readiness, journal positions and cancellations, which must never wait long.
const CONTROL: usize = 2;

/// The number of connections for work that may take long: clicks, snapshots, upkeep, retention.
const BACKGROUND: usize = 4;

/// The number of connections for exports and for clicks as they are stored. Callers take turns, so each waits little.
const STREAMS: usize = 2;

/// The number of connections that take clicks of limited links, for which visitors wait. A redirector takes one at a time.
const TAKES: usize = 2;

/// The time for which a request waits for a connection.
const POOL_WAIT: Duration = Duration::from_millis(1400);

/// The time for a batch of clicks: many times as long as the largest one takes. Only its shipper waits for it.
const SHIPPING_TIME: Duration = Duration::from_secs(10);

/// The time after which the server cancels a statement of a load, a snapshot or the upkeep.
const LONG_STATEMENT_TIME: Duration = Duration::from_secs(60 * 60);

/// The time for a change of many links, many times as long as 10,000 of them take.
const MANY_TIME: Duration = Duration::from_secs(30);

/// The time for the check of sessions at a start: two connections side by side, and a few round trips.
const SESSIONS_TIME: Duration = Duration::from_secs(6);

/// The settings for deltas. Their plan must not depend on the planner's statistics of a log that grows and shrinks.
const FEED_SETUP: &str = "SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan";

/// The pools of a store. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    connector: Arc<Connector>,
    /// Connections for rows by their ids, and for all writes of requests.
    requests: Pool,
    /// Connections for pages of lists and counts of clicks.
    lists: Pool,
    control: Pool,
    /// One connection, since deltas are read one after another.
    feed: Pool,
    background: Pool,
    /// Allows one change of many links at a time, which leaves the other background connections to clicks and upkeep.
    many: Arc<Semaphore>,
    streams: Pool,
    takes: Pool,
    request_timeout: Duration,
    /// Filled once each connection was found to have its own session.
    sessions: Arc<OnceCell<()>>,
}

impl Connections {
    pub(super) fn new(config: &PostgresConfig) -> Result<Connections, OpenError> {
        let connector = Arc::new(config.connector(config.statement_timeout)?);
        let control = Pool::new("control", CONTROL, POOL_WAIT, "", &connector, None);
        let pool = |name, max, setup| Pool::new(name, max, POOL_WAIT, setup, &connector, Some(&control));
        let lists = (config.pool_size / 2).max(1);
        Ok(Connections {
            requests: pool("requests", config.pool_size.saturating_sub(lists).max(1), ""),
            lists: pool("lists", lists, ""),
            feed: pool("feed", 1, FEED_SETUP),
            background: pool("background", BACKGROUND, ""),
            many: Arc::new(Semaphore::new(1)),
            streams: pool("streams", STREAMS, ""),
            takes: pool("takes", TAKES, ""),
            control,
            connector,
            request_timeout: config.request_timeout,
            sessions: Arc::default(),
        })
    }

    fn pools(&self) -> [&Pool; 7] {
        [&self.requests, &self.lists, &self.control, &self.feed, &self.background, &self.streams, &self.takes]
    }

    pub(super) fn status(&self) -> Vec<PoolStatus> {
        self.pools().map(Pool::status).into()
    }

    /// Returns when the server last answered a request, on any connection.
    pub(super) fn last_answer(&self) -> Option<Instant> {
        self.connector.last_answer()
    }

    /// Checks, the first time, that each connection has its own session, which a pooler may prevent.
    pub(super) async fn check_sessions(&self) -> Result<(), OpenError> {
        let check = async || {
            let lease = async || self.control.lease_within(CONNECT_TIME).await;
            let checked = within(SESSIONS_TIME, async {
                let (one, other) = tokio::try_join!(lease(), lease())?;
                pooler::is_shared(one, other).await
            });
            match checked.await {
                Ok(false) => Ok(()),
                Ok(true) => Err(OpenError::Pooler),
                Err(error) => Err(pooler::explain(error)),
            }
        };
        self.sessions.get_or_try_init(check).await?;
        Ok(())
    }

    /// Begins to make the connections that the first requests of an admin need, so that none waits for them.
    pub(super) fn warm(&self) {
        self.requests.warm();
        self.lists.warm();
    }

    /// Begins to make a connection for a snapshot.
    pub(super) fn warm_background(&self) {
        self.background.warm();
    }

    /// Does `work` for a request, within the request timeout.
    pub(super) async fn request<T>(&self, work: impl AsyncFnOnce(&mut ClientWrapper) -> Result<T>) -> Result<T> {
        self.work_on(&self.requests, work).await
    }

    /// Finds a page of a list. A statement timeout is [`StoreError::TookTooLong`] instead of unavailable.
    pub(super) async fn list<T>(&self, work: impl AsyncFnOnce(&mut ClientWrapper) -> Result<T>) -> Result<T> {
        self.work_on(&self.lists, work).await.map_err(took_too_long)
    }

    /// Reads a part of a long answer. A statement timeout is [`StoreError::TookTooLong`] instead of unavailable.
    pub(super) async fn stream<T>(&self, work: impl AsyncFnOnce(&mut ClientWrapper) -> Result<T>) -> Result<T> {
        self.work_on(&self.streams, work).await.map_err(took_too_long)
    }

    /// Does `work` that must not wait for requests.
    pub(super) async fn control<T>(&self, work: impl AsyncFnOnce(&mut ClientWrapper) -> Result<T>) -> Result<T> {
        self.work_on(&self.control, work).await
    }

    /// Takes clicks of limited links, for which visitors wait, or returns them.
    pub(super) async fn takes<T>(&self, work: impl AsyncFnOnce(&mut ClientWrapper) -> Result<T>) -> Result<T> {
        self.work_on(&self.takes, work).await
    }

    /// Does short `work` for which no request waits.
    pub(super) async fn background<T>(&self, work: impl AsyncFnOnce(&mut ClientWrapper) -> Result<T>) -> Result<T> {
        self.work_on(&self.background, work).await
    }

    /// Does `work` on the connection of the feed, and passes it the connection's number.
    pub(super) async fn feed<T>(&self, work: impl AsyncFnOnce(&mut ClientWrapper, u64) -> Result<T>) -> Result<T> {
        let lease = async || self.feed.lease().await;
        self.in_time(&self.feed, async {
            let lease = lease().await?;
            let id = lease.id().ok_or_else(|| StoreError::Internal(anyhow!("the connection is already released")))?;
            self.finish(lease, async |db| work(db, id).await).await
        })
        .await
    }

    async fn work_on<T>(&self, pool: &Pool, work: impl AsyncFnOnce(&mut ClientWrapper) -> Result<T>) -> Result<T> {
        self.in_time(pool, async { self.finish(pool.lease().await?, work).await }).await
    }

    /// Does `work`, and releases the connection if the next request can use it.
    async fn finish<T>(&self, mut lease: Lease, work: impl AsyncFnOnce(&mut ClientWrapper) -> Result<T>) -> Result<T> {
        let done = work(lease.client()?).await;
        if has_answered(&done) {
            self.connector.note_answer();
        }
        if is_usable_after(&done) {
            lease.release();
        } else {
            lease.close();
        }
        done
    }

    /// Ends `work` at the request timeout. The pool rescues its connection.
    async fn in_time<T>(&self, pool: &Pool, work: impl Future<Output = Result<T>>) -> Result<T> {
        let began = Instant::now();
        match tokio::time::timeout(self.request_timeout, work).await {
            Ok(done) => done,
            Err(_) => {
                // If the server answered no request meanwhile, idle connections are likely broken too.
                if self.last_answer().is_none_or(|answered| answered < began) {
                    pool.close_idle();
                }
                Err(StoreError::Unavailable(anyhow!("no answer within {:?}", self.request_timeout)))
            }
        }
    }

    /// Ends `work` that may take long, a second after the server should have cancelled its statement.
    pub(super) async fn limit_long<T, E: From<StoreError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        within(LONG_STATEMENT_TIME + Duration::from_secs(1), work).await
    }

    /// Does `work` for a request in its own transaction, within the request timeout.
    pub(super) async fn request_in_transaction<T>(
        &self,
        work: impl AsyncFnOnce(&ClientWrapper) -> Result<T>,
    ) -> Result<T> {
        self.in_time(&self.requests, async {
            let mut lease = self.requests.lease().await?;
            lease.begin("BEGIN").await?;
            let done = work(lease.client()?).await;
            if has_answered(&done) {
                self.connector.note_answer();
            }
            let done = done?;
            lease.commit().await?;
            Ok(done)
        })
        .await
    }

    /// Does `work` on many links in its own transaction, after the one before it.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if the one before it takes longer than a request may wait.
    pub(super) async fn many<T>(&self, work: impl AsyncFnOnce(&ClientWrapper) -> Result<T>) -> Result<T> {
        let turn = tokio::time::timeout(POOL_WAIT, self.many.acquire()).await;
        let _turn = turn.map_err(|_| StoreError::Busy(anyhow!("another change of many links takes its time")))?;
        within(MANY_TIME, self.transaction(MANY_TIME, work)).await
    }

    /// Does `work` within the time for a batch of clicks, which is also the limit of its statements.
    ///
    /// `work` begins a transaction itself, and ends it unless it fails.
    pub(super) async fn ship<T>(&self, work: impl AsyncFnOnce(&ClientWrapper, Duration) -> Result<T>) -> Result<T> {
        within(SHIPPING_TIME, async {
            let mut lease = self.in_time(&self.background, self.background.lease()).await?;
            let done = work(lease.client_for_transaction()?, SHIPPING_TIME).await?;
            self.connector.note_answer();
            lease.release();
            Ok(done)
        })
        .await
    }

    /// Does `work` in its own transaction, whose statements may take long.
    pub(super) async fn upkeep<T>(&self, work: impl AsyncFnOnce(&ClientWrapper) -> Result<T>) -> Result<T> {
        self.limit_long(self.transaction(LONG_STATEMENT_TIME, work)).await
    }

    /// Does `work` of the upkeep, which begins its own transactions.
    pub(super) async fn maintain<T>(&self, work: impl AsyncFnOnce(&mut ClientWrapper) -> Result<T>) -> Result<T> {
        let lease = self.in_time(&self.background, self.background.lease()).await?;
        self.limit_long(self.finish(lease, work)).await
    }

    /// Takes a connection within the request timeout, and commits `work` unless it fails.
    async fn transaction<T>(
        &self,
        statement_time: Duration,
        work: impl AsyncFnOnce(&ClientWrapper) -> Result<T>,
    ) -> Result<T> {
        let begin = format!("BEGIN; SET LOCAL statement_timeout = {}", statement_time.as_millis());
        let mut lease = self.begin(&begin, async |_| Ok(())).await?.1;
        let done = work(lease.client()?).await?;
        lease.commit().await?;
        Ok(done)
    }

    /// Begins a transaction that sees the database at one moment, and whose statements may take long.
    /// Returns the result of `look`, which runs first in it.
    pub(super) async fn begin_snapshot<T>(
        &self,
        look: impl AsyncFnOnce(&ClientWrapper) -> Result<T>,
    ) -> Result<(T, Lease)> {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout =";
        self.begin(&format!("{begin} {}", LONG_STATEMENT_TIME.as_millis()), look).await
    }

    /// Makes a connection outside the pools, whose statements may take long.
    pub(super) async fn connect_for_long(&self) -> Result<ClientWrapper> {
        let setup = format!("SET statement_timeout = {}", LONG_STATEMENT_TIME.as_millis());
        Ok(self.connector.connect(&setup).await?.client)
    }

    /// Takes a connection and begins a transaction within the request timeout.
    /// The transaction is rolled back unless it is committed.
    async fn begin<T>(
        &self,
        statements: &str,
        look: impl AsyncFnOnce(&ClientWrapper) -> Result<T>,
    ) -> Result<(T, Lease)> {
        self.in_time(&self.background, async {
            let mut lease = self.background.lease().await?;
            lease.begin(statements).await?;
            self.connector.note_answer();
            let seen = look(lease.client()?).await?;
            Ok((seen, lease))
        })
        .await
    }
}

/// Returns whether the server answered, even with a refusal.
fn has_answered<T>(done: &Result<T>) -> bool {
    match done {
        Err(StoreError::Unavailable(cause)) => sql_state(cause).is_some(),
        _ => true,
    }
}

/// Returns whether the next request can use the connection: the server ended at most a statement, not the session.
fn is_usable_after<T>(done: &Result<T>) -> bool {
    let Err(StoreError::Unavailable(cause)) = done else { return true };
    let refused = cause.downcast_ref::<tokio_postgres::Error>().and_then(tokio_postgres::Error::as_db_error);
    refused.is_some_and(|refused| {
        // A migration changed a table of a cached statement. A new connection prepares the statement anew.
        refused.parsed_severity() == Some(Severity::Error) && *refused.code() != SqlState::FEATURE_NOT_SUPPORTED
    })
}

fn took_too_long(error: StoreError) -> StoreError {
    match error {
        StoreError::Unavailable(cause) if sql_state(&cause) == Some(&SqlState::QUERY_CANCELED) => {
            StoreError::TookTooLong(cause)
        }
        other => other,
    }
}

fn sql_state(cause: &anyhow::Error) -> Option<&SqlState> {
    cause.downcast_ref::<tokio_postgres::Error>().and_then(tokio_postgres::Error::code)
}

async fn within<T, E: From<StoreError>>(limit: Duration, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let silent = |_| StoreError::Unavailable(anyhow!("no answer within {limit:?}"));
    tokio::time::timeout(limit, work).await.map_err(silent)?
}
