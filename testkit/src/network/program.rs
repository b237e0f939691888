//! A program of a host, with every process that it starts.

use std::fs::{File, read_dir, read_link};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::host::Host;
use crate::server::{Process, wait_until};

/// Program with a namespace of processes of its own, so that none survives it. It ends on drop.
#[derive(Debug)]
pub struct Program {
    arguments: Vec<String>,
    user: Option<&'static str>,
    log: PathBuf,
    process: Option<Process>,
}

impl Program {
    /// Describes a program that runs as `user`, or as the user of this process, and writes its output to the end of
    /// `log`.
    pub fn new(user: Option<&'static str>, log: &Path, arguments: impl IntoIterator<Item = String>) -> Program {
        Program { arguments: arguments.into_iter().collect(), user, log: log.to_owned(), process: None }
    }

    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// Starts the program on `host`.
    pub fn start(&mut self, host: &Host) {
        let output = File::options().create(true).append(true).open(&self.log).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "unshare", "--pid", "--ipc", "--mount-proc", "--kill-child", "setpriv"]);
        if let Some(user) = self.user {
            command.args(["--reuid", user, "--regid", user, "--clear-groups"]);
        }
        // A change of the user clears the signal that `unshare` set.
        command.args(["--pdeathsig", "KILL"]).args(&self.arguments).current_dir("/").stdin(Stdio::null());
        command.stdout(output.try_clone().unwrap()).stderr(output);
        self.process = Some(host.spawn(command));
    }

    /// Kills every process of the program; their connections are closed.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            wait_until("the program has begun or ended", || first_process(&process).is_some() || process.has_ended());
            if let Some(first) = first_process(&process) {
                // The kernel ends the others with the first process of their namespace.
                let _ = kill(first, Signal::SIGKILL);
            }
            process.wait();
        }
    }

    /// Stops every process of the program: connections stay open, and nothing answers.
    pub fn freeze(&self) {
        // A process may start another one before its turn comes.
        for _ in 0..3 {
            self.signal(Signal::SIGSTOP);
        }
    }

    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        for process in self.process.iter().flat_map(processes) {
            // A process that has ended needs no signal.
            let _ = kill(process, signal);
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Returns the first process of the namespace that `unshare` made.
fn first_process(unshare: &Process) -> Option<Pid> {
    let id = unshare.id();
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok().map(Pid::from_raw)
}

/// Returns every process of the namespace that `unshare` made.
fn processes(unshare: &Process) -> Vec<Pid> {
    let namespace = |process: &str| read_link(format!("/proc/{process}/ns/pid")).ok();
    let Some(own) = first_process(unshare).and_then(|first| namespace(&first.to_string())) else { return Vec::new() };
    let names = read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let numbers = names.filter_map(|name| name.parse().ok());
    numbers.filter(|number: &i32| namespace(&number.to_string()).as_ref() == Some(&own)).map(Pid::from_raw).collect()
}
