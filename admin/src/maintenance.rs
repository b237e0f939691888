//! Regular maintenance of the store.

use std::sync::Arc;
use std::time::Duration;

use tern_common::store::{AdminStore, Result, RetentionOutcome};

use crate::config::AdminConfig;
use crate::metrics::Metrics;

/// Age at which entries of the change log are pruned. A redirector that was stopped for longer loads a snapshot.
const CHANGE_RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

/// Age at which the position of a journal that no longer moves is forgotten. A journal in use moves every day.
/// Without its position, a copy from a backup would be shipped again.
const JOURNAL_RETENTION: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Interval of beats. After a failover, redirectors look up the codes whose changes followed the last beat.
const BEAT: Duration = Duration::from_secs(1);

/// Interval of the upkeep without which the store slows down.
const MINUTE: Duration = Duration::from_secs(60);

/// Interval at which old rows are deleted.
const HOUR: Duration = Duration::from_secs(60 * 60);

/// Writes a beat every second, runs the store's upkeep every minute and deletes old rows every hour, for as long as the
/// future is polled. None waits for another one: a deletion may take longer than a minute.
///
/// Events are deleted only with an `event_retention`. Events, journals and audit entries are first deleted after an hour, so that a clock
/// that is wrong at the start of the machine has been set.
pub async fn maintain_store(store: Arc<dyn AdminStore>, config: AdminConfig, metrics: Metrics) {
    tokio::join!(write_beats(&*store), run_upkeep(&*store), prune(&*store, &config, &metrics));
}

async fn write_beats(store: &dyn AdminStore) {
    let mut is_failing = false;
    loop {
        match store.write_beat().await {
            Ok(()) => is_failing = false,
            // One entry for each outage, not one for each attempt.
            Err(error) if !is_failing => {
                is_failing = true;
                tracing::warn!(%error, "beat was not written; redirectors may load every link after a failover; trying again each second");
            }
            Err(_) => {}
        }
        tokio::time::sleep(BEAT).await;
    }
}

async fn run_upkeep(store: &dyn AdminStore) {
    loop {
        log_result("upkeep of the store", store.run_upkeep().await.map(|()| 0));
        tokio::time::sleep(MINUTE).await;
    }
}

async fn prune(store: &dyn AdminStore, config: &AdminConfig, metrics: &Metrics) {
    loop {
        log_result("deletion of old changes", store.prune_changes(CHANGE_RETENTION).await);
        tokio::time::sleep(HOUR).await;
        log_result("deletion of old journal positions", store.delete_old_journals(JOURNAL_RETENTION).await);
        if let Some(keep) = config.audit_retention {
            log_result("deletion of old audit entries", store.delete_old_audit(keep).await);
        }
        if let Some(keep) = config.event_retention {
            delete_old_events(store, keep, metrics).await;
        }
    }
}

async fn delete_old_events(store: &dyn AdminStore, keep: Duration, metrics: &Metrics) {
    match store.delete_old_events(keep).await {
        Ok(RetentionOutcome::Deleted(events)) => {
            metrics.retention_refused.set(0);
            log_result("deletion of old events", Ok(events));
        }
        Ok(RetentionOutcome::Refused) => {
            metrics.retention_refused.set(1);
            tracing::error!(
                retention = ?keep,
                "even the newest event is older than EVENT_RETENTION; no event is deleted; check the clock of the \
                 database; the next attempt is in an hour"
            );
        }
        // An error tells nothing about the clock, so the metric stays.
        Err(error) => log_result("deletion of old events", Err(error)),
    }
}

fn log_result(task: &str, result: Result<u64>) {
    match result {
        Ok(0) => {}
        Ok(rows) => tracing::info!(task, rows, "maintenance of the store done"),
        Err(error) => tracing::warn!(task, %error, "maintenance of the store failed; it runs again later"),
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;
    use tern_common::event::{EventFilter, EventRow, EventType};
    use tern_common::store::{Load, NumberedRow, Page, SqliteStore, Total};
    use tern_common::url::UrlRow;
    use tern_common::user::{Email, UserRow, Username};
    use tern_common::{Id, ShortCode, TargetUrl, Timestamp};

    use super::*;

    async fn load<T>(store: &SqliteStore, row: T, of: impl FnOnce(tern_common::store::Batches<T>) -> Load) {
        let (batches, receiver) = tokio::sync::mpsc::channel(2);
        batches.send(Ok(vec![NumberedRow { line: 2, row }])).await.unwrap();
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
    async fn retention_that_would_delete_every_event_deletes_none_and_sets_its_metric() {
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
            options: Default::default(),
            labels: Default::default(),
            revision: None,
            imported_clicks: 0,
            created_at,
            updated_at: created_at,
        };
        load(&store, url, Load::Urls).await;
        load(&store, event(id, Timestamp::ago(3 * HOUR)), Load::Events).await;
        let total = async || {
            let page = Page::first(1);
            store.list_events(EventFilter::default(), page).await.unwrap().total
        };
        delete_old_events(&store, HOUR, &metrics).await;
        assert_eq!((total().await, metrics.retention_refused.get()), (Total::Exactly(1), 1));
        load(&store, event(id, Timestamp::now()), Load::Events).await;
        delete_old_events(&store, HOUR, &metrics).await;
        assert_eq!((total().await, metrics.retention_refused.get()), (Total::Exactly(1), 0));
    }
}
