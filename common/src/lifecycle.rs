//! Start and end of a serving process: log, metrics and signals.
//!
//! Each `main` follows the same steps: begin, build, bind, announce, wait for a signal, give notice, drain, report.

use anyhow::Context;
use prometheus::Registry;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::console::{end_interrupted_line, write_line};
use crate::telemetry::{Log, LogConfig, export_process, start_log};

/// The stop signals, the log and the metrics of a serving process.
#[derive(Debug)]
pub struct Lifecycle {
    name: &'static str,
    registry: Registry,
    terminate: Signal,
    interrupt: Signal,
    _log: Log,
}

impl Lifecycle {
    /// Starts the log, and handles SIGTERM and SIGINT from now on. Dropping the value writes out the last lines.
    ///
    /// # Errors
    /// When the log file cannot be written. The error names the setting.
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

    /// Reports on the console that the process begins to shut down.
    pub fn report_end(&self, reason: &str) {
        write_line(self.name, &format!("{reason}: finishing requests in progress."));
    }

    /// Waits until `notice` is over or a second signal arrives.
    pub async fn give_notice(&mut self, notice: impl Future<Output = ()>) {
        tokio::select! {
            () = notice => {}
            _ = self.stop_signal() => {}
        }
    }
}
