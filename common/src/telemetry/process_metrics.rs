//! Metrics of the process and its build, with the names that generic dashboards expect.
//!
//! The only source in `/proc` is `/proc/self`, since the systemd units hide the rest.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::TimeVal;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, IntGaugeVec, Opts, Registry};

/// Registers `process_*` and `tern_build_info` in `registry`. The start time of the process is the time of this call.
///
/// # Errors
/// When they are registered already.
pub fn export_process(registry: &Registry) -> prometheus::Result<()> {
    let build_info = Opts::new("tern_build_info", "The version of Tern that runs; always 1.");
    let build_info = IntGaugeVec::new(build_info, &["version"])?;
    build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    registry.register(Box::new(Process { build_info, started: SystemTime::now() }))
}

/// A collector that reads the metrics of the process at each scrape. A value that the system does not report is absent.
#[derive(Debug)]
struct Process {
    build_info: IntGaugeVec,
    started: SystemTime,
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        // One descriptor suffices for the registry to refuse a second collector of this type.
        self.build_info.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let kibibytes = |name: &str| field(&status, name).map(|kib| kib * 1024.0);
        let started = self.started.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs_f64());
        let gauges = [
            ("process_resident_memory_bytes", "Memory of the process that is in RAM, in bytes.", kibibytes("VmRSS:")),
            ("process_virtual_memory_bytes", "Address space of the process, in bytes.", kibibytes("VmSize:")),
            ("process_threads", "Threads of the process.", field(&status, "Threads:")),
            ("process_open_fds", "File descriptors that the process has open.", open_fds()),
            ("process_max_fds", "File descriptors that the process may have open.", max_fds()),
            ("process_start_time_seconds", "When the process started, in seconds since 1970.", started),
        ];
        let gauges = gauges.into_iter().filter_map(|(name, help, value)| {
            let gauge = Gauge::new(name, help).expect("the name is valid");
            gauge.set(value?);
            Some(gauge.collect())
        });
        let cpu = cpu_seconds().map(|seconds| {
            let help = "CPU time of the process, of user and system, in seconds.";
            let counter = Counter::new("process_cpu_seconds_total", help).expect("the name is valid");
            counter.inc_by(seconds);
            counter.collect()
        });
        gauges.chain(cpu).chain([self.build_info.collect()]).flatten().collect()
    }
}

/// Returns the number of a field of `/proc/self/status`.
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
    // The count includes the descriptor of this directory.
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
        assert!(value("process_cpu_seconds_total") <= cpu_seconds().unwrap());
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_virtual_memory_bytes") >= value("process_resident_memory_bytes"));
        assert!(value("process_threads") >= 1.0);
        let files: Vec<_> = (0..20).map(|_| fs::File::open("/proc/self/status").unwrap()).collect();
        assert!(value("process_open_fds") >= files.len() as f64);
        assert!(value("process_max_fds") >= value("process_open_fds"));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        assert!((0.0..60.0).contains(&(now - value("process_start_time_seconds"))));
        assert_eq!(value(&format!("tern_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"))), 1.0);
        assert!(export_process(&registry).is_err(), "a second registration is refused");
    }
}
