//! What has to be done to the store now and then.

use std::sync::Arc;
use std::time::Duration;

use tern_common::store::Store;

/// How long the change log reaches back: a redirector that was away for a day loads everything anew, and may.
const CHANGES_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

const INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Prunes the change log every hour, for ever.
pub async fn keep_in_order(store: Arc<dyn Store>) {
    loop {
        match store.prune_changes(CHANGES_KEPT).await {
            Ok(0) => {}
            Ok(changes) => tracing::info!(changes, "old changes were forgotten"),
            Err(error) => tracing::warn!(%error, "old changes could not be forgotten"),
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
