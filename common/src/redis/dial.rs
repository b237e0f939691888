//! Opening connections, whatever the topology. Without patience of its own: the caller says how long it waits.

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

/// Of several servers that are asked one after another, each may take this long.
const ONE_OF_SEVERAL: Duration = Duration::from_millis(300);

/// Opens connections to one Redis.
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
        // The first one who asks decides for the process; everybody asks for the same.
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

    /// Opens a connection on which the server speaks unasked, to `listener`.
    pub(crate) async fn pushes(&self, listener: impl AsyncPushSender) -> anyhow::Result<MultiplexedConnection> {
        self.connect_to_one(unlimited().set_push_sender(listener)).await
    }

    /// Opens a connection to the server, to the master of the sentinels, or to any node of the cluster.
    async fn connect_to_one(&self, config: AsyncConnectionConfig) -> anyhow::Result<MultiplexedConnection> {
        match &self.0.address.topology {
            Topology::Server { endpoint, tls } => self.connect(endpoint, *tls, config).await,
            Topology::Sentinel { sentinels, master } => self.connect_to_master(sentinels, master, config).await,
            Topology::Cluster { nodes } => {
                // Every node hears what is published on any.
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
        let address_of_all = &self.0.address;
        let mut redis = RedisConnectionInfo::default()
            .set_db(i64::from(address_of_all.database))
            // The only one in which a server may speak while a command waits for its answer.
            .set_protocol(ProtocolVersion::RESP3);
        if let Some(user) = &address_of_all.credentials.user {
            redis = redis.set_username(user);
        }
        if let Some(password) = &address_of_all.credentials.password {
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
        let endpoint = first_of(sentinels.iter().map(|sentinel| master_by(sentinel, master))).await?;
        let mut connection = self.connect(&endpoint, false, config).await?;
        // Right after a failover a sentinel may still name the old one.
        let role: Vec<Value> = cmd("ROLE").query_async(&mut connection).await?;
        match role.first() {
            Some(Value::BulkString(role)) if role == b"master" => Ok(connection),
            _ => bail!("the sentinels name {}:{}, which is no master", endpoint.host, endpoint.port),
        }
    }
}

/// What `sentinel` knows of where `master` is.
async fn master_by(sentinel: &Endpoint, master: &str) -> anyhow::Result<Endpoint> {
    let mut connection =
        Client::open(address(sentinel, false))?.get_multiplexed_async_connection_with_config(&unlimited()).await?;
    let mut question = cmd("SENTINEL");
    question.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
    let answer: Option<(String, u16)> = question.query_async(&mut connection).await?;
    let (host, port) = answer.with_context(|| format!("the sentinels know no master {master}"))?;
    Ok(Endpoint { host, port })
}

/// The first success; they are tried one after another.
async fn first_of<T, F>(attempts: impl Iterator<Item = F>) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>>,
{
    let mut last_error = anyhow!("nobody to ask");
    for attempt in attempts {
        match tokio::time::timeout(ONE_OF_SEVERAL, attempt).await {
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

/// Every caller has a limit of its own.
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
