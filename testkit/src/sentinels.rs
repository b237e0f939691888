//! Redis on three hosts of a network: a master and two replicas, each with a sentinel beside it.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use crate::network::{Network, Program};
use crate::server::{program, wait_for};

/// Number of servers, and of sentinels.
pub const SERVERS: usize = 3;

/// Longest time until the sentinels know each other and the replicas.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Running servers and sentinels. The master's name is `tern`.
#[derive(Debug)]
pub struct Sentinels {
    network: Arc<Network>,
    hosts: [usize; SERVERS],
    servers: Vec<Program>,
    sentinels: Vec<Program>,
    /// Directory of configurations, which servers and sentinels rewrite.
    _directory: TempDir,
}

impl Sentinels {
    /// Starts servers and sentinels on these hosts, and waits until a failover could follow. This thread must be on a
    /// host of the network.
    pub fn start(network: &Arc<Network>, hosts: [usize; SERVERS]) -> Sentinels {
        let directory = tempfile::Builder::new().prefix("tern-redis-").tempdir().unwrap();
        let address = |n: usize| network.host(hosts[n]).address();
        let redis = program(&["/usr/bin/redis-server", "/usr/local/bin/redis-server"], "redis-server");
        let master = address(0);
        let started = |n: usize, name: &str, configuration: String, mode: &[&str]| {
            let file = directory.path().join(format!("{name}{n}.conf"));
            fs::write(&file, configuration).unwrap();
            let mut arguments = vec![redis.display().to_string(), file.display().to_string()];
            arguments.extend(mode.iter().map(|argument| (*argument).to_owned()));
            let mut program = Program::new(None, &directory.path().join(format!("{name}{n}.log")), arguments);
            program.start(network.host(hosts[n]));
            program
        };
        let server = |n: usize| {
            let place = directory.path().display();
            let role = if n == 0 { String::new() } else { format!("replicaof {master} 6379\n") };
            let configuration = format!(
                "bind {}\nport 6379\nprotected-mode no\ndir {place}\ndbfilename dump{n}.rdb\nsave \"\"\n\
                 appendonly no\nrepl-diskless-sync-delay 0\nrepl-timeout 5\n{role}",
                address(n)
            );
            started(n, "redis", configuration, &[])
        };
        let sentinel = |n: usize| {
            let configuration = format!(
                "bind {}\nport 26379\nprotected-mode no\ndir {}\nsentinel monitor tern {master} 6379 2\n\
                 sentinel down-after-milliseconds tern 1000\nsentinel failover-timeout tern 5000\n",
                address(n),
                directory.path().display()
            );
            started(n, "sentinel", configuration, &["--sentinel"])
        };
        let servers = (0..SERVERS).map(server).collect();
        let sentinels = (0..SERVERS).map(sentinel).collect();
        let sentinels = Sentinels { network: Arc::clone(network), hosts, servers, sentinels, _directory: directory };
        wait_for(START_LIMIT, "the sentinels know every server", || sentinels.is_complete());
        sentinels
    }

    /// Returns the `REDIS_URL` that names every sentinel.
    pub fn url(&self) -> String {
        let sentinels: Vec<String> = (0..SERVERS).map(|n| format!("{}:26379", self.address(n))).collect();
        format!("redis+sentinel://{}/tern", sentinels.join(","))
    }

    /// Returns the number of the master, by the first sentinel that answers.
    pub fn master(&self) -> Option<usize> {
        (0..SERVERS).find_map(|n| {
            let answer = self.ask(n, "26379", "SENTINEL GET-MASTER-ADDR-BY-NAME tern")?;
            let master = answer.lines().next()?.to_owned();
            (0..SERVERS).find(|n| self.address(*n) == master)
        })
    }

    /// Returns whether both replicas follow the master, and each sentinel knows the others.
    pub fn is_complete(&self) -> bool {
        let replicates = self.master().and_then(|master| self.ask(master, "6379", "INFO replication"));
        let replicas = replicates.map_or(0, |info| info.matches("state=online").count());
        let known = |n: usize| {
            let master = self.ask(n, "26379", "SENTINEL MASTER tern").unwrap_or_default();
            let field = |name: &str| master.lines().skip_while(|line| *line != name).nth(1).map(str::to_owned);
            field("num-other-sentinels").as_deref() == Some("2")
                && field("num-slaves").as_deref() == Some("2")
                && field("flags").as_deref() == Some("master")
        };
        replicas == SERVERS - 1 && (0..SERVERS).all(known)
    }

    pub fn start_server(&mut self, n: usize) {
        self.servers[n].start(self.network.host(self.hosts[n]));
    }

    pub fn kill_server(&mut self, n: usize) {
        self.servers[n].kill();
    }

    /// Freezes the server and the sentinel of a host.
    pub fn freeze(&self, n: usize) {
        self.servers[n].freeze();
        self.sentinels[n].freeze();
    }

    pub fn thaw(&self, n: usize) {
        self.servers[n].thaw();
        self.sentinels[n].thaw();
    }

    fn address(&self, n: usize) -> String {
        self.network.host(self.hosts[n]).address().to_string()
    }

    fn ask(&self, n: usize, port: &str, command: &str) -> Option<String> {
        let mut cli = Command::new("timeout");
        cli.args(["2", "redis-cli", "-h", &self.address(n), "-p", port]).args(command.split(' '));
        let output = cli.output().unwrap();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).replace('\r', ""))
    }
}
