//! The hosts of the network, and the servers and planes on them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use tern_testkit::network::Network;
use tern_testkit::patroni::{Options, PatroniCluster};
use tern_testkit::sentinels::Sentinels;
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::{NoTls, Row};

use crate::plane::{Plane, binary, command};

/// Host of the clients, the judge and this process.
pub(super) const CLIENTS: usize = 0;
pub(super) const ETCD: [usize; 3] = [1, 2, 3];
pub(super) const DATABASES: [usize; 3] = [4, 5, 6];
pub(super) const REDIS: [usize; 3] = [7, 8, 9];
pub(super) const ADMINS: [usize; 2] = [10, 11];
pub(super) const REDIRECTORS: [usize; 3] = [12, 13, 14];
pub(super) const NUMBER: usize = 15;

/// Name of the database.
const DATABASE: &str = "tern";

/// Servers and planes of a drill.
#[derive(Debug)]
pub(super) struct Hosts {
    pub(super) network: Arc<Network>,
    pub(super) patroni: PatroniCluster,
    pub(super) sentinels: Sentinels,
    /// Token of the API.
    pub(super) token: String,
    planes: Vec<Plane>,
    directory: tempfile::TempDir,
    client: Client,
}

impl Hosts {
    /// Starts every server, then the planes, and waits until they are ready. This thread must be on the host of the
    /// clients.
    pub(super) async fn start(network: Arc<Network>, options: Options) -> Hosts {
        let sentinels = Sentinels::start(&network, REDIS);
        let patroni = PatroniCluster::start(&network, ETCD, DATABASES, options);
        let primary = (0..DATABASES.len())
            .find(|n| patroni.psql(*n, "postgres", &format!("CREATE DATABASE {DATABASE}")).is_some())
            .expect("the primary creates the database");
        let directory = tempfile::Builder::new().prefix("tern-cluster-").tempdir().unwrap();
        let admin = settings(&patroni, &sentinels, "tern");
        let run = |arguments: &[&str]| {
            let output = command("tern-admin", arguments, directory.path(), &admin).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        run(&["migrate"]);
        let role = include_str!("../../deploy/postgres/redirector-role.sql");
        patroni.psql(primary, DATABASE, role).expect("the role is created");
        let token = run(&["token", "create", "drill", "--role", "admin"]);
        let address = |host: usize| network.host(host).address();
        let mut planes = Vec::new();
        for host in ADMINS {
            let listen = [("ADMIN_LISTEN", format!("{}:8000", address(host)))];
            planes.push(start_plane(&network, host, directory.path(), "tern-admin", &["serve"], &admin, &listen));
        }
        let redirector = settings(&patroni, &sentinels, "tern_redirector");
        for host in REDIRECTORS {
            let listen = [
                ("REDIRECTOR_LISTEN", format!("{}:8080", address(host))),
                ("REDIRECTOR_OPS_LISTEN", format!("{}:9080", address(host))),
            ];
            planes.push(start_plane(&network, host, directory.path(), "tern-redirector", &[], &redirector, &listen));
        }
        let client = Client::builder().timeout(Duration::from_secs(5)).build().unwrap();
        let hosts = Hosts { network, patroni, sentinels, token, planes, directory, client };
        for n in 0..REDIRECTORS.len() {
            let url = format!("http://{}/ready", hosts.operations(n));
            crate::eventually("the redirector is ready", async || {
                hosts.client.get(&url).send().await.is_ok_and(|answer| answer.status() == 200)
            })
            .await;
        }
        hosts
    }

    /// Returns the URL of the `n`th admin.
    pub(super) fn api(&self, n: usize) -> String {
        format!("http://{}:8000", self.network.host(ADMINS[n]).address())
    }

    /// Returns the address of the `n`th redirector.
    pub(super) fn redirects(&self, n: usize) -> String {
        format!("{}:8080", self.network.host(REDIRECTORS[n]).address())
    }

    fn operations(&self, n: usize) -> String {
        format!("{}:9080", self.network.host(REDIRECTORS[n]).address())
    }

    /// Returns the sum of the series of a redirector that begin with `name`.
    pub(super) async fn metric(&self, redirector: usize, name: &str) -> f64 {
        let url = format!("http://{}/metrics", self.operations(redirector));
        let text = self.client.get(url).send().await.unwrap().text().await.unwrap();
        let values = text.lines().filter_map(|line| line.strip_prefix(name)?.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum()
    }

    /// Returns the sum of a metric over all redirectors.
    pub(super) async fn sum(&self, name: &str) -> f64 {
        let mut sum = 0.0;
        for redirector in 0..REDIRECTORS.len() {
            sum += self.metric(redirector, name).await;
        }
        sum
    }

    /// Returns the rows of a query on the primary.
    pub(super) async fn query(&self, sql: &str) -> Result<Vec<Row>, tokio_postgres::Error> {
        let mut config = tokio_postgres::Config::new();
        for n in 0..DATABASES.len() {
            config.host(self.patroni.address(n));
        }
        config.user("tern").dbname(DATABASE).connect_timeout(Duration::from_secs(2));
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        client.query(sql, &[]).await
    }

    /// Leaves the logs of servers and planes behind; returns their directories.
    pub(super) fn keep_directories(&mut self) -> [PathBuf; 2] {
        self.patroni.keep_directory();
        self.directory.disable_cleanup(true);
        [self.patroni.directory().to_owned(), self.directory.path().to_owned()]
    }

    /// Returns the number of planes that have ended.
    pub(super) fn ended_planes(&mut self) -> usize {
        self.planes.iter_mut().filter_map(|plane| plane.has_ended().then_some(())).count()
    }
}

fn settings(patroni: &PatroniCluster, sentinels: &Sentinels, user: &str) -> Vec<(String, String)> {
    [
        ("DATABASE_URL", patroni.url(user, DATABASE)),
        ("REDIS_URL", sentinels.url()),
        ("ADMIN_AUTH", "tokens".to_owned()),
        ("REDIRECTOR_WORKERS", "1".to_owned()),
        ("LOG_LEVEL", "info".to_owned()),
        // All clients are in one network, and each click must become an event.
        ("CLICK_EVENTS_PER_NETWORK", "0".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// Starts a plane on its host, where it ends with this process.
fn start_plane(
    network: &Network,
    host: usize,
    directory: &Path,
    name: &'static str,
    arguments: &[&str],
    settings: &[(String, String)],
    own: &[(&str, String)],
) -> Plane {
    let own_directory = directory.join(format!("{name}{host}"));
    std::fs::create_dir(&own_directory).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(binary(name)).args(arguments);
    command.current_dir(&own_directory).stdin(Stdio::null()).env_clear();
    command.envs(settings.iter().map(|(name, value)| (name, value)));
    command.envs(own.iter().map(|(name, value)| (name, value)));
    command.env("TERN_DATA_DIR", own_directory.join("data")).env("LOG_FILE", own_directory.join("app.log"));
    let announced = own.len();
    network.host(host).run(move || Plane::start(&mut command, announced))
}
