//! The run: which servers stand beside each other, and who is asked when.
//!
//! A machine changes its mind about how fast it is, so no server has its turns in a row: each round asks every one.

use std::path::Path;

use anyhow::{Context, Result};

use crate::append;
use crate::cost::resident;
use crate::idle;
use crate::machine::{Machine, now, version};
use crate::measured::{Case, Measured, Plan, Size, Turns, find};
use crate::scene::{Links, Scene};
use crate::servers::{Kind, Server, data};
use crate::turns::{Latencies, Peak, peak, steady};
use crate::workload::Asks;

/// What each server is asked at the smallest number of links.
fn cases() -> Vec<Case> {
    let others = [Asks::Misses, Asks::Gone].map(|asks| Case { kind: Kind::Tern, asks });
    Kind::ALL.map(Case::hits).into_iter().chain(others).collect()
}

/// Measures everything that the plan asks for.
pub fn run(plan: Plan, binaries: &Path) -> Result<Measured> {
    let began = now();
    let scene = Scene::set(binaries)?;
    let smallest = *plan.sizes.first().context("no links to measure with")?;
    let links = scene.links(smallest)?;
    say(&format!("{smallest} links, one worker: {} rounds of {} s", plan.rounds, plan.seconds));
    let servers = Fleet::start(&scene, &links, 1)?;
    let one = servers.peaks(&cases(), plan.rounds, plan.seconds)?;
    let rate = rate(&one)?;
    say(&format!("the same at {rate:.0} requests a second: {} rounds", plan.steady_rounds));
    let steady = servers.steadies(&plan, rate)?;
    // Without clicks, so that nothing but connections comes and goes.
    let idle = idle::measure(servers.of_kind(Kind::TernSilent)?)?;
    drop(servers);
    say("two workers");
    let servers = Fleet::start(&scene, &links, 2)?;
    let two = servers.peaks(&Kind::ALL.map(Case::hits), plan.fewer_rounds, plan.seconds)?;
    drop(servers);
    let sizes = sizes(&scene, links, &plan)?;
    Ok(Measured {
        plan,
        machine: Machine::this()?,
        versions: [("nginx", "-v"), ("haproxy", "-v"), ("wrk", "-v"), ("psql", "-V"), ("redis-server", "-v")]
            .map(|(program, argument)| (program, version(program, argument)))
            .into(),
        began,
        ended: now(),
        others: scene.others(),
        one,
        two,
        rate,
        steady,
        sizes,
        idle,
        append: append::measure()?,
    })
}

/// Half of what Tern does at most, for everybody: latencies at different rates say nothing about each other.
fn rate(one: &[Turns<Peak>]) -> Result<f64> {
    let tern = find(one, Case::hits(Kind::Tern)).and_then(|turns| turns.figure(|peak| peak.per_second));
    Ok((tern.context("Tern was not measured")?.median / 2.0).round())
}

/// One server of each kind, with the same links and as many workers.
struct Fleet<'a> {
    scene: &'a Scene,
    links: &'a Links,
    workers: usize,
    servers: Vec<Server>,
}

impl<'a> Fleet<'a> {
    fn start(scene: &'a Scene, links: &'a Links, workers: usize) -> Result<Fleet<'a>> {
        let place = |kind| data(scene, kind, &format!("{workers}-workers"));
        let start = |kind| Server::start(scene, links, kind, workers, &place(kind));
        let servers = Kind::ALL.into_iter().map(start).collect::<Result<_>>()?;
        Ok(Fleet { scene, links, workers, servers })
    }

    fn of_kind(&self, kind: Kind) -> Result<&Server> {
        self.servers.iter().find(|server| server.kind == kind).context("a server that was not started")
    }

    /// Under wrk, with a thread for each worker.
    fn peaks(&self, cases: &[Case], rounds: usize, seconds: u32) -> Result<Vec<Turns<Peak>>> {
        let mut turns: Vec<Turns<Peak>> = cases.iter().copied().map(Turns::new).collect();
        for _ in 0..rounds {
            for turns in &mut turns {
                let Case { kind, asks } = turns.case;
                let peak = peak(self.scene, self.of_kind(kind)?, asks, &self.links.codes(asks), seconds, self.workers)?;
                say_peak(&turns.case.name(), peak);
                turns.rounds.push(peak);
            }
        }
        Ok(turns)
    }

    /// Under the generator.
    fn steadies(&self, plan: &Plan, rate: f64) -> Result<Vec<Turns<Latencies>>> {
        let mut turns: Vec<Turns<Latencies>> = Kind::ALL.map(Case::hits).map(Turns::new).into();
        for round in 0..plan.steady_rounds {
            for turns in &mut turns {
                let Case { kind, asks } = turns.case;
                let (server, codes, seed) = (self.of_kind(kind)?, self.links.codes(asks), round as u64 + 1);
                let seen = steady(self.scene, server, asks, &codes, plan.steady_seconds, rate, seed)?;
                let Latencies { p50, p99, p999, .. } = seen;
                let name = server.name();
                say(&format!("  {name:<26} p50 {p50:>7.0} us, p99 {p99:>7.0} us, p99.9 {p999:>7.0} us"));
                turns.rounds.push(seen);
            }
        }
        Ok(turns)
    }
}

/// Which servers are measured with more links. nginx prepares its map for minutes beyond its number, and HAProxy takes
/// gigabytes.
const SCALING: [(Kind, u64); 3] = [(Kind::Tern, u64::MAX), (Kind::NginxLog, 100_000), (Kind::HaProxy, 1_000_000)];

/// Loads of each number of links; then all of them are asked in turns.
fn sizes(scene: &Scene, smallest: Links, plan: &Plan) -> Result<Vec<Size>> {
    let mut measured = Vec::new();
    let mut smallest = Some(smallest);
    for count in plan.sizes.iter().copied() {
        say(&format!("{count} links: loading"));
        let links = smallest.take().map_or_else(|| scene.links(count), Ok)?;
        for (kind, _) in SCALING.into_iter().filter(|(_, most)| count <= *most) {
            let mut size = Size::new(kind, count);
            let server = load(scene, &links, plan, &mut size)?;
            measured.push((size, server, links.codes(Asks::Hits)));
        }
    }
    for _ in 0..if plan.sizes.len() > 1 { plan.fewer_rounds } else { 0 } {
        for (size, server, codes) in &mut measured {
            let peak = peak(scene, server, Asks::Hits, codes, plan.seconds, 1)?;
            say_peak(&format!("{}, {} links", server.name(), size.links), peak);
            size.peaks.push(peak);
        }
    }
    Ok(measured.into_iter().map(|(size, ..)| size).collect())
}

/// Starts a server as often as the plan says, and gives the last one, which has loaded everything anew.
fn load(scene: &Scene, links: &Links, plan: &Plan, size: &mut Size) -> Result<Server> {
    let (kind, loads) = (size.kind, if size.kind == Kind::Tern { plan.loads } else { 1 });
    for n in 1..=loads {
        if kind == Kind::Tern {
            size.psql.push(scene.time_psql(links)?);
        }
        let place = data(scene, kind, &format!("{}-links-{n}", links.count));
        let server = Server::start(scene, links, kind, 1, &place)?;
        size.starts.push(server.started_in);
        size.resident = resident(server.pid())?;
        if n == loads {
            return Ok(server);
        }
        // Its end writes the file, if it is not written yet.
        server.stop()?;
        let server = Server::start(scene, links, kind, 1, &place)?;
        size.restarts.push(server.started_in);
        size.resident_restarted = Some(resident(server.pid())?);
        server.stop()?;
        let seconds = |all: &[std::time::Duration]| all.last().map_or(0.0, std::time::Duration::as_secs_f64);
        say(&format!(
            "  psql {:.2} s, full load {:.2} s, from the file {:.2} s",
            seconds(&size.psql),
            seconds(&size.starts),
            seconds(&size.restarts)
        ));
    }
    anyhow::bail!("a plan without loads")
}

fn say_peak(name: &str, peak: Peak) {
    let Peak { per_second, serving, control } = peak;
    say(&format!("  {name:<26} {per_second:>8.0}/s, {serving:>6.2} us serving, {control:>6.2} us control"));
}

fn say(line: &str) {
    println!("{} {line}", now());
}
