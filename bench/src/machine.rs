//! Description of the machine in a report, without anything that identifies it.

use std::fs;
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::Result;

/// Cores, kernel and memory; no host name and no paths.
#[derive(Clone, Debug)]
pub struct Machine {
    pub cores: usize,
    pub processor: String,
    pub kernel: String,
    pub memory_gib: f64,
}

impl Machine {
    pub fn this() -> Result<Machine> {
        let processors = fs::read_to_string("/proc/cpuinfo")?;
        let memory = fs::read_to_string("/proc/meminfo")?;
        let memory = memory.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or_default();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
        // Vendors append their name to the version.
        let kernel = kernel.trim().split('-').next().unwrap_or_default().to_owned();
        Ok(Machine {
            cores: std::thread::available_parallelism()?.get(),
            processor: value(&processors, "model name").unwrap_or("unknown processor").to_owned(),
            kernel,
            memory_gib: memory / f64::from(1 << 20),
        })
    }
}

fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.split_once(':').map(|(_, value)| value.trim()))
}

/// Returns how many cores are busy, measured for a fifth of a second, including time stolen by the hypervisor.
pub fn busy_cores() -> f64 {
    let read = || fs::read_to_string("/proc/stat").ok().and_then(|text| busy_and_all(&text));
    let before = read();
    pause(Duration::from_millis(200));
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    match (before, read()) {
        (Some(before), Some(after)) if after.1 > before.1 => {
            (after.0 - before.0) as f64 / (after.1 - before.1) as f64 * cores
        }
        _ => 0.0,
    }
}

/// Returns the clock ticks of all cores since boot: the busy ones, and all.
fn busy_and_all(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    // User, nice, system, idle, I/O wait, interrupts, soft interrupts, stolen; guests are in user already.
    let ticks: Vec<u64> = line.split_whitespace().take(8).map_while(|ticks| ticks.parse().ok()).collect();
    let all: u64 = ticks.iter().sum();
    Some((all - ticks.get(3)? - ticks.get(4)?, all))
}

/// Waits before another process is checked again.
pub fn pause(duration: Duration) {
    #[expect(clippy::disallowed_methods, reason = "the only thread has nothing else to do")]
    std::thread::sleep(duration);
}

/// Returns the time in UTC.
pub fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// Returns a program's version: the first number with a point in its output.
pub fn version(program: &str, argument: &str) -> String {
    let Ok(output) = Command::new(program).arg(argument).output() else { return "?".to_owned() };
    let text = [output.stdout, output.stderr].concat();
    version_in(&String::from_utf8_lossy(&text)).unwrap_or("?").to_owned()
}

fn version_in(text: &str) -> Option<&str> {
    let words = text.split(|c: char| c.is_whitespace() || c == '/' || c == '=');
    let numbers = words.filter(|word| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.'));
    numbers.map(|word| word.split(['-', '+']).next().unwrap_or(word)).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_line_of_stat_yields_ticks_of_all_cores() {
        let stat = "cpu  10 1 20 300 4 5 6 7 3 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(busy_and_all(stat), Some((49, 353)));
        assert_eq!(busy_and_all("intr 1"), None);
    }

    #[test]
    fn version_is_found_in_output() {
        assert_eq!(version_in("nginx version: nginx/1.22.1"), Some("1.22.1"));
        assert_eq!(version_in("HAProxy version 2.6.12-1+deb12u4 2026/10/17"), Some("2.6.12"));
        assert_eq!(version_in("wrk debian/4.1.0-3+b2 [epoll]"), Some("4.1.0"));
        assert_eq!(version_in("none"), None);
    }
}
