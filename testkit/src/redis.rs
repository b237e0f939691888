//! Private Redis servers: nothing is stored on disk, and nothing outlives the test process.
//!
//! The Redis that Debian's package may run on port 6379 is never used.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Instant;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::child;
use crate::server::{Process, WAIT_LIMIT, certify, free_port, pause, program, wait_until};

/// redis-server on loopback, killed on drop.
#[derive(Debug)]
pub struct Redis {
    port: u16,
    options: Options,
    process: Option<Process>,
    /// Directory for servers that write files. A server that outlives its test never removes its own.
    directory: Option<TempDir>,
}

#[derive(Clone, Debug, Default)]
struct Options {
    password: Option<String>,
    tls: bool,
    is_sentinel: bool,
    extra: Vec<String>,
}

/// A master, its replica, and a sentinel that promotes the replica.
#[derive(Debug)]
pub struct RedisSentinel {
    pub master: Redis,
    pub replica: Redis,
    sentinel: Redis,
}

/// Two nodes that share the keys.
#[derive(Debug)]
pub struct RedisCluster(pub [Redis; 2]);

impl Redis {
    pub fn start_new() -> Redis {
        Redis::start_with(&Options::default())
    }

    pub fn start_with_password(password: &str) -> Redis {
        Redis::start_with(&Options { password: Some(password.to_owned()), ..Options::default() })
    }

    /// Starts a server that accepts TLS only, with the certificate at [`Redis::authority`].
    pub fn start_with_tls() -> Redis {
        Redis::start_with(&Options { tls: true, ..Options::default() })
    }

    fn start_with(options: &Options) -> Redis {
        let writes_files = options.tls || options.is_sentinel || !options.extra.is_empty();
        let directory = writes_files.then(|| tempfile::tempdir().unwrap());
        if options.tls {
            certify(directory.as_ref().unwrap().path());
        }
        let mut redis = Redis { port: free_port(), options: options.clone(), process: None, directory };
        // A port that was free a moment ago may be taken now.
        while !redis.try_start() {
            redis.port = free_port();
        }
        redis
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the server's `REDIS_URL`.
    pub fn url(&self) -> String {
        self.url_through(self.port)
    }

    /// Returns the server's URL with the port of a relay.
    pub fn url_through(&self, port: u16) -> String {
        let scheme = if self.options.tls { "rediss" } else { "redis" };
        let credentials = self.options.password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default();
        format!("{scheme}://{credentials}127.0.0.1:{port}/0")
    }

    /// Returns the PEM file of the authority to trust.
    pub fn authority(&self) -> String {
        self.file("certificate.pem")
    }

    /// Starts the server again, on the same port and empty.
    pub fn start(&mut self) {
        let deadline = Instant::now() + WAIT_LIMIT;
        // Another process's connection may use the port for a moment.
        while !self.try_start() {
            assert!(Instant::now() < deadline, "redis-server does not start on port {}", self.port);
        }
    }

    /// Shuts the server down; it notifies its clients.
    pub fn stop(&mut self) {
        self.end(Signal::SIGTERM);
    }

    pub fn kill9(&mut self) {
        self.end(Signal::SIGKILL);
    }

    /// Freezes the server: it answers nothing and closes nothing.
    pub fn freeze(&self) {
        self.process().signal(Signal::SIGSTOP);
    }

    pub fn thaw(&self) {
        self.process().signal(Signal::SIGCONT);
    }

    /// Closes the connection of each subscriber.
    pub fn cut_subscribers(&self) {
        self.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    }

    pub fn flush_all(&self) {
        self.command(&["FLUSHALL"]);
    }

    /// Returns the server's reply to a command.
    ///
    /// # Panics
    /// If the server replies with an error.
    pub fn command(&self, command: &[&str]) -> String {
        let output = self.redis_cli(command);
        let answer = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        assert!(output.status.success() && !answer.starts_with("ERR"), "{command:?}: {output:?}");
        answer
    }

    fn redis_cli(&self, command: &[&str]) -> Output {
        let mut cli = Command::new("redis-cli");
        cli.args(["-p", &self.port.to_string()]);
        if let Some(password) = &self.options.password {
            cli.args(["--no-auth-warning", "-a", password]);
        }
        if self.options.tls {
            cli.args(["--tls", "--cacert", &self.authority()]);
        }
        cli.args(command).output().unwrap()
    }

    fn process(&self) -> &Process {
        self.process.as_ref().expect("the server was started")
    }

    fn directory(&self) -> PathBuf {
        self.directory.as_ref().map_or_else(std::env::temp_dir, |directory| directory.path().to_owned())
    }

    fn file(&self, name: &str) -> String {
        self.directory().join(name).to_str().unwrap().to_owned()
    }

    fn end(&mut self, signal: Signal) {
        let mut process = self.process.take().expect("the server was started");
        process.signal(signal);
        process.wait();
    }

    /// Starts the process and returns whether it listens on its port; if not, another process has the port.
    fn try_start(&mut self) -> bool {
        let deadline = Instant::now() + WAIT_LIMIT;
        let server = program(&["/usr/bin/redis-server", "/usr/local/bin/redis-server"], "redis-server");
        let mut process = child::start(server.to_str().unwrap(), &self.arguments());
        let process_id = format!("process_id:{}", process.id());
        while !process.has_ended() {
            let info = self.redis_cli(&["INFO", "server"]);
            if String::from_utf8_lossy(&info.stdout).contains(&process_id) {
                self.process = Some(process);
                return true;
            }
            assert!(Instant::now() < deadline, "redis-server does not answer: {info:?}");
            pause();
        }
        false
    }

    fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        let mut set = |name: &str, value: &str| arguments.extend([format!("--{name}"), value.to_owned()]);
        if self.options.is_sentinel {
            // A sentinel writes its state into its configuration file.
            let file = self.file("sentinel.conf");
            std::fs::write(&file, "").unwrap();
            return [file, "--sentinel".into(), "--port".into(), self.port.to_string()].into();
        }
        set("bind", "127.0.0.1");
        set("dir", self.directory().to_str().unwrap());
        set("save", "");
        set("appendonly", "no");
        if let Some(password) = &self.options.password {
            set("requirepass", password);
        }
        if self.options.tls {
            set("port", "0");
            set("tls-port", &self.port.to_string());
            set("tls-cert-file", &self.file("certificate.pem"));
            set("tls-key-file", &self.file("key.pem"));
            set("tls-auth-clients", "no");
        } else {
            set("port", &self.port.to_string());
        }
        arguments.extend(self.options.extra.iter().cloned());
        arguments
    }
}

impl RedisSentinel {
    pub fn start() -> RedisSentinel {
        let master = Redis::start_new();
        let extra = [
            "--replicaof".into(),
            "127.0.0.1".into(),
            master.port.to_string(),
            "--repl-diskless-sync-delay".into(),
            "0".into(),
        ];
        let replica = Redis::start_with(&Options { extra: extra.into(), ..Options::default() });
        wait_until("the replica is in step", || {
            replica.command(&["INFO", "replication"]).contains("master_link_status:up")
        });
        let sentinel = Redis::start_with(&Options { is_sentinel: true, ..Options::default() });
        sentinel.command(&["SENTINEL", "MONITOR", "tern", "127.0.0.1", &master.port.to_string(), "1"]);
        sentinel.command(&["SENTINEL", "SET", "tern", "down-after-milliseconds", "500"]);
        sentinel.command(&["SENTINEL", "SET", "tern", "failover-timeout", "3000"]);
        wait_until("the sentinel knows the replica", || {
            sentinel.command(&["SENTINEL", "REPLICAS", "tern"]).contains("slave")
        });
        RedisSentinel { master, replica, sentinel }
    }

    pub fn url(&self) -> String {
        format!("redis+sentinel://127.0.0.1:{}/tern", self.sentinel.port)
    }

    /// Kills the master and returns once the replica is promoted.
    pub fn fail_over(&mut self) {
        self.master.kill9();
        // The sentinel closes its clients' connections meanwhile.
        wait_until("the replica takes over", || self.replica.redis_cli(&["ROLE"]).stdout.starts_with(b"master"));
    }
}

impl RedisCluster {
    pub fn start() -> RedisCluster {
        let nodes = [("0", "8191"), ("8192", "16383")].map(|(first, last)| {
            let bus_port = free_port().to_string();
            let extra = ["--cluster-enabled", "yes", "--cluster-port", &bus_port].map(str::to_owned);
            let node = Redis::start_with(&Options { extra: extra.into(), ..Options::default() });
            node.command(&["CLUSTER", "ADDSLOTSRANGE", first, last]);
            (node, bus_port)
        });
        let [(one, _), (other, bus_port)] = nodes;
        one.command(&["CLUSTER", "SET-CONFIG-EPOCH", "1"]);
        other.command(&["CLUSTER", "SET-CONFIG-EPOCH", "2"]);
        one.command(&["CLUSTER", "MEET", "127.0.0.1", &other.port.to_string(), &bus_port]);
        let cluster = RedisCluster([one, other]);
        for node in &cluster.0 {
            wait_until("the nodes have met", || {
                let info = node.command(&["CLUSTER", "INFO"]);
                info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:2")
            });
        }
        cluster
    }

    pub fn url(&self) -> String {
        format!("redis+cluster://127.0.0.1:{},127.0.0.1:{}", self.0[0].port, self.0[1].port)
    }
}
