//! The store: the truth about users, urls, events and products, and the feed of changes that replicas follow.
//!
//! SQL lives below this module and nowhere else.
//! Every implementation passes the one suite in `common/tests/conformance`.

use std::fmt;
use std::time::{Duration, Instant};

use async_trait::async_trait;

mod click_counts;
mod cursor;
mod judgement;
mod load;
mod page;
mod pools;
pub mod postgres;
mod referrer_budget;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod watched;

pub use cursor::{Cursor, InvalidCursor, Mark};
pub use load::{Batches, Load, LoadError, Loaded, Numbered, SkippedRow, SkippedRows};
pub use page::{InvalidListCursor, ListCursor, Listing, Page, PageStart, Total};
pub use pools::{PoolStatus, export_pools};
pub use postgres::{PostgresConfig, PostgresStore};
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;
pub use watched::WatchedStore;

use crate::event::{Event, EventFilter, NewEvent};
use crate::product::Product;
use crate::seal::SealKey;
use crate::served_link::LinkRow;
use crate::token::{NewToken, Token, TokenName};
use crate::url::{NewUrl, Url, UrlChange, UrlFilter};
use crate::user::{NewUser, User, UserChange, UserRow};
use crate::{ClickBatch, ClickStats, Id, JournalId, JournalState, Shipped, StatsRange, Timestamp};

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("Username is already taken")]
    UsernameTaken,
    #[error("Email is already taken")]
    EmailTaken,
    #[error("Short code is already taken")]
    ShortCodeTaken,
    #[error("Token name is already taken")]
    TokenNameTaken,
    #[error("User {0} not found")]
    UnknownUser(Id),
    #[error("URL {0} not found")]
    UnknownUrl(Id),
    #[error("User {user} still owns {urls} links")]
    UserOwnsUrls { user: Id, urls: u64 },
    /// The database cannot be reached, is overloaded, or its files are damaged: a later try may succeed.
    #[error("the database is unavailable: {0:#}")]
    Unavailable(anyhow::Error),
    /// Another writer, such as a load of a large file, uses the database all the time that a request may wait.
    /// Nothing was changed, and a later try may succeed.
    #[error("the database is busy: {0:#}")]
    Busy(anyhow::Error),
    /// A list took longer than a request may: an earlier page, or other filters, may not.
    #[error("the database took too long: {0:#}")]
    TookTooLong(anyhow::Error),
    /// The database refuses a value for what it is, and always will.
    #[error("the database refuses a value: {0:#}")]
    Unfit(anyhow::Error),
    /// A defect of ours.
    #[error("the store failed: {0:#}")]
    Internal(anyhow::Error),
}

pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// What came of a write that redirectors have to notice.
#[derive(Debug)]
pub struct Changed<T> {
    pub value: T,
    /// A replica whose cursor covers this mark serves the change.
    pub mark: Mark,
}

/// What became of one row of a bulk import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Imported {
    Inserted,
    /// The user is there already.
    Duplicate,
    /// The row's id belongs to somebody else.
    IdTaken(Id),
    /// The row's id is beyond [`Id::farthest_given`]; the largest so far is the second.
    IdTooFar(Id, i64),
}

/// Every link at one moment. The rows come in batches, as fast as they are taken.
#[derive(Debug)]
pub struct Snapshot {
    /// Where [`Store::delta`] goes on from.
    pub cursor: Cursor,
    /// Ends without an error only when every row was given.
    pub rows: tokio::sync::mpsc::Receiver<Result<Vec<LinkRow>>>,
}

/// A change to one link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkChange {
    Put(LinkRow),
    /// The tombstone: the code is in the change log and not in the table.
    Removed {
        short_code: String,
    },
}

impl LinkChange {
    pub fn short_code(&self) -> &str {
        match self {
            LinkChange::Put(row) => &row.short_code,
            LinkChange::Removed { short_code } => short_code,
        }
    }
}

/// A change, and how long ago it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgedChange {
    pub change: LinkChange,
    /// By the store's own clock, when it read the change: no more than the time since the commit and the time that the
    /// transaction took. `None` where the store cannot tell, or has given the change before.
    pub age: Option<Duration>,
}

/// Outcome of a run of the retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgotten {
    /// The number of events that were deleted.
    Events(u64),
    /// Nothing was deleted: even the newest event is older than the retention, as if the clock of the database were wrong.
    Refused,
}

/// What changed since a cursor.
#[derive(Debug)]
pub enum Delta {
    Changes {
        /// In no particular order; each code once, in its latest state, as old as the oldest change to it.
        changes: Vec<AgedChange>,
        cursor: Cursor,
        /// Whether changes that were there already are left for the next call.
        more: bool,
    },
    /// The log does not reach back to the cursor, or belongs to another database: take a snapshot.
    TooOld,
}

/// The first seam. Implementations answer within two seconds, if only with [`StoreError::Unavailable`] or
/// [`StoreError::Busy`].
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Whether the database answers.
    async fn ping(&self) -> Result<()>;
    /// Returns the secret by which processes of one Tern know each other on a bus and a cache.
    async fn seal_key(&self) -> Result<SealKey>;

    /// # Errors
    /// [`StoreError::UsernameTaken`], [`StoreError::EmailTaken`].
    async fn insert_user(&self, user: NewUser) -> Result<User>;
    async fn find_user(&self, id: Id) -> Result<Option<User>>;
    async fn list_users(&self, page: Page) -> Result<Listing<User>>;
    /// # Errors
    /// [`StoreError::UsernameTaken`], [`StoreError::EmailTaken`].
    async fn update_user(&self, id: Id, change: UserChange) -> Result<Option<User>>;
    /// Deletes a user with the events recorded under it, and with `cascade` its urls and theirs,
    /// as [`Store::delete_url`] does. Many urls go in parts that are each committed, and the user with the last.
    ///
    /// # Errors
    /// [`StoreError::UserOwnsUrls`] without `cascade`.
    async fn delete_user(&self, id: Id, cascade: bool) -> Result<Option<Changed<()>>>;
    /// Imports users in one transaction, one answer for each row; a row that cannot be kept does not harm the others.
    async fn import_users(&self, rows: Vec<UserRow>) -> Result<Vec<Imported>>;

    /// Inserts the url and its `created` event.
    ///
    /// # Errors
    /// [`StoreError::ShortCodeTaken`], [`StoreError::UnknownUser`].
    async fn insert_url(&self, url: NewUrl) -> Result<Changed<Url>>;
    async fn find_url(&self, id: Id) -> Result<Option<Url>>;
    async fn list_urls(&self, filter: UrlFilter, page: Page) -> Result<Listing<Url>>;
    /// Changes the url and records its `updated` event; an empty change does neither.
    async fn update_url(&self, id: Id, change: UrlChange) -> Result<Option<Changed<Url>>>;
    /// Deletes the url and its events, in one transaction. If the events are more than 50,000, most of them go before, in
    /// parts that are each committed, and the link is served until the last part: that takes longer than two seconds,
    /// some tens of thousands of events a second, and a call that was cut short is repeated and goes on from there.
    async fn delete_url(&self, id: Id) -> Result<Option<Changed<()>>>;

    /// Inserts an event, under the owner of its link unless it names a user.
    ///
    /// # Errors
    /// [`StoreError::UnknownUrl`], [`StoreError::UnknownUser`].
    async fn insert_event(&self, event: NewEvent) -> Result<Event>;
    async fn find_event(&self, id: Id) -> Result<Option<Event>>;
    async fn list_events(&self, filter: EventFilter, page: Page) -> Result<Listing<Event>>;

    async fn list_products(&self) -> Result<Vec<Product>>;

    /// # Errors
    /// [`StoreError::TokenNameTaken`] by a token that was not revoked.
    async fn insert_token(&self, token: NewToken) -> Result<Token>;
    /// Inserts the token if there never was one; whether it did. Of two at once with one name, one does.
    async fn insert_first_token(&self, token: NewToken) -> Result<bool>;
    /// Every token there ever was, revoked and expired ones among them, by id.
    async fn list_tokens(&self) -> Result<Vec<Token>>;
    /// Revokes the token of this name; false if there is none that was not revoked.
    async fn revoke_token(&self, name: &TokenName) -> Result<bool>;
    /// Notes when tokens were last used.
    async fn note_token_uses(&self, uses: Vec<(Id, Timestamp)>) -> Result<()>;

    /// Moves a journal on and makes its clicks events, in one transaction: all of the batch, or nothing of it.
    /// Of two that ship from one place of a journal, one is told that the journal stands elsewhere.
    /// A click is recorded only if its id and its code name one url, or did before the url was renamed.
    ///
    /// # Errors
    /// After [`StoreError::Unavailable`], which a batch may take ten seconds to come to, the batch may be in or not:
    /// shipping it again, or [`Store::find_journals`], tells. [`StoreError::Unfit`] refuses what a click holds.
    async fn ship_clicks(&self, batch: ClickBatch<'_>) -> Result<Shipped>;
    /// Where journals stand, in the order asked for; `None` for one of which nothing was shipped.
    async fn find_journals(&self, ids: &[JournalId]) -> Result<Vec<Option<JournalState>>>;
    /// Forgets where journals stand that moved longer than `keep` ago. Their clicks stay.
    /// Forgets nothing if no journal moved since: living journals move every day, so the clock must be wrong.
    async fn forget_journals(&self, keep: Duration) -> Result<u64>;

    /// How often a url was followed, from counts that are kept as clicks come and go; `None` if there is no such url.
    async fn click_stats(&self, url: Id, range: StatsRange) -> Result<Option<ClickStats>>;
    /// Forgets events of any type that are older than `keep` by the clock of the database, unless all of them are.
    async fn forget_events(&self, keep: Duration) -> Result<Forgotten>;
    /// Does what has to be done every minute, such as making room ahead. Without it the store works, and slows down.
    async fn keep_up(&self) -> Result<()>;

    async fn snapshot(&self) -> Result<Snapshot>;
    async fn delta(&self, since: &Cursor) -> Result<Delta>;
    /// Forgets changes older than `keep`. Cursors from before then become too old.
    async fn prune_changes(&self, keep: Duration) -> Result<u64>;

    /// Loads the rows of one file in one transaction: all of them or none.
    /// With `skipped`, rows that cannot be loaded go there, and all others are loaded in one transaction.
    async fn load(&self, load: Load, skipped: Option<SkippedRows>) -> Result<Loaded, LoadError>;

    /// When the database last answered a call, if only with a refusal; `None` before the first answer.
    fn last_answer(&self) -> Option<Instant>;

    /// How full its pools of connections are, now.
    fn pools(&self) -> Vec<PoolStatus>;
}
