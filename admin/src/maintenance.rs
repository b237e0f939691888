//! What has to be done to the store now and then.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use tern_common::store::{AdminStore, Forgotten, Result};

use crate::metrics::Metrics;

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
///
/// The retention of events and journals first runs after an hour: a clock that is wrong at the start of the machine has
/// been set by then.
pub async fn keep_in_order(store: Arc<dyn AdminStore>, event_retention: Option<Duration>, metrics: Metrics) {
    tokio::join!(keep_up(&*store), forget(&*store, event_retention, &metrics));
}

async fn keep_up(store: &dyn AdminStore) {
    loop {
        log_result("minute's upkeep done", store.keep_up().await.map(|()| 0));
        tokio::time::sleep(MINUTE).await;
    }
}

async fn forget(store: &dyn AdminStore, event_retention: Option<Duration>, metrics: &Metrics) {
    loop {
        log_result("old changes forgotten", store.prune_changes(CHANGES_KEPT).await);
        tokio::time::sleep(HOUR).await;
        log_result("old journals forgotten", store.forget_journals(JOURNALS_KEPT).await);
        if let Some(keep) = event_retention {
            forget_events(store, keep, metrics).await;
        }
    }
}

async fn forget_events(store: &dyn AdminStore, keep: Duration, metrics: &Metrics) {
    match store.forget_events(keep).await {
        Ok(Forgotten::Events(events)) => {
            metrics.retention_refused.set(0);
            log_result("old events forgotten", Ok(events));
        }
        Ok(Forgotten::Refused) => {
            metrics.retention_refused.set(1);
            tracing::error!(
                retention = ?keep,
                "even the newest event is older than EVENT_RETENTION; no event is deleted; check the clock of the \
                 database; the next try is in an hour"
            );
        }
        // Nothing is known of the clock.
        Err(error) => log_result("old events forgotten", Err(error)),
    }
}

fn log_result(what: impl Display, done: Result<u64>) {
    match done {
        Ok(0) => {}
        Ok(rows) => tracing::info!(rows, "{what}"),
        Err(error) => tracing::warn!(%error, "not {what}"),
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;
    use tern_common::event::{EventFilter, EventRow, EventType};
    use tern_common::store::{Load, Numbered, Page, SqliteStore, Total};
    use tern_common::url::UrlRow;
    use tern_common::user::{Email, UserRow, Username};
    use tern_common::{Id, ShortCode, TargetUrl, Timestamp};

    use super::*;

    async fn load<T>(store: &SqliteStore, row: T, of: impl FnOnce(tern_common::store::Batches<T>) -> Load) {
        let (batches, receiver) = tokio::sync::mpsc::channel(2);
        batches.send(Ok(vec![Numbered { line: 2, row }])).await.unwrap();
        batches.send(Ok(Vec::new())).await.unwrap();
        store.load(of(receiver), None).await.unwrap();
    }

    fn event(id: Id, timestamp: Timestamp) -> EventRow {
        EventRow {
            id: None,
            url_id: id,
            user_id: id,
            event_type: EventType::parse("clicked").unwrap(),
            timestamp: Some(timestamp),
            details: tern_common::event::Details::empty(),
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn retention_that_is_refused_deletes_nothing_and_is_shown() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&directory.path().join("tern.db")).await.unwrap();
        let metrics = Metrics::register(&Registry::new()).unwrap();
        let id = Id::new(1).unwrap();
        let created_at = Some(Timestamp::from_unix_seconds(0));
        let (username, email) = (Username::parse("ada").unwrap(), Email::parse("ada@mail.example").unwrap());
        load(&store, UserRow { id: Some(id), username, email, created_at }, Load::Users).await;
        let url = UrlRow {
            id: Some(id),
            user_id: id,
            short_code: ShortCode::parse("CODE12").unwrap(),
            original_url: TargetUrl::parse("https://example.com/").unwrap(),
            title: None,
            is_active: true,
            created_at,
            updated_at: created_at,
        };
        load(&store, url, Load::Urls).await;
        load(&store, event(id, Timestamp::ago(3 * HOUR)), Load::Events).await;
        let total = async || {
            let page = Page::first(1);
            store.list_events(EventFilter::default(), page).await.unwrap().total
        };
        forget_events(&store, HOUR, &metrics).await;
        assert_eq!((total().await, metrics.retention_refused.get()), (Total::Exactly(1), 1));
        load(&store, event(id, Timestamp::now()), Load::Events).await;
        forget_events(&store, HOUR, &metrics).await;
        assert_eq!((total().await, metrics.retention_refused.get()), (Total::Exactly(1), 0));
    }
}
