//! Loads of files: their input and their results.

use tokio::sync::mpsc;

use super::StoreError;
use crate::Id;
use crate::event::EventRow;
use crate::product::ProductRow;
use crate::url::UrlRow;
use crate::user::UserRow;

/// A row with its line number in the file.
#[derive(Clone, Debug)]
pub struct NumberedRow<T> {
    pub line: u64,
    pub row: T,
}

/// The rows of a file in batches. An empty batch marks the end of the file.
///
/// An error ends the load. A channel that closes before the end of the file does too, and nothing is stored.
pub type Batches<T> = mpsc::Receiver<Result<Vec<NumberedRow<T>>, LoadError>>;

/// A file to be loaded.
#[derive(Debug)]
pub enum Load {
    Users(Batches<UserRow>),
    Urls(Batches<UrlRow>),
    Events(Batches<EventRow>),
    Products(Batches<ProductRow>),
    /// Clicks that another service counted. Each becomes an event, and its link has one imported click less.
    ImportedClicks(Batches<ImportedClick>),
}

/// A click of another service on a link that exists.
#[derive(Clone, Debug)]
pub struct ImportedClick(pub EventRow);

/// A row that a load skipped because it cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedRow {
    pub line: u64,
    /// The id in the row. `None` if an earlier row of the file has the same id and the same name.
    pub id: Option<Id>,
    pub reason: String,
}

/// The channel into which a load sends the rows that it skips.
/// A load fails at the first row that it cannot send. It can still succeed after its last skipped row.
pub type SkippedRows = mpsc::Sender<SkippedRow>;

/// The result of a load that succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadOutcome {
    /// The number of rows, all of them new.
    Inserted(u64),
    /// The number of rows, all of which already exist. Nothing was changed.
    AlreadyThere(u64),
    /// The numbers of new rows and of rows that already exist. Other rows may have been skipped.
    Partly { inserted: u64, there: u64 },
}

/// The reason why a file was not loaded. Nothing of it is stored.
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
    /// Returns the error of a load whose skipped rows have no receiver any more.
    pub(super) fn unreported() -> LoadError {
        LoadError::File("was not loaded, since rows that are skipped could not be reported".to_owned())
    }
}
