//! The store: the truth about users, urls, events and products, and the feed of changes that replicas follow.
//!
//! SQL lives below this module and nowhere else.
//! Every implementation passes the one suite in `common/tests/conformance`.

use std::time::Duration;

mod click_counts;
mod cursor;
mod judgement;
mod load;
mod page;
mod pools;
pub mod postgres;
mod referrer_budget;
mod seams;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod watched;

pub use cursor::{Cursor, InvalidCursor, Mark};
pub use load::{Batches, Load, LoadError, Loaded, Numbered, SkippedRow, SkippedRows};
pub use page::{InvalidListCursor, ListCursor, Listing, Page, PageStart, Total};
pub use pools::export_pools;
pub use postgres::{PostgresConfig, PostgresStore};
pub use seams::{AdminStore, ClickSink, LinkFeed};
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;
pub use watched::WatchedStore;

use crate::Id;
use crate::served_link::LinkRow;

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
    /// Where [`LinkFeed::delta`] goes on from.
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

/// A pool of connections at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStatus {
    /// Its name, among the pools of the store.
    pub pool: &'static str,
    /// Connections that there are, in use or not.
    pub size: usize,
    /// Idle connections.
    pub available: usize,
    /// Tasks that wait for a connection.
    pub waiting: usize,
    /// Connections that there may be.
    pub max: usize,
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
