//! Ten thousand idle connections, slow heads and malformed requests beside honest clients. The test has a process of
//! its own because it measures the process's memory.

#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]
#![expect(clippy::print_stdout, reason = "the test prints what it measured")]

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use support::client::{Client, GET};
use support::{eventually, serve};
use tern_redirector::http::{Limits, STACK_WORDS};

const CROWD: usize = 10_000;

/// Descriptor limit of each of the two processes.
const DESCRIPTORS: u64 = CROWD as u64 + 500;

/// Variable with the server's address for the child process that opens the crowd's connections. The descriptors of one
/// process may not suffice for both ends.
const CROWD_FOR: &str = "TERN_TEST_CROWD_FOR";

/// Line that the crowd prints once its half heads are sent.
const SENT: &str = "sent";

#[test]
fn honest_clients_beside_a_crowd_are_served_in_time() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    assert!(hard >= DESCRIPTORS, "this test needs {DESCRIPTORS} descriptors: ulimit -Hn {DESCRIPTORS}");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    match std::env::var_os(CROWD_FOR) {
        Some(addr) => run_crowd(addr.to_str().unwrap().parse().unwrap()),
        None => serve_beside_a_crowd(),
    }
}

/// Opens the connections and, after a line on standard input, sends half a head on each and prints [`SENT`].
fn run_crowd(addr: SocketAddr) {
    let mut lines = std::io::stdin().lines();
    let crowd: Vec<TcpStream> = (0..CROWD).map(|_| TcpStream::connect(addr).unwrap()).collect();
    if lines.next().is_some() {
        for mut stream in &crowd {
            stream.write_all(b"GET /CODE12 HTTP/1.1\r\nHost: t").unwrap();
        }
        println!("{SENT}");
        lines.next();
    }
}

fn serve_beside_a_crowd() {
    let limits = Limits { connections: CROWD + 200, header_timeout: Duration::from_secs(60), ..Limits::default() };
    let (server, _) = serve(limits);
    let addr = server.local_addr();
    let alone = p99(&honest_times(addr));

    let memory = resident_kib();
    let itself = std::env::current_exe().unwrap();
    let mut crowd = Command::new(itself);
    crowd.args(["--exact", "honest_clients_beside_a_crowd_are_served_in_time"]).env(CROWD_FOR, addr.to_string());
    crowd.arg("--nocapture").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut crowd = crowd.spawn().unwrap();
    let mut crowd_output = BufReader::new(crowd.stdout.take().unwrap()).lines();
    let mut crowd_input = crowd.stdin.take().unwrap();
    eventually("all are accepted", || server.stats().open.load(Ordering::Relaxed) >= CROWD as u64);
    let each = (resident_kib() - memory) as f64 / CROWD as f64;
    let beside_idle = p99(&honest_times(addr));

    crowd_input.write_all(b"\n").unwrap();
    assert!(crowd_output.any(|line| line.unwrap().ends_with(SENT)), "the crowd ended");
    let beside_slow = p99(&honest_times(addr));

    let over = AtomicBool::new(false);
    let beside_malformed = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let mut client = Client::connect(addr);
                client.send(b"GET /CODE12 HTTP/1.1\r\nHost : t\r\n\r\n");
                assert_eq!(client.answer(false).unwrap().unwrap().status, 400);
            }
        });
        let times = honest_times(addr);
        over.store(true, Ordering::Relaxed);
        p99(&times)
    });

    println!(
        "p99 of an honest request: {alone:?} alone, {beside_idle:?} beside {CROWD} idle connections, {beside_slow:?} \
         beside as many slow heads, {beside_malformed:?} with malformed requests; {each:.1} KiB a connection, of a stack \
         of {} KiB",
        STACK_WORDS * 8 / 1024
    );
    // The touched part of a stack, and eight KiB beside it.
    assert!(each < 8.0 + 12.0, "{each} KiB");
    for (what, p99) in [("idle", beside_idle), ("slow", beside_slow), ("malformed", beside_malformed)] {
        assert!(p99 < alone * 10 + Duration::from_millis(100), "{what}: {p99:?} against {alone:?}");
    }
    drop(crowd_input);
    assert!(crowd.wait().unwrap().success());
    eventually("all are gone", || server.stats().open.load(Ordering::Relaxed) < 100);
}

/// Measures requests on a persistent connection and on new ones.
fn honest_times(addr: SocketAddr) -> Vec<Duration> {
    let mut kept = Client::connect(addr);
    let mut times = Vec::new();
    for number in 0..2_000 {
        let asked = Instant::now();
        let status = if number % 4 == 0 { Client::connect(addr).ask(GET).status } else { kept.ask(GET).status };
        assert_eq!(status, 302);
        times.push(asked.elapsed());
    }
    times
}

fn p99(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted[sorted.len() * 99 / 100]
}

/// Returns the resident memory of this process.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
    resident.unwrap()
}
