//! The log, and the text form of the metrics.

mod json;
mod level;
mod log_file;
mod process_metrics;
mod text;

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::anyhow;
pub use level::LogLevel;
use prometheus::IntCounter;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::{BoxMakeWriter, MakeWriterExt};
use tracing_subscriber::prelude::*;

use crate::config::{Reader, Setting};
use json::{JsonFormat, SpanFields};
use log_file::LogFile;
pub use log_file::tail;
pub use process_metrics::export_process;
use text::{TextFields, TextFormat};

/// The configuration of the log: its destinations, level and form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// `LOG_FILE`: the path of a rotated copy of the log; `None` if the setting is `none` or `-`.
    pub file: Option<PathBuf>,
    /// `LOG_LEVEL`: a level, or directives such as `info,tern_redirector=debug`.
    pub level: LogLevel,
    /// `LOG_FORMAT`: the form on standard output; `None` means text on a terminal and JSON elsewhere.
    pub format: Option<LogFormat>,
    /// Whether neither `NO_COLOR` nor `TERM=dumb` forbids colours on a terminal.
    pub may_have_colours: bool,
}

/// The form of an entry on standard output. The file always has JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Json,
    /// A short line without identifiers of requests.
    Text,
}

impl Setting for LogFormat {
    const EXPECTED: &'static str = "json or text";

    fn parse(text: &str) -> Option<LogFormat> {
        match text {
            "json" => Some(LogFormat::Json),
            "text" => Some(LogFormat::Text),
            _ => None,
        }
    }
}

impl LogConfig {
    pub fn read(reader: &mut Reader<'_>) -> LogConfig {
        let file = reader.get("LOG_FILE", PathBuf::from("logs/app.log"));
        let is_off = ["none", "-"].iter().any(|off| file.as_os_str() == *off);
        let is_dumb = reader.find::<String>("TERM").is_some_and(|terminal| terminal == "dumb");
        LogConfig {
            file: (!is_off).then_some(file),
            level: reader.get("LOG_LEVEL", LogLevel::default()),
            format: reader.find("LOG_FORMAT"),
            may_have_colours: !is_dumb && reader.find::<String>("NO_COLOR").is_none(),
        }
    }
}

/// The running log. Dropping it writes out the buffered lines.
#[derive(Debug)]
pub struct Log {
    /// Lines that could not be written to the file.
    lost: Arc<AtomicU64>,
    /// Lines that did not fit into a buffer, for each destination.
    dropped: Vec<ErrorCounter>,
    _writers: Vec<WorkerGuard>,
}

impl Log {
    /// Registers the number of lost lines in `registry`.
    ///
    /// # Errors
    /// When it is registered already.
    pub fn export(&self, registry: &prometheus::Registry) -> prometheus::Result<()> {
        let help = "Log lines lost because standard output or the log file was too slow or full.";
        let counter = IntCounter::new("tern_log_lines_dropped_total", help)?;
        let (lost, dropped) = (Arc::clone(&self.lost), self.dropped.clone());
        registry.register(Box::new(LostLines { counter, scrape: Mutex::default(), lost, dropped }))
    }
}

/// A collector that reads the number of lost lines at each scrape.
#[derive(Debug)]
struct LostLines {
    counter: IntCounter,
    /// Serialises scrapes. Two concurrent scrapes would both add the lines since the last scrape.
    scrape: Mutex<()>,
    lost: Arc<AtomicU64>,
    dropped: Vec<ErrorCounter>,
}

impl Collector for LostLines {
    fn desc(&self) -> Vec<&Desc> {
        self.counter.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let _scrape = self.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        let dropped: usize = self.dropped.iter().map(ErrorCounter::dropped_lines).sum();
        let lost = self.lost.load(Ordering::Relaxed) + dropped as u64;
        self.counter.inc_by(lost.saturating_sub(self.counter.get()));
        self.counter.collect()
    }
}

/// Starts the log of this process on standard output and in the file of the configuration.
///
/// Separate threads write the lines. A full pipe or a slow disk loses lines, which are counted, and delays nothing.
///
/// # Errors
/// When the file cannot be opened for writing. The error names the setting.
///
/// # Panics
/// If the log was started before.
pub fn start_log(config: &LogConfig) -> anyhow::Result<Log> {
    let lost = Arc::new(AtomicU64::new(0));
    let (stdout, stdout_guard) = NonBlocking::new(io::stdout());
    let mut log = Log { lost: Arc::clone(&lost), dropped: vec![stdout.error_counter()], _writers: vec![stdout_guard] };
    let mut file = None;
    if let Some(path) = &config.file {
        let opened = LogFile::open(path, lost).map_err(|error| {
            anyhow!("cannot write the log to {} (LOG_FILE; `none` writes no file): {error}", path.display())
        });
        let (writer, guard) = NonBlocking::new(opened?);
        log.dropped.push(writer.error_counter());
        log._writers.push(guard);
        file = Some(writer);
    }
    let is_terminal = io::stdout().is_terminal();
    let format = config.format.unwrap_or(if is_terminal { LogFormat::Text } else { LogFormat::Json });
    let (text, json) = match (format, file) {
        (LogFormat::Json, None) => (None, Some(BoxMakeWriter::new(stdout))),
        (LogFormat::Json, Some(file)) => (None, Some(BoxMakeWriter::new(stdout.and(file)))),
        (LogFormat::Text, file) => (Some(stdout), file.map(BoxMakeWriter::new)),
    };
    let has_colours = is_terminal && config.may_have_colours;
    let text = text.map(|writer| {
        let layer = tracing_subscriber::fmt::layer().event_format(TextFormat { has_colours }).fmt_fields(TextFields);
        layer.with_writer(writer)
    });
    let json = json.map(|writer| {
        let layer = tracing_subscriber::fmt::layer().event_format(JsonFormat).fmt_fields(SpanFields);
        layer.with_writer(writer)
    });
    let filter = EnvFilter::new(config.level.directives());
    tracing_subscriber::registry().with(filter).with(text).with(json).init();
    Ok(log)
}

/// Returns every metric of `registry` in the Prometheus text format.
pub fn metrics_text(registry: &prometheus::Registry) -> String {
    let mut text = String::new();
    if let Err(error) = prometheus::TextEncoder::new().encode_utf8(&registry.gather(), &mut text) {
        tracing::error!(%error, "metrics could not be encoded; this scrape is incomplete");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn lost_lines_during_concurrent_scrapes_are_counted_once() {
        let (counter, lost) = (IntCounter::new("lost", "lost").unwrap(), Arc::<AtomicU64>::default());
        let lines = LostLines { counter, scrape: Mutex::default(), lost: Arc::clone(&lost), dropped: Vec::new() };
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50_000 {
                        lost.fetch_add(1, Ordering::Relaxed);
                        let shown = lines.collect()[0].get_metric()[0].get_counter().get_value();
                        let lost = lost.load(Ordering::Relaxed) as f64;
                        assert!(shown <= lost, "{shown} lines were shown of {lost}");
                    }
                });
            }
        });
        assert_eq!(lines.counter.get(), 200_000);
    }
}
