//! Recognises a pooler that gives connections another server process for each transaction.
//!
//! Behind such a pooler a session loses its settings and prepared statements, and a statement of another process would be
//! cancelled.

use deadpool_postgres::ClientWrapper;
use tokio_postgres::SimpleQueryMessage;

use super::error;
use super::open::OpenError;
use super::pool::Lease;
use crate::store::{Result, StoreError};

/// The refusal of a pooler that passes no such parameter on.
const REFUSED_PARAMETER: &str = "unsupported startup parameter";

/// Returns whether two connections share their server processes.
///
/// A pooler assigns the process that was used last, or each process in turn. It thus gives one of them to both
/// connections, or another one to the same connection.
pub(super) async fn is_shared(mut one: Lease, mut other: Lease) -> Result<bool> {
    let (of_one, of_other) = (one.backend(), other.backend());
    let mut is_shared = of_one == of_other;
    is_shared |= Some(process(other.client()?).await?) != of_other;
    for _ in 0..2 {
        is_shared |= Some(process(one.client()?).await?) != of_one;
    }
    one.release();
    other.release();
    Ok(is_shared)
}

async fn process(client: &ClientWrapper) -> Result<i32> {
    let answers = client.simple_query("SELECT pg_backend_pid()").await?;
    let process = answers.iter().find_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
        _ => None,
    });
    process.ok_or_else(|| error::unexpected("process"))
}

/// Returns the error of an attempt to connect, which may be the refusal of a pooler.
pub(super) fn explain(error: StoreError) -> OpenError {
    let text = error.to_string();
    match text.find(REFUSED_PARAMETER) {
        Some(at) => OpenError::Parameter(text[at..].to_owned()),
        None => error.into(),
    }
}
