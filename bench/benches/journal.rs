//! What a click costs the redirect path; see [`tern_bench::append`].

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tern_bench::append::Desk;

fn append(criterion: &mut Criterion) {
    let desk = Desk::set().expect("a directory for the journal");
    let mut group = criterion.benchmark_group("journal");
    group.throughput(Throughput::Elements(1));
    group.bench_function("append", |bencher| bencher.iter_custom(|clicks| desk.record(clicks)));
    group.finish();
    desk.close();
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(4)).warm_up_time(Duration::from_secs(1));
    targets = append
}
criterion_main!(benches);
