//! The embedded store: one SQLite file in WAL mode, one writer, many readers.
//!
//! Each file here is one resource and its SQL; this one opens the database and hands out connections.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use deadpool_sqlite::{Hook, HookError, InteractError, Manager, Object, Pool, Runtime};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rusqlite::{Connection, Transaction, TransactionBehavior};

mod changes;
mod clicks;
mod columns;
mod commits;
mod error;
mod events;
mod listing;
mod loading;
mod open;
mod products;
mod schema;
mod stats;
mod tokens;
mod urls;
mod users;

pub use open::OpenError;

use self::commits::Commits;
use super::referrer_budget::ReferrerBudget;
use super::{
    Changed, Cursor, Delta, Imported, Listing, Load, LoadError, Loaded, Page, PoolStatus, Result, Snapshot, Store,
    StoreError,
};
use crate::event::{Event, EventFilter, NewEvent};
use crate::product::Product;
use crate::token::{NewToken, Token, TokenName};
use crate::url::{NewUrl, Url, UrlChange, UrlFilter};
use crate::user::{NewUser, User, UserChange, UserRow};
use crate::{ClickBatch, ClickStats, Id, JournalId, JournalState, Shipped, StatsRange, Timestamp};

/// Readers run beside the writer and each other; more than cores would only queue elsewhere.
const READERS: usize = 4;

/// How long to wait for a connection, and then for another process's write lock.
/// Together they stay under the two seconds within which the contract wants an answer.
const POOL_WAIT: Duration = Duration::from_millis(1200);
const LOCK_WAIT: Duration = Duration::from_millis(500);

/// A SQLite database.
#[derive(Debug)]
pub struct SqliteStore {
    writer: Pool,
    readers: Pool,
    commits: Arc<Commits>,
    referrers: Arc<ReferrerBudget>,
}

impl SqliteStore {
    /// Opens the database at `path`, making it and its directory if there is none, and migrates it.
    ///
    /// A file that is not Tern's is refused and left as it is.
    pub async fn open(path: &Path) -> Result<SqliteStore, OpenError> {
        let owned = path.to_owned();
        tokio::task::spawn_blocking(move || open::prepare(&owned)).await.map_err(OpenError::other)??;
        Ok(SqliteStore {
            // A commit that was answered survives a power cut.
            writer: pool(path, 1, "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")?,
            readers: pool(path, READERS, "PRAGMA query_only = ON;")?,
            commits: Arc::default(),
            referrers: Arc::default(),
        })
    }

    /// Runs `work` in a read transaction: all it sees is of one moment.
    async fn read<T: Send + 'static>(&self, work: impl FnOnce(&Connection) -> Result<T> + Send + 'static) -> Result<T> {
        interact(connection(&self.readers).await?, move |connection| work(&*connection.transaction()?)).await
    }

    /// Deletes most of the events of a url or a user that is about to go, in parts, if they are so many that all other
    /// writers would have to wait for long.
    async fn thin_out(&self, column: &'static str, id: Id) -> Result<()> {
        if self.read(move |db| events::are_many(db, column, id)).await? {
            while self.write(move |db| events::delete_part(db, column, id)).await? {}
        }
        Ok(())
    }

    /// Runs `work` in the write transaction and commits it, unless it fails.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let commits = Arc::clone(&self.commits);
        interact(connection(&self.writer).await?, move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let before = changes::last_sequence(&transaction)?;
            let value = work(&transaction)?;
            let last = changes::last_sequence(&transaction)?;
            if last > before {
                commits.note(before + 1..=last);
            }
            transaction.commit()?;
            Ok(value)
        })
        .await
    }
}

async fn connection(pool: &Pool) -> Result<Object> {
    pool.get().await.map_err(|error| StoreError::Unavailable(error.into()))
}

async fn interact<T: Send + 'static, E: From<StoreError> + Send + 'static>(
    connection: Object,
    work: impl FnOnce(&mut Connection) -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    connection.interact(work).await.unwrap_or_else(|error: InteractError| {
        Err(StoreError::Internal(anyhow::anyhow!("work on the database failed: {error}")).into())
    })
}

/// The file as a URI that opens it and never makes it: if somebody deletes it, an empty one in its place would look as if
/// nothing had ever been stored.
fn existing(path: &Path) -> String {
    const KEPT: AsciiSet = NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');
    format!("file:{}?mode=rw", percent_encode(path.as_os_str().as_bytes(), &KEPT))
}

fn pool(path: &Path, size: usize, pragmas: &'static str) -> Result<Pool, OpenError> {
    let manager = Manager::from_config(&deadpool_sqlite::Config::new(existing(path)), Runtime::Tokio1);
    let setup = Hook::async_fn(move |connection, _| {
        Box::pin(async move {
            connection
                .interact(move |connection| {
                    connection.busy_timeout(LOCK_WAIT)?;
                    connection.set_prepared_statement_cache_capacity(64);
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

#[async_trait]
impl Store for SqliteStore {
    async fn ping(&self) -> Result<()> {
        self.read(|db| Ok(db.query_row("SELECT 1 FROM replica_meta", [], |_| Ok(()))?)).await
    }

    async fn insert_user(&self, user: NewUser) -> Result<User> {
        self.write(move |db| users::insert(db, &user)).await
    }

    async fn find_user(&self, id: Id) -> Result<Option<User>> {
        self.read(move |db| users::find(db, id)).await
    }

    async fn list_users(&self, page: Page) -> Result<Listing<User>> {
        self.read(move |db| users::list(db, page)).await
    }

    async fn update_user(&self, id: Id, change: UserChange) -> Result<Option<User>> {
        self.write(move |db| users::update(db, id, &change)).await
    }

    async fn delete_user(&self, id: Id, cascade: bool) -> Result<Option<Changed<()>>> {
        if cascade {
            self.thin_out("user_id", id).await?;
        }
        self.write(move |db| users::delete(db, id, cascade)).await
    }

    async fn import_users(&self, rows: Vec<UserRow>) -> Result<Vec<Imported>> {
        self.write(move |db| rows.iter().map(|row| users::import(db, row)).collect()).await
    }

    async fn insert_url(&self, url: NewUrl) -> Result<Changed<Url>> {
        self.write(move |db| urls::insert(db, &url)).await
    }

    async fn find_url(&self, id: Id) -> Result<Option<Url>> {
        self.read(move |db| urls::find(db, id)).await
    }

    async fn list_urls(&self, filter: UrlFilter, page: Page) -> Result<Listing<Url>> {
        self.read(move |db| urls::list(db, filter, page)).await
    }

    async fn update_url(&self, id: Id, change: UrlChange) -> Result<Option<Changed<Url>>> {
        self.write(move |db| urls::update(db, id, &change)).await
    }

    async fn delete_url(&self, id: Id) -> Result<Option<Changed<()>>> {
        self.thin_out("url_id", id).await?;
        self.write(move |db| urls::delete(db, id)).await
    }

    async fn insert_event(&self, event: NewEvent) -> Result<Event> {
        self.write(move |db| events::insert(db, &event)).await
    }

    async fn find_event(&self, id: Id) -> Result<Option<Event>> {
        self.read(move |db| events::find(db, id)).await
    }

    async fn list_events(&self, filter: EventFilter, page: Page) -> Result<Listing<Event>> {
        self.read(move |db| events::list(db, filter, page)).await
    }

    async fn list_products(&self) -> Result<Vec<Product>> {
        self.read(products::list).await
    }

    async fn insert_token(&self, token: NewToken) -> Result<Token> {
        self.write(move |db| tokens::insert(db, &token)).await
    }

    async fn insert_first_token(&self, token: NewToken) -> Result<bool> {
        self.write(move |db| tokens::insert_first(db, &token)).await
    }

    async fn list_tokens(&self) -> Result<Vec<Token>> {
        self.read(tokens::list).await
    }

    async fn revoke_token(&self, name: &TokenName) -> Result<bool> {
        let name = name.clone();
        self.write(move |db| tokens::revoke(db, &name)).await
    }

    async fn note_token_uses(&self, uses: Vec<(Id, Timestamp)>) -> Result<()> {
        self.write(move |db| tokens::note_uses(db, &uses)).await
    }

    async fn ship_clicks(&self, batch: ClickBatch<'_>) -> Result<Shipped> {
        let ClickBatch { journal, from, to, parked, .. } = batch;
        let (clicks, referrers) = (batch.clicks.to_vec(), Arc::clone(&self.referrers));
        self.write(move |db| clicks::ship(db, &referrers, ClickBatch { journal, from, to, clicks: &clicks, parked }))
            .await
    }

    async fn find_journals(&self, ids: &[JournalId]) -> Result<Vec<Option<JournalState>>> {
        let ids = ids.to_vec();
        self.read(move |db| ids.iter().map(|id| clicks::find_journal(db, *id)).collect()).await
    }

    async fn forget_journals(&self, keep: Duration) -> Result<u64> {
        self.write(move |db| clicks::forget_journals(db, keep)).await
    }

    async fn click_stats(&self, url: Id, range: StatsRange) -> Result<Option<ClickStats>> {
        self.read(move |db| stats::find(db, url, range)).await
    }

    async fn forget_events(&self, keep: Duration) -> Result<u64> {
        let horizon = Timestamp::ago(keep);
        let mut forgotten = 0;
        // Found by a reader, which nobody waits for.
        let Some((mut from, to)) = self.read(move |db| events::find_old(db, horizon)).await? else { return Ok(0) };
        while let Some((last, events)) = self.write(move |db| events::forget(db, from, to, horizon)).await? {
            forgotten += events;
            let Some(next) = Id::new(last.get().saturating_add(1)).filter(|next| *next <= to) else { break };
            from = next;
        }
        Ok(forgotten)
    }

    async fn keep_up(&self) -> Result<()> {
        Ok(())
    }

    async fn snapshot(&self) -> Result<Snapshot> {
        changes::snapshot(connection(&self.readers).await?).await
    }

    async fn delta(&self, since: &Cursor) -> Result<Delta> {
        let (since, commits) = (since.clone(), Arc::clone(&self.commits));
        self.read(move |db| changes::delta(db, &since, &commits)).await
    }

    async fn prune_changes(&self, keep: Duration) -> Result<u64> {
        self.write(move |db| changes::prune(db, keep)).await
    }

    async fn load(&self, load: Load) -> Result<Loaded, LoadError> {
        interact(connection(&self.writer).await?, move |connection| loading::load(connection, load)).await
    }

    fn pools(&self) -> Vec<PoolStatus> {
        let status = |(pool, status): (_, deadpool_sqlite::Status)| PoolStatus {
            pool,
            size: status.size,
            available: status.available,
            waiting: status.waiting,
            max: status.max_size,
        };
        [("writer", self.writer.status()), ("readers", self.readers.status())].map(status).into()
    }
}
