//! Exhausted file descriptors: the listener backs off and recovers. The test has a process of its own because the limit
//! is the process's.

#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

mod support;

use std::fs::File;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use support::client::{Client, GET};
use support::{eventually, serve};
use tern_redirector::http::Limits;

const CHILD: &str = "TERN_TEST_FEW_DESCRIPTORS";

#[test]
fn listener_without_descriptors_backs_off_and_recovers() {
    if std::env::var_os(CHILD).is_some() {
        return with_few_descriptors();
    }
    let itself = std::env::current_exe().unwrap();
    let mut few = Command::new("sh");
    few.args([
        "-c",
        "ulimit -n 128; exec \"$0\" --exact listener_without_descriptors_backs_off_and_recovers --nocapture",
    ]);
    let output = few.arg(itself).env(CHILD, "1").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn with_few_descriptors() {
    let (server, _) = serve(Limits::default());
    let mut kept = Client::connect(server.local_addr());
    assert_eq!(kept.ask(GET).status, 302);

    // The clients' sockets first, then every other descriptor: the accept queue fills.
    let sockets: Vec<_> = (0..10).map(|_| Socket::new(Domain::IPV4, Type::STREAM, None).unwrap()).collect();
    let taken: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    for socket in &sockets {
        socket.connect(&server.local_addr().into()).unwrap();
    }
    let errors = || server.stats().accept_errors.load(Ordering::Relaxed);
    let started = Instant::now();
    eventually("five tries", || errors() >= 5);
    assert!(started.elapsed() >= Duration::from_millis(5 + 10 + 20 + 40), "accept does not back off");
    assert_eq!(kept.ask(GET).status, 302, "an open connection is not served");
    let before = errors();
    assert!(!kept.receives_within(Duration::from_secs(1)));
    assert!(errors() - before <= 10, "{} tries in a second", errors() - before);

    drop(taken);
    let freed = Instant::now();
    for socket in sockets {
        assert_eq!(Client::over(socket.into()).ask(GET).status, 302);
    }
    assert!(freed.elapsed() < Duration::from_secs(1), "the server does not recover within a second");
}
