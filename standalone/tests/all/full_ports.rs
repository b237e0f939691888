//! One client that occupies every connection it can get, on each of the three ports, beside clients that make requests.

#![expect(clippy::disallowed_methods, reason = "the sleep blocks only the test's own thread")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

use crate::client::Client;
use crate::support::Tern;

/// Connection limit of the API's port and, in these tests, of the redirect port.
const CROWD: usize = 2_048;

/// Number of threads that make requests beside the crowd, and the requests of each in a second.
const CLIENTS: u64 = 8;
const RATE: u64 = 125;

/// Duration of the requests beside the crowd.
const DRILL: Duration = Duration::from_secs(4);

/// Time after which a request without an answer has failed.
const WAIT_LIMIT: Duration = Duration::from_secs(3);

fn raise_descriptor_limit() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").into_bytes()
}

/// Opens connections and sends a request on each every other second. Connections that the server ends are opened again.
fn hold_connections(address: SocketAddr, path: &str, over: &AtomicBool, full: &AtomicBool) {
    let request = get(path);
    let open = || {
        let mut stream = TcpStream::connect_timeout(&address, WAIT_LIMIT).ok()?;
        stream.write_all(&request).ok()?;
        stream.set_nonblocking(true).ok()?;
        Some(stream)
    };
    let mut crowd: Vec<Option<TcpStream>> = (0..CROWD).map(|_| open()).collect();
    full.store(true, Ordering::Relaxed);
    while !over.load(Ordering::Relaxed) {
        for place in &mut crowd {
            let mut answers = [0; 16 * 1024];
            let ended = place
                .as_mut()
                .is_none_or(|stream| matches!(stream.read(&mut answers), Ok(0)) || stream.write_all(&request).is_err());
            if ended {
                *place = open();
            }
            std::thread::sleep(Duration::from_millis(1));
            if over.load(Ordering::Relaxed) {
                return;
            }
        }
    }
}

/// Opens connections, sends a hundred requests on each, and reads no answer.
fn never_read(address: SocketAddr, path: &str, over: &AtomicBool, full: &AtomicBool) {
    let requests = get(path).repeat(100);
    let open = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).ok()?;
        socket.set_recv_buffer_size(4096).ok()?;
        socket.connect_timeout(&address.into(), WAIT_LIMIT).ok()?;
        let mut stream = TcpStream::from(socket);
        stream.set_write_timeout(Some(WAIT_LIMIT)).ok()?;
        stream.write_all(&requests).ok()?;
        Some(stream)
    };
    let crowd: Vec<_> = (0..CROWD).map(|_| open()).collect();
    full.store(true, Ordering::Relaxed);
    while !over.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(crowd);
}

/// Makes requests, one in four on a connection of its own. Returns the number made and the first failures.
fn make_requests(address: SocketAddr, path: &str, status: u16, time: Duration) -> (u64, Vec<String>) {
    let (request, began) = (get(path), Instant::now());
    let connect = || TcpStream::connect_timeout(&address, WAIT_LIMIT).map(Client::over);
    let (mut kept, mut made, mut failures) = (None, 0, Vec::new());
    while began.elapsed() < time && failures.len() < 3 {
        let reuses = made % 4 != 0;
        let client = match kept.take() {
            Some(client) if reuses => Ok(client),
            _ => connect(),
        };
        let asked = client.and_then(|mut client| {
            client.stream.set_read_timeout(Some(WAIT_LIMIT))?;
            client.stream.write_all(&request)?;
            client.answer(false).map(|answer| (answer.map(|answer| answer.status), client))
        });
        match asked {
            Ok((Some(answered), client)) if answered == status => kept = Some(client),
            Ok((answered, _)) => failures.push(format!("request {made}, reused: {reuses}: answered {answered:?}")),
            Err(error) => failures.push(format!("request {made}, reused: {reuses}: {error}")),
        }
        made += 1;
        let due = began + Duration::from_secs(made) / u32::try_from(RATE).unwrap();
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    (made, failures)
}

type Crowd = fn(SocketAddr, &str, &AtomicBool, &AtomicBool);

/// Runs a crowd on one port and clients on another; checks that no request of the clients fails.
#[track_caller]
fn drill(crowd: Crowd, crowd_at: (&str, &str), clients_at: (&str, &str), status: u16) {
    drill_for(DRILL, crowd, crowd_at, clients_at, status);
}

#[track_caller]
fn drill_for(time: Duration, crowd: Crowd, crowd_at: (&str, &str), clients_at: (&str, &str), status: u16) {
    raise_descriptor_limit();
    let (over, full) = (AtomicBool::new(false), AtomicBool::new(false));
    let (crowded, address): (SocketAddr, SocketAddr) = (crowd_at.0.parse().unwrap(), clients_at.0.parse().unwrap());
    let results: Vec<_> = std::thread::scope(|scope| {
        scope.spawn(|| crowd(crowded, crowd_at.1, &over, &full));
        let give_up = Instant::now() + Duration::from_secs(20);
        while !full.load(Ordering::Relaxed) && Instant::now() < give_up {
            std::thread::sleep(Duration::from_millis(20));
        }
        // The kernel's queue may be as full as the port when the last of the crowd has connected.
        let is_served = || {
            let asked = TcpStream::connect_timeout(&crowded, WAIT_LIMIT).map(Client::over).and_then(|mut client| {
                client.stream.write_all(&get("/no-such-code"))?;
                client.answer(false)
            });
            matches!(asked, Ok(Some(answer)) if answer.status != 503)
        };
        let served = (0..20).any(|_| {
            let served = is_served();
            if !served {
                std::thread::sleep(Duration::from_millis(100));
            }
            served
        });
        // The scope waits for the crowd even if the test fails.
        over.store(!served, Ordering::Relaxed);
        assert!(served, "the crowded port serves no other client");
        let clients: Vec<_> =
            (0..CLIENTS).map(|_| scope.spawn(|| make_requests(address, clients_at.1, status, time))).collect();
        let results = clients.into_iter().map(|client| client.join().unwrap()).collect();
        over.store(true, Ordering::Relaxed);
        results
    });
    let made: u64 = results.iter().map(|(made, _)| made).sum();
    let failures: Vec<_> = results.into_iter().flat_map(|(_, failures)| failures).collect();
    assert!(failures.is_empty(), "of {made} requests failed: {failures:#?}");
    assert!(made > CLIENTS * 5, "only {made} requests were made");
}

fn crowded_tern() -> (Tern, String) {
    raise_descriptor_limit();
    let limit = CROWD.to_string();
    let tern = Tern::start_with(&["--sample"], &[("MAX_CONNECTIONS", &limit), ("LOG_LEVEL", "warn")]);
    let code = format!("/{}", tern.announced_code.clone().unwrap());
    (tern, code)
}

#[test]
fn api_port_full_of_idle_connections_serves_other_clients() {
    let (tern, _) = crowded_tern();
    drill(hold_connections, (&tern.api, "/health"), (&tern.api, "/health"), 200);
}

#[test]
fn api_port_full_of_slow_readers_serves_other_clients() {
    let (tern, _) = crowded_tern();
    drill(never_read, (&tern.api, "/openapi.json"), (&tern.api, "/health"), 200);
}

#[test]
fn redirect_port_full_of_idle_connections_serves_other_clients() {
    let (tern, code) = crowded_tern();
    drill(hold_connections, (&tern.fast, &code), (&tern.fast, &code), 302);
}

#[test]
fn redirect_port_full_of_slow_readers_serves_other_clients() {
    let (tern, code) = crowded_tern();
    drill(never_read, (&tern.fast, &code), (&tern.fast, &code), 302);
}

#[test]
fn operators_port_full_of_idle_connections_serves_other_clients() {
    let (tern, _) = crowded_tern();
    drill(hold_connections, (&tern.ops, "/ready"), (&tern.ops, "/ready"), 200);
}

/// With 1,000 descriptors, a crowd of 2,048 on one port would otherwise leave none for the other ports.
#[test]
fn ports_full_of_idle_connections_leave_descriptors_to_each_other() {
    let tern = Tern::start_with_descriptors(1_000, &["--sample"]);
    let code = format!("/{}", tern.announced_code.clone().unwrap());
    let ports = [(&*tern.ops, "/live", 200), (&*tern.api, "/health", 200), (&*tern.fast, &*code, 302)];
    for (crowded, of_the_crowd, _) in ports {
        for (address, path, status) in ports {
            drill_for(DRILL / 4, hold_connections, (crowded, of_the_crowd), (address, path), status);
        }
    }
}
