//! The figures of the map, beside dashmap and papaya: `map look-ups|memory|replacement|start [links]`.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use tern_bench::figures::Figure;
use tern_bench::maps::{Dash, Map, Ours, Papaya, Reader, replacement};
use tern_bench::measure::{Counting, allocated, answers, processor_time, resident, time};
use tern_bench::sample::{self, Kind, queries};
use tern_redirector::link_map::LinkMap;
use tern_redirector::replica::file;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ROUNDS: usize = 9;
const QUERIES: usize = 1 << 20;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().context("map look-ups|memory|replacement|start [links]")?;
    let links: u64 = arguments.next().map_or(Ok(1_000_000), |links| links.parse())?;
    match what.as_str() {
        "look-ups" => look_ups(links)?,
        "memory" => memory(links)?,
        "memory-of-dashmap" => memory_of::<Dash>(links),
        "memory-of-papaya" => memory_of::<Papaya>(links),
        "memory-of-ours" => memory_of::<Ours>(links),
        "replacement" => replacement_while_serving(links),
        "start" => start(links)?,
        other => bail!("{other} is not measured"),
    }
    Ok(())
}

/// In turns, on one thread; then while another thread changes a thousand links a second.
fn look_ups(links: u64) -> Result<()> {
    println!(
        "{links} links, ns of the processor for a look-up with its copy into the reply: median (least to most) of {ROUNDS} turns"
    );
    println!("  a pin alone: {:.1}", figure((0..ROUNDS).map(|_| pins()))?);
    let (mut dash, mut papaya, mut ours) = (Dash::load(links), Papaya::load(links), Ours::load(links));
    for updates in [0, 1_000] {
        for kind in Kind::ALL {
            let queries = queries(kind, links, QUERIES);
            let mut taken: [Vec<f64>; 3] = Default::default();
            for _ in 0..ROUNDS {
                taken[0].push(turn(&mut dash, &queries, links, updates)?);
                taken[1].push(turn(&mut papaya, &queries, links, updates)?);
                taken[2].push(turn(&mut ours, &queries, links, updates)?);
            }
            let [dash, papaya, ours] = taken.map(figure);
            let (dash, papaya, ours) = (dash?, papaya?, ours?);
            print!("  {updates:>4} updates/s {kind:?}:");
            for (name, it) in [(Dash::NAME, dash), (Papaya::NAME, papaya), (Ours::NAME, ours)] {
                print!("  {name} {it:.1}");
            }
            println!("  ours/dashmap {:.2}  ours/papaya {:.2}", ours.median / dash.median, ours.median / papaya.median);
        }
    }
    Ok(())
}

fn figure(values: impl IntoIterator<Item = f64>) -> Result<Figure> {
    Figure::of(values).context("nothing was measured")
}

fn pins() -> f64 {
    let pins = || (0..QUERIES).for_each(|_| drop(std::hint::black_box(crossbeam_epoch::pin())));
    processor_time(pins).1 * 1e9 / QUERIES as f64
}

fn turn<M: Map + Send>(map: &mut M, queries: &[[u8; 6]], links: u64, updates: u64) -> Result<f64> {
    let reader = map.reader();
    if updates == 0 {
        return Ok(answers(&reader, queries));
    }
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut numbers = sample::numbers(links);
            while !is_over.load(Ordering::Relaxed) {
                for n in numbers.by_ref().take(10) {
                    sample::each(n..n + 1, 1, |link| map.put(link));
                }
                std::thread::park_timeout(Duration::from_millis(10_000 / updates));
            }
        });
        // Long enough for updates to happen.
        let started = Instant::now();
        let mut taken = Vec::new();
        while started.elapsed() < Duration::from_millis(200) {
            taken.push(answers(&reader, queries));
        }
        is_over.store(true, Ordering::Relaxed);
        Ok(figure(taken)?.median)
    })
}

/// Each map in a process of its own, so that resident memory means something.
fn memory(links: u64) -> Result<()> {
    for name in [Dash::NAME, Papaya::NAME, Ours::NAME] {
        let output =
            Command::new(std::env::current_exe()?).arg(format!("memory-of-{name}")).arg(links.to_string()).output()?;
        print!("{}", String::from_utf8_lossy(&output.stdout));
    }
    Ok(())
}

fn memory_of<M: Map>(links: u64) {
    let mut payload = 0;
    sample::each(0..links, 0, |link| payload += link.short_code.len() + link.original_url.len());
    let (allocated_before, resident_before) = (allocated(), resident().0);
    let (mut map, took) = time(|| M::load(links));
    let per_link = |bytes: usize| bytes as f64 / links as f64;
    let over = |bytes: usize| per_link(bytes) - per_link(payload);
    let row = |when: &str| {
        println!(
            "{:<8} {links:>9} links, {when}: payload {:.1}, allocated payload + {:.1}, resident payload + {:.1} bytes a link",
            M::NAME,
            per_link(payload),
            over(allocated() - allocated_before),
            over(resident().0.saturating_sub(resident_before)),
        );
    };
    row(&format!("loaded in {took:.2?}"));
    let (changed, took) = time(|| {
        let changes = sample::numbers(links).take(links as usize);
        changes.map(|n| sample::each(n..n + 1, 1, |link| map.put(link))).count()
    });
    row(&format!("after {changed} changes in {took:.2?}"));
    drop(map);
}

/// A second map takes the place of the first while two threads read.
fn replacement_while_serving(links: u64) {
    let Ours(mut writer) = Ours::load(links);
    let resident_before = resident().0;
    let (is_over, longest) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (is_over, longest, map) = (Arc::clone(&is_over), Arc::clone(&longest), Arc::clone(writer.map()));
            let queries = queries(Kind::Hit, links, QUERIES);
            std::thread::spawn(move || {
                let mut reply = Vec::new();
                let mut missed = 0u64;
                for code in queries.iter().cycle().take_while(|_| !is_over.load(Ordering::Relaxed)) {
                    reply.clear();
                    let (found, took) = time(|| map.answer(sample::text(code), &mut reply));
                    longest.fetch_max(took.as_nanos() as u64, Ordering::Relaxed);
                    missed += u64::from(!found);
                }
                missed
            })
        })
        .collect();
    let (filled, filling) = time(|| replacement(links, 1));
    let ((), committing) = time(|| writer.commit(filled));
    // The allocator gives memory back a little later, and only when it is called.
    let ((), sweeping) = time(|| {
        let begun = Instant::now();
        while resident().0 > resident_before * 5 / 4 && begun.elapsed() < Duration::from_secs(5) {
            std::thread::park_timeout(Duration::from_millis(10));
            writer.sweep();
            drop(std::hint::black_box(vec![0u8; 2 << 20]));
        }
    });
    let (after, peak) = resident();
    is_over.store(true, Ordering::Relaxed);
    let missed: u64 = readers.into_iter().map(|reader| reader.join().unwrap_or(u64::MAX)).sum();
    let megabytes = |bytes: usize| bytes >> 20;
    println!(
        "{links} links replaced while two threads read: filled in {filling:.2?}, committed in {committing:.2?}, given back in \
         {sweeping:.2?}; {missed} missed; longest look-up {:?} (a preemption included); resident before {} MiB, at most \
         {} MiB, after {} MiB",
        Duration::from_nanos(longest.load(Ordering::Relaxed)),
        megabytes(resident_before),
        megabytes(peak),
        megabytes(after),
    );
}

/// From the file to the first look-up.
fn start(links: u64) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("links.snapshot");
    let Ours(writer) = Ours::load(links);
    let cursor = "00000000000000ff:7".parse()?;
    let (written, writing) = time(|| file::write(&path, &cursor, UNIX_EPOCH, writer.map()));
    written?;
    drop(writer);
    let rounds = (0..5).map(|_| {
        let (_map, mut writer) = LinkMap::new();
        let (read, reading) = time(|| file::read(&path));
        let stored = read?.context("the file was written")?;
        let ((), committing) = time(|| writer.commit(stored.links));
        anyhow::Ok([reading, committing, reading + committing].map(|time| time.as_secs_f64()))
    });
    let rounds = rounds.collect::<Result<Vec<_>>>()?;
    let [reading, committing, all] = [0, 1, 2].map(|n| figure(rounds.iter().map(|round| round[n])));
    let (reading, committing, all) = (reading?, committing?, all?);
    println!(
        "{links} links, a file of {} MiB, written in {writing:.2?}; s: read and checked {reading:.2}, committed \
         {committing:.2}, {:.2} for each 5,000,000",
        path.metadata()?.len() >> 20,
        all.median * 5e6 / links as f64,
    );
    Ok(())
}
