//! Whether the database of a redirector has the schema of this version.

use std::time::Duration;

use tern_common::backoff::Backoff;
use tern_common::store::PostgresStore;
use tern_common::store::postgres::OpenError;
use tokio::time::{sleep, timeout};

/// Time between two questions to a database that does not answer: one connection a second in each process.
const RETRY: Duration = Duration::from_secs(1);

/// Time that a start waits for the answer before it makes journals: one that is repeated would fill the disk with them.
const PATIENCE: Duration = Duration::from_millis(200);

/// Refuses a database that answers at once and has another schema.
///
/// # Errors
/// With a sentence for the operator.
pub async fn refuse_foreign(postgres: &PostgresStore) -> Result<(), OpenError> {
    match timeout(PATIENCE, postgres.check_schema()).await {
        Ok(Err(error)) if !matches!(error, OpenError::Unavailable(_)) => Err(error),
        _ => Ok(()),
    }
}

/// Asks until the database answers. Returns only if it has another schema.
pub async fn foreign(postgres: &PostgresStore) -> OpenError {
    let mut backoff = Backoff::new(RETRY, RETRY);
    loop {
        match postgres.check_schema().await {
            Ok(()) => std::future::pending().await,
            Err(OpenError::Unavailable(_)) => sleep(backoff.pause()).await,
            Err(error) => return error,
        }
    }
}
