//! Shared by the socket tests: a server with a small service, a client, and the vectors.

#![expect(dead_code, reason = "each test binary uses a part")]
#![expect(clippy::unwrap_used, reason = "a test helper fails the test that calls it")]

pub(crate) mod client;
pub(crate) mod conformance;
pub(crate) mod vectors;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant, SystemTime};

use percent_encoding::percent_decode;
use tern_redirector::http::{self, Answer, Limits, Method, Reply, Request, Server, Service, StatusCode};

pub(crate) const TARGET: &str = "https://target.example/path?q=1&r=%20#part";

pub(crate) const MOMENT: Duration = Duration::from_millis(300);
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Returns limits that expire nothing unless a test changes them, with fast ticks so that such timeouts can be short.
pub(crate) fn generous_limits() -> Limits {
    Limits {
        header_timeout: LONG,
        idle_timeout: LONG,
        write_timeout: LONG,
        linger_timeout: LONG,
        tick: Duration::from_millis(10),
        ..Limits::default()
    }
}

pub(crate) fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Service where CODE12 redirects, GONE12 is gone, BUG12 panics, MUTE12 is not answered, and nothing else exists.
#[derive(Debug, Default)]
pub(crate) struct Codes {
    pub(crate) calls: AtomicU64,
    /// Whether loopback, the address of all these clients, is one client with a share.
    pub(crate) has_shares: bool,
}

impl Service for Codes {
    fn share_of(&self, _: IpAddr) -> Option<u64> {
        self.has_shares.then_some(7)
    }

    fn call(&self, request: &Request<'_>, reply: Reply<'_>) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        assert_eq!(request.peer, IpAddr::V4(Ipv4Addr::LOCALHOST));
        let received = SystemTime::UNIX_EPOCH + Duration::from_micros(request.received_at_micros);
        assert!(received.elapsed().is_ok_and(|age| age < Duration::from_secs(10)));
        let mut decoded = percent_decode(&request.path[1..]);
        let mut code = [0; 64];
        let length = code.iter_mut().zip(&mut decoded).map(|(to, byte)| *to = byte).count();
        match &code[..length] {
            b"CODE12" | b"GONE12" if request.method == Method::Other => {
                reply.answer(&Answer::error(StatusCode::METHOD_NOT_ALLOWED, "m"))
            }
            b"CODE12" => reply.answer(&Answer::redirect(TARGET.as_bytes())),
            b"GONE12" => reply.answer(&Answer::error(StatusCode::GONE, "This shortened URL has been deactivated")),
            b"BUG12" => panic!("a bug in the service"),
            b"MUTE12" => drop(reply),
            unknown => {
                let message = [b"Short code '", unknown, b"' not found"];
                reply.answer(&Answer::error_in_pieces(StatusCode::NOT_FOUND, message))
            }
        }
    }
}

/// Starts a server on a port of its own.
pub(crate) fn serve(limits: Limits) -> (Server, Arc<Codes>) {
    static RUNTIME: Once = Once::new();
    RUNTIME.call_once(|| http::configure_runtime(2));
    let service = Arc::new(Codes::default());
    let server = Server::bind((Ipv4Addr::LOCALHOST, 0).into(), limits, service.clone()).unwrap();
    (server, service)
}

/// Waits until other threads make `condition` true, for ten seconds at most.
#[track_caller]
pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < give_up, "never came: {what}");
        std::thread::yield_now();
    }
}
