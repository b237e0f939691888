//! One of Tern's processes.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Directories of programs that create, mount and break disks.
pub(crate) const PATH: &str = "/usr/bin:/bin:/usr/sbin:/sbin";

/// Running plane, killed on drop.
#[derive(Debug)]
pub struct Plane {
    process: Child,
    /// Announced addresses, in order.
    pub addresses: Vec<String>,
}

/// Returns a binary of this workspace, from the directory of this program; tests are one level below.
pub(crate) fn binary(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let directory = this.ancestors().skip(1).find(|directory| !directory.ends_with("deps")).unwrap();
    let path = directory.join(name);
    assert!(path.exists(), "{} does not exist; build it with: cargo build --workspace", path.display());
    path
}

/// Returns the command `name arguments...` with these settings as its whole environment.
pub(crate) fn command(name: &str, arguments: &[&str], directory: &Path, settings: &[(String, String)]) -> Command {
    let mut command = Command::new(binary(name));
    command.args(arguments).current_dir(directory).stdin(Stdio::null()).env_clear();
    command.envs(settings.iter().map(|(name, value)| (name, value)));
    command
}

impl Plane {
    /// Starts the process and waits until it has announced `addresses` addresses.
    pub(crate) fn start(command: &mut Command, addresses: usize) -> Plane {
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut output = Vec::new();
        let mut announced = Vec::new();
        while announced.len() < addresses {
            let line =
                lines.next().unwrap_or_else(|| panic!("the process ended before it was ready: {output:?}")).unwrap();
            if let Some((_, rest)) = line.split_once("http://") {
                announced.push(rest.split('/').next().unwrap().to_owned());
            }
            output.push(line);
        }
        // The rest is discarded; the pipe is read to its end, so that the process can go on logging.
        std::thread::spawn(move || lines.for_each(drop));
        Plane { process, addresses: announced }
    }

    /// Starts an admin, which announces the API's address and then, if it has one, its operations port.
    pub(crate) fn start_admin(directory: &Path, settings: &[(String, String)]) -> Plane {
        let has_ops = settings.iter().any(|(name, _)| name == "ADMIN_OPS_LISTEN");
        Plane::start(&mut command("tern-admin", &["serve"], directory, settings), 1 + usize::from(has_ops))
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.process.id()).unwrap()), signal).unwrap();
    }

    /// Returns the path of a file as this process sees it, which may have mounts of its own.
    pub fn own_file(&self, path: &Path) -> PathBuf {
        Path::new("/proc").join(self.process.id().to_string()).join("root").join(path.strip_prefix("/").unwrap())
    }

    /// Runs a program among the mounts of this process.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn run_beside(&self, program: &str, arguments: &[&str]) -> std::process::Output {
        let pid = self.process.id().to_string();
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--target", &pid, program]).args(arguments).env("PATH", PATH);
        command.output().unwrap()
    }

    /// Returns the resident memory in KiB, including mapped files.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next());
        resident.unwrap().parse().unwrap()
    }

    /// Ends the process with `signal`; returns whether it succeeded.
    pub fn end(mut self, signal: Signal) -> bool {
        self.signal(signal);
        self.wait_for_success()
    }

    /// Returns whether the process has ended.
    pub fn has_ended(&mut self) -> bool {
        self.process.try_wait().unwrap().is_some()
    }

    /// Waits for the end of the process; returns whether it succeeded.
    pub fn wait_for_success(&mut self) -> bool {
        self.process.wait().unwrap().success()
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        // Either call fails only if the process has already ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
