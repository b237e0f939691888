//! A look-up in each map: a hit, a miss and a 410, in a small map and in a large one.

use criterion::{Criterion, criterion_group, criterion_main};
use tern_bench::maps::{Dash, Map, Ours, Papaya, Reader};
use tern_bench::sample::{Kind, queries, text};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Ten million take minutes to load; `map look-ups 10000000` measures them, in turns.
const SIZES: [u64; 2] = [2_000, 1_000_000];

fn look_ups<M: Map>(criterion: &mut Criterion, links: u64) {
    let map = M::load(links);
    let reader = map.reader();
    for kind in Kind::ALL {
        let queries = queries(kind, links, 1 << 16);
        let mut codes = queries.iter().cycle();
        let mut reply = Vec::with_capacity(1 << 12);
        let name = format!("{kind:?}/{}/{links}", M::NAME);
        criterion.bench_function(&name, |bencher| {
            bencher.iter(|| {
                reply.clear();
                codes.next().is_some_and(|code| reader.answer(text(code), &mut reply))
            });
        });
    }
}

fn map(criterion: &mut Criterion) {
    for links in SIZES {
        look_ups::<Dash>(criterion, links);
        look_ups::<Papaya>(criterion, links);
        look_ups::<Ours>(criterion, links);
    }
}

criterion_group!(benches, map);
criterion_main!(benches);
