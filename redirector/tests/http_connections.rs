//! Connections: their timeouts, limits and ends, over real sockets with short limits.

mod support;

use std::io::{ErrorKind, Write as _};
use std::net::{Ipv4Addr, Shutdown};
use std::sync::Arc;
use std::time::{Duration, Instant};

use support::client::{Client, GET};
use support::{Codes, LONG, MOMENT, eventually, generous_limits, read, serve};
use tern_redirector::http::{DrainReport, Limits, Server, StatusCode};

#[test]
fn browser_behind_a_proxy_is_served() {
    let (server, _) = serve(generous_limits());
    let fields: String = (0..20).map(|n| format!("X-Field-{n}: value of {n}\r\n")).collect();
    let request = format!("GET /CODE12 HTTP/1.1\r\nHost: t.example\r\n{fields}Cookie: {}\r\n\r\n", "c".repeat(4096));
    let mut client = Client::connect(server.local_addr());
    for _ in 0..3 {
        let answer = client.ask(request.as_bytes());
        assert_eq!((answer.status, answer.field("Location")), (302, Some(support::TARGET)));
        assert!(!answer.closes());
    }
}

#[test]
fn answer_before_a_close_announces_it() {
    let (server, _) = serve(generous_limits());
    for request in [
        "GET /CODE12 HTTP/1.0\r\n\r\n",
        "GET /CODE12 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        "GET /CODE12 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n",
        "GET /CODE12 HTTP/1.1\r\n\r\n",
        "POST /CODE12 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        let mut client = Client::connect(server.local_addr());
        assert!(client.ask(request.as_bytes()).closes(), "{request}");
        client.ends();
    }
}

#[test]
fn body_is_never_read_as_a_request() {
    let (server, codes) = serve(generous_limits());
    let inner = "GET /GONE12 HTTP/1.1\r\nHost: t.example\r\n\r\n";
    for framing in [format!("Content-Length: {}", inner.len()), "Transfer-Encoding: chunked".to_owned()] {
        let mut client = Client::connect(server.local_addr());
        client.send(format!("GET /CODE12 HTTP/1.1\r\nHost: t.example\r\n{framing}\r\n\r\n").as_bytes());
        assert_eq!(client.answer(false).unwrap().unwrap().status, 302);
        // The body is sent after the answer, while the server lingers: still no request, and no reset.
        client.send(inner.as_bytes());
        client.ends();
    }
    assert_eq!(read(&codes.calls), 2);
}

#[test]
fn refused_requests_are_counted_by_status() {
    let (server, codes) = serve(generous_limits());
    for (request, status) in [
        ("GET /CODE12 HTTP/1.1\r\n\r\n", StatusCode::BAD_REQUEST),
        ("GET /CODE12\n", StatusCode::BAD_REQUEST),
        ("BREW / HTTP/1.1\r\nHost: h\r\n\r\n", StatusCode::NOT_IMPLEMENTED),
        ("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", StatusCode::METHOD_NOT_ALLOWED),
        ("GET / HTTP/3.0\r\nHost: h\r\n\r\n", StatusCode::HTTP_VERSION_NOT_SUPPORTED),
    ] {
        let before = server.stats().refused(status);
        assert_eq!(Client::connect(server.local_addr()).ask(request.as_bytes()).status, status.as_u16());
        assert_eq!(server.stats().refused(status), before + 1);
    }
    assert_eq!(read(&codes.calls), 0);
}

#[test]
fn service_without_reply_is_answered_500() {
    let (server, _) = serve(generous_limits());
    let mut client = Client::connect(server.local_addr());
    assert_eq!(client.ask(b"GET /MUTE12 HTTP/1.1\r\nHost: h\r\n\r\n").status, 500);
    assert_eq!(client.ask(b"HEAD /MUTE12 HTTP/1.1\r\nHost: h\r\n\r\n").status, 500);
    assert_eq!(client.ask(GET).status, 302);
}

#[test]
fn panicking_service_ends_its_connection_alone() {
    let (server, _) = serve(generous_limits());
    let mut other = Client::connect(server.local_addr());
    assert_eq!(other.ask(GET).status, 302);
    let mut client = Client::connect(server.local_addr());
    client.send(b"GET /BUG12 HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(!matches!(client.answer(false), Ok(Some(_))));
    eventually("the registry without it", || server.registered() == 1);
    eventually("the panic is counted", || read(&server.stats().panicked) == 1);
    assert_eq!(other.ask(GET).status, 302);
}

#[test]
fn slow_head_is_answered_408_after_its_timeout() {
    let (server, _) = serve(Limits { header_timeout: MOMENT, ..generous_limits() });
    let mut client = Client::connect(server.local_addr());
    // The timeout runs from the first byte of each head, not from the connection's start.
    assert_eq!(client.ask(GET).status, 302);
    let started = Instant::now();
    let byte_at_a_time = GET.iter().cycle().map(|byte| if *byte == b'\n' { &b'x' } else { byte });
    for byte in byte_at_a_time {
        client.send(&[*byte]);
        if client.receives_within(Duration::from_millis(20)) {
            break;
        }
        assert!(started.elapsed() < LONG, "never cut");
    }
    assert!(started.elapsed() >= MOMENT);
    let answer = client.answer(false).unwrap().unwrap();
    assert_eq!((answer.status, answer.closes()), (408, true));
    client.ends();
    assert_eq!(read(&server.stats().header_timeouts), 1);
    assert_eq!(server.stats().refused(StatusCode::REQUEST_TIMEOUT), 1);
}

#[test]
fn silent_connection_is_closed_without_an_answer() {
    let (server, _) = serve(Limits { header_timeout: MOMENT, ..generous_limits() });
    let started = Instant::now();
    Client::connect(server.local_addr()).ends();
    assert!(started.elapsed() >= MOMENT);
    assert_eq!(read(&server.stats().header_timeouts), 1);
}

#[test]
fn idle_connection_is_closed_and_a_busy_one_is_not() {
    let (server, _) = serve(Limits { idle_timeout: MOMENT, header_timeout: MOMENT, ..generous_limits() });
    let mut client = Client::connect(server.local_addr());
    let started = Instant::now();
    let mut last = started;
    while started.elapsed() < 4 * MOMENT {
        last = Instant::now();
        assert_eq!(client.ask(GET).status, 302);
        assert!(!client.receives_within(MOMENT / 3), "closed while in use");
    }
    client.ends();
    assert!(last.elapsed() >= MOMENT);
    assert_eq!(read(&server.stats().idle_timeouts), 1);
}

#[test]
fn idle_connection_releases_large_buffers_and_stays_open() {
    let (server, _) = serve(Limits { idle_timeout: Duration::from_millis(2500), ..generous_limits() });
    let mut client = Client::connect(server.local_addr());
    let big = format!("GET /CODE12 HTTP/1.1\r\nHost: h\r\nCookie: {}\r\n\r\n", "c".repeat(9000));
    assert_eq!(client.ask(big.as_bytes()).status, 302);
    // Longer than the time after which buffers are released, shorter than the idle timeout.
    assert!(!client.receives_within(Duration::from_millis(1500)));
    let started = Instant::now();
    assert_eq!(client.ask(big.as_bytes()).status, 302);
    client.ends();
    assert!(started.elapsed() >= Duration::from_millis(2500));
}

#[test]
fn client_that_never_reads_is_bounded_and_cut() {
    let (server, codes) = serve(Limits { write_timeout: MOMENT, ..generous_limits() });
    let mut client = Client::connect(server.local_addr());
    client.stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    let requests = GET.repeat(500);
    let mut taken = 0;
    let error = loop {
        match client.stream.write(&requests) {
            Ok(bytes) => taken += bytes,
            Err(error) => break error,
        }
        assert!(taken < 64 << 20, "the server stopped reading");
    };
    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
    assert_eq!(read(&server.stats().write_timeouts), 1);
    eventually("an empty registry", || server.registered() == 0);
    // Answers wait in the kernel's buffers, except for one write: some megabytes at most.
    assert!(read(&codes.calls) < 100_000, "{} were answered", read(&codes.calls));
}

#[test]
fn slow_reader_receives_every_answer_in_order() {
    let (server, _) = serve(generous_limits());
    let mut client = Client::connect(server.local_addr());
    let mut sender = client.stream.try_clone().unwrap();
    const ROUNDS: usize = 20_000;
    let sending = std::thread::spawn(move || {
        for round in 0..ROUNDS {
            sender.write_all(format!("GET /{round} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).unwrap();
        }
        sender.shutdown(Shutdown::Write).unwrap();
    });
    for round in 0..ROUNDS {
        let answer = client.answer(false).unwrap().unwrap();
        assert!(String::from_utf8_lossy(&answer.body).contains(&format!("'{round}'")), "{answer:?}");
    }
    client.ends();
    sending.join().unwrap();
}

#[test]
fn endless_sender_is_cut_after_the_linger_limits() {
    let (server, _) = serve(Limits { linger_timeout: MOMENT, ..generous_limits() });
    let mut client = Client::connect(server.local_addr());
    // A client that neither sends nor closes is ended by the timeout.
    client.send(b"GET / HTTP/1.1\r\n\r\n");
    eventually("closed by the server", || server.registered() == 0);
    // A client that sends for ever is ended by the byte limit.
    let (server, _) = serve(generous_limits());
    client = Client::connect(server.local_addr());
    client.send(b"GET / HTTP/1.1\r\n\r\n");
    while client.stream.write_all(&[b'x'; 4096]).is_ok() {}
    eventually("closed by the server", || server.registered() == 0);
}

#[test]
fn full_port_ends_the_longest_idle_connection_for_a_newcomer() {
    let (server, _) = serve(Limits { connections: 3, ..generous_limits() });
    let ask = |client: &mut Client| {
        assert_eq!(client.ask(GET).status, 302);
        assert!(!client.receives_within(5 * generous_limits().tick));
    };
    let mut clients: Vec<_> = (0..3).map(|_| Client::connect(server.local_addr())).collect();
    clients.iter_mut().for_each(ask);
    ask(&mut clients[0]);

    let mut newcomer = Client::connect(server.local_addr());
    assert_eq!(newcomer.ask(GET).status, 302);
    clients.remove(1).ends();
    eventually("three are left", || server.registered() == 3);
    assert!(clients.iter_mut().chain([&mut newcomer]).all(|client| client.ask(GET).status == 302));
    let stats = server.stats();
    assert_eq!((read(&stats.evicted_idle), read(&stats.evicted_slow), read(&stats.over_limit)), (1, 0, 0));
}

#[test]
fn full_port_ends_slow_clients_before_one_that_has_just_been_served() {
    let (server, _) = serve(Limits { connections: 3, ..generous_limits() });
    let mut slow_head = Client::connect(server.local_addr());
    slow_head.send(&GET[..10]);
    let mut slow_reader = Client::connect(server.local_addr());
    slow_reader.stream.set_write_timeout(Some(MOMENT)).unwrap();
    while slow_reader.stream.write_all(&GET.repeat(500)).is_ok() {}
    let mut client = Client::connect(server.local_addr());
    assert_eq!(client.ask(GET).status, 302);
    let mut newcomers = [(); 2].map(|()| Client::connect(server.local_addr()));
    assert!(newcomers.iter_mut().all(|newcomer| newcomer.ask(GET).status == 302));
    eventually("three are left", || server.registered() == 3);
    assert!(!matches!(slow_head.answer(false), Ok(Some(_))));
    assert!(newcomers.iter_mut().chain([&mut client]).all(|client| client.ask(GET).status == 302));
    assert_eq!((read(&server.stats().evicted_idle), read(&server.stats().evicted_slow)), (0, 2));
}

#[test]
fn full_share_ends_connections_of_its_client() {
    let service = Arc::new(Codes { has_shares: true, ..Codes::default() });
    let (server, _) = serve(generous_limits());
    drop(server);
    let limits = Limits { connections: 100, share: 3, ..generous_limits() };
    let server = Server::bind((Ipv4Addr::LOCALHOST, 0).into(), limits, service).unwrap();
    let clients: Vec<_> = (0..20)
        .map(|_| {
            let mut client = Client::connect(server.local_addr());
            assert_eq!(client.ask(GET).status, 302);
            client
        })
        .collect();
    eventually("the share is left", || server.registered() == 3);
    assert_eq!(read(&server.stats().evicted_idle), 17);
    drop(clients);
    eventually("all have ended", || server.registered() == 0);
    assert_eq!(Client::connect(server.local_addr()).ask(GET).status, 302);
}

/// New connections that arrive faster than others end are answered 503, so that their number stays bounded.
#[test]
fn flood_of_connections_stays_within_the_limit_and_its_slack() {
    let (server, _) = serve(Limits { connections: 16, ..generous_limits() });
    let mut crowd = Vec::new();
    for _ in 0..2_000 {
        crowd.push(Client::connect(server.local_addr()));
        assert!(read(&server.stats().open) <= 16 + 128);
    }
    let stats = server.stats();
    eventually("each has been accepted or refused", || read(&stats.accepted) + read(&stats.over_limit) == 2_000);
    eventually("the limit is kept", || read(&stats.open) <= 16);
    assert_eq!(Client::connect(server.local_addr()).ask(GET).status, 302);
}

#[test]
fn ended_connections_leave_no_registration() {
    let (server, _) = serve(generous_limits());
    let addr = server.local_addr();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for round in 0..500 {
                    let mut client = Client::connect(addr);
                    match (round + thread) % 4 {
                        0 => drop(client),
                        1 => client.send(&GET[..10]),
                        2 => assert_eq!(client.ask(GET).status, 302),
                        _ => {
                            let close = b"GET /CODE12 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
                            assert_eq!(client.ask(close).status, 302);
                            client.ends();
                        }
                    }
                }
            });
        }
    });
    // The last connections may still be in the accept queue when none is open.
    eventually("all have come", || read(&server.stats().accepted) == 2000);
    eventually("all have ended", || read(&server.stats().open) == 0);
    assert_eq!(server.registered(), 0);
    assert_eq!(server.drain(LONG, MOMENT), DrainReport { finished: 0, cut: 0 });
}
