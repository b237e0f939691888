//! Errors of opening a database, and the translation of SQLite's errors into errors of the store.

use std::path::{Path, PathBuf};

use rusqlite::{Error, ErrorCode};

use crate::link_options::OptionConflict;
use crate::store::StoreError;

/// The reason why a database file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{} is not a SQLite database", .0.display())]
    NotADatabase(PathBuf),
    #[error("{} is a SQLite database of another program", .0.display())]
    Foreign(PathBuf),
    #[error("{} was made by a newer version of Tern", .0.display())]
    Newer(PathBuf),
    #[error("{}: {reason}", .path.display())]
    Unusable { path: PathBuf, reason: String },
    #[error("{0:#}")]
    Other(anyhow::Error),
}

impl OpenError {
    pub(super) fn other(error: impl Into<anyhow::Error>) -> OpenError {
        OpenError::Other(error.into())
    }

    pub(super) fn unusable(path: &Path, reason: impl ToString) -> OpenError {
        OpenError::Unusable { path: path.to_owned(), reason: reason.to_string() }
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> StoreError {
        use ErrorCode::{
            CannotOpen, DatabaseBusy, DatabaseCorrupt, DatabaseLocked, DiskFull, NotADatabase, OperationInterrupted,
            OutOfMemory, PermissionDenied, ReadOnly, SystemIoFailure,
        };
        if let Error::SqliteFailure(failure, message) = &error {
            match failure.code {
                ErrorCode::ConstraintViolation => {
                    // SQLite names the columns, not the index.
                    let message = message.as_deref().unwrap_or_default();
                    for (columns, taken) in [
                        ("users.username", StoreError::UsernameTaken),
                        ("users.email", StoreError::EmailTaken),
                        ("urls.short_code", StoreError::ShortCodeTaken),
                        ("urls.external_id", StoreError::ExternalIdTaken),
                        ("tokens.name", StoreError::TokenNameTaken),
                    ] {
                        if message.ends_with(columns) {
                            return taken;
                        }
                    }
                    // The name of the constraint is the last word.
                    let conflict = message.rsplit(' ').next().and_then(OptionConflict::of_constraint);
                    return conflict.map_or_else(|| StoreError::Unfit(error.into()), StoreError::OptionConflict);
                }
                DatabaseBusy => return StoreError::Busy(error.into()),
                ErrorCode::TooBig => return StoreError::Unfit(error.into()),
                DatabaseLocked | CannotOpen | SystemIoFailure | DiskFull | ReadOnly | DatabaseCorrupt
                | NotADatabase | PermissionDenied | OutOfMemory | OperationInterrupted => {
                    return StoreError::Unavailable(error.into());
                }
                _ => {}
            }
        }
        StoreError::Internal(error.into())
    }
}

/// Returns whether a row was refused because it refers to a row that does not exist.
pub(super) fn is_foreign_key(error: &Error) -> bool {
    error.sqlite_error().is_some_and(|failure| failure.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY)
}
