//! Measures the cost of recording a click: appending a record to a mapped ring, with its segments and syncs, and
//! without shipping.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use prometheus::Registry;
use tern_common::Id;
use tern_redirector::clicks::journal::{JournalThreads, NewClick, Sent};
use tern_redirector::clicks::{JournalConfig, Network, Recorder, start};
use tern_redirector::metrics::ClickMetrics;
use tern_redirector::misses::Misses;

use crate::figures::Figure;

/// Number of clicks in a row before a pause.
const BURST: u32 = 64;

/// Number of bursts: some 80 MiB of clicks.
const BURSTS: u32 = 5_000;

/// A journal in a directory of its own.
#[derive(Debug)]
struct JournalFixture {
    recorder: Recorder,
    journal_threads: JournalThreads,
    _directory: tempfile::TempDir,
}

impl JournalFixture {
    fn create() -> Result<JournalFixture> {
        let directory = tempfile::tempdir()?;
        let config = JournalConfig {
            root: directory.path().join("clicks"),
            segment: 4 << 20,
            limit: 64 << 30,
            floor: Some(0),
            sync_every: Duration::from_millis(100),
            keep_shipped: Duration::from_secs(900),
            events_per_network: 0,
            geoip_file: None,
        };
        let (misses, metrics) = (Arc::new(Misses::new(1)), ClickMetrics::new(&Registry::new()));
        let (recorder, journal_threads, _shipper) = start(&config, 1, misses, Arc::default(), metrics)?;
        Ok(JournalFixture { recorder, journal_threads, _directory: directory })
    }

    /// Records `clicks` in bursts, at a pace that a server can reach; returns the time spent recording.
    fn record(&self, clicks: u64) -> Duration {
        let click = click();
        let (mut spent, mut left) = (Duration::ZERO, clicks);
        while left > 0 {
            let burst = left.min(u64::from(BURST));
            let started = Instant::now();
            for _ in 0..burst {
                self.recorder.record(&click, 0);
            }
            spent += started.elapsed();
            left -= burst;
            let resume = Instant::now() + Duration::from_micros(250);
            while Instant::now() < resume {
                std::hint::spin_loop();
            }
        }
        spent
    }

    fn close(self) {
        self.recorder.close();
        self.journal_threads.finish();
    }
}

/// Returns the nanoseconds of a click: the median over bursts, with minimum and maximum.
pub fn measure() -> Result<Figure> {
    let fixture = JournalFixture::create()?;
    let burst = || fixture.record(BURST.into()).as_secs_f64() * 1e9 / f64::from(BURST);
    let figure = Figure::of((0..BURSTS).map(|_| burst()));
    fixture.close();
    figure.context("nothing was measured")
}

/// Returns a browser's click on a link of ordinary length.
fn click() -> NewClick<'static> {
    NewClick {
        url_id: Id::new(123_456).expect("the id is positive"),
        owner_id: Id::new(42).expect("the id is positive"),
        short_code: "Lh1hFP",
        choice: None,
        original_url: "https://opal.example/lantern/cobalt-7c1d/harbor?ref=newsletter",
        at_micros: 1_700_000_000_000_000,
        client: Network::of([203, 0, 113, 7].into()),
        sent: Sent {
            user_agent:
                b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36",
            referrer: b"https://news.example/",
            language: *b"en\0",
            ..Sent::default()
        },
    }
}
