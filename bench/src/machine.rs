//! What a report says of the machine it was made on: enough to judge it, and nothing that names it.

use std::fs;
use std::process::Command;
use std::time::SystemTime;

use anyhow::Result;

/// Cores, kernel, memory; no host name, no paths.
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
        // What a vendor appends says where, not what.
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

/// How many threads wanted a core, on average over the last minute.
pub fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default()
}

/// The time, in UTC.
pub fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// What a program calls its version: the first number with a point in what it prints.
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
    fn versions() {
        assert_eq!(version_in("nginx version: nginx/1.22.1"), Some("1.22.1"));
        assert_eq!(version_in("HAProxy version 2.6.12-1+deb12u4 2026/10/17"), Some("2.6.12"));
        assert_eq!(version_in("wrk debian/4.1.0-3+b2 [epoll]"), Some("4.1.0"));
        assert_eq!(version_in("none"), None);
    }
}
