//! PostgreSQL on three hosts of a network under Patroni, which keeps its state in an etcd on three further hosts.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use crate::network::{Network, Program};
use crate::postgres::programs;
use crate::server::{program, wait_for};

/// Number of members of etcd, and of PostgreSQL.
pub const MEMBERS: usize = 3;

/// Longest time until a new cluster has two standbys, on a machine that does other things.
const START_LIMIT: Duration = Duration::from_secs(120);

/// Running cluster. Its databases have a superuser `tern` without a password.
#[derive(Debug)]
pub struct PatroniCluster {
    network: Arc<Network>,
    etcd_hosts: [usize; MEMBERS],
    hosts: [usize; MEMBERS],
    etcd: Vec<Program>,
    patroni: Vec<Program>,
    is_synchronous: bool,
    directory: TempDir,
}

/// Variations of a cluster.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether each commit waits for a standby, and only such a standby is promoted.
    pub is_synchronous: bool,
    /// Seconds after which a primary that is silent loses its role: at least 8.
    pub ttl: u32,
}

impl PatroniCluster {
    /// Starts etcd and PostgreSQL on these hosts, and waits until both standbys follow the primary. This thread must be
    /// on a host of the network.
    pub fn start(
        network: &Arc<Network>,
        etcd_hosts: [usize; MEMBERS],
        hosts: [usize; MEMBERS],
        options: Options,
    ) -> PatroniCluster {
        let directory = tempfile::Builder::new().prefix("tern-patroni-").tempdir().unwrap();
        for n in 0..MEMBERS {
            fs::create_dir(directory.path().join(format!("socket{n}"))).unwrap();
        }
        let owned = Command::new("chown").args(["-R", "postgres:"]).arg(directory.path()).status().unwrap();
        assert!(owned.success(), "the directory was not given to the user postgres");
        let mut cluster = PatroniCluster {
            network: Arc::clone(network),
            etcd_hosts,
            hosts,
            etcd: Vec::new(),
            patroni: Vec::new(),
            is_synchronous: options.is_synchronous,
            directory,
        };
        let path = |name: String| cluster.directory.path().join(name);
        let etcd = (0..MEMBERS)
            .map(|n| Program::new(Some("postgres"), &path(format!("etcd{n}.log")), cluster.etcd_arguments(n)));
        let etcd: Vec<Program> = etcd.collect();
        let patroni = (0..MEMBERS).map(|n| {
            let file = path(format!("patroni{n}.yml"));
            fs::write(&file, cluster.patroni_configuration(n, options)).unwrap();
            let patroni = program(&["/usr/bin/patroni"], "patroni python3-etcd python3-psycopg2");
            let arguments = [patroni.display().to_string(), file.display().to_string()];
            Program::new(Some("postgres"), &path(format!("patroni{n}.log")), arguments)
        });
        let patroni: Vec<Program> = patroni.collect();
        (cluster.etcd, cluster.patroni) = (etcd, patroni);
        for n in 0..MEMBERS {
            cluster.start_etcd(n);
        }
        for n in 0..MEMBERS {
            cluster.start_member(n);
        }
        wait_for(START_LIMIT, "two standbys follow the primary", || cluster.is_whole());
        cluster
    }

    /// Returns whether two standbys follow the primary, one of them with each commit if the cluster is synchronous.
    pub fn is_whole(&self) -> bool {
        let states = if self.is_synchronous { "'async', 'sync'" } else { "'async', 'async'" };
        let sql = format!(
            "SELECT array_agg(sync_state ORDER BY sync_state) = ARRAY[{states}] FROM pg_stat_replication
             WHERE application_name LIKE 'pg_' AND state = 'streaming'"
        );
        (0..MEMBERS).any(|n| self.psql(n, "postgres", &sql).is_some_and(|answer| answer == "t"))
    }

    /// Returns the URL of a database, which names every host.
    pub fn url(&self, user: &str, database: &str) -> String {
        let hosts: Vec<String> = (0..MEMBERS).map(|n| format!("{}:5432", self.address(n))).collect();
        format!("postgres://{user}@{}/{database}?target_session_attrs=read-write", hosts.join(","))
    }

    /// Returns the address of the `n`th PostgreSQL.
    pub fn address(&self, n: usize) -> String {
        self.network.host(self.hosts[n]).address().to_string()
    }

    /// Runs SQL on the `n`th PostgreSQL; returns its output, or nothing if it fails.
    pub fn psql(&self, n: usize, database: &str, sql: &str) -> Option<String> {
        let mut psql = Command::new(programs().join("psql"));
        psql.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-h", &self.address(n), "-U", "tern", "-d", database, "-c", sql]);
        let output = psql.env("PGCONNECT_TIMEOUT", "2").output().unwrap();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    pub fn start_etcd(&mut self, n: usize) {
        self.etcd[n].start(self.network.host(self.etcd_hosts[n]));
    }

    pub fn kill_etcd(&mut self, n: usize) {
        self.etcd[n].kill();
    }

    pub fn start_member(&mut self, n: usize) {
        self.patroni[n].start(self.network.host(self.hosts[n]));
    }

    /// Kills a PostgreSQL and its Patroni.
    pub fn kill_member(&mut self, n: usize) {
        self.patroni[n].kill();
    }

    /// Freezes a PostgreSQL and its Patroni.
    pub fn freeze_member(&self, n: usize) {
        self.patroni[n].freeze();
    }

    pub fn thaw_member(&self, n: usize) {
        self.patroni[n].thaw();
    }

    /// Makes a standby the primary, as an operator does; returns whether Patroni accepted it.
    pub fn switch_over(&self) -> bool {
        let configuration = self.directory.path().join("patroni0.yml");
        let mut patronictl = Command::new("patronictl");
        patronictl.arg("-c").arg(configuration).args(["switchover", "--force"]);
        patronictl.output().unwrap().status.success()
    }

    /// Returns the directory of configurations, logs and data.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Leaves the directory behind, for a look at its logs.
    pub fn keep_directory(&mut self) {
        self.directory.disable_cleanup(true);
    }

    fn etcd_address(&self, n: usize) -> String {
        self.network.host(self.etcd_hosts[n]).address().to_string()
    }

    fn etcd_arguments(&self, n: usize) -> Vec<String> {
        let etcd = program(&["/usr/bin/etcd"], "etcd-server");
        let (peers, clients) =
            (format!("http://{}:2380", self.etcd_address(n)), format!("http://{}:2379", self.etcd_address(n)));
        let members: Vec<String> = (0..MEMBERS).map(|n| format!("e{n}=http://{}:2380", self.etcd_address(n))).collect();
        let data = self.directory.path().join(format!("etcd{n}"));
        let mut arguments = vec![etcd.display().to_string()];
        for (name, value) in [
            ("name", format!("e{n}")),
            ("data-dir", data.display().to_string()),
            ("listen-peer-urls", peers.clone()),
            ("initial-advertise-peer-urls", peers),
            ("listen-client-urls", clients.clone()),
            ("advertise-client-urls", clients),
            ("initial-cluster", members.join(",")),
            ("initial-cluster-state", "new".to_owned()),
        ] {
            arguments.extend([format!("--{name}"), value]);
        }
        arguments
    }

    fn patroni_configuration(&self, n: usize, options: Options) -> String {
        let (address, directory) = (self.address(n), self.directory.path().display());
        let etcd: Vec<String> = (0..MEMBERS).map(|n| format!("\"{}:2379\"", self.etcd_address(n))).collect();
        let (etcd, bin, ttl) = (etcd.join(", "), programs().display(), options.ttl);
        // Patroni demands two retries and one turn of its loop within the time to live.
        let retry = (ttl - 1) / 2;
        format!(
            r#"scope: tern
name: pg{n}
restapi: {{listen: "{address}:8008", connect_address: "{address}:8008"}}
etcd3: {{hosts: [{etcd}]}}
bootstrap:
  dcs:
    ttl: {ttl}
    loop_wait: 1
    retry_timeout: {retry}
    synchronous_mode: {synchronous}
    synchronous_mode_strict: {synchronous}
    maximum_lag_on_failover: 1073741824
    postgresql:
      use_pg_rewind: true
      parameters: {{wal_log_hints: "on", max_connections: 200, wal_keep_size: 256MB}}
  initdb: [{{encoding: UTF8}}, {{locale: C}}, {{auth: trust}}, no-sync]
postgresql:
  listen: "{address}:5432"
  connect_address: "{address}:5432"
  data_dir: {directory}/data{n}
  bin_dir: {bin}
  pgpass: {directory}/pgpass{n}
  use_unix_socket: true
  authentication:
    superuser: {{username: tern}}
    replication: {{username: replicator}}
    rewind: {{username: rewinder}}
  pg_hba: [local all all trust, host all all 10.77.0.0/24 trust, host replication all 10.77.0.0/24 trust]
  remove_data_directory_on_rewind_failure: true
  remove_data_directory_on_diverged_timelines: true
  # The machine stays up, so every write survives without a sync.
  parameters: {{fsync: "off", shared_buffers: 64MB, unix_socket_directories: "{directory}/socket{n}"}}
"#,
            synchronous = options.is_synchronous
        )
    }
}
