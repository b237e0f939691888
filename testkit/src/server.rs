//! A server process on loopback, and waiting for it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Longest wait for any condition.
pub(crate) const WAIT_LIMIT: Duration = Duration::from_secs(20);

/// Running server process, killed on drop.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Starts `command` with nothing on its standard streams.
    pub fn start(command: &mut Command) -> Process {
        Process::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()))
    }

    /// Starts `command` with the standard streams that it has.
    pub(crate) fn spawn(command: &mut Command) -> Process {
        Process(command.spawn().unwrap())
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.0.id()).unwrap()), signal).unwrap();
    }

    /// Returns whether the process has ended.
    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    /// Waits wait_until the process has ended.
    pub fn wait(&mut self) {
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Either call fails only if the process has already ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns a port that was free a moment ago. It is below 32768, where ports of outgoing connections begin, since such
/// a connection could take the port of a server that is briefly down.
pub fn free_port() -> u16 {
    const FIRST: u32 = 12_000;
    const PORTS: u32 = 20_000;
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    // Concurrent test processes start their search at different ports.
    let begin = std::process::id().wrapping_mul(7_919);
    let candidates = (0..PORTS).map(|_| FIRST + begin.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % PORTS);
    let mut candidates = candidates.filter_map(|port| u16::try_from(port).ok());
    candidates.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a port is free")
}

/// Returns the first of `paths` that exists.
///
/// # Panics
/// With the command that installs `package` if none exists.
pub fn program(paths: &[&str], package: &str) -> PathBuf {
    let found = paths.iter().map(PathBuf::from).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("none of {paths:?} is there; install it with: apt-get install {package}"))
}

/// Writes `certificate.pem`, which is its own root and is valid for 127.0.0.1, and its `key.pem`.
pub(crate) fn certify(directory: &Path) {
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]);
    openssl.args(["-subj", "/CN=Tern test", "-addext", "subjectAltName=IP:127.0.0.1"]);
    openssl.args(["-addext", "basicConstraints=CA:FALSE", "-keyout", "key.pem", "-out", "certificate.pem"]);
    let made = openssl.current_dir(directory).output().unwrap();
    assert!(made.status.success(), "{made:?}");
}

/// Waits for a condition that another process brings about.
///
/// # Panics
/// If the condition does not hold in time.
pub(crate) fn wait_until(what: &str, is_met: impl FnMut() -> bool) {
    wait_for(WAIT_LIMIT, what, is_met);
}

/// Waits for a condition for `limit` at most.
///
/// # Panics
/// If the condition does not hold in time.
pub(crate) fn wait_for(limit: Duration, what: &str, mut is_met: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !is_met() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        pause();
    }
}

#[expect(clippy::disallowed_methods, reason = "the sleep waits for another process, outside of any runtime")]
pub(crate) fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}
