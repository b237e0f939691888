//! What a file brings to the store, and what comes of it.

use tokio::sync::mpsc;

use super::StoreError;
use crate::Id;
use crate::event::EventRow;
use crate::product::ProductRow;
use crate::url::UrlRow;
use crate::user::UserRow;

/// A row and the line of the file it came from.
#[derive(Clone, Debug)]
pub struct Numbered<T> {
    pub line: u64,
    pub row: T,
}

/// The rows of a file, batch after batch; an empty batch is the end of the file.
///
/// An error ends the load, and so does a channel that closes before the end: whoever read the file has died,
/// and nothing of it is kept.
pub type Batches<T> = mpsc::Receiver<Result<Vec<Numbered<T>>, LoadError>>;

/// A file to be loaded.
#[derive(Debug)]
pub enum Load {
    Users(Batches<UserRow>),
    Urls(Batches<UrlRow>),
    Events(Batches<EventRow>),
    Products(Batches<ProductRow>),
}

/// A row that is skipped where rows that cannot be loaded do not end the load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedRow {
    pub line: u64,
    /// The id that the row gave, unless an earlier row of the file has the same id and name.
    pub id: Option<Id>,
    pub reason: String,
}

/// The channel into which a load sends the rows it skips.
/// A load fails at the first row that it cannot send; one that has sent its last row can still succeed.
pub type SkippedRows = mpsc::Sender<SkippedRow>;

/// A file was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// The number of rows, all of them new.
    Inserted(u64),
    /// The number of rows, all of them there already: nothing was changed.
    AlreadyThere(u64),
    /// The numbers of new rows and of rows that were there already; other rows may have been skipped.
    Partly { inserted: u64, there: u64 },
}

/// A file was not loaded: nothing of it is in the store.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("line {line}: {reason}")]
    Row { line: u64, reason: String },
    #[error("{0}")]
    File(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl LoadError {
    /// The end of a load whose skipped rows nothing takes.
    pub(super) fn unreported() -> LoadError {
        LoadError::File("was not loaded, since rows that are skipped could not be reported".to_owned())
    }
}
