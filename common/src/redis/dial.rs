//! Opening of connections for each topology. Time limits are the caller's.

use std::fmt;
use std::time::Duration;

use ::redis::aio::{AsyncPushSender, ConnectionLike, MultiplexedConnection};
use ::redis::cluster::ClusterClientBuilder;
use ::redis::cluster_async::ClusterConnection;
use ::redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, Pipeline, ProtocolVersion,
    RedisConnectionInfo, RedisFuture, RedisResult, TlsCertificates, Value, cmd,
};
use anyhow::{Context, anyhow, bail};

use super::address::{Endpoint, Topology};
use super::config::RedisConfig;

/// The time limit of each attempt where several servers are tried one after another.
const ATTEMPT_LIMIT: Duration = Duration::from_millis(300);

/// A factory of connections to one Redis.
#[derive(Clone, Debug)]
pub(crate) struct Dialer(RedisConfig);

/// A connection for commands. Clones share it.
#[derive(Clone)]
pub(crate) enum Connection {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Dialer {
    pub(crate) fn new(config: &RedisConfig) -> Dialer {
        // The first call installs the provider for the process. Other parts of Tern install the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Dialer(config.clone())
    }

    /// Opens a connection for commands.
    pub(crate) async fn commands(&self) -> anyhow::Result<Connection> {
        let Topology::Cluster { nodes } = &self.0.address.topology else {
            return self.connect_to_one(unlimited()).await.map(Connection::Server);
        };
        let nodes: RedisResult<Vec<_>> = nodes.iter().map(|node| address(node, false).into_connection_info()).collect();
        let mut cluster = ClusterClientBuilder::new(nodes?).retries(1);
        if let Some(user) = &self.0.address.credentials.user {
            cluster = cluster.username(user);
        }
        if let Some(password) = &self.0.address.credentials.password {
            cluster = cluster.password(&password.0);
        }
        Ok(Connection::Cluster(cluster.build()?.get_async_connection().await?))
    }

    /// Opens a connection whose push messages go to `listener`.
    pub(crate) async fn pushes(&self, listener: impl AsyncPushSender) -> anyhow::Result<MultiplexedConnection> {
        self.connect_to_one(unlimited().set_push_sender(listener)).await
    }

    /// Opens a connection to the server, to the master of the sentinels, or to any node of the cluster.
    async fn connect_to_one(&self, config: AsyncConnectionConfig) -> anyhow::Result<MultiplexedConnection> {
        match &self.0.address.topology {
            Topology::Server { endpoint, tls } => self.connect(endpoint, *tls, config).await,
            Topology::Sentinel { sentinels, master } => self.connect_to_master(sentinels, master, config).await,
            Topology::Cluster { nodes } => {
                // A cluster sends a published message to every node.
                first_of(nodes.iter().map(|node| self.connect(node, false, config.clone()))).await
            }
        }
    }

    async fn connect(
        &self,
        endpoint: &Endpoint,
        tls: bool,
        config: AsyncConnectionConfig,
    ) -> anyhow::Result<MultiplexedConnection> {
        let client = Client::open(self.info(endpoint, tls)?)?;
        let client = match &self.0.authorities {
            Some(authorities) if tls => {
                let certificates = TlsCertificates { client_tls: None, root_cert: Some(authorities.0.clone()) };
                Client::build_with_tls(client.get_connection_info().clone(), certificates)?
            }
            _ => client,
        };
        Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
    }

    fn info(&self, endpoint: &Endpoint, tls: bool) -> RedisResult<ConnectionInfo> {
        let redis_address = &self.0.address;
        let mut redis = RedisConnectionInfo::default()
            .set_db(i64::from(redis_address.database))
            // Only RESP3 allows push messages while a command waits for its answer.
            .set_protocol(ProtocolVersion::RESP3);
        if let Some(user) = &redis_address.credentials.user {
            redis = redis.set_username(user);
        }
        if let Some(password) = &redis_address.credentials.password {
            redis = redis.set_password(&password.0);
        }
        Ok(address(endpoint, tls).into_connection_info()?.set_redis_settings(redis))
    }

    async fn connect_to_master(
        &self,
        sentinels: &[Endpoint],
        master: &str,
        config: AsyncConnectionConfig,
    ) -> anyhow::Result<MultiplexedConnection> {
        let endpoint = first_of(sentinels.iter().map(|sentinel| ask_for_master(sentinel, master))).await?;
        let mut connection = self.connect(&endpoint, false, config).await?;
        // A sentinel may still name the former master after a failover.
        let role: Vec<Value> = cmd("ROLE").query_async(&mut connection).await?;
        match role.first() {
            Some(Value::BulkString(role)) if role == b"master" => Ok(connection),
            _ => bail!("the sentinels name {}:{}, which is no master", endpoint.host, endpoint.port),
        }
    }
}

/// Asks `sentinel` for the address of `master`.
async fn ask_for_master(sentinel: &Endpoint, master: &str) -> anyhow::Result<Endpoint> {
    let mut connection =
        Client::open(address(sentinel, false))?.get_multiplexed_async_connection_with_config(&unlimited()).await?;
    let mut query = cmd("SENTINEL");
    query.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
    let answer: Option<(String, u16)> = query.query_async(&mut connection).await?;
    let (host, port) = answer.with_context(|| format!("the sentinels know no master {master}"))?;
    Ok(Endpoint { host, port })
}

/// Makes the attempts one after another, and returns the first success or the last error.
async fn first_of<T, F>(attempts: impl Iterator<Item = F>) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>>,
{
    let mut last_error = anyhow!("no server is named");
    for attempt in attempts {
        match tokio::time::timeout(ATTEMPT_LIMIT, attempt).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => last_error = error,
            Err(_) => last_error = anyhow!("no answer in time"),
        }
    }
    Err(last_error)
}

fn address(endpoint: &Endpoint, tls: bool) -> ConnectionAddr {
    let Endpoint { host, port } = endpoint.clone();
    match tls {
        false => ConnectionAddr::Tcp(host, port),
        true => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
    }
}

/// Returns a configuration without time limits, since each caller has its own.
fn unlimited() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None)
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Connection::Server(connection) => connection.req_packed_command(cmd),
            Connection::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Connection::Server(connection) => connection.req_packed_commands(pipeline, offset, count),
            Connection::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Connection::Server(connection) => connection.get_db(),
            Connection::Cluster(connection) => connection.get_db(),
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Connection::Server(_) => "Server",
            Connection::Cluster(_) => "Cluster",
        })
    }
}
