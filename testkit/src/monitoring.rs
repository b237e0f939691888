//! Prometheus, Alertmanager and the exporters, each on a port and in a directory of its own, killed on drop.
//!
//! The programs run the project's configuration, with other addresses and shorter times.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::child;
use crate::server::{Process, free_port, program, wait_until};

/// Running monitoring process.
#[derive(Debug)]
pub struct Monitor {
    port: u16,
    _process: Process,
    _directory: TempDir,
}

/// Targets that Prometheus scrapes: the name of a file in `targets/`, without its extension, and addresses.
pub type Targets<'a> = [(&'a str, Vec<String>)];

impl Monitor {
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts a Prometheus with the files in `configuration`, with a fifth of the scrape intervals and alert delays.
    pub fn prometheus(configuration: &Path, targets: &Targets<'_>) -> Monitor {
        let directory = prometheus_directory(configuration, targets);
        let path = directory.path().to_owned();
        Monitor::start("prometheus", "prometheus", directory, |port| {
            vec![
                format!("--config.file={}", path.join("prometheus.yml").display()),
                format!("--storage.tsdb.path={}", path.join("data").display()),
                format!("--web.listen-address=127.0.0.1:{port}"),
            ]
        })
    }

    /// Starts an Alertmanager with the files in `configuration`, which notifies `webhook` at once and links to the
    /// runbook.
    pub fn alertmanager(configuration: &Path, webhook: &str, runbook: Option<&str>) -> Monitor {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("webhook");
        fs::write(&file, format!("{webhook}\n")).unwrap();
        let configured = Command::new(configuration.join("configure")).arg(&file).args(runbook).output().unwrap();
        assert!(configured.status.success(), "{configured:?}");
        let text = String::from_utf8(configured.stdout).unwrap();
        let text =
            text.replace("group_wait: 15s", "group_wait: 0s").replace("group_interval: 2m", "group_interval: 1s");
        let path = directory.path().to_owned();
        fs::write(path.join("alertmanager.yml"), text).unwrap();
        Monitor::start("prometheus-alertmanager", "prometheus-alertmanager", directory, |port| {
            vec![
                format!("--config.file={}", path.join("alertmanager.yml").display()),
                format!("--storage.path={}", path.join("data").display()),
                format!("--web.listen-address=127.0.0.1:{port}"),
                // No cluster of Alertmanagers.
                "--cluster.listen-address=".to_owned(),
            ]
        })
    }

    /// Starts the exporter of the nginx whose `/stub_status` is at this address.
    pub fn nginx_exporter(status_address: &str) -> Monitor {
        Monitor::exporter("prometheus-nginx-exporter", |port| {
            vec![
                format!("--nginx.scrape-uri=http://{status_address}/stub_status"),
                format!("--web.listen-address=127.0.0.1:{port}"),
            ]
        })
    }

    pub fn redis_exporter(url: &str) -> Monitor {
        Monitor::exporter("prometheus-redis-exporter", |port| {
            // The machine's memory is the limit if Redis has none of its own.
            let system = "--include-system-metrics".to_owned();
            vec![format!("--redis.addr={url}"), system, format!("--web.listen-address=127.0.0.1:{port}")]
        })
    }

    /// Starts the exporter of a PostgreSQL without TLS.
    pub fn postgres_exporter(url: &str) -> Monitor {
        let exporter = installed("prometheus-postgres-exporter", "prometheus-postgres-exporter");
        let start = |port: u16| {
            let variable = format!("DATA_SOURCE_NAME={url}?sslmode=disable");
            let exporter = exporter.display().to_string();
            vec![variable, exporter, format!("--web.listen-address=127.0.0.1:{port}")]
        };
        // The exporter reads its settings from the environment.
        Monitor::start("env", "coreutils", tempfile::tempdir().unwrap(), start)
    }

    fn exporter(name: &str, arguments: impl Fn(u16) -> Vec<String>) -> Monitor {
        Monitor::start(name, name, tempfile::tempdir().unwrap(), arguments)
    }

    fn start(name: &str, package: &str, directory: TempDir, arguments: impl Fn(u16) -> Vec<String>) -> Monitor {
        let program = installed(name, package);
        // A port that was free a moment ago may be taken now.
        loop {
            let port = free_port();
            let mut process = child::start(program.to_str().unwrap(), &arguments(port));
            let mut listens = false;
            wait_until(&format!("{name} listens, or gives up"), || {
                listens = TcpStream::connect(("127.0.0.1", port)).is_ok();
                listens || process.has_ended()
            });
            if listens && !process.has_ended() {
                return Monitor { port, _process: process, _directory: directory };
            }
        }
    }
}

/// Copies a configuration of Prometheus, with other targets and shorter times.
///
/// # Panics
/// If a target belongs to a missing file.
pub fn prometheus_directory(configuration: &Path, targets: &Targets<'_>) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut copy = Command::new("cp");
    let copied = copy.arg("-r").arg(configuration.join(".")).arg(directory.path()).status().unwrap();
    assert!(copied.success());
    let path = |name: &str| directory.path().join(name);
    let edit = |name: &str, edit: &dyn Fn(&str) -> String| {
        let text = fs::read_to_string(path(name)).unwrap();
        fs::write(path(name), text.lines().map(edit).map(|line| line + "\n").collect::<String>()).unwrap();
    };
    // All times are divided by the same factor. An alert still needs as many failed scrapes in a row. A scrape may
    // take as long as one interval, which a busy machine needs.
    let sooner = |line: &str, name: &str| match line.split_once(name) {
        Some((before, time)) => format!("{before}{name}{}s", seconds(time) / 5),
        None => line.to_owned(),
    };
    edit("prometheus.yml", &|line| sooner(line, "_interval: "));
    edit("rules/tern.yml", &|line| sooner(line, " for: "));
    for (name, addresses) in targets {
        let file = path(&format!("targets/{name}.yml"));
        assert!(file.exists(), "{}", file.display());
        fs::write(file, format!("- targets: {addresses:?}\n")).unwrap();
    }
    directory
}

/// Returns the seconds of a time in minutes or seconds.
fn seconds(time: &str) -> u32 {
    match time.strip_suffix('m') {
        Some(minutes) => minutes.parse::<u32>().unwrap() * 60,
        None => time.strip_suffix('s').unwrap().parse().unwrap(),
    }
}

/// Runs `promtool` or `amtool`.
pub fn tool(name: &str, arguments: &[&str], directory: &Path) -> Output {
    let package = if name == "amtool" { "prometheus-alertmanager" } else { "prometheus" };
    Command::new(installed(name, package)).args(arguments).current_dir(directory).output().unwrap()
}

fn installed(name: &str, package: &str) -> PathBuf {
    program(&[&format!("/usr/bin/{name}"), &format!("/usr/local/bin/{name}")], package)
}
