//! The store: users, urls, events, products and tokens, and the feed of changes that replicas follow.
//!
//! All SQL is below this module.
//! The test suite in `common/tests/conformance` runs against each implementation.

use std::time::Duration;

mod author;
mod click_counts;
mod cursor;
mod folded_clicks;
mod judgement;
mod load;
mod many;
mod page;
mod pools;
pub mod postgres;
mod referrer_budget;
mod seams;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod tail;
mod url_cursor;
mod url_list;
mod watched;

pub use author::signed;
pub use cursor::{Cursor, InvalidCursor, Mark};
pub use load::{Batches, ImportedClick, Load, LoadError, LoadOutcome, NumberedRow, SkippedRow, SkippedRows};
pub use many::{Commit, Placed, Reused, UrlSelection};
pub use page::{InvalidListCursor, ListCursor, Listing, Page, PageCursor, PageStart, Total};
pub use pools::export_pools;
pub use postgres::{PostgresConfig, PostgresStore};
pub use seams::{AdminStore, ClickSink, LinkFeed};
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;
pub use tail::{ClickTail, NewClicks};
pub use url_cursor::{InvalidUrlCursor, SortValue, UrlCursor};
pub use watched::WatchedStore;

use crate::Id;
use crate::link_labels::InvalidLabel;
use crate::link_options::OptionConflict;
use crate::served_link::LinkRow;

/// The reason why the store did not carry out a call.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("Username is already taken")]
    UsernameTaken,
    #[error("Email is already taken")]
    EmailTaken,
    #[error("Short code is already taken")]
    ShortCodeTaken,
    #[error("External id is already taken by another link of this user")]
    ExternalIdTaken,
    #[error("Token name is already taken")]
    TokenNameTaken,
    #[error("User {0} not found")]
    UnknownUser(Id),
    #[error("URL {0} not found")]
    UnknownUrl(Id),
    /// A change would leave a link with too many tags.
    #[error("{}", InvalidLabel::TooManyTags)]
    TooManyTags,
    /// A change would combine options of a link that exclude each other.
    #[error(transparent)]
    OptionConflict(#[from] OptionConflict),
    /// A conditional change found another revision of the url.
    #[error("The link has changed since: its revision is {0}")]
    OtherRevision(i64),
    /// A conditional replacement found no url.
    #[error("No link has this external id, and so none has the revision")]
    NoRevision,
    /// A change names another code than the url has.
    #[error("short_code cannot be changed: the link is {0}, and printed links must not break")]
    OtherCode(String),
    #[error("expires_at must be in the future")]
    EndsInThePast,
    /// One of many urls refuses a change, so none was changed.
    #[error("Link {url} refuses the change, so nothing was changed: {reason}")]
    RefusedBy { url: Id, reason: Box<StoreError> },
    /// Another number of urls than expected matches a filter, so nothing was done.
    #[error("{found} links match the filter and not {expected}, so nothing was done")]
    OtherCount { expected: u64, found: Total },
    #[error(
        "These links have more than {} events together, so nothing was deleted: delete fewer at once, or one by one",
        UrlSelection::MAX_EVENTS
    )]
    TooManyEvents,
    #[error("User {user} still owns {urls} links")]
    UserOwnsUrls { user: Id, urls: u64 },
    /// The database cannot be reached, is overloaded, or its files are damaged. A later attempt may succeed.
    #[error("the database is unavailable: {0:#}")]
    Unavailable(anyhow::Error),
    /// Another writer, such as the load of a large file, used the database for as long as a request may wait.
    /// Nothing was changed, and a later attempt may succeed.
    #[error("the database is busy: {0:#}")]
    Busy(anyhow::Error),
    /// A list took longer than a request may. A page nearer to the start, or other filters, may be faster.
    #[error("the database took too long: {0:#}")]
    TookTooLong(anyhow::Error),
    /// The database refuses a value. No later attempt can succeed.
    #[error("the database refuses a value: {0:#}")]
    Unfit(anyhow::Error),
    /// A defect of Tern.
    #[error("the store failed: {0:#}")]
    Internal(anyhow::Error),
}

pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// A committed change that redirectors have to serve, and its result.
#[derive(Debug)]
pub struct Change<T> {
    pub value: T,
    /// The position of the change in the feed: a replica whose cursor covers it serves the change.
    pub mark: Mark,
}

/// The outcome for one row of a bulk import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportOutcome {
    Inserted,
    /// The user already exists.
    Duplicate,
    /// The row's id belongs to another user.
    IdTaken(Id),
    /// The row's id is beyond [`Id::farthest_given`]. The second value is the largest id so far.
    IdTooFar(Id, i64),
}

/// Rows that arrive in batches, as fast as the receiver takes them. They end without an error only after the last row.
pub type LinkRows = tokio::sync::mpsc::Receiver<Result<Vec<LinkRow>>>;

/// All links at one moment.
#[derive(Debug)]
pub struct Snapshot {
    /// The position from which [`LinkFeed::delta`] continues.
    pub cursor: Cursor,
    pub rows: LinkRows,
}

/// A change to one link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkChange {
    Put(LinkRow),
    /// The code is in the change log and not in the table.
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

/// A change to one link, with its age.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgedChange {
    pub change: LinkChange,
    /// The age by the store's clock when it read the change: at most the time since the commit, plus the duration of the
    /// transaction. `None` if the store does not know it, or has returned the change before.
    pub age: Option<Duration>,
}

/// The state of one pool of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStatus {
    /// The name of the pool, unique in its store.
    pub pool: &'static str,
    /// Open connections, in use or idle.
    pub size: usize,
    /// Idle connections.
    pub available: usize,
    /// Tasks that wait for a connection.
    pub waiting: usize,
    /// The largest number of connections.
    pub max: usize,
}

/// The outcome of one run of the event retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetentionOutcome {
    /// The number of events that were deleted.
    Deleted(u64),
    /// Nothing was deleted: even the newest event is older than the retention, so the database's clock may be wrong.
    Refused,
}

/// The changes since a cursor.
#[derive(Debug)]
pub enum Delta {
    Changes {
        /// Each code once, in its latest state, with the age of its oldest change. In no particular order.
        changes: Vec<AgedChange>,
        cursor: Cursor,
        /// Whether older changes remain for the next call.
        more: bool,
    },
    /// The log does not reach back to the cursor, or belongs to another database. The replica needs a snapshot.
    TooOld,
}
