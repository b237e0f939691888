//! The servers that are compared, each started on loopback with the same links.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use tern_testkit::leash;
use tern_testkit::server::{Process, free_port};

use crate::answer;
use crate::machine::pause;
use crate::scene::{Links, Scene, beside};
use crate::workload;

/// How long a server may take to begin, to end, and to store the clicks of one turn.
const PATIENCE: Duration = Duration::from_secs(180);

/// Where a server's standard error goes.
const COMPLAINTS: &str = "stderr";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Floor,
    MiniHttp,
    Nginx,
    NginxLog,
    HaProxy,
    Tern,
    TernSilent,
}

impl Kind {
    pub const ALL: [Kind; 7] =
        [Kind::Floor, Kind::MiniHttp, Kind::Nginx, Kind::NginxLog, Kind::HaProxy, Kind::Tern, Kind::TernSilent];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Floor => "floor",
            Kind::MiniHttp => "may_minihttp",
            Kind::Nginx => "nginx, no log",
            Kind::NginxLog => "nginx, log",
            Kind::HaProxy => "HAProxy",
            Kind::Tern => "Tern, clicks on",
            Kind::TernSilent => "Tern, clicks off",
        }
    }

    /// Whether it looks links up at all.
    pub fn has_links(self) -> bool {
        !matches!(self, Kind::Floor | Kind::MiniHttp)
    }
}

/// A running server. Ended in order when dropped.
#[derive(Debug)]
pub struct Server {
    pub kind: Kind,
    pub port: u16,
    /// Of Tern: where it tells how it is.
    ops_port: Option<u16>,
    /// From the start of the process until it could answer.
    pub started_in: Duration,
    process: Process,
}

impl Server {
    /// Starts one with `workers` threads or processes that serve. Everything it keeps lies in `data`, a directory that
    /// is made if need be; a redirector that finds a snapshot file there starts from it.
    pub fn start(scene: &Scene, links: &Links, kind: Kind, workers: usize, data: &Path) -> Result<Server> {
        fs::create_dir_all(data)?;
        let (port, ops_port) = (free_port(), free_port());
        let mut command = vec![path(beside("floor")?), format!("--port={port}"), format!("--workers={workers}")];
        match kind {
            Kind::Floor => {}
            Kind::MiniHttp => command[0] = path(beside("minihttp")?),
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
            Kind::Tern | Kind::TernSilent => {
                command = vec!["env".to_owned(), "-i".to_owned()];
                command.extend([
                    format!("DATABASE_URL={}", links.database_url),
                    format!("REDIS_URL={}", scene.redis.url()),
                    // Followers of different databases are strangers to each other.
                    format!("REDIS_PREFIX=bench{}", links.count),
                    format!("REDIRECTOR_LISTEN=127.0.0.1:{port}"),
                    format!("REDIRECTOR_OPS_LISTEN=127.0.0.1:{ops_port}"),
                    format!("REDIRECTOR_WORKERS={workers}"),
                    format!("RECORD_CLICKS={}", kind == Kind::Tern),
                    format!("TERN_DATA_DIR={}", data.display()),
                    format!("LOG_FILE={}", data.join("app.log").display()),
                    // One client that asks for nothing but unknown codes is what is measured.
                    "MISSES_PER_SECOND=0".to_owned(),
                    // One client makes all clicks, and each is to cost the database its event.
                    "CLICK_EVENTS_PER_NETWORK=0".to_owned(),
                    // It would fall into some turn and not into others.
                    "AUDIT_INTERVAL=0".to_owned(),
                    path(scene.binary("tern-redirector")?),
                ]);
            }
        }
        let started = Instant::now();
        let complaints = data.join(COMPLAINTS);
        // `exec` keeps the process that is measured the one that was started.
        let mut shell = vec!["-c".to_owned(), "exec \"$@\" 2>\"$0\"".to_owned(), path(&complaints)];
        shell.append(&mut command);
        let process = leash::start("sh", &shell);
        let is_tern = matches!(kind, Kind::Tern | Kind::TernSilent);
        let mut server =
            Server { kind, port, ops_port: is_tern.then_some(ops_port), started_in: Duration::ZERO, process };
        server.wait_until_it_answers(&complaints)?;
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

    fn wait_until_it_answers(&mut self, complaints: &Path) -> Result<()> {
        let (port, path) = self.ops_port.map_or((self.port, "/"), |port| (port, "/ready"));
        eventually(self.name(), Duration::from_millis(5), || {
            if self.process.has_ended() {
                bail!("it has ended, and said: {}", last_lines(complaints));
            }
            let answered = answer::get(port, path);
            Ok(answered.is_ok_and(|(status, ..)| path == "/" || status == 200))
        })
    }

    /// That it gives the answers it is compared by.
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

    /// What a turn left to be stored must not be paid for in another server's turn.
    pub fn wait_until_clicks_are_stored(&self) -> Result<()> {
        let Some(port) = self.ops_port else { return Ok(()) };
        // To be asked costs the server CPU, too.
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

    /// Ends it as its operator would, and waits until it has.
    pub fn stop(mut self) -> Result<()> {
        self.process.signal(Signal::SIGTERM);
        eventually("the end of a server", Duration::from_millis(5), || Ok(self.process.has_ended()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // nginx ends its workers only when it is asked to end.
        if !self.process.has_ended() {
            self.process.signal(Signal::SIGTERM);
            // What does not end is killed by the drop of the process.
            let _ = eventually("the end of a server", Duration::from_millis(5), || Ok(self.process.has_ended()));
        }
    }
}

fn path(path: impl AsRef<Path>) -> String {
    path.as_ref().display().to_string()
}

fn eventually(what: &str, again: Duration, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let started = Instant::now();
    while !is_so().with_context(|| format!("waiting for {what}"))? {
        if started.elapsed() > PATIENCE {
            bail!("{what}: not within {PATIENCE:?}");
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

/// The sum of a metric over its labels.
fn sum(metrics: &str, name: &str) -> f64 {
    let lines = metrics.lines().filter_map(|line| line.strip_prefix(name));
    let values = lines.filter(|rest| rest.starts_with([' ', '{'])).filter_map(|rest| rest.rsplit(' ').next());
    values.filter_map(|value| value.parse::<f64>().ok()).sum()
}

/// The links in a `map`. With the log, it records each request as Tern records a click, and writes in batches.
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

/// The links in a map file, looked up once for each request.
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

/// Where a server of this kind keeps its things: a new place for each.
pub fn data(scene: &Scene, kind: Kind, what: &str) -> PathBuf {
    scene.directory.path().join(format!("{kind:?}-{what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_labels() {
        let metrics = "# HELP a_total x\na_total{reason=\"x\"} 2\na_total{reason=\"y\"} 3\na_total_of 9\nb 7\n";
        assert_eq!((sum(metrics, "a_total"), sum(metrics, "b"), sum(metrics, "c")), (5.0, 7.0, 0.0));
    }

    #[test]
    fn configurations_say_what_is_compared() {
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
