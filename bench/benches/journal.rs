//! What a click costs the redirect path: a record appended to a mapped file, new segments and background syncs included.

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use prometheus::Registry;
use tern_common::Id;
use tern_redirector::clicks::journal::Answered;
use tern_redirector::clicks::{JournalConfig, Network, start};
use tern_redirector::metrics::ClickMetrics;

/// A browser's click on a link of ordinary length.
fn click() -> Answered<'static> {
    Answered {
        url_id: Id::new(123_456).expect("it is positive"),
        owner_id: Id::new(42).expect("it is positive"),
        short_code: "Lh1hFP",
        original_url: "https://opal.example/lantern/cobalt-7c1d/harbor?ref=newsletter",
        at_micros: 1_700_000_000_000_000,
        client: Network::of([203, 0, 113, 7].into()),
        user_agent:
            b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36",
        referrer: b"https://news.example/",
    }
}

fn append(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a directory for the journal");
    let config = JournalConfig {
        root: directory.path().join("clicks"),
        segment: 4 << 20,
        limit: 64 << 30,
        floor: 0,
        sync_every: Duration::from_millis(100),
        keep_shipped: Duration::from_secs(900),
    };
    // Nobody ships: what is measured is what a worker does.
    let (recorder, keeper, _shipper) = start(&config, 1, ClickMetrics::new(&Registry::new())).expect("a thread");
    let mut group = criterion.benchmark_group("journal");
    group.throughput(Throughput::Elements(1));
    let click = click();
    group.bench_function("append", |bencher| {
        bencher.iter_custom(|iterations| {
            let mut spent = Duration::ZERO;
            let mut left = iterations;
            while left > 0 {
                // At a pace that a server can reach: a burst of some hundred, then whatever else it does.
                let burst = left.min(256);
                let started = Instant::now();
                for _ in 0..burst {
                    recorder.record(&click, 0);
                }
                spent += started.elapsed();
                left -= burst;
                let resume = Instant::now() + Duration::from_micros(500);
                while Instant::now() < resume {
                    std::hint::spin_loop();
                }
            }
            spent
        });
    });
    group.finish();
    recorder.close();
    keeper.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(4)).warm_up_time(Duration::from_secs(1));
    targets = append
}
criterion_main!(benches);
