//! What has to be done to the store now and then.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use tern_common::store::{Result, Store};

/// How long the change log reaches back: a redirector that was away for a day loads everything anew, and may.
const CHANGES_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// How long the place of a journal is remembered that moves no more. A living one moves every day; a copy of a dead one,
/// out of a backup, would be shipped again without it.
const JOURNALS_KEPT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How often what cannot wait is done.
const MINUTE: Duration = Duration::from_secs(60);

/// How often old rows are forgotten.
const HOUR: Duration = Duration::from_secs(60 * 60);

/// Keeps the store in order, for ever: every minute what cannot wait, and every hour what is old is forgotten, events
/// among it if they are not kept for ever. Neither waits for the other: forgetting may take longer than a minute.
pub async fn keep_in_order(store: Arc<dyn Store>, event_retention: Option<Duration>) {
    tokio::join!(keep_up(&*store), forget(&*store, event_retention));
}

async fn keep_up(store: &dyn Store) {
    loop {
        tell("minute's upkeep done", store.keep_up().await.map(|()| 0));
        tokio::time::sleep(MINUTE).await;
    }
}

async fn forget(store: &dyn Store, event_retention: Option<Duration>) {
    loop {
        tell("old changes forgotten", store.prune_changes(CHANGES_KEPT).await);
        tell("old journals forgotten", store.forget_journals(JOURNALS_KEPT).await);
        if let Some(keep) = event_retention {
            tell("old events forgotten", store.forget_events(keep).await);
        }
        tokio::time::sleep(HOUR).await;
    }
}

fn tell(what: impl Display, done: Result<u64>) {
    match done {
        Ok(0) => {}
        Ok(rows) => tracing::info!(rows, "{what}"),
        Err(error) => tracing::warn!(%error, "not {what}"),
    }
}
