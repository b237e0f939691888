//! What the life of each process begins and ends with: settings, threads, signals, exit codes.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::{Environment, InvalidConfig, Variables};

/// The exit code of a process whose configuration is wrong (`EX_USAGE` of sysexits.h).
const EXIT_USAGE: u8 = 64;

/// The exit code of a command that does not find what it works on (`EX_NOINPUT` of sysexits.h).
const EXIT_NO_INPUT: u8 = 66;

/// An error of a command that does not find what it works on; the text says where it looked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NothingThere(pub String);

/// How long the end of a process waits for threads that wait for a disk or a lock.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// Reads the settings, runs `life` on a runtime of its own and makes an exit code of what comes of it.
///
/// Files that the process makes are its user's alone. A blocked thread does not hold up its end.
///
/// Wrong settings are all told, and end the process with 64. [`NothingThere`] ends it with 66. Any other error is one
/// sentence, and 1.
pub fn run<C>(
    name: &str,
    read: impl FnOnce(&Variables) -> Result<C, InvalidConfig>,
    life: impl FnOnce(C, &Runtime) -> anyhow::Result<()>,
) -> ExitCode {
    let environment = match Environment::read() {
        Ok(environment) => environment,
        Err(problems) => return fail(name, EXIT_USAGE, &problems),
    };
    environment.warnings.iter().for_each(|warning| say(name, warning));
    let config = match read(&environment.variables) {
        Ok(config) => config,
        Err(problems) => return fail(name, EXIT_USAGE, &environment.locate(problems)),
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
        Err(error) => {
            let code = if error.is::<NothingThere>() { EXIT_NO_INPUT } else { 1 };
            fail(name, code, &format_args!("{error:#}"))
        }
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

/// Shows where a process is reached, once it serves: a line for each address, `tern: API  http://...`.
///
/// On a terminal they are a block of their own below the log.
pub fn announce(name: &str, addresses: &[(&str, String)]) {
    let mut text = String::new();
    let is_terminal = io::stderr().is_terminal();
    for (what, address) in addresses {
        if is_terminal {
            text += &format!("  {what:<12} {address}\n");
        } else {
            text += &format!("{name}: {what:<12} {address}\n");
        }
    }
    let text = if is_terminal { format!("\n{text}\n") } else { text };
    // The reader may be gone, as in `say`.
    let _ = io::stderr().write_all(text.as_bytes());
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
            _ = self.interrupt.recv() => {
                if io::stderr().is_terminal() {
                    // The terminal shows ^C, and what follows begins on a line of its own.
                    let _ = io::stderr().write_all(b"\n");
                }
                "SIGINT"
            }
        }
    }
}
