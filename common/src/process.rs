//! What the life of each process begins and ends with: settings, threads, signals, exit codes.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::InvalidConfig;

/// The exit code of a process whose configuration is wrong (`EX_USAGE` of sysexits.h).
const EXIT_USAGE: u8 = 64;

/// How long the end of a process waits for threads that wait for a disk or a lock.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// Runs `life` on a runtime of its own and makes an exit code of what comes of it.
///
/// Files that the process makes are its user's alone. A blocked thread does not hold up its end.
///
/// Wrong settings are all told, and end the process with 64; any other error is one sentence, and 1.
pub fn run<C>(
    name: &str,
    config: Result<C, InvalidConfig>,
    life: impl FnOnce(C, &Runtime) -> anyhow::Result<()>,
) -> ExitCode {
    let config = match config {
        Ok(config) => config,
        Err(problems) => return fail(name, EXIT_USAGE, &problems),
    };
    log_panics();
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().thread_name("tern-control").enable_all().build();
    let ended = runtime.context("cannot start threads").and_then(|runtime| {
        let ended = life(config, &runtime);
        runtime.shutdown_timeout(LAST_WAIT);
        ended
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(name, 1, &format_args!("{error:#}")),
    }
}

fn fail(name: &str, code: u8, error: &dyn fmt::Display) -> ExitCode {
    for line in error.to_string().lines() {
        say(name, line);
    }
    ExitCode::from(code)
}

/// Speaks to whoever started the process, before the log and beside it; standard output belongs to the log.
pub fn say(name: &str, line: &str) {
    // In one write: where both go to one stream, as under systemd, a line of the log would come in between.
    let line = format!("{name}: {line}\n");
    // Whoever listened may be gone, as when the other end of a pipe is closed: no reason to stop, least of all a drain.
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Has a panic told in the log, where an operator looks, and not only on a terminal that nobody may watch.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "a bug: part of the process panicked")));
}

/// Raises the limit of open files as far as is allowed: connections are files, and the usual soft limit is 1,024.
fn raise_file_limit() {
    let raised =
        getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
}

/// SIGTERM and SIGINT, from the moment they are listened for.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn listen() -> anyhow::Result<StopSignals> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(StopSignals { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    /// Waits for the first of them, and gives its name.
    pub async fn received(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
