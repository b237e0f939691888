//! Start and end of a server: adopted listening sockets and drains, over real sockets with short limits.

mod support;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use support::client::{Client, GET};
use support::{Codes, LONG, MOMENT, eventually, generous_limits, read, serve};
use tern_redirector::http::{DrainReport, Server};

#[test]
fn drain_finishes_requests_in_progress() {
    let (server, _) = serve(generous_limits());
    let addr = server.local_addr();
    let (mut idle, mut within) = (Client::connect(addr), Client::connect(addr));
    assert_eq!(idle.ask(GET).status, 302);
    within.send(&GET[..20]);
    let fresh = Client::connect(addr);
    eventually("all three", || server.registered() == 3);

    std::thread::scope(|scope| {
        let started = Instant::now();
        let draining = scope.spawn(|| server.drain(LONG, LONG));
        eventually("the port is free", || TcpListener::bind(addr).is_ok());
        // All three requests are completed after the drain began.
        for (mut client, rest) in [(within, &GET[20..]), (idle, GET), (fresh, GET)] {
            client.send(rest);
            let answer = client.answer(false).unwrap().unwrap();
            assert_eq!((answer.status, answer.closes()), (302, true));
            client.ends();
        }
        assert_eq!(draining.join().unwrap(), DrainReport { finished: 3, cut: 0 });
        assert!(started.elapsed() < LONG / 4);
    });
    assert_eq!(server.registered(), 0);
    // The port is free for the next process.
    Server::bind(addr, generous_limits(), Arc::new(Codes::default())).unwrap();
}

#[test]
fn drain_closes_silent_connections_after_its_grace() {
    let (server, _) = serve(generous_limits());
    let (mut idle, mut fresh) = (Client::connect(server.local_addr()), Client::connect(server.local_addr()));
    assert_eq!(idle.ask(GET).status, 302);
    eventually("both", || server.registered() == 2);
    let started = Instant::now();
    assert_eq!(server.drain(LONG, MOMENT), DrainReport { finished: 2, cut: 0 });
    assert!(started.elapsed() >= MOMENT && started.elapsed() < LONG / 4);
    idle.ends();
    fresh.ends();
    assert_eq!(read(&server.stats().idle_timeouts) + read(&server.stats().header_timeouts), 0);
}

#[test]
fn leaving_server_answers_and_closes_each_connection() {
    let (server, _) = serve(generous_limits());
    let mut kept = Client::connect(server.local_addr());
    assert!(!kept.ask(GET).closes());
    server.give_notice();
    for mut client in [kept, Client::connect(server.local_addr())] {
        let answer = client.ask(GET);
        assert_eq!((answer.status, answer.closes()), (302, true));
        client.ends();
    }
}

/// Two servers share a socket, as during a hand-over, while the first drains.
#[test]
fn hand_over_of_the_listening_socket_loses_no_client() {
    let listener = Server::listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let addr = listener.local_addr().unwrap();
    let adopt = |listener| Server::adopt(listener, generous_limits(), Arc::new(Codes::default())).unwrap();
    let mut server = adopt(listener.try_clone().unwrap());
    for _ in 0..20 {
        let next = adopt(listener.try_clone().unwrap());
        let clients: Vec<_> = (0..50).map(|_| Client::connect(addr)).collect();
        std::thread::scope(|scope| {
            scope.spawn(|| server.drain(LONG, LONG));
            for mut client in clients {
                assert_eq!(client.ask(GET).status, 302);
            }
            for _ in 0..50 {
                assert_eq!(Client::connect(addr).ask(GET).status, 302);
            }
        });
        server = next;
    }
}

#[test]
fn drain_answers_pipelined_requests() {
    let (server, _) = serve(generous_limits());
    let mut client = Client::connect(server.local_addr());
    client.send(&GET[..20]);
    eventually("the connection is registered", || server.registered() == 1);
    std::thread::scope(|scope| {
        let draining = scope.spawn(|| server.drain(LONG, MOMENT));
        eventually("the port is free", || TcpListener::bind(server.local_addr()).is_ok());
        client.send(&[&GET[20..], GET, GET].concat());
        let closes: Vec<_> = (0..3).map(|_| client.answer(false).unwrap().unwrap().closes()).collect();
        assert_eq!(closes, [false, false, true]);
        client.ends();
        // A lingering connection waits for the client's close.
        drop(client);
        assert_eq!(draining.join().unwrap(), DrainReport { finished: 1, cut: 0 });
    });
}

#[test]
fn drain_cuts_connections_at_its_deadline() {
    let (server, _) = serve(generous_limits());
    let mut within = Client::connect(server.local_addr());
    within.send(&GET[..20]);
    let mut stuck = Client::connect(server.local_addr());
    stuck.stream.set_write_timeout(Some(MOMENT)).unwrap();
    let mut idle = Client::connect(server.local_addr());
    assert_eq!(idle.ask(GET).status, 302);
    while stuck.stream.write_all(&GET.repeat(500)).is_ok() {}

    let started = Instant::now();
    assert_eq!(server.drain(MOMENT, MOMENT / 3), DrainReport { finished: 1, cut: 2 });
    assert!(started.elapsed() >= MOMENT && started.elapsed() < MOMENT + Duration::from_secs(1));
    assert_eq!((server.registered(), read(&server.stats().cut)), (0, 2));
    assert!(within.stream.read(&mut [0]).map_or(true, |bytes| bytes == 0));
    assert_eq!(server.drain(LONG, MOMENT), DrainReport { finished: 0, cut: 0 });
}

#[test]
fn connections_queued_at_a_drain_are_served() {
    for _ in 0..20 {
        let (server, _) = serve(generous_limits());
        let clients: Vec<_> = (0..50).map(|_| Client::connect(server.local_addr())).collect();
        std::thread::scope(|scope| {
            scope.spawn(|| server.drain(LONG, MOMENT));
            for mut client in clients {
                assert_eq!(client.ask(GET).status, 302);
            }
        });
    }
}

#[test]
fn port_in_use_is_an_error() {
    let (server, _) = serve(generous_limits());
    let error = Server::bind(server.local_addr(), generous_limits(), Arc::new(Codes::default())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
}

#[test]
fn adopted_listening_socket_outlives_the_first_server() {
    drop(serve(generous_limits()));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let passed_on = listener.try_clone().unwrap();
    let addr = listener.local_addr().unwrap();
    let first = Server::adopt(listener, generous_limits(), Arc::new(Codes::default())).unwrap();
    assert_eq!(Client::connect(addr).ask(GET).status, 302);
    drop(first);
    // The drain closes its own descriptor without shutting the socket down, so new connections wait in the queue.
    let mut waiting = Client::connect(addr);
    let _second = Server::adopt(passed_on, generous_limits(), Arc::new(Codes::default())).unwrap();
    assert_eq!(waiting.ask(GET).status, 302);
}
