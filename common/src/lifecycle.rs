//! The frame around a process that serves: it begins with the log, ends on a signal, and reports both.
//!
//! Each `main` follows the same steps: begin, build, bind, announce, wait for the end, give notice, drain, report.

use anyhow::Context;
use prometheus::Registry;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::console::{end_interrupted_line, say};
use crate::telemetry::{Log, LogConfig, export_process, start_log};

/// The life of a process that serves: its stop signals, its log, and the registry of its metrics.
#[derive(Debug)]
pub struct Lifecycle {
    name: &'static str,
    registry: Registry,
    terminate: Signal,
    interrupt: Signal,
    _log: Log,
}

impl Lifecycle {
    /// Listens for SIGTERM and SIGINT, and starts the log. Dropping the value writes out the last lines.
    ///
    /// # Errors
    /// When the log file cannot be written, with a sentence for the operator.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn begin(name: &'static str, log: &LogConfig) -> anyhow::Result<Lifecycle> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        let (terminate, interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        let log = start_log(log)?;
        let registry = Registry::new();
        log.export(&registry)?;
        export_process(&registry)?;
        Ok(Lifecycle { name, registry, terminate, interrupt, _log: log })
    }

    /// Returns the registry that `/metrics` of this process shows.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Waits for SIGTERM or SIGINT, and returns the name of the signal.
    pub async fn stop_signal(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => {
                end_interrupted_line();
                "SIGINT"
            }
        }
    }

    /// Reports why the process ends from here on.
    pub fn report_end(&self, reason: &str) {
        say(self.name, &format!("{reason}: finishing what is under way."));
    }

    /// Waits until `notice` is over. A second signal cuts it short: the operator is in a hurry.
    pub async fn give_notice(&mut self, notice: impl Future<Output = ()>) {
        tokio::select! {
            () = notice => {}
            _ = self.stop_signal() => {}
        }
    }
}
