//! Start and end of every process and command: settings, threads and exit codes.

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};
use tokio::runtime::Runtime;
use tracing::Level;

use crate::config::{Environment, InvalidConfig, Variables};
use crate::console::write_line;
use crate::store::postgres::OpenError;

/// The exit code for invalid settings (`EX_USAGE` of sysexits.h).
const EXIT_USAGE: u8 = 64;

/// The exit code of a command whose input does not exist (`EX_NOINPUT` of sysexits.h).
const EXIT_NO_INPUT: u8 = 66;

/// The error of a command whose input does not exist. The message names the place.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct MissingInput(pub String);

/// The error of a command that ends with an exit code of its own.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Exit {
    pub code: u8,
    pub message: String,
}

/// The time limit for blocked threads when a process ends.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(2);

/// Reads the settings, runs `main` on a new runtime, and returns the exit code of the process.
///
/// Only the user of the process can read the files that it creates. A blocked thread does not delay the end.
///
/// The exit code is 64 for invalid settings, all of which are reported, and for [`OpenError::is_of_settings`].
/// It is 66 for [`MissingInput`], that of an [`Exit`], and 1 for any other error.
pub fn run<C>(
    name: &str,
    read: impl FnOnce(&Variables) -> Result<C, InvalidConfig>,
    main: impl FnOnce(C, &Runtime) -> anyhow::Result<()>,
) -> ExitCode {
    let environment = match Environment::read() {
        Ok(environment) => environment,
        Err(problems) => return fail(name, EXIT_USAGE, &problems),
    };
    environment.warnings.iter().for_each(|warning| write_line(name, warning));
    let config = match read(&environment.variables) {
        Ok(config) => config,
        Err(problems) => return fail(name, EXIT_USAGE, &environment.locate(problems)),
    };
    log_panics();
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    raise_file_limit(name);
    let runtime = tokio::runtime::Builder::new_multi_thread().thread_name("tern-control").enable_all().build();
    let ended = runtime.context("cannot start threads").and_then(|runtime| {
        let ended = main(config, &runtime);
        runtime.shutdown_timeout(SHUTDOWN_LIMIT);
        ended
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let own = error.downcast_ref::<Exit>().map(|exit| exit.code);
            let is_of_settings = error.downcast_ref::<OpenError>().is_some_and(OpenError::is_of_settings);
            let code = own.unwrap_or(match error.is::<MissingInput>() {
                true => EXIT_NO_INPUT,
                false if is_of_settings => EXIT_USAGE,
                false => 1,
            });
            fail(name, code, &format_args!("{error:#}"))
        }
    }
}

fn fail(name: &str, code: u8, error: &dyn fmt::Display) -> ExitCode {
    for line in error.to_string().lines() {
        write_line(name, line);
    }
    ExitCode::from(code)
}

/// Reports panics in the log. Commands have no log, so their panics appear on standard error.
fn log_panics() {
    let report_on_stderr = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if tracing::enabled!(Level::ERROR) {
            tracing::error!(%panic, "a part of the process panicked, which is a bug in Tern; please report it");
        } else {
            report_on_stderr(panic);
        }
    }));
}

/// Raises the soft limit of open files to the hard limit. The usual soft limit of 1,024 is too small for connections.
fn raise_file_limit(name: &str) {
    let raised =
        getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        // The log does not run yet.
        write_line(name, &format!("limit of open files could not be raised: {error}; continuing with the soft limit"));
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn panic_without_a_log_is_reported_on_standard_error() {
        let reports = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&reports);
        let report_of_test = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.payload().downcast_ref() == Some(&"expected") {
                counter.fetch_add(1, Ordering::Relaxed);
            } else {
                report_of_test(panic);
            }
        }));
        log_panics();
        let expected_panic = || std::panic::catch_unwind(|| panic!("expected")).unwrap_err();
        tracing::subscriber::with_default(tracing_subscriber::fmt().with_writer(io::sink).finish(), expected_panic);
        assert_eq!(reports.load(Ordering::Relaxed), 0, "a panic with a log is reported there");
        expected_panic();
        drop(std::panic::take_hook());
        assert_eq!(reports.load(Ordering::Relaxed), 1);
    }
}
