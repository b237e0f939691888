//! A database with several hosts, of which one takes changes.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use tern_common::store::postgres::OpenError;
use tern_common::store::{AdminStore, LinkFeed, PostgresConfig, PostgresStore};
use tern_testkit::postgres::{Options, Postgres};
use tern_testkit::relay::{Relay, Stall};
use tokio::net::{TcpSocket, TcpStream};

use crate::{connect, eventually, new_user, store, user};

/// Returns the configuration with hosts on these ports instead of the server's own.
fn with_ports(config: &PostgresConfig, server: &Postgres, ports: &[u16]) -> PostgresConfig {
    let hosts: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    PostgresConfig::new(config.url.replace(&format!("127.0.0.1:{}", server.port()), &hosts.join(",")))
}

/// A port on which attempts to connect get no answer, as from a machine that is away.
struct AbsentHost {
    port: u16,
    _listener: tokio::net::TcpListener,
    _queued: Vec<TcpStream>,
}

impl AbsentHost {
    /// Fills the queue of a listener, after which the kernel drops further attempts.
    async fn start() -> AbsentHost {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(connected) = tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
            queued.push(connected.unwrap());
            assert!(queued.len() < 10, "the queue has no limit");
        }
        AbsentHost { port: address.port(), _listener: listener, _queued: queued }
    }
}

#[tokio::test]
async fn silent_absent_and_standby_hosts_before_the_primary_delay_only_the_first_connection() {
    let primary = Postgres::start_new(&Options::default());
    let (direct, config) = store(&primary).await;
    user(&direct, "ada").await;
    let standby = primary.standby();
    // Accepts connections and never answers.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let absent = AbsentHost::start().await;
    let ports = [silent.local_addr().unwrap().port(), absent.port, standby.port(), primary.port()];
    let store = PostgresStore::new(&with_ports(&config, &primary, &ports)).unwrap();
    let began = Instant::now();
    store.ping().await.unwrap();
    assert!(began.elapsed() < Duration::from_millis(1200), "{:?}", began.elapsed());
    // Another pool connects to the host that was the primary.
    let began = Instant::now();
    drop(store.snapshot().await.unwrap());
    assert!(began.elapsed() < Duration::from_millis(240), "{:?}", began.elapsed());
    assert_eq!(
        standby.psql("postgres", "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tern'"),
        "0\n"
    );
}

/// Starts a primary behind a cable, and its standby. Returns the configuration with both, the primary's host first.
async fn primary_on_a_cable() -> (Postgres, Postgres, Relay, PostgresConfig) {
    let primary = Postgres::start_new(&Options::default());
    let (_, config) = store(&primary).await;
    let standby = primary.standby();
    let cable = Relay::to(primary.port());
    let config = with_ports(&config, &primary, &[cable.port(), standby.port()]);
    (primary, standby, cable, config)
}

#[tokio::test]
async fn changes_are_taken_soon_after_a_promotion_although_the_old_primary_is_silent() {
    let (_primary, standby, cable, config) = primary_on_a_cable().await;
    let store = PostgresStore::open(&config).await.unwrap();
    user(&store, "ada").await;
    cable.stall(Stall::Both);
    standby.promote();
    let promoted = Instant::now();
    while store.insert_user(new_user("bob")).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(promoted.elapsed() < Duration::from_secs(3), "{:?}", promoted.elapsed());
}

#[tokio::test]
async fn standby_is_found_after_its_promotion_by_a_connection_that_waits_for_the_silent_old_primary() {
    let (_primary, standby, cable, config) = primary_on_a_cable().await;
    cable.stall(Stall::Both);
    let store = PostgresStore::new(&config).unwrap();
    // The connection that this request begins outlives it by more than two seconds.
    store.ping().await.unwrap_err();
    standby.promote();
    let promoted = Instant::now();
    while store.ping().await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(promoted.elapsed() < Duration::from_millis(1500), "{:?}", promoted.elapsed());
}

#[tokio::test]
async fn standby_alone_is_refused_by_name_until_its_promotion() {
    let primary = Postgres::start_new(&Options::default());
    let (_, config) = store(&primary).await;
    let standby = primary.standby();
    let config = with_ports(&config, &primary, &[standby.port()]);
    let refused = PostgresStore::open(&config).await.unwrap_err();
    let expected = format!("connecting to 127.0.0.1:{}: the server is a standby", standby.port());
    assert!(refused.to_string().contains(&expected), "{refused}");
    let store = PostgresStore::new(&config).unwrap();
    standby.promote();
    eventually(async || store.ping().await).await;
}

#[tokio::test]
async fn database_that_is_read_only_is_refused_if_the_url_demands_read_write() {
    let (_, config) = store(Postgres::shared()).await;
    let name = config.url.rsplit('/').next().unwrap();
    let read_only = format!("ALTER DATABASE {name} SET default_transaction_read_only = on");
    connect(&config).await.batch_execute(&read_only).await.unwrap();
    let demanding = PostgresConfig::new(format!("{}?target_session_attrs=read-write", config.url));
    let refused = PostgresStore::open(&demanding).await.unwrap_err();
    assert!(refused.to_string().contains("the database is read-only"), "{refused}");
    PostgresStore::open(&config).await.unwrap();
}

#[test]
fn hosts_that_cannot_be_meant_are_refused_as_settings() {
    let check = |url: &str, expected: &str| {
        let refused = PostgresStore::new(&PostgresConfig::new(url)).unwrap_err();
        assert!(matches!(refused, OpenError::Url(_)) && refused.is_of_settings(), "{refused:?}");
        assert!(refused.to_string().contains(expected), "{refused}");
    };
    check("host=a,b,c port=1,2 user=u", "3 hosts and 2 ports");
    check("user=u", "names no host");
    check("host=a,b hostaddr=127.0.0.1 user=u", "2 hosts and 1 addresses");
    check("postgres://u@a/n?target_session_attrs=read-only", "only the primary takes clicks");
}
