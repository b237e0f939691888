//! What SQLite's errors mean to the callers of the store.

use rusqlite::{Error, ErrorCode};

use crate::store::StoreError;

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
                        ("tokens.name", StoreError::TokenNameTaken),
                    ] {
                        if message.ends_with(columns) {
                            return taken;
                        }
                    }
                    return StoreError::Unfit(error.into());
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

/// Whether a row was refused because it points to a row that is not there.
pub(super) fn is_foreign_key(error: &Error) -> bool {
    error.sqlite_error().is_some_and(|failure| failure.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY)
}
