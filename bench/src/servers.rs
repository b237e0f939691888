//! The compared servers, each started on loopback with the same links.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use tern_testkit::child;
use tern_testkit::server::{Process, free_port};

use crate::answer;
use crate::environment::{Environment, Links, sibling_program};
use crate::machine::pause;
use crate::workload;

/// Longest wait for a server's start, its end, and the storage of a turn's clicks.
const WAIT_LIMIT: Duration = Duration::from_secs(180);

/// File of a server's standard error.
const STDERR_FILE: &str = "stderr";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Floor,
    MiniHttp,
    Nginx,
    NginxLog,
    HaProxy,
    Tern,
    TernWithoutClicks,
}

impl Kind {
    pub const ALL: [Kind; 7] =
        [Kind::Floor, Kind::MiniHttp, Kind::Nginx, Kind::NginxLog, Kind::HaProxy, Kind::Tern, Kind::TernWithoutClicks];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Floor => "floor",
            Kind::MiniHttp => "may_minihttp",
            Kind::Nginx => "nginx, no log",
            Kind::NginxLog => "nginx, log",
            Kind::HaProxy => "HAProxy",
            Kind::Tern => "Tern, clicks on",
            Kind::TernWithoutClicks => "Tern, clicks off",
        }
    }

    /// Returns whether the server looks up links at all.
    pub fn has_links(self) -> bool {
        !matches!(self, Kind::Floor | Kind::MiniHttp)
    }
}

/// Running server, shut down on drop.
#[derive(Debug)]
pub struct Server {
    pub kind: Kind,
    pub port: u16,
    /// Tern's operations port.
    ops_port: Option<u16>,
    /// Time from the start of the process to its first answer.
    pub started_in: Duration,
    process: Process,
}

impl Server {
    /// Starts a server with `workers` serving threads or processes. Its files are in `data`, which is created if
    /// needed; a redirector starts from a snapshot file there.
    pub fn start(environment: &Environment, links: &Links, kind: Kind, workers: usize, data: &Path) -> Result<Server> {
        fs::create_dir_all(data)?;
        let (port, ops_port) = (free_port(), free_port());
        let mut command =
            vec![path(sibling_program("floor")?), format!("--port={port}"), format!("--workers={workers}")];
        match kind {
            Kind::Floor => {}
            Kind::MiniHttp => command[0] = path(sibling_program("minihttp")?),
            Kind::Nginx | Kind::NginxLog => {
                let map = links.map_file("nginx.map", |code, target| format!("/{code} {target};"))?;
                let file = data.join("nginx.conf");
                fs::write(&file, nginx(port, workers, kind == Kind::NginxLog, &map, links.count))?;
                command = ["nginx", "-p", &path(data), "-e", "stderr", "-c", &path(file)].map(str::to_owned).into();
            }
            Kind::HaProxy => {
                let map = links.map_file("haproxy.map", |code, target| format!("/{code} {target}"))?;
                let file = data.join("haproxy.cfg");
                fs::write(&file, haproxy(port, workers, &map))?;
                command = ["haproxy", "-db", "-q", "-f", &path(file)].map(str::to_owned).into();
            }
            Kind::Tern | Kind::TernWithoutClicks => {
                command = vec!["env".to_owned(), "-i".to_owned()];
                command.extend([
                    format!("DATABASE_URL={}", links.database_url),
                    format!("REDIS_URL={}", environment.redis.url()),
                    // Replicas of different databases must not share a bus.
                    format!("REDIS_PREFIX=bench{}", links.count),
                    format!("REDIRECTOR_LISTEN=127.0.0.1:{port}"),
                    format!("REDIRECTOR_OPS_LISTEN=127.0.0.1:{ops_port}"),
                    format!("REDIRECTOR_WORKERS={workers}"),
                    format!("TRACKING={}", if kind == Kind::Tern { "full" } else { "off" }),
                    format!("TERN_DATA_DIR={}", data.display()),
                    format!("LOG_FILE={}", data.join("app.log").display()),
                    // A single client requests unknown codes only.
                    "MISSES_PER_SECOND=0".to_owned(),
                    // A single client makes all clicks, and each must cost the database its event.
                    "CLICK_EVENTS_PER_NETWORK=0".to_owned(),
                    // An audit would fall into some turns only.
                    "AUDIT_INTERVAL=0".to_owned(),
                    path(environment.binary("tern-redirector")?),
                ]);
            }
        }
        let started = Instant::now();
        let stderr_file = data.join(STDERR_FILE);
        // `exec` keeps the measured process the started one.
        let mut shell = vec!["-c".to_owned(), "exec \"$@\" 2>\"$0\"".to_owned(), path(&stderr_file)];
        shell.append(&mut command);
        let process = child::start("sh", &shell);
        let is_tern = matches!(kind, Kind::Tern | Kind::TernWithoutClicks);
        let mut server =
            Server { kind, port, ops_port: is_tern.then_some(ops_port), started_in: Duration::ZERO, process };
        server.wait_until_ready(&stderr_file)?;
        server.started_in = started.elapsed();
        server.check(links)?;
        Ok(server)
    }

    pub fn name(&self) -> &'static str {
        self.kind.name()
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    fn wait_until_ready(&mut self, stderr_file: &Path) -> Result<()> {
        let (port, path) = self.ops_port.map_or((self.port, "/"), |port| (port, "/ready"));
        eventually(self.name(), Duration::from_millis(5), || {
            if self.process.has_ended() {
                bail!("it has ended, and said: {}", last_lines(stderr_file));
            }
            let answered = answer::get(port, path);
            Ok(answered.is_ok_and(|(status, ..)| path == "/" || status == 200))
        })
    }

    /// Checks that the server gives the compared answers.
    fn check(&self, links: &Links) -> Result<()> {
        let (status, head, _) = answer::get(self.port, &format!("/{}", workload::code(0)))?;
        let location = answer::field(&head, "location").unwrap_or_default();
        let is_right = if self.kind.has_links() { location == workload::target(0) } else { !location.is_empty() };
        ensure!(status == 302 && is_right, "{} answers {head}", self.name());
        if self.kind.has_links() {
            let (status, head, _) = answer::get(self.port, &format!("/{}", workload::code(links.count)))?;
            ensure!(status == 404, "{} answers {head}", self.name());
        }
        Ok(())
    }

    /// Waits until the clicks of a turn are stored, so that they do not burden another server's turn.
    pub fn wait_until_clicks_are_stored(&self) -> Result<()> {
        let Some(port) = self.ops_port else { return Ok(()) };
        // Scrapes cost the server CPU as well, so they are rare.
        eventually("an empty journal", Duration::from_millis(50), || {
            let (_, _, metrics) = answer::get(port, "/metrics")?;
            let dropped = || metrics.lines().filter(|line| line.starts_with("tern_clicks_dropped_total"));
            ensure!(
                sum(&metrics, "tern_clicks_dropped_total") == 0.0,
                "clicks were dropped: {}",
                dropped().collect::<Vec<_>>().join(", "),
            );
            Ok(sum(&metrics, "tern_clicks_pending") == 0.0)
        })
    }

    /// Shuts the server down and waits for its end.
    pub fn stop(mut self) -> Result<()> {
        self.process.signal(Signal::SIGTERM);
        eventually("the end of a server", Duration::from_millis(5), || Ok(self.process.has_ended()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // nginx ends its workers only on a shutdown.
        if !self.process.has_ended() {
            self.process.signal(Signal::SIGTERM);
            // The drop of the process kills a server that does not end.
            let _ = eventually("the end of a server", Duration::from_millis(5), || Ok(self.process.has_ended()));
        }
    }
}

fn path(path: impl AsRef<Path>) -> String {
    path.as_ref().display().to_string()
}

fn eventually(what: &str, again: Duration, mut is_met: impl FnMut() -> Result<bool>) -> Result<()> {
    let started = Instant::now();
    while !is_met().with_context(|| format!("waiting for {what}"))? {
        if started.elapsed() > WAIT_LIMIT {
            bail!("{what}: not within {WAIT_LIMIT:?}");
        }
        pause(again);
    }
    Ok(())
}

fn last_lines(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}

/// Returns the sum of a metric over its labels.
fn sum(metrics: &str, name: &str) -> f64 {
    let lines = metrics.lines().filter_map(|line| line.strip_prefix(name));
    let values = lines.filter(|rest| rest.starts_with([' ', '{'])).filter_map(|rest| rest.rsplit(' ').next());
    values.filter_map(|value| value.parse::<f64>().ok()).sum()
}

/// Returns a configuration with the links in a `map`. Its log records each request in batches, as Tern records a click.
fn nginx(port: u16, workers: usize, log: bool, map: &Path, links: u64) -> String {
    let log = if log { "access.log combined buffer=64k" } else { "off" };
    let map = map.display();
    let hash = (links * 2).next_power_of_two().max(4096);
    format!(
        "worker_processes {workers};\ndaemon off;\npid nginx.pid;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n    access_log {log};\n    keepalive_requests 1000000000;\n\
         \x20   map_hash_max_size {hash};\n    map_hash_bucket_size 128;\n\
         \x20   map $uri $target {{\n        default \"\";\n        include {map};\n    }}\n\
         \x20   server {{\n        listen 127.0.0.1:{port} backlog=1024;\n        location / {{\n\
         \x20           add_header Cache-Control no-store;\n\
         \x20           if ($target = \"\") {{ return 404; }}\n            return 302 $target;\n        }}\n    }}\n}}\n"
    )
}

/// Returns a configuration with the links in a map file, looked up once for each request.
fn haproxy(port: u16, workers: usize, map: &Path) -> String {
    let map = map.display();
    format!(
        "global\n    nbthread {workers}\n    maxconn 4096\n\
         defaults\n    mode http\n    timeout client 60s\n    timeout server 60s\n    timeout connect 5s\n\
         frontend links\n    bind 127.0.0.1:{port} backlog 1024\n\
         \x20   http-request set-var(txn.target) path,map_str({map})\n\
         \x20   http-after-response set-header Cache-Control no-store\n\
         \x20   http-request redirect location %[var(txn.target)] code 302 if {{ var(txn.target) -m found }}\n\
         \x20   http-request return status 404\n"
    )
}

/// Returns a new directory for a server of this kind.
pub fn data(environment: &Environment, kind: Kind, what: &str) -> PathBuf {
    environment.directory.path().join(format!("{kind:?}-{what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metric_is_summed_over_its_labels() {
        let metrics = "# HELP a_total x\na_total{reason=\"x\"} 2\na_total{reason=\"y\"} 3\na_total_of 9\nb 7\n";
        assert_eq!((sum(metrics, "a_total"), sum(metrics, "b"), sum(metrics, "c")), (5.0, 7.0, 0.0));
    }

    #[test]
    fn server_configurations_contain_the_compared_settings() {
        let (with, without) = (nginx(80, 2, true, Path::new("/m"), 2_000), nginx(80, 1, false, Path::new("/m"), 2_000));
        assert!(with.contains("worker_processes 2;") && with.contains("access_log access.log combined buffer=64k;"));
        assert!(without.contains("access_log off;") && without.contains("listen 127.0.0.1:80 "));
        assert!(without.contains("include /m;") && without.contains("map_hash_max_size 4096;"));
        assert_eq!(without.matches('{').count(), without.matches('}').count());
        let haproxy = haproxy(81, 2, Path::new("/m"));
        assert!(haproxy.contains("nbthread 2\n") && haproxy.contains("bind 127.0.0.1:81 "));
        assert!(haproxy.contains("path,map_str(/m)"));
    }
}
