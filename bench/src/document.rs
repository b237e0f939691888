//! Writes a run as a document: results, method, machine, and goals.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;

use crate::charts::{Bars, Lines};
use crate::figures::{Figure, thousands};
use crate::goals;
use crate::measurements::{Case, Measurements, Size, Turns, find};
use crate::servers::Kind;
use crate::turns::{CONNECTIONS, Latencies, Peak};
use crate::workload::mean_payload;

/// Writes `PERFORMANCE_REPORT.md` and its charts into `directory`.
pub fn write(run: &Measurements, directory: &Path) -> Result<()> {
    let charts = directory.join("performance");
    std::fs::create_dir_all(&charts)?;
    draw(run, &charts)?;
    std::fs::write(directory.join("PERFORMANCE_REPORT.md"), document(run))?;
    Ok(())
}

fn has_sizes(run: &Measurements) -> bool {
    run.plan.sizes.len() > 1
}

fn draw(run: &Measurements, directory: &Path) -> Result<()> {
    let bars = |turns: &[Turns<Peak>], of: fn(Peak) -> f64| {
        let bar = |turns: &Turns<Peak>| Some((turns.case.name(), turns.figure(of)?));
        turns.iter().filter_map(bar).collect::<Vec<_>>()
    };
    let title = "CPU per request, microseconds, one worker (less is better)";
    Bars { title, digits: 2, bars: bars(&run.one, |peak| peak.serving) }.draw(&directory.join("cpu.svg"))?;
    let title = "Requests a second, one worker";
    Bars { title, digits: 0, bars: bars(&run.one, |peak| peak.per_second) }.draw(&directory.join("throughput.svg"))?;
    let title = "CPU per request, microseconds, two workers (less is better)";
    Bars { title, digits: 2, bars: bars(&run.two, |peak| peak.serving) }.draw(&directory.join("cpu-two.svg"))?;
    let quantiles: [fn(Latencies) -> f64; 4] = [|l| l.p50, |l| l.p90, |l| l.p99, |l| l.p999];
    let line = |turns: &Turns<Latencies>| {
        let medians = quantiles.iter().filter_map(|of| Some(turns.figure(of)?.median));
        (turns.case.kind, medians.collect())
    };
    let lines = Lines {
        title: &format!("Latency at {} requests a second, microseconds", thousands(run.rate, 0)),
        points: ["p50", "p90", "p99", "p99.9"].map(str::to_owned).into(),
        lines: run.steady.iter().map(line).collect(),
        log: true,
    };
    lines.draw(&directory.join("latency.svg"))?;
    if has_sizes(run) {
        draw_sizes(run, directory)?;
    }
    Ok(())
}

fn draw_sizes(run: &Measurements, directory: &Path) -> Result<()> {
    let kinds = [Kind::NginxLog, Kind::HaProxy, Kind::Tern];
    let line = |kind: Kind| {
        let sizes = run.sizes.iter().filter(move |size| size.kind == kind);
        let medians = sizes.filter_map(|size| Some(Figure::of(size.serving())?.median));
        (kind, medians.collect())
    };
    let lines = Lines {
        title: "CPU per request by number of links, microseconds",
        points: run.plan.sizes.iter().map(|links| thousands(*links as f64, 0)).collect(),
        lines: kinds.map(line).into(),
        log: false,
    };
    lines.draw(&directory.join("links.svg"))?;
    let bar = |size: &Size| {
        let bytes = run.bytes_per_link(size, size.resident)?;
        let name = format!("{}, {}", short(size.kind), thousands(size.links as f64, 0));
        Some((name, Figure::of([bytes])?))
    };
    let mut bars: Vec<_> = run.sizes.iter().filter_map(bar).collect();
    let payload = run.plan.sizes.last().map_or(0.0, |links| mean_payload((*links).min(1_000_000)));
    bars.extend(Figure::of([payload]).map(|figure| ("code and target alone".to_owned(), figure)));
    let title = "Memory per link, bytes (less is better)";
    Bars { title, digits: 0, bars }.draw(&directory.join("memory.svg"))
}

fn short(kind: Kind) -> &'static str {
    kind.name().split(',').next().unwrap_or_default()
}

fn document(run: &Measurements) -> String {
    let mut text = String::from("# Performance report\n\n");
    text += &format!(
        "`{}` wrote this file; do not edit it.\n\
         The run began at {} and ended at {}.\n\n",
        run.plan.command, run.began, run.ended
    );
    text += &method(run);
    text += &goals_table(run);
    text += "## CPU per request and throughput, one worker\n\n";
    text += &format!(
        "{} links; wrk requests random ones over {CONNECTIONS} connections, {} rounds of {} s for each server: \
         `wrk -t1 -c{CONNECTIONS} -d{}s -s bench/codes.lua http://127.0.0.1:PORT -- CODES`.\n\
         \"Serving\" is the CPU time of the threads that answer or write journals.\n\
         \"Control\" is that of Tern's threads that store the clicks in PostgreSQL, until the last click is stored.\n\
         \"Sleeps\" are those of the serving threads for each 1,000 requests.\n\
         With clicks on, control threads and PostgreSQL take processor time from wrk, which then sends fewer requests a \
         second, and each of them costs less.\n\
         So compare answers without a click with the row of clicks off.\n\n",
        thousands(run.plan.sizes[0] as f64, 0),
        run.plan.rounds,
        run.plan.seconds,
        run.plan.seconds
    );
    text += &peaks_table(&run.one);
    text += "\n![CPU per request](performance/cpu.svg)\n\n![Requests a second](performance/throughput.svg)\n\n";
    text += "## Latency at half of peak\n\n";
    text += &format!(
        "The open-loop generator sends every server {} requests a second over {CONNECTIONS} connections, half of \
         Tern's highest rate with clicks on.\n\
         There are {} rounds of {} s, each after one second that does not count: \
         `generator --address 127.0.0.1:PORT --codes CODES --connections {CONNECTIONS} --rate {} --seconds {}`.\n\
         A latency counts from the time at which the request was due, not from the time at which it was sent \
         (coordinated omission).\n\
         The unit is microseconds.\n\
         \"Sent late\" is the 99th percentile of the delay of requests, caused by the generator or by a lack of free \
         connections.\n\n",
        thousands(run.rate, 0),
        run.plan.steady_rounds,
        run.plan.steady_seconds,
        run.rate,
        run.plan.steady_seconds
    );
    text += &latency_table(&run.steady);
    text += "\n![Latency](performance/latency.svg)\n\n## Two workers\n\n";
    text += &format!(
        "The same with two workers and two threads of wrk (`-t2`), {} rounds.\n{}\n",
        run.plan.fewer_rounds,
        if run.machine.cores < 4 {
            format!(
                "This machine has {} cores, so two workers share them with wrk and, if clicks are stored, with \
                 PostgreSQL.\n\
                 These figures therefore show the cost of a request, and not what the second worker adds to \
                 throughput.\n",
                run.machine.cores
            )
        } else {
            String::new()
        }
    );
    text += &peaks_table(&run.two);
    text += &format!("\n{}\n![CPU per request, two workers](performance/cpu-two.svg)\n\n", scaling(run));
    if has_sizes(run) {
        text += &sizes_section(run);
    }
    text += &idle_section(run);
    text
}

fn method(run: &Measurements) -> String {
    let machine = &run.machine;
    let versions: Vec<_> = run.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    format!(
        "## How to read it\n\n\
         A figure with a range in brackets is a median with its minimum and maximum; a figure without a range was \
         measured once.\n\
         In each round every server is measured once, in turns, so that disturbances of the machine affect all of them.\n\
         Ratios are computed for each round; ratios of two workers to one are of medians.\n\
         A goal is met if every round met it, missed if every round missed it, and otherwise in doubt.\n\
         CPU per request (user and system, from `/proc/<pid>/task/*/stat`) is the most reliable figure: it is stable \
         while the load generator uses the same machine.\n\
         Compare rows only with rows of this report.\n\n\
         | | |\n|---|---|\n\
         | machine | {} cores ({}), {:.0} GiB, Linux {} |\n\
         | cores that other programs used when a turn began | {} |\n\
         | other programs | {} |\n\
         | links | codes of 6 characters, targets of 36 to 75; every eighth link is inactive |\n\
         | Tern | release build, over PostgreSQL and Redis on the same machine; PostgreSQL does not sync its disk, and has the lowest priority during a turn, because it represents another machine |\n\
         | floor | an epoll loop that finds the end of a head and answers a constant 302 as long as Tern's |\n\
         | may_minihttp | a constant 302 |\n\
         | nginx | `map`, `return 302`; without a log, and with `access_log ... buffer=64k` |\n\
         | HAProxy | map file, `http-request redirect` |\n\n\
         Before it answers, Tern checks every header, looks up the link and, with clicks on, writes a record that \
         survives the process.\n\
         The floor and may_minihttp do none of that; nginx logs to memory; HAProxy records nothing.\n\n",
        machine.cores,
        machine.processor,
        machine.memory_gib,
        machine.kernel,
        cell(run.others, 2),
        versions.join(", "),
    )
}

fn goals_table(run: &Measurements) -> String {
    let mut text = String::from("## Goals\n\n| what | goal | yardstick | result | met |\n|---|---|---|---|---|\n");
    for row in goals::rows(run) {
        let goals::Row { what, goal, yardstick, result, verdict } = row;
        text += &format!("| {what} | {goal} | {yardstick} | {result} | {} |\n", verdict.word());
    }
    text + "\n[0036-what-limits-redirect-throughput](decisions/0036-what-limits-redirect-throughput.md) \
            explains missed goals and lists the attempted improvements.\n\n"
}

fn peaks_table(turns: &[Turns<Peak>]) -> String {
    let floor = find(turns, Case::hits(Kind::Floor));
    let mut text = String::from(
        "| server | CPU serving, us | x floor | CPU control, us | sleeps | requests/s |\n|---|---|---|---|---|---|\n",
    );
    for row in turns {
        let serving = |peak: Peak| peak.serving;
        let to_floor = floor.and_then(|floor| Figure::ratio(&row.each(serving), &floor.each(serving)));
        let control = row.figure(|peak| peak.control).filter(|control| control.most > 0.0);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            row.case.name(),
            cell(row.figure(serving), 2),
            cell(to_floor, 2),
            cell(control, 2),
            cell(row.figure(|peak| peak.sleeps), 0),
            cell(row.figure(|peak| peak.per_second), 0)
        );
    }
    text
}

fn cell(figure: Option<Figure>, digits: usize) -> String {
    figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.digits$}"))
}

fn latency_table(turns: &[Turns<Latencies>]) -> String {
    let mut text =
        String::from("| server | p50 | p90 | p99 | p99.9 | most | sent late |\n|---|---|---|---|---|---|---|\n");
    for row in turns {
        let columns: [fn(Latencies) -> f64; 6] =
            [|l| l.p50, |l| l.p90, |l| l.p99, |l| l.p999, |l| l.most, |l| l.sent_late_p99];
        let cells: Vec<_> = columns.iter().map(|of| cell(row.figure(of), 0)).collect();
        text += &format!("| {} | {} |\n", row.case.name(), cells.join(" | "));
    }
    text
}

fn scaling(run: &Measurements) -> String {
    let mut text =
        String::from("| server | CPU per request, two workers to one | requests/s, two to one |\n|---|---|---|\n");
    for two in &run.two {
        let Some(one) = find(&run.one, two.case) else { continue };
        let ratio = |of: fn(Peak) -> f64| Some(two.figure(of)?.median / one.figure(of)?.median);
        let cell = |ratio: Option<f64>| ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2} x"));
        let (cost, rate) = (ratio(|peak| peak.serving), ratio(|peak| peak.per_second));
        text += &format!("| {} | {} | {} |\n", two.case.name(), cell(cost), cell(rate));
    }
    text
}

fn sizes_section(run: &Measurements) -> String {
    let mut text = format!(
        "## From {} to {} links\n\n\
         One worker, {} rounds of {} s, all of these servers in turns.\n\
         The requested codes are an evenly distributed part of the links, at most 500,000.\n\
         Memory per link is the difference to the process with the fewest links, divided by the difference in links.\n\
         \"Load\" is the time from the start of the process until it can answer; Tern loads all links from PostgreSQL.\n\n\
         | server | links | CPU serving, us | memory, MiB | memory per link, bytes | code and target, bytes | load, s |\n\
         |---|---|---|---|---|---|---|\n",
        thousands(run.plan.sizes[0] as f64, 0),
        thousands(*run.plan.sizes.last().unwrap_or(&0) as f64, 0),
        run.plan.fewer_rounds,
        run.plan.seconds
    );
    for size in &run.sizes {
        let per_link = run.bytes_per_link(size, size.resident);
        text += &format!(
            "| {} | {} | {} | {} | {} | {:.1} | {} |\n",
            size.kind.name(),
            thousands(size.links as f64, 0),
            cell(Figure::of(size.serving()), 2),
            thousands(size.resident as f64 / f64::from(1 << 20), 0),
            per_link.map_or_else(|| "-".to_owned(), |bytes| format!("{bytes:.1}")),
            mean_payload(size.links.min(1_000_000)),
            cell(Figure::of(size.starts.iter().map(|time| time.as_secs_f64())), 2),
        );
    }
    text += "\n![CPU per request by number of links](performance/links.svg)\n\n![Memory](performance/memory.svg)\n\n";
    text += &loads_section(run);
    text
}

fn loads_section(run: &Measurements) -> String {
    let mut text = String::from(
        "## Load times of Tern\n\n\
         Three commands run in turns: `psql -c \"\\copy (SELECT ... FROM urls) to /dev/null\"`, a start that loads the \
         same rows from PostgreSQL, and a start from the snapshot file of that process.\n\n\
         | links | psql, s | full load, s | rows/s, relative to psql | from the file, s | memory per link after it, bytes |\n\
         |---|---|---|---|---|---|\n",
    );
    for size in run.sizes.iter().filter(|size| size.kind == Kind::Tern) {
        let seconds = |times: &[std::time::Duration]| times.iter().map(|time| time.as_secs_f64()).collect::<Vec<_>>();
        let (psql, full) = (seconds(&size.psql), seconds(&size.starts));
        let restarted = size.resident_restarted.and_then(|resident| run.bytes_per_link(size, resident));
        text += &format!(
            "| {} | {} | {} | {} x | {} | {} |\n",
            thousands(size.links as f64, 0),
            cell(Figure::of(psql.iter().copied()), 2),
            cell(Figure::of(full.iter().copied()), 2),
            cell(Figure::ratio(&psql, &full), 2),
            cell(Figure::of(seconds(&size.restarts)), 2),
            restarted.map_or_else(|| "-".to_owned(), |bytes| format!("{bytes:.1}")),
        );
    }
    text + "\n"
}

fn idle_section(run: &Measurements) -> String {
    let idle = run.idle;
    format!(
        "## Idle connections\n\n\
         {} idle connections, each after one redirect: the process uses {:.1} KiB for each, of which {:.1} KiB are used \
         pages of the stack of its coroutine.\n\
         The memory of the kernel for a socket is not included.\n",
        idle.connections,
        idle.resident / 1024.0,
        idle.stack / 1024.0
    )
}
