//! A process that serves on loopback, and what tests do to it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long anything that is bound to happen may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A running server process. Killed when dropped.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Starts `command` with nothing on its standard streams.
    pub fn start(command: &mut Command) -> Process {
        Process(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.0.id()).unwrap()), signal).unwrap();
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    /// Waits until it has ended.
    pub fn wait(&mut self) {
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Either call fails only when the process has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that was free a moment ago, and that nobody's outgoing connection is given: those begin at 32768, and take
/// the port of a server that is down for a moment.
pub fn free_port() -> u16 {
    const FIRST: u32 = 12_000;
    const PORTS: u32 = 20_000;
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    // Processes that test at the same time begin apart from each other.
    let begin = std::process::id().wrapping_mul(7_919);
    let candidates = (0..PORTS).map(|_| FIRST + begin.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % PORTS);
    let mut candidates = candidates.filter_map(|port| u16::try_from(port).ok());
    candidates.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a port is free")
}

/// The program at the first of `paths` that exists.
///
/// # Panics
/// With the command that installs `package` when there is none.
pub fn program(paths: &[&str], package: &str) -> PathBuf {
    let found = paths.iter().map(PathBuf::from).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("none of {paths:?} is there; install it with: apt-get install {package}"))
}

/// Makes `certificate.pem`, which vouches for itself and for 127.0.0.1, and its `key.pem`.
pub(crate) fn certify(directory: &Path) {
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]);
    openssl.args(["-subj", "/CN=Tern test", "-addext", "subjectAltName=IP:127.0.0.1"]);
    openssl.args(["-addext", "basicConstraints=CA:FALSE", "-keyout", "key.pem", "-out", "certificate.pem"]);
    let made = openssl.current_dir(directory).output().unwrap();
    assert!(made.status.success(), "{made:?}");
}

/// Waits for what another process is about to do.
///
/// # Panics
/// When it does not.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        pause();
    }
}

#[expect(clippy::disallowed_methods, reason = "no runtime and no may worker here, and another process to wait for")]
pub(crate) fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}
