//! A served port, over real sockets with short limits.

#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

mod heads;

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::{get, post};
use prometheus::Registry;
use tern_common::client::Proxies;
use tern_common::config::Setting;
use tern_serving::{Hosts, Limits, PortStats, Serving, with_operations_layers};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};

const MOMENT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(60);

/// Size of an answer that fills the buffers of both ends many times.
const BIG: usize = 16 << 20;

struct Port {
    address: SocketAddr,
    registry: Registry,
    serving: Serving,
}

/// Returns limits that expire nothing unless a test changes them.
fn generous_limits() -> Limits {
    let mut limits = Limits::api(&Proxies::default(), usize::MAX);
    (limits.header_timeout, limits.idle_timeout, limits.write_timeout, limits.body_stall) = (LONG, LONG, LONG, LONG);
    limits.tick = Duration::from_millis(20);
    limits
}

fn routes() -> Router {
    Router::new()
        .route("/", get(async || "here"))
        .route("/big", get(async || Body::from(vec![b'x'; BIG])))
        .route("/work", get(async || sleep(LONG).await))
        .route("/length", post(async |body: Bytes| body.len().to_string()))
}

async fn serve_router(router: Router, limits: Limits) -> Port {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, registry) = (listener.local_addr().unwrap(), Registry::new());
    let serving = Serving::start(listener, router, limits, PortStats::register(&registry, "test").unwrap());
    Port { address, registry, serving }
}

async fn serve(limits: Limits) -> Port {
    serve_router(routes(), limits).await
}

impl Port {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Connects from another loopback address, which is another client where loopback has shares.
    async fn connect_from(&self, from: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    fn count(&self, event: &str) -> u64 {
        let families = self.registry.gather();
        let events = families.iter().find(|family| family.name() == "tern_port_connection_events_total").unwrap();
        let named = |metric: &&prometheus::proto::Metric| metric.get_label().iter().any(|label| label.value() == event);
        let metric = events.get_metric().iter().find(named).unwrap_or_else(|| panic!("no event {event}"));
        metric.get_counter().get_value() as u64
    }
}

/// Sends a request and returns the answer, or the part received before the connection ended.
async fn ask(stream: &mut TcpStream, request: &str) -> String {
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = String::new();
    let read = async {
        let mut bytes = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut bytes).await {
            answer.push_str(std::str::from_utf8(&bytes[..length]).unwrap());
            let Some((head, body)) = answer.split_once("\r\n\r\n") else { continue };
            let length =
                head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if length.is_some_and(|length: usize| body.len() >= length) {
                break;
            }
        }
    };
    timeout(Duration::from_secs(20), read).await.expect("neither an answer nor the end of the connection");
    answer
}

const GET: &str = "GET / HTTP/1.1\r\nhost: tern\r\n\r\n";

async fn is_served(stream: &mut TcpStream) -> bool {
    ask(stream, GET).await.ends_with("here")
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    timeout(Duration::from_secs(20), async { matches!(stream.read(&mut [0; 1]).await, Ok(0) | Err(_)) }).await.unwrap()
}

/// The runtime's only thread opens the connections, so the port cannot accept one before it drains.
#[tokio::test]
async fn drain_answers_connections_not_yet_accepted() {
    for _ in 0..10 {
        let port = serve(generous_limits()).await;
        let mut queue = Vec::new();
        for _ in 0..8 {
            let stream = std::net::TcpStream::connect(port.address).unwrap();
            stream.set_nonblocking(true).unwrap();
            queue.push(TcpStream::from_std(stream).unwrap());
        }
        let drained = tokio::spawn(port.serving.drain(Instant::now() + LONG));
        for mut stream in queue {
            assert!(is_served(&mut stream).await, "a connection in the queue was reset");
        }
        assert!(drained.await.unwrap());
    }
}

#[tokio::test]
async fn leaving_port_answers_and_closes_each_connection() {
    let port = serve(generous_limits()).await;
    let mut stream = port.connect().await;
    assert!(is_served(&mut stream).await);
    port.serving.give_notice();
    for mut stream in [stream, port.connect().await] {
        let answer = ask(&mut stream, GET).await;
        assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
        assert!(is_closed(&mut stream).await);
    }
}

#[tokio::test]
async fn drain_answers_a_request_sent_after_its_begin() {
    let port = serve(generous_limits()).await;
    let (mut busy, mut idle) = (port.connect().await, port.connect().await);
    assert!(is_served(&mut busy).await && is_served(&mut idle).await);
    let began = Instant::now();
    let last_request = async {
        sleep(Duration::from_millis(100)).await;
        assert!(ask(&mut busy, GET).await.contains("\r\nConnection: close\r\n"));
        is_closed(&mut busy).await && is_closed(&mut idle).await
    };
    let (is_drained, are_closed) = tokio::join!(port.serving.drain(began + Duration::from_secs(10)), last_request);
    assert!(is_drained && are_closed);
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn drain_cuts_running_requests_at_its_deadline() {
    let port = serve(generous_limits()).await;
    let mut stream = port.connect().await;
    stream.write_all(b"GET /work HTTP/1.1\r\nhost: tern\r\n\r\n").await.unwrap();
    sleep(MOMENT).await;
    assert!(!port.serving.drain(Instant::now() + MOMENT).await);
    assert!(is_closed(&mut stream).await);
}

#[tokio::test]
async fn full_port_ends_the_longest_idle_connection_for_a_newcomer() {
    let port = serve(Limits { connections: 3, ..generous_limits() }).await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(port.connect().await);
        assert!(is_served(streams.last_mut().unwrap()).await);
        sleep(Duration::from_millis(20)).await;
    }
    assert!(is_served(&mut streams[0]).await);
    let mut newcomer = port.connect().await;
    assert!(is_served(&mut newcomer).await);
    assert!(is_closed(&mut streams[1]).await);
    assert!(is_served(&mut streams[0]).await && is_served(&mut streams[2]).await && is_served(&mut newcomer).await);
    assert_eq!((port.count("evicted_idle"), port.count("over_limit")), (1, 0));
}

#[tokio::test]
async fn full_port_ends_a_slow_reader_and_refuses_when_all_are_busy() {
    let port = serve(Limits { connections: 2, ..generous_limits() }).await;
    let mut reader = port.connect().await;
    reader.write_all(b"GET /big HTTP/1.1\r\nhost: tern\r\n\r\n").await.unwrap();
    let mut worker = port.connect().await;
    worker.write_all(b"GET /work HTTP/1.1\r\nhost: tern\r\n\r\n").await.unwrap();
    sleep(MOMENT).await;
    let mut newcomer = port.connect().await;
    newcomer.write_all(b"GET /work HTTP/1.1\r\nhost: tern\r\n\r\n").await.unwrap();
    sleep(MOMENT).await;
    assert_eq!((port.count("evicted_slow"), port.count("over_limit")), (1, 0));
    let mut refused = port.connect().await;
    let mut answer = String::new();
    refused.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 503 ") && head.contains(&format!("Content-Length: {}", body.len())), "{answer}");
    assert_eq!(port.count("over_limit"), 1);
}

/// One client opens four times as many connections as the port has, while another uses one persistent connection.
#[tokio::test]
async fn client_with_a_full_share_evicts_no_other_client() {
    let mut limits = Limits { connections: 64, ..generous_limits() };
    (limits.shares.connections, limits.shares.loopback_is_exempt) = (32, false);
    let port = serve(limits).await;
    let mut other = port.connect_from("127.9.9.9").await;
    assert!(is_served(&mut other).await);
    sleep(Duration::from_secs(2)).await;
    let mut crowd = Vec::new();
    for _ in 0..256 {
        let mut stream = port.connect_from("127.1.1.1").await;
        assert!(is_served(&mut stream).await);
        crowd.push(stream);
    }
    // The longest idle connection of all stays open, since its client has a share of its own.
    assert!(is_served(&mut other).await);
    assert_eq!(port.count("evicted_idle"), 256 - 32);
}

#[tokio::test]
async fn slow_reader_is_cut_unless_it_makes_progress() {
    let port = serve(Limits { write_timeout: MOMENT, ..generous_limits() }).await;
    let mut stuck = port.connect().await;
    stuck.write_all(b"GET /big HTTP/1.1\r\nhost: tern\r\n\r\n").await.unwrap();
    let mut slow = port.connect().await;
    slow.write_all(b"GET /big HTTP/1.1\r\nhost: tern\r\nconnection: close\r\n\r\n").await.unwrap();
    let (began, mut taken, mut bytes) = (Instant::now(), 0, vec![0; 2 << 20]);
    loop {
        let read = slow.read(&mut bytes).await.unwrap();
        taken += read;
        if read == 0 {
            break;
        }
        if began.elapsed() < 5 * MOMENT {
            sleep(MOMENT / 6).await;
        }
    }
    assert!(taken > BIG, "{taken}");
    assert_eq!(port.count("write_timeout"), 1);
    let mut rest = Vec::new();
    let _ = stuck.read_to_end(&mut rest).await;
    assert!(rest.len() < BIG, "{}", rest.len());
}

#[tokio::test]
async fn idle_connection_is_closed_and_a_busy_one_is_not() {
    let port = serve(Limits { idle_timeout: MOMENT, ..generous_limits() }).await;
    let mut stream = port.connect().await;
    let mut last = Instant::now();
    let began = last;
    while began.elapsed() < 3 * MOMENT {
        last = Instant::now();
        assert!(is_served(&mut stream).await);
        sleep(MOMENT / 3).await;
    }
    assert!(is_closed(&mut stream).await);
    assert!(last.elapsed() >= MOMENT);
    assert_eq!(port.count("idle_timeout"), 1);
}

#[tokio::test]
async fn slow_head_is_answered_408_and_silence_is_closed() {
    let port = serve(Limits { header_timeout: MOMENT, ..generous_limits() }).await;
    let mut silent = port.connect().await;
    let mut slow = port.connect().await;
    slow.write_all(b"GET / HTTP/1.1\r\nhost: t").await.unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 408 ") && head.contains(&format!("Content-Length: {}", body.len())), "{answer}");
    assert!(is_closed(&mut silent).await);
    assert_eq!(port.count("header_timeout"), 2);
}

/// A body that never pauses and would take an hour.
#[tokio::test]
async fn dripping_body_is_cut_and_a_slow_one_is_not() {
    let port = serve(Limits { body_stall: MOMENT, body_bytes_per_second: 1_000, ..generous_limits() }).await;
    let send = async |bytes_at_a_time: usize| {
        let mut stream = port.connect().await;
        let head = "POST /length HTTP/1.1\r\nhost: tern\r\ncontent-length: 3000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let began = Instant::now();
        let mut left = 3_000;
        while left > 0 && began.elapsed() < 10 * MOMENT {
            let now = bytes_at_a_time.min(left);
            if stream.write_all(&vec![b'x'; now]).await.is_err() {
                break;
            }
            left -= now;
            sleep(MOMENT / 6).await;
        }
        ask(&mut stream, "").await
    };
    let (dripping, slow) = tokio::join!(send(1), send(100));
    assert!(dripping.starts_with("HTTP/1.1 400 "), "{dripping}");
    assert!(slow.ends_with("\r\n\r\n3000"), "{slow}");
    assert_eq!(port.count("body_timeout"), 1);
}

#[tokio::test]
async fn operators_port_refuses_foreign_names_and_malformed_heads() {
    let routes = Router::new().route("/ready", get(async || "ready"));
    let router = with_operations_layers(routes, Hosts::parse("tern-1").unwrap());
    let port = serve_router(router, Limits::operations(Limits::OPERATIONS_DESCRIPTORS)).await;
    let check = async |request: &str, status: u16, says: &str| {
        let answer = ask(&mut port.connect().await, &request.replace('|', "\r\n")).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")) || answer.starts_with(&format!("HTTP/1.0 {status} ")),
            "{request}: {answer}"
        );
        assert!(answer.ends_with(says), "{request}: {answer}");
        assert!(answer.contains("\r\nX-Content-Type-Options: nosniff\r\n"), "{answer}");
        assert_eq!(matches!(status, 400 | 421), answer.contains("\r\nConnection: close\r\n"), "{answer}");
    };
    for host in ["127.0.0.1:9080", "localhost", "tern-1:9080", "[::1]:9080"] {
        check(&format!("GET /ready HTTP/1.1|Host: {host}||"), 200, "ready").await;
    }
    check("GET /ready HTTP/1.0||", 200, "ready").await;
    let foreign = "{\"error\":\"Misdirected Request\",\"message\":\"This port answers to addresses, localhost and the names in OPS_HOSTS\"}";
    check("GET /ready HTTP/1.1|Host: evil.example:9080||", 421, foreign).await;
    let bad = "\"message\":\"There must be exactly one valid Host field\"}";
    for hosts in ["", "Host: 127.0.0.1|Host: 127.0.0.1|", "Host: a@127.0.0.1|"] {
        check(&format!("GET /ready HTTP/1.1|{hosts}|"), 400, bad).await;
    }
    check("GET /ready HTTP/1.1|Host: a|Transfer-Encoding: chunked|Transfer-Encoding: chunked||0||", 400, "once\"}")
        .await;
    check("GET /nothing HTTP/1.1|Host: localhost||", 404, "\"message\":\"There is nothing at this path\"}").await;
    check(
        "POST /ready HTTP/1.1|Host: localhost|Content-Length: 0||",
        405,
        "\"message\":\"Only GET and HEAD are served here\"}",
    )
    .await;
}
