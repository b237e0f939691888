//! The course of a run.
//!
//! The machine's speed varies, so servers take turns: each round measures every one.

use std::path::Path;

use anyhow::{Context, Result};

use crate::append;
use crate::cost::resident;
use crate::environment::{Environment, Links};
use crate::idle;
use crate::machine::{Machine, now, version};
use crate::measurements::{Case, Measurements, Plan, Size, Turns, find};
use crate::servers::{Kind, Server, data};
use crate::turns::{Latencies, Peak, peak, steady};
use crate::workload::RequestKind;

/// Returns the cases at the smallest number of links.
fn cases() -> Vec<Case> {
    let others = RequestKind::ALL
        .into_iter()
        .filter(|request_kind| *request_kind != RequestKind::Hits)
        .map(|request_kind| Case { kind: Kind::Tern, request_kind });
    Kind::ALL.map(Case::hits).into_iter().chain(others).collect()
}

/// Measures everything in the plan.
pub fn run(plan: Plan, binaries: &Path) -> Result<Measurements> {
    let began = now();
    let environment = Environment::create(binaries)?;
    let smallest = *plan.sizes.first().context("no links to measure with")?;
    let links = environment.links(smallest)?;
    print_progress(&format!("{smallest} links, one worker: {} rounds of {} s", plan.rounds, plan.seconds));
    let servers = Fleet::start(&environment, &links, 1)?;
    let one = servers.peaks(&cases(), plan.rounds, plan.seconds)?;
    let rate = rate(&one)?;
    print_progress(&format!("the same at {rate:.0} requests a second: {} rounds", plan.steady_rounds));
    let steady = servers.measure_latencies(&plan, rate)?;
    // Without clicks, so that only connections change the memory.
    let idle = idle::measure(servers.of_kind(Kind::TernWithoutClicks)?)?;
    drop(servers);
    print_progress("two workers");
    let servers = Fleet::start(&environment, &links, 2)?;
    let two = servers.peaks(&Kind::ALL.map(Case::hits), plan.fewer_rounds, plan.seconds)?;
    drop(servers);
    let sizes = sizes(&environment, links, &plan)?;
    Ok(Measurements {
        plan,
        machine: Machine::this()?,
        versions: [("nginx", "-v"), ("haproxy", "-v"), ("wrk", "-v"), ("psql", "-V"), ("redis-server", "-v")]
            .map(|(program, argument)| (program, version(program, argument)))
            .into(),
        began,
        ended: now(),
        others: environment.others(),
        one,
        two,
        rate,
        steady,
        sizes,
        idle,
        append: append::measure()?,
    })
}

/// Returns half of Tern's highest rate, for every server: latencies at different rates are not comparable.
fn rate(one: &[Turns<Peak>]) -> Result<f64> {
    let tern = find(one, Case::hits(Kind::Tern)).and_then(|turns| turns.figure(|peak| peak.per_second));
    Ok((tern.context("Tern was not measured")?.median / 2.0).round())
}

/// One server of each kind, with the same links and number of workers.
struct Fleet<'a> {
    environment: &'a Environment,
    links: &'a Links,
    workers: usize,
    servers: Vec<Server>,
}

impl<'a> Fleet<'a> {
    fn start(environment: &'a Environment, links: &'a Links, workers: usize) -> Result<Fleet<'a>> {
        let place = |kind| data(environment, kind, &format!("{workers}-workers"));
        let start = |kind| Server::start(environment, links, kind, workers, &place(kind));
        let servers = Kind::ALL.into_iter().map(start).collect::<Result<_>>()?;
        Ok(Fleet { environment, links, workers, servers })
    }

    fn of_kind(&self, kind: Kind) -> Result<&Server> {
        self.servers.iter().find(|server| server.kind == kind).context("a server that was not started")
    }

    /// Measures peaks under wrk, with a thread for each worker.
    fn peaks(&self, cases: &[Case], rounds: usize, seconds: u32) -> Result<Vec<Turns<Peak>>> {
        let mut turns: Vec<Turns<Peak>> = cases.iter().copied().map(Turns::new).collect();
        for _ in 0..rounds {
            for turns in &mut turns {
                let Case { kind, request_kind } = turns.case;
                let peak = peak(
                    self.environment,
                    self.of_kind(kind)?,
                    request_kind,
                    &self.links.codes(request_kind),
                    seconds,
                    self.workers,
                )?;
                print_peak(&turns.case.name(), peak);
                turns.rounds.push(peak);
            }
        }
        Ok(turns)
    }

    /// Measures latencies under the generator.
    fn measure_latencies(&self, plan: &Plan, rate: f64) -> Result<Vec<Turns<Latencies>>> {
        let mut turns: Vec<Turns<Latencies>> = Kind::ALL.map(Case::hits).map(Turns::new).into();
        for round in 0..plan.steady_rounds {
            for turns in &mut turns {
                let Case { kind, request_kind } = turns.case;
                let (server, codes, seed) = (self.of_kind(kind)?, self.links.codes(request_kind), round as u64 + 1);
                let seen = steady(self.environment, server, request_kind, &codes, plan.steady_seconds, rate, seed)?;
                let Latencies { p50, p99, p999, .. } = seen;
                let name = server.name();
                print_progress(&format!("  {name:<26} p50 {p50:>7.0} us, p99 {p99:>7.0} us, p99.9 {p999:>7.0} us"));
                turns.rounds.push(seen);
            }
        }
        Ok(turns)
    }
}

/// Servers that are measured with more links. Beyond these numbers nginx needs minutes to prepare its map, and HAProxy
/// gigabytes.
const SCALING: [(Kind, u64); 3] = [(Kind::Tern, u64::MAX), (Kind::NginxLog, 100_000), (Kind::HaProxy, 1_000_000)];

/// Loads each number of links, then measures all of these servers in turns.
fn sizes(environment: &Environment, smallest: Links, plan: &Plan) -> Result<Vec<Size>> {
    let mut measured = Vec::new();
    let mut smallest = Some(smallest);
    for count in plan.sizes.iter().copied() {
        print_progress(&format!("{count} links: loading"));
        let links = smallest.take().map_or_else(|| environment.links(count), Ok)?;
        for (kind, _) in SCALING.into_iter().filter(|(_, most)| count <= *most) {
            let mut size = Size::new(kind, count);
            let server = load(environment, &links, plan, &mut size)?;
            measured.push((size, server, links.codes(RequestKind::Hits)));
        }
    }
    for _ in 0..if plan.sizes.len() > 1 { plan.fewer_rounds } else { 0 } {
        for (size, server, codes) in &mut measured {
            let peak = peak(environment, server, RequestKind::Hits, codes, plan.seconds, 1)?;
            print_peak(&format!("{}, {} links", server.name(), size.links), peak);
            size.peaks.push(peak);
        }
    }
    Ok(measured.into_iter().map(|(size, ..)| size).collect())
}

/// Starts a server as often as planned; returns the last one, which has made a full load.
fn load(environment: &Environment, links: &Links, plan: &Plan, size: &mut Size) -> Result<Server> {
    let (kind, loads) = (size.kind, if size.kind == Kind::Tern { plan.loads } else { 1 });
    for n in 1..=loads {
        if kind == Kind::Tern {
            size.psql.push(environment.time_psql(links)?);
        }
        let place = data(environment, kind, &format!("{}-links-{n}", links.count));
        let server = Server::start(environment, links, kind, 1, &place)?;
        size.starts.push(server.started_in);
        size.resident = resident(server.pid())?;
        if n == loads {
            return Ok(server);
        }
        // The end of the process writes the snapshot file, if it is not written yet.
        server.stop()?;
        let server = Server::start(environment, links, kind, 1, &place)?;
        size.restarts.push(server.started_in);
        size.resident_restarted = Some(resident(server.pid())?);
        server.stop()?;
        let seconds = |all: &[std::time::Duration]| all.last().map_or(0.0, std::time::Duration::as_secs_f64);
        print_progress(&format!(
            "  psql {:.2} s, full load {:.2} s, from the file {:.2} s",
            seconds(&size.psql),
            seconds(&size.starts),
            seconds(&size.restarts)
        ));
    }
    anyhow::bail!("a plan without loads")
}

fn print_peak(name: &str, peak: Peak) {
    let Peak { per_second, serving, control, sleeps } = peak;
    print_progress(&format!(
        "  {name:<26} {per_second:>8.0}/s, {serving:>6.2} us serving, {control:>6.2} us control, {sleeps:>4.0} sleeps"
    ));
}

fn print_progress(line: &str) {
    println!("{} {line}", now());
}
