//! A network of hosts on this machine, and a fleet on it whose servers fail. `tern-soak cluster` runs the same drill for
//! longer.

#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use tern_testkit::network::{Cut, Network};
use tern_tests::cluster::{Direction, Drill, Fault, run};
use tern_tests::limit;

/// Returns the time until host 1 answers a byte of host 0 over one connection, if it does within a second.
fn round_trip(connection: &mut TcpStream) -> Option<Duration> {
    let began = Instant::now();
    connection.write_all(b"x").unwrap();
    connection.read_exact(&mut [0]).ok().map(|()| began.elapsed())
}

#[test]
fn way_between_hosts_can_be_long_and_cut_in_each_direction() {
    let network = Network::start(2);
    let server = network.host(1).run(|| TcpListener::bind("10.77.0.2:7000").unwrap());
    std::thread::spawn(move || {
        let mut connection = server.accept().unwrap().0;
        let mut byte = [0];
        while connection.read_exact(&mut byte).is_ok() {
            connection.write_all(&byte).unwrap();
        }
    });
    let mut connection = network.host(0).run(|| TcpStream::connect("10.77.0.2:7000").unwrap());
    connection.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    assert!(round_trip(&mut connection).unwrap() < Duration::from_millis(40));
    network.place(1, Duration::from_millis(50));
    let long = round_trip(&mut connection).unwrap();
    assert!((100..200).contains(&long.as_millis()), "{long:?}");
    network.place(1, Duration::ZERO);
    for cut in [Cut::In, Cut::Out, Cut::Both] {
        network.cut(1, cut, [0]);
        assert_eq!(round_trip(&mut connection), None, "{cut:?}");
        network.heal();
        // TCP repeats the byte.
        connection.read_exact(&mut [0]).unwrap();
    }
}

/// Runs a drill and checks that nothing was lost.
fn check(is_synchronous: bool, faults: &[(Fault, u64)]) {
    let faults = faults.iter().map(|(fault, seconds)| (*fault, Duration::from_secs(*seconds))).collect();
    let report = run(Drill { seed: rand::random(), is_synchronous, ttl: 8, faults });
    assert!(report.violations().is_empty(), "{:?}", report.violations());
    let limit = limit(Duration::from_secs(3), Duration::from_secs(6));
    assert!(report.refusal < limit, "{:?}", report.refusal);
}

#[test]
fn synchronous_cluster_whose_servers_fail_loses_nothing() {
    check(true, &[(Fault::PrimaryCut(Direction::Out), 11), (Fault::RedisMasterKilled, 2)]);
}

#[test]
fn asynchronous_cluster_whose_servers_fail_loses_no_click() {
    check(false, &[(Fault::PrimaryLostWithCommits, 9), (Fault::EtcdKilled, 2)]);
}
