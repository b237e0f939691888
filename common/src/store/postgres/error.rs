//! The translation of PostgreSQL's errors into errors of the store.

use std::error::Error as _;

use tokio_postgres::Error;
use tokio_postgres::error::{DbError, SqlState};

use crate::link_options::OptionConflict;
use crate::store::StoreError;

impl From<Error> for StoreError {
    fn from(error: Error) -> StoreError {
        let Some(refused) = error.as_db_error() else {
            // Without an answer of the server the connection failed, unless the driver could not decode the answer.
            let is_transport = error.is_closed() || error.source().is_none_or(|source| source.is::<std::io::Error>());
            return if is_transport {
                StoreError::Unavailable(error.into())
            } else {
                StoreError::Internal(error.into())
            };
        };
        if let Some(conflict) = refused.constraint().and_then(OptionConflict::of_constraint) {
            return StoreError::OptionConflict(conflict);
        }
        match refused.constraint() {
            Some("users_username_key") => StoreError::UsernameTaken,
            Some("users_email_key") => StoreError::EmailTaken,
            Some("urls_short_code_key") => StoreError::ShortCodeTaken,
            Some("urls_external_id_key") => StoreError::ExternalIdTaken,
            Some("urls_tags_check") => StoreError::TooManyTags,
            Some("tokens_name_key") => StoreError::TokenNameTaken,
            _ if is_temporary(refused) => StoreError::Unavailable(error.into()),
            // Data exceptions and violated constraints.
            _ if matches!(&refused.code().code()[..2], "22" | "23") => StoreError::Unfit(error.into()),
            _ => StoreError::Internal(error.into()),
        }
    }
}

/// Returns whether a later attempt may succeed.
fn is_temporary(refused: &DbError) -> bool {
    // The sequence returned an id that a load inserts at the same time. The next id is beyond the file.
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
        // A migration changed a table of a cached statement. The statement is dropped with its connection.
        &SqlState::FEATURE_NOT_SUPPORTED,
    ]
    .contains(&refused.code());
    is_drawn_id || class || code
}

/// Returns whether `error` is a violation of the named constraint.
pub(super) fn violates(error: &Error, constraint: &str) -> bool {
    error.as_db_error().is_some_and(|refused| refused.constraint() == Some(constraint))
}

/// Returns whether `error` is a violation of any constraint.
pub(super) fn violates_any(error: &Error) -> bool {
    error.as_db_error().is_some_and(|refused| refused.code().code().starts_with("23"))
}

/// Returns the error for a result that no statement of Tern should have.
pub(super) fn unexpected(what: &str) -> StoreError {
    StoreError::Internal(anyhow::anyhow!("the database answered with an unexpected {what}"))
}
