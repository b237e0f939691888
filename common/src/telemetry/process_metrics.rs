//! Metrics of the process and its build, by the names that dashboards for any program expect.
//!
//! Reads `/proc/self` alone, since the units of systemd hide the rest of `/proc`.

use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::TimeVal;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, IntGaugeVec, Opts, Registry};

/// Shows `process_*` and `tern_build_info` in `registry`.
///
/// # Errors
/// When the registry shows them already.
pub fn export_process(registry: &Registry) -> prometheus::Result<()> {
    let build =
        IntGaugeVec::new(Opts::new("tern_build_info", "The version of Tern that runs; always 1."), &["version"])?;
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    registry.register(Box::new(build))?;
    registry.register(Box::new(Process::new()?))
}

/// Reads the metrics of the process when they are asked for. What the system does not tell is left out.
#[derive(Debug)]
struct Process {
    cpu_seconds: Counter,
    /// Serialises scrapes: two at once would both add the time since the last one.
    scrape: Mutex<()>,
    resident_bytes: Gauge,
    virtual_bytes: Gauge,
    threads: Gauge,
    open_fds: Gauge,
    max_fds: Gauge,
    start_time: Gauge,
}

impl Process {
    /// The start of the process is now, which is right to some milliseconds.
    fn new() -> prometheus::Result<Process> {
        let process = Process {
            cpu_seconds: Counter::new(
                "process_cpu_seconds_total",
                "CPU time of the process, of user and system, in seconds.",
            )?,
            scrape: Mutex::default(),
            resident_bytes: Gauge::new(
                "process_resident_memory_bytes",
                "Memory of the process that is in RAM, in bytes.",
            )?,
            virtual_bytes: Gauge::new("process_virtual_memory_bytes", "Address space of the process, in bytes.")?,
            threads: Gauge::new("process_threads", "Threads of the process.")?,
            open_fds: Gauge::new("process_open_fds", "File descriptors that the process has open.")?,
            max_fds: Gauge::new("process_max_fds", "File descriptors that the process may have open.")?,
            start_time: Gauge::new("process_start_time_seconds", "When the process started, in seconds since 1970.")?,
        };
        process.start_time.set(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64());
        Ok(process)
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        let gauges =
            [&self.resident_bytes, &self.virtual_bytes, &self.threads, &self.open_fds, &self.max_fds, &self.start_time];
        gauges.into_iter().flat_map(Collector::desc).chain(self.cpu_seconds.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let _scrape = self.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let kibibytes = |name: &str| field(&status, name).map(|kib| kib * 1024.0);
        let mut families = self.start_time.collect();
        if let Some(seconds) = cpu_seconds() {
            // The difference is below zero by a rounding error.
            self.cpu_seconds.inc_by((seconds - self.cpu_seconds.get()).max(0.0));
            families.extend(self.cpu_seconds.collect());
        }
        for (gauge, value) in [
            (&self.resident_bytes, kibibytes("VmRSS:")),
            (&self.virtual_bytes, kibibytes("VmSize:")),
            (&self.threads, field(&status, "Threads:")),
            (&self.open_fds, open_fds()),
            (&self.max_fds, max_fds()),
        ] {
            if let Some(value) = value {
                gauge.set(value);
                families.extend(gauge.collect());
            }
        }
        families
    }
}

/// Returns the number behind a name in `/proc/self/status`.
fn field(status: &str, name: &str) -> Option<f64> {
    status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

fn cpu_seconds() -> Option<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let seconds = |time: TimeVal| {
        let micros = u64::try_from(time.tv_sec()).ok()? * 1_000_000 + u64::try_from(time.tv_usec()).ok()?;
        Some(Duration::from_micros(micros).as_secs_f64())
    };
    Some(seconds(usage.user_time())? + seconds(usage.system_time())?)
}

#[expect(clippy::cast_precision_loss, reason = "a process has far fewer than 2^53 descriptors")]
fn open_fds() -> Option<f64> {
    // One of them is that of this directory.
    let entries = fs::read_dir("/proc/self/fd").ok()?.count();
    Some(entries.saturating_sub(1) as f64)
}

#[expect(clippy::cast_precision_loss, reason = "the metric is a double by its format")]
fn max_fds() -> Option<f64> {
    getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _hard)| soft as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_metrics_are_of_this_process() {
        let registry = Registry::new();
        export_process(&registry).unwrap();
        let value = |name: &str| {
            let text = crate::telemetry::metrics_text(&registry);
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse::<f64>().unwrap()
        };
        let before = value("process_cpu_seconds_total");
        let mut spins = 0_u64;
        while value("process_cpu_seconds_total") <= before {
            spins += 1;
            assert!(spins < 1_000_000, "CPU time stands still");
        }
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_virtual_memory_bytes") >= value("process_resident_memory_bytes"));
        assert!(value("process_threads") >= 1.0);
        let files: Vec<_> = (0..20).map(|_| fs::File::open("/proc/self/status").unwrap()).collect();
        assert!(value("process_open_fds") >= files.len() as f64);
        assert!(value("process_max_fds") >= value("process_open_fds"));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        assert!((0.0..60.0).contains(&(now - value("process_start_time_seconds"))));
        assert_eq!(value(&format!("tern_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"))), 1.0);
        assert!(export_process(&registry).is_err(), "each is there once");
    }

    #[test]
    fn cpu_time_read_by_scrapes_at_once_is_counted_once() {
        let process = Process::new().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5_000 {
                        drop(process.collect());
                        let (shown, used) = (process.cpu_seconds.get(), cpu_seconds().unwrap());
                        assert!(shown <= used + 1e-6, "{shown} s were shown of {used} s");
                    }
                });
            }
        });
    }
}
