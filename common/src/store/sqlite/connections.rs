//! Connections to the database file. One writes, and each kind of read has its own, so that none waits for another kind.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool_sqlite::{
    Hook, HookError, InteractError, Manager, Object, Pool, PoolError, Runtime, TimeoutType, Timeouts,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::commits::Commits;
use super::error::OpenError;
use super::{audit, position, search};
use crate::store::author::author;
use crate::store::{PoolStatus, Result, StoreError};

/// The longest wait for a read connection.
const POOL_WAIT: Duration = Duration::from_millis(1200);

/// The longest wait for a lock of another process when a connection opens or reads.
pub(super) const LOCK_WAIT: Duration = Duration::from_millis(500);

/// The longest wait of a write, for the write connection and the write lock together.
/// The contract promises an answer within two seconds, of which some time remains for the write.
const WRITE_WAIT: Duration = Duration::from_millis(1700);

/// The time for which a request may wait and read in total.
const READ_TIME: Duration = Duration::from_millis(1800);

/// The number of steps of SQLite's virtual machine between two checks of the clock: some microseconds.
const STEPS: std::ffi::c_int = 1_000;

/// A kind of work that reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Reads of rows by their ids.
    Requests,
    /// Pages of lists, and counts of clicks.
    Lists,
    /// Tokens, readiness, journal positions and the feed of changes, which must never wait long.
    Control,
    /// Snapshots and the search for old rows, without a time limit.
    Background,
    /// Parts of exports, and clicks for those who follow them.
    Streams,
}

impl Lane {
    const ALL: [Lane; 5] = [Lane::Requests, Lane::Lists, Lane::Control, Lane::Background, Lane::Streams];

    fn name(self) -> &'static str {
        ["requests", "lists", "control", "background", "streams"][self as usize]
    }

    fn connections(self) -> usize {
        // Lists are read in parallel. More connections than cores would only queue elsewhere.
        if self == Lane::Lists { 4 } else { 2 }
    }
}

/// All connections of a store.
#[derive(Debug)]
pub(super) struct Connections {
    writer: Pool,
    readers: [Pool; Lane::ALL.len()],
    commits: Arc<Commits>,
    /// The time of the last answer of the database.
    answered_at: Mutex<Option<Instant>>,
}

/// A flag that is set when a call is dropped, so that its statement ends.
#[derive(Default)]
struct DropFlag(Arc<AtomicBool>);

impl Drop for DropFlag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Connections {
    pub(super) fn new(path: &Path) -> Result<Connections, OpenError> {
        let reader = |lane: Lane| pool(path, lane.connections(), "PRAGMA query_only = ON;");
        let [requests, lists, control, background, streams] = Lane::ALL.map(reader);
        Ok(Connections {
            // An acknowledged commit survives a power cut.
            writer: pool(path, 1, "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")?,
            readers: [requests?, lists?, control?, background?, streams?],
            commits: Arc::default(),
            answered_at: Mutex::default(),
        })
    }

    /// Returns the last commits of this process.
    pub(super) fn commits(&self) -> Arc<Commits> {
        Arc::clone(&self.commits)
    }

    fn readers(&self, lane: Lane) -> &Pool {
        &self.readers[lane as usize]
    }

    /// Runs `work` in a read transaction, which sees the database at one moment.
    /// Its statement ends early at the time limit, or when the caller drops the call.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        lane: Lane,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let began = Instant::now();
        let connection = self.reader(lane).await?;
        let drop_flag = DropFlag::default();
        let is_dropped = Arc::clone(&drop_flag.0);
        let done = interact(connection, move |connection| {
            let transaction = connection.transaction()?;
            let limit = if lane == Lane::Background { Duration::MAX } else { READ_TIME };
            let is_over = move || is_dropped.load(Ordering::Relaxed) || began.elapsed() >= limit;
            transaction.progress_handler(STEPS, Some(is_over))?;
            let done = work(&transaction);
            // The end of the transaction must not be interrupted.
            transaction.progress_handler(0, None::<fn() -> bool>)?;
            done
        })
        .await;
        self.note_answer(&done);
        done.map_err(as_took_too_long)
    }

    /// Returns a read connection without a time limit.
    pub(super) async fn reader(&self, lane: Lane) -> Result<Object> {
        self.readers(lane).get().await.map_err(refused)
    }

    /// Runs `work` in the write transaction, and commits it unless it fails.
    /// The transaction is not interrupted, even if the caller drops the call.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if other writers, in this process or another, occupy the database for too long.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let began = Instant::now();
        let commits = self.commits();
        let author = author();
        let written = interact(self.writer().await?, move |connection| {
            // A load of another process has the lock while it inserts a file.
            connection.busy_timeout(WRITE_WAIT.saturating_sub(began.elapsed()))?;
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let before = position::last_sequence(&transaction)?;
            let last_entry = author.is_some().then(|| audit::last_id(&transaction)).transpose()?;
            let value = work(&transaction)?;
            if let (Some(author), Some(last_entry)) = (author, last_entry) {
                audit::sign(&transaction, last_entry, &author)?;
            }
            let last = position::last_sequence(&transaction)?;
            if last > before {
                commits.note(before + 1..=last);
            }
            transaction.commit()?;
            Ok(value)
        });
        let written = written.await;
        self.note_answer(&written);
        written
    }

    async fn writer(&self) -> Result<Object> {
        let timeouts = Timeouts { wait: Some(WRITE_WAIT), ..self.writer.timeouts() };
        self.writer.timeout_get(&timeouts).await.map_err(refused)
    }

    fn note_answer<T>(&self, done: &Result<T>) {
        if !matches!(done, Err(StoreError::Unavailable(_) | StoreError::Busy(_))) {
            *self.answered_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
    }

    pub(super) fn last_answer(&self) -> Option<Instant> {
        *self.answered_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn status(&self) -> Vec<PoolStatus> {
        let status = |pool, status: deadpool_sqlite::Status| PoolStatus {
            pool,
            size: status.size,
            available: status.available,
            waiting: status.waiting,
            max: status.max_size,
        };
        let readers = Lane::ALL.map(|lane| status(lane.name(), self.readers(lane).status()));
        [status("writer", self.writer.status())].into_iter().chain(readers).collect()
    }
}

/// Runs `work` on the write connection within the time of a request, although the transaction itself has no time limit.
pub(super) fn in_read_time<T>(db: &Connection, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let began = Instant::now();
    db.progress_handler(STEPS, Some(move || began.elapsed() >= READ_TIME))?;
    let done = work();
    db.progress_handler(0, None::<fn() -> bool>)?;
    done.map_err(as_took_too_long)
}

/// Translates the interruption of a read into the error for its client.
fn as_took_too_long(error: StoreError) -> StoreError {
    match error {
        StoreError::Unavailable(cause) if is_interrupted(&cause) => StoreError::TookTooLong(cause),
        other => other,
    }
}

fn is_interrupted(cause: &anyhow::Error) -> bool {
    let failure = cause.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code);
    failure == Some(rusqlite::ErrorCode::OperationInterrupted)
}

/// Translates an error of a pool.
fn refused(error: PoolError) -> StoreError {
    match error {
        PoolError::Timeout(TimeoutType::Wait) => StoreError::Busy(error.into()),
        error => StoreError::Unavailable(error.into()),
    }
}

pub(super) async fn interact<T: Send + 'static, E: From<StoreError> + Send + 'static>(
    connection: Object,
    work: impl FnOnce(&mut Connection) -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    connection.interact(work).await.unwrap_or_else(|error: InteractError| {
        Err(StoreError::Internal(anyhow::anyhow!("work on the database failed: {error}")).into())
    })
}

/// Returns a URI that opens an existing file.
///
/// If the file was deleted, opening must fail: an empty database in its place would hide the loss.
pub(super) fn existing(path: &Path) -> String {
    const UNESCAPED: AsciiSet = NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');
    format!("file:{}?mode=rw", percent_encode(path.as_os_str().as_bytes(), &UNESCAPED))
}

fn pool(path: &Path, size: usize, pragmas: &'static str) -> Result<Pool, OpenError> {
    let manager = Manager::from_config(&deadpool_sqlite::Config::new(existing(path)), Runtime::Tokio1);
    let setup = Hook::async_fn(move |connection, _| {
        Box::pin(async move {
            connection
                .interact(move |connection| {
                    connection.busy_timeout(LOCK_WAIT)?;
                    connection.set_prepared_statement_cache_capacity(64);
                    search::register(connection)?;
                    connection.execute_batch(pragmas)
                })
                .await
                .map_err(|error| HookError::message(error.to_string()))?
                .map_err(HookError::Backend)
        })
    });
    Pool::builder(manager)
        .max_size(size)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(POOL_WAIT))
        .post_create(setup)
        .build()
        .map_err(OpenError::other)
}

#[cfg(test)]
#[path = "connections_tests.rs"]
mod tests;
