//! The begin and the end of each process: settings, threads, exit codes.

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};
use tokio::runtime::Runtime;

use crate::config::{Environment, InvalidConfig, Variables};
use crate::console::say;

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

/// Reads the settings, runs `life` on a runtime of its own and makes an exit code of the result.
///
/// Only the user of the process can read the files that it makes. A blocked thread does not delay the end.
///
/// Wrong settings are all reported, and the exit code is 64. [`NothingThere`] makes it 66, and any other error 1.
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

/// Reports a panic in the log, where an operator looks, and not only on a terminal.
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
