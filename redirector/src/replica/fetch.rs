//! Requests to the store. Links of a snapshot are checked here; nothing is put into the map.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tern_common::served_link::InvalidLink;
use tern_common::store::{AgedChange, Cursor, Delta, LinkFeed, StoreError};

use crate::link_map::Replacement;

/// Links or changes from the store, not yet in the map.
pub(super) enum StoreAnswer {
    Snapshot { links: Replacement, rejected: u64, cursor: Cursor },
    Delta { changes: Vec<AgedChange>, cursor: Cursor, more: bool },
    TooOld,
}

/// When something was asked for and answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct FetchTimes {
    /// At this moment at the latest, the map will equal the store.
    pub(super) at: SystemTime,
    /// The same moment, by the clock that is never set.
    pub(super) since: Instant,
    pub(super) answered: Instant,
    /// The audit had its suspects when this was asked for.
    pub(super) ends_audit: bool,
}

/// A delta since `cursor`, or a snapshot without one.
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

pub(super) fn log_rejected(url_id: i64, error: InvalidLink) {
    tracing::warn!(url_id, %error, "a row cannot be served");
}
