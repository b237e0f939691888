//! Requests to the store. The links of a snapshot are checked here, but not put into the map.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tern_common::served_link::InvalidLink;
use tern_common::store::{AgedChange, Cursor, Delta, LinkFeed, StoreError};

use crate::link_map::Replacement;

/// Links or changes from the store, not yet in the map.
pub(super) enum StoreAnswer {
    /// Every link of the store, without the `rejected` rows that cannot be served.
    Snapshot { links: Replacement, rejected: u64, cursor: Cursor },
    /// The changes since a cursor. `more` is true if the change log has further changes.
    Delta { changes: Vec<AgedChange>, cursor: Cursor, more: bool },
    /// The change log does not reach back to the cursor, so only a snapshot helps.
    TooOld,
}

/// The times of a request to the store.
#[derive(Clone, Copy, Debug)]
pub(super) struct FetchTimes {
    /// Time of the request. The map equals the store as of this moment once the answer is applied.
    pub(super) at: SystemTime,
    /// Time of the request by the monotonic clock.
    pub(super) since: Instant,
    pub(super) answered: Instant,
    /// Whether an audit waited for this delta.
    pub(super) ends_audit: bool,
}

/// Requests the changes since `cursor`, or every link if there is no cursor.
pub(super) async fn fetch(
    store: Arc<dyn LinkFeed>,
    cursor: Option<Cursor>,
    ends_audit: bool,
) -> (FetchTimes, Result<StoreAnswer, StoreError>) {
    let (at, since) = (SystemTime::now(), Instant::now());
    let fetched = match cursor {
        Some(cursor) => store.delta(&cursor).await.map(|delta| match delta {
            Delta::Changes { changes, cursor, more } => StoreAnswer::Delta { changes, cursor, more },
            Delta::TooOld => StoreAnswer::TooOld,
        }),
        None => fetch_snapshot(&*store).await,
    };
    (FetchTimes { at, since, answered: Instant::now(), ends_audit }, fetched)
}

async fn fetch_snapshot(store: &dyn LinkFeed) -> Result<StoreAnswer, StoreError> {
    let mut snapshot = store.snapshot().await?;
    let mut links = Replacement::default();
    let mut rejected = 0;
    while let Some(rows) = snapshot.rows.recv().await {
        for row in rows? {
            if let Err(error) = links.put(&row) {
                log_rejected(row.url_id, error);
                rejected += 1;
            }
        }
    }
    Ok(StoreAnswer::Snapshot { links, rejected, cursor: snapshot.cursor })
}

/// Logs a row that cannot be served.
pub(super) fn log_rejected(url_id: i64, error: InvalidLink) {
    tracing::warn!(
        url_id, %error,
        "row cannot be served; a delta retains its earlier link, a load of all links omits it; correct the row"
    );
}
