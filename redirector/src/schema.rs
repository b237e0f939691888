//! Checks that the database of a redirector has the schema of this version.

use std::time::Duration;

use tern_common::backoff::Backoff;
use tern_common::store::PostgresStore;
use tern_common::store::postgres::OpenError;
use tokio::time::{sleep, timeout};

/// Pause between two checks while the database is unavailable: one connection a second in each process.
const RETRY: Duration = Duration::from_secs(1);

/// Time for which a start waits for the check. Journals are created after it: a restart loop would fill the disk with
/// them.
const START_TIMEOUT: Duration = Duration::from_millis(200);

/// Checks the schema of a database that answers at once. An unavailable database is no error.
///
/// # Errors
/// Returns a sentence for the operator if the schema is of another version.
pub async fn refuse_foreign(postgres: &PostgresStore) -> Result<(), OpenError> {
    match timeout(START_TIMEOUT, postgres.check_schema()).await {
        Ok(Err(error)) if !matches!(error, OpenError::Unavailable(_)) => Err(error),
        _ => Ok(()),
    }
}

/// Repeats the check until the database answers. Returns only if the schema is of another version.
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
