//! One turn of load on one server: wrk for the highest rate, the generator for a steady rate.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::cost::Cpu;
use crate::environment::{Environment, sibling_program};
use crate::servers::Server;
use crate::workload::RequestKind;

/// Number of persistent connections that wrk, or the generator, opens to the server.
pub const CONNECTIONS: usize = 64;

/// Result of a turn under wrk, which sends requests as fast as they are answered.
#[derive(Clone, Copy, Debug)]
pub struct Peak {
    /// Requests a second.
    pub per_second: f64,
    /// Microseconds of CPU for each request in serving threads.
    pub serving: f64,
    /// Microseconds of CPU for each request in control threads, until all of the turn's clicks are stored.
    pub control: f64,
    /// Sleeps of serving threads for each 1,000 requests.
    pub sleeps: f64,
}

/// Result of a turn under the generator. Latencies and delays are in microseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Latencies {
    pub requests: u64,
    /// Number of wrong and missing answers.
    pub errors: u64,
    /// Answers a second.
    pub rate: f64,
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    /// The longest latency.
    pub most: f64,
    /// The 99th percentile of the time from the due time of a request to its sending.
    /// The generator or a lack of free connections causes this delay.
    pub sent_late_p99: f64,
}

/// Runs wrk for `seconds` against `server`, with requests for the codes in the file `codes`.
pub fn peak(
    environment: &Environment,
    server: &Server,
    request_kind: RequestKind,
    codes: &Path,
    seconds: u32,
    threads: usize,
) -> Result<Peak> {
    let before = Cpu::of(server.pid())?;
    let mut wrk = Command::new("wrk");
    wrk.arg(format!("-t{threads}")).arg(format!("-c{CONNECTIONS}")).arg(format!("-d{seconds}s"));
    wrk.arg("-s").arg(Environment::script()?).arg(format!("http://127.0.0.1:{}", server.port));
    wrk.arg("--").arg(codes);
    let output = environment.beside_postgres(|| wrk.output().context("wrk did not start; is it installed?"))?;
    ensure!(output.status.success(), "wrk failed: {}", String::from_utf8_lossy(&output.stderr));
    let served = Cpu::of(server.pid())?.since(before);
    let seen = parse_wrk(&String::from_utf8_lossy(&output.stdout)).context("the output of wrk has an unknown form")?;
    let wrong = if request_kind.status() < 400 { seen.refused } else { seen.requests - seen.refused };
    ensure!(
        seen.socket_errors == 0 && wrong == 0,
        "{}: wrk received wrong answers or connections failed: {seen:?}",
        server.name()
    );
    server.wait_until_clicks_are_stored()?;
    let stored = Cpu::of(server.pid())?.since(before);
    let per_request = |cpu: Duration| cpu.as_secs_f64() * 1e6 / seen.requests as f64;
    Ok(Peak {
        per_second: seen.per_second,
        serving: per_request(served.serving),
        control: per_request(stored.control),
        sleeps: served.sleeps as f64 * 1e3 / seen.requests as f64,
    })
}

/// Runs the generator against `server` at `rate` requests a second, for the codes in the file `codes`.
pub fn steady(
    environment: &Environment,
    server: &Server,
    request_kind: RequestKind,
    codes: &Path,
    seconds: u32,
    rate: f64,
    seed: u64,
) -> Result<Latencies> {
    let mut generator = Command::new(sibling_program("generator")?);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, server.port));
    generator.arg("--address").arg(address.to_string()).arg("--codes").arg(codes);
    generator.arg("--rate").arg(rate.to_string()).arg("--seconds").arg(seconds.to_string());
    generator.arg("--connections").arg(CONNECTIONS.to_string());
    generator.arg("--seed").arg(seed.to_string()).arg("--expect").arg(request_kind.status().to_string());
    let output = environment.beside_postgres(|| Ok(generator.output()?))?;
    ensure!(
        output.status.success(),
        "{}: the generator failed: {}",
        server.name(),
        String::from_utf8_lossy(&output.stderr)
    );
    let latencies: Latencies = serde_json::from_slice(&output.stdout)?;
    ensure!(latencies.errors == 0, "{}: {} answers were wrong or missing", server.name(), latencies.errors);
    server.wait_until_clicks_are_stored()?;
    Ok(latencies)
}

#[derive(Debug, PartialEq)]
struct WrkResult {
    requests: u64,
    per_second: f64,
    socket_errors: u64,
    /// Number of answers with a status of 400 or above.
    refused: u64,
}

fn parse_wrk(text: &str) -> Option<WrkResult> {
    let line = |mark: &str| text.lines().map(str::trim).find(|line| line.contains(mark));
    let last = |line: &str| line.rsplit(' ').next()?.parse::<f64>().ok();
    let errors = line("Socket errors:").map_or(0, |line| {
        let words = line.split([' ', ',']).filter_map(|word| word.parse::<u64>().ok());
        words.sum()
    });
    Some(WrkResult {
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
    fn wrk_output_is_parsed() {
        let seen = WrkResult { requests: 91_234, per_second: 43_444.76, socket_errors: 0, refused: 0 };
        assert_eq!(parse_wrk(FINE), Some(seen));
        let bad = FINE.replace(
            "Requests/sec",
            "  Socket errors: connect 1, read 20, write 3, timeout 4\n  Non-2xx or 3xx responses: 12\nRequests/sec",
        );
        let seen = WrkResult { requests: 91_234, per_second: 43_444.76, socket_errors: 28, refused: 12 };
        assert_eq!(parse_wrk(&bad), Some(seen));
        assert_eq!(parse_wrk("unable to connect"), None);
    }
}
