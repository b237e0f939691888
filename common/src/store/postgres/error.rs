//! What PostgreSQL's errors mean to the callers of the store.

use std::error::Error as _;

use tokio_postgres::Error;
use tokio_postgres::error::{DbError, SqlState};

use crate::store::StoreError;

impl From<Error> for StoreError {
    fn from(error: Error) -> StoreError {
        let Some(refused) = error.as_db_error() else {
            // Without an answer of the server the connection is at fault, unless what it brought was not understood.
            let is_transport = error.is_closed() || error.source().is_none_or(|source| source.is::<std::io::Error>());
            return if is_transport {
                StoreError::Unavailable(error.into())
            } else {
                StoreError::Internal(error.into())
            };
        };
        match refused.constraint() {
            Some("users_username_key") => StoreError::UsernameTaken,
            Some("users_email_key") => StoreError::EmailTaken,
            Some("urls_short_code_key") => StoreError::ShortCodeTaken,
            Some("tokens_name_key") => StoreError::TokenNameTaken,
            _ if may_pass(refused) => StoreError::Unavailable(error.into()),
            // Data exceptions and violated constraints.
            _ if matches!(&refused.code().code()[..2], "22" | "23") => StoreError::Unfit(error.into()),
            _ => StoreError::Internal(error.into()),
        }
    }
}

/// Whether a later try may succeed.
fn may_pass(refused: &DbError) -> bool {
    // An id that is drawn while a file with that id is loaded: the next one drawn is past the file.
    let is_drawn_id = *refused.code() == SqlState::UNIQUE_VIOLATION
        && refused.constraint().is_some_and(|constraint| constraint.ends_with("_pkey"));
    // By class, from "PostgreSQL Error Codes" in the manual.
    let class = matches!(
        &refused.code().code()[..2],
        "08" // connection exception
            | "40" // transaction rollback: deadlock, serialisation
            | "53" // insufficient resources: connections, disk, memory
            | "57" // operator intervention: shutdown, starting up, statement timeout
            | "58" // system error: input and output
            | "XX" // internal error: corruption
    );
    let code = [
        &SqlState::READ_ONLY_SQL_TRANSACTION,
        &SqlState::LOCK_NOT_AVAILABLE,
        &SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        // A migration changed a table under a cached statement; the connection is thrown away, and the statement.
        &SqlState::FEATURE_NOT_SUPPORTED,
    ]
    .contains(&refused.code());
    is_drawn_id || class || code
}

/// Whether `error` is a violation of the named foreign key.
pub(super) fn violates(error: &Error, constraint: &str) -> bool {
    error.as_db_error().is_some_and(|refused| refused.constraint() == Some(constraint))
}

/// Whether `error` is a violation of any constraint.
pub(super) fn violates_any(error: &Error) -> bool {
    error.as_db_error().is_some_and(|refused| refused.code().code().starts_with("23"))
}

/// A row that our own statement must return did not come, or is not what we write.
pub(super) fn unexpected(what: &str) -> StoreError {
    StoreError::Internal(anyhow::anyhow!("the database answered with an unexpected {what}"))
}
