//! One turn of load on one server: wrk for as much as it takes, the generator for a steady rate.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::cost::Cpu;
use crate::scene::{Scene, beside};
use crate::servers::Server;
use crate::workload::Asks;

/// Kept-alive connections of either load.
pub const CONNECTIONS: usize = 64;

/// What a server did under wrk, which asks as fast as it is answered.
#[derive(Clone, Copy, Debug)]
pub struct Peak {
    pub per_second: f64,
    /// Microseconds of CPU for each request, of the threads that serve.
    pub serving: f64,
    /// The same of the threads that store clicks, until all of the turn's were stored.
    pub control: f64,
}

/// What the generator saw, in microseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Latencies {
    pub requests: u64,
    /// Answers that were wrong, and those that did not come.
    pub errors: u64,
    /// Answers a second.
    pub rate: f64,
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub most: f64,
    /// How late requests were sent: because the generator was, or because no connection was free.
    pub sent_late_p99: f64,
}

/// wrk asks for `codes` until `seconds` are over.
pub fn peak(scene: &Scene, server: &Server, asks: Asks, codes: &Path, seconds: u32, threads: usize) -> Result<Peak> {
    let before = Cpu::of(server.pid())?;
    let mut wrk = Command::new("wrk");
    wrk.arg(format!("-t{threads}")).arg(format!("-c{CONNECTIONS}")).arg(format!("-d{seconds}s"));
    wrk.arg("-s").arg(Scene::script()?).arg(format!("http://127.0.0.1:{}", server.port));
    wrk.arg("--").arg(codes);
    let output = scene.beside_postgres(|| wrk.output().context("wrk is not there"))?;
    ensure!(output.status.success(), "wrk: {}", String::from_utf8_lossy(&output.stderr));
    let served = Cpu::of(server.pid())?.since(before);
    let seen = parse_wrk(&String::from_utf8_lossy(&output.stdout)).context("wrk speaks otherwise")?;
    let wrong = if asks == Asks::Hits { seen.refused } else { seen.requests - seen.refused };
    ensure!(seen.socket_errors == 0 && wrong == 0, "{}: wrong answers: {seen:?}", server.name());
    server.wait_until_clicks_are_stored()?;
    let stored = Cpu::of(server.pid())?.since(before);
    let per_request = |cpu: Duration| cpu.as_secs_f64() * 1e6 / seen.requests as f64;
    Ok(Peak { per_second: seen.per_second, serving: per_request(served.serving), control: per_request(stored.control) })
}

/// The generator asks for `codes` at `rate` requests a second.
pub fn steady(
    scene: &Scene,
    server: &Server,
    asks: Asks,
    codes: &Path,
    seconds: u32,
    rate: f64,
    seed: u64,
) -> Result<Latencies> {
    let mut generator = Command::new(beside("generator")?);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, server.port));
    generator.arg("--address").arg(address.to_string()).arg("--codes").arg(codes);
    generator.arg("--rate").arg(rate.to_string()).arg("--seconds").arg(seconds.to_string());
    generator.arg("--connections").arg(CONNECTIONS.to_string());
    generator.arg("--seed").arg(seed.to_string()).arg("--expect").arg(asks.status().to_string());
    let output = scene.beside_postgres(|| Ok(generator.output()?))?;
    ensure!(output.status.success(), "{}: {}", server.name(), String::from_utf8_lossy(&output.stderr));
    let latencies: Latencies = serde_json::from_slice(&output.stdout)?;
    ensure!(latencies.errors == 0, "{}: {} errors", server.name(), latencies.errors);
    server.wait_until_clicks_are_stored()?;
    Ok(latencies)
}

#[derive(Debug, PartialEq)]
struct Seen {
    requests: u64,
    per_second: f64,
    socket_errors: u64,
    /// Answers of 400 and above.
    refused: u64,
}

fn parse_wrk(text: &str) -> Option<Seen> {
    let line = |mark: &str| text.lines().map(str::trim).find(|line| line.contains(mark));
    let last = |line: &str| line.rsplit(' ').next()?.parse::<f64>().ok();
    let errors = line("Socket errors:").map_or(0, |line| {
        let words = line.split([' ', ',']).filter_map(|word| word.parse::<u64>().ok());
        words.sum()
    });
    Some(Seen {
        requests: line("requests in")?.split(' ').next()?.parse().ok()?,
        per_second: last(line("Requests/sec:")?)?,
        socket_errors: errors,
        refused: line("Non-2xx").map_or(Some(0.0), last)? as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINE: &str = "Running 2s test @ http://127.0.0.1:1\n  1 threads and 64 connections\n  Thread Stats   Avg\n  \
                        91234 requests in 2.10s, 15.31MB read\nRequests/sec:  43444.76\nTransfer/sec:      7.29MB\n";

    #[test]
    fn what_wrk_prints() {
        let seen = Seen { requests: 91_234, per_second: 43_444.76, socket_errors: 0, refused: 0 };
        assert_eq!(parse_wrk(FINE), Some(seen));
        let bad = FINE.replace(
            "Requests/sec",
            "  Socket errors: connect 1, read 20, write 3, timeout 4\n  Non-2xx or 3xx responses: 12\nRequests/sec",
        );
        let seen = Seen { requests: 91_234, per_second: 43_444.76, socket_errors: 28, refused: 12 };
        assert_eq!(parse_wrk(&bad), Some(seen));
        assert_eq!(parse_wrk("unable to connect"), None);
    }
}
