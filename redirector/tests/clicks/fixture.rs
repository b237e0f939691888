//! A store with links, and the journals of processes that record clicks on them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use tern_common::Id;
use tern_common::event::{EventFilter, EventType};
use tern_common::store::{AdminStore, ListCursor, Page, PageStart, SqliteStore};
use tern_redirector::clicks::journal::{JournalThreads, NewClick, Sent};
use tern_redirector::clicks::{JournalConfig, Network, Recorder, start};
use tern_redirector::metrics::ClickMetrics;
use tern_redirector::misses::Misses;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::links::{eventually, insert_link, new_store};

/// Small segments, so that a few hundred clicks fill some.
pub const SEGMENT: usize = 64 << 10;

/// A store, a link, and the directory of the journals.
pub struct Fixture {
    pub store: Arc<SqliteStore>,
    pub url_id: Id,
    pub owner: Id,
    pub directory: tempfile::TempDir,
}

/// The journals of one process.
pub struct Journals {
    pub recorder: Recorder,
    pub registry: Registry,
    journal_threads: JournalThreads,
    shipping: Option<(JoinHandle<u64>, watch::Sender<Option<tokio::time::Instant>>)>,
}

impl Fixture {
    pub async fn create() -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        let (store, owner) = new_store(&directory.path().join("tern.db")).await;
        let url_id = insert_link(&store, owner, "CODE12").await;
        Fixture { store: Arc::new(store), url_id, owner, directory }
    }

    pub async fn insert_url(&self, code: &str) -> Id {
        insert_link(&*self.store, self.owner, code).await
    }

    pub fn database(&self) -> PathBuf {
        self.directory.path().join("tern.db")
    }

    pub fn config(&self) -> JournalConfig {
        JournalConfig {
            root: self.directory.path().join("clicks"),
            segment: SEGMENT,
            limit: 1 << 30,
            floor: Some(0),
            sync_every: Duration::from_millis(20),
            keep_shipped: Duration::from_secs(900),
            events_per_network: 0,
            geoip_file: None,
        }
    }

    /// Opens journals that no shipper ships, as if the store were unavailable.
    pub fn open_unshipped(&self, config: &JournalConfig) -> Journals {
        self.open_over(config, None)
    }

    pub fn open(&self, config: &JournalConfig) -> Journals {
        self.open_over(config, Some(self.store.clone()))
    }

    pub fn open_over(&self, config: &JournalConfig, store: Option<Arc<dyn AdminStore>>) -> Journals {
        std::fs::create_dir_all(&config.root).unwrap();
        let registry = Registry::new();
        let misses = Arc::new(Misses::new(2));
        let (recorder, journal_threads, shipper) =
            start(config, 2, misses, Arc::default(), ClickMetrics::new(&registry)).unwrap();
        let shipping = store.map(|store| {
            let (stop, stops) = watch::channel(None);
            (tokio::spawn(shipper.run(store, stops)), stop)
        });
        Journals { recorder, registry, journal_threads, shipping }
    }

    /// Returns a click whose referrer is `name`.
    pub fn click<'a>(&self, name: &'a str) -> NewClick<'a> {
        NewClick {
            url_id: self.url_id,
            owner_id: self.owner,
            short_code: "CODE12",
            original_url: "https://example.com/",
            choice: None,
            at_micros: 1_700_000_000_000_000,
            client: Network::of([203, 0, 113, 7].into()),
            sent: Sent {
                user_agent: b"Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/128.0",
                referrer: name.as_bytes(),
                ..Sent::default()
            },
        }
    }

    /// Records clicks named by `numbers`, each until it is in a journal.
    pub fn record(&self, journals: &Journals, numbers: impl Iterator<Item = usize>) {
        for number in numbers {
            while !journals.recorder.record(&self.click(&number.to_string()), number) {
                std::thread::yield_now();
            }
        }
    }

    /// Tries to record a click and returns whether it was recorded.
    pub fn try_record(&self, journals: &Journals, number: usize) -> bool {
        journals.recorder.record(&self.click(&number.to_string()), number)
    }

    /// Returns the number of clicks in the store by name.
    pub async fn names(&self) -> BTreeMap<String, usize> {
        let clicked = EventFilter { event_type: Some(EventType::CLICKED.to_owned()), ..EventFilter::default() };
        let mut names = BTreeMap::new();
        let mut page = Page::first(Page::MAX_SIZE);
        loop {
            let listing = self.store.list_events(clicked.clone(), page).await.unwrap();
            for event in &listing.rows {
                let details: serde_json::Value = serde_json::from_str(event.details.as_str()).unwrap();
                // The event must belong to the link that was followed, even if the database reuses ids.
                let link = self.store.find_url(event.url_id).await.unwrap().unwrap();
                assert_eq!(details["short_code"], link.short_code, "the event belongs to another link");
                *names.entry(details["referrer"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
            }
            let last = listing.rows.last().filter(|_| listing.has_next);
            let Some(last) = last else { break };
            page.start = PageStart::After(ListCursor::at(last.id));
        }
        names
    }

    /// Checks that the store has a click for each of `numbers` once, and no others.
    pub async fn check_exactly(&self, numbers: impl Iterator<Item = usize>) {
        let names = self.names().await;
        let expected: BTreeMap<String, usize> = numbers.map(|number| (number.to_string(), 1)).collect();
        let lost: Vec<_> = expected.keys().filter(|name| !names.contains_key(*name)).take(5).collect();
        let wrong: Vec<_> = names.iter().filter(|(name, count)| expected.get(*name) != Some(*count)).take(5).collect();
        assert!(lost.is_empty() && wrong.is_empty(), "lost {lost:?}, twice or unknown {wrong:?}");
    }
}

impl Journals {
    pub fn metric(&self, series: &str) -> f64 {
        let text = tern_common::telemetry::metrics_text(&self.registry);
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or_else(|| panic!("no series {series}"))
    }

    fn dropped(&self) -> f64 {
        let text = tern_common::telemetry::metrics_text(&self.registry);
        let of = |line: &str| line.strip_prefix("tern_clicks_dropped_total{")?.split(' ').nth(1)?.parse::<f64>().ok();
        text.lines().filter_map(of).sum()
    }

    /// Waits until every click is in the store and the counters add up.
    pub async fn check_all_shipped(&self) {
        eventually("every click is shipped, and all are accounted for", async || {
            let came = self.recorder.accepted() as f64
                + self.metric("tern_clicks_taken_over_total")
                + self.metric("tern_clicks_shipped_again_total");
            let went =
                self.metric("tern_clicks_committed_total") + self.dropped() + self.metric("tern_clicks_parked_total");
            self.recorder.pending() == 0 && (came - went).abs() < 0.5
        })
        .await;
    }

    /// Ends as a process does on shutdown; returns how many clicks are left in the journals.
    pub async fn close(self) -> u64 {
        let left = match self.shipping {
            Some((shipping, stop)) => {
                stop.send_replace(Some(tokio::time::Instant::now() + Duration::from_secs(30)));
                shipping.await.unwrap()
            }
            None => self.recorder.pending(),
        };
        tokio::task::spawn_blocking(move || {
            self.recorder.close();
            self.journal_threads.finish();
        })
        .await
        .unwrap();
        left
    }

    /// Ends as a killed process does, except that its locks are released and its tails written to segments. Nothing is
    /// finished, and running calls to the store are aborted.
    pub async fn end_as_if_killed(self) {
        if let Some((shipping, _stop)) = self.shipping {
            shipping.abort();
            let _ = shipping.await;
        }
        tokio::task::spawn_blocking(move || self.journal_threads.finish()).await.unwrap();
    }
}
