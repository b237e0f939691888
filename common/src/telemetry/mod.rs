//! What Tern tells about itself: the log, and the text form of its metrics.

mod json;
mod log_file;
mod process_metrics;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::IntCounter;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::MakeWriterExt;
use tracing_subscriber::prelude::*;

use crate::config::Reader;
use json::{JsonFormat, SpanFields};
use log_file::LogFile;
pub use log_file::tail;
pub use process_metrics::export_process;

/// Where the log goes and how much of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// `LOG_FILE`: a copy of what goes to standard output, rotated.
    pub file: PathBuf,
    /// `LOG_LEVEL`: a level, or directives such as `info,tern_redirector=debug`.
    pub level: String,
}

impl LogConfig {
    pub fn read(reader: &mut Reader<'_>) -> LogConfig {
        let level = reader.get("LOG_LEVEL", "info".to_owned());
        if let Err(error) = EnvFilter::builder().parse(&level) {
            reader.reject("LOG_LEVEL", format!("expected a level such as info, got {level:?} ({error})"));
        }
        LogConfig { file: reader.get("LOG_FILE", PathBuf::from("logs/app.log")), level }
    }
}

/// Keeps the log flowing; dropping it writes out what is left.
#[derive(Debug)]
pub struct Log {
    /// Lines that the file did not take.
    lost: Arc<AtomicU64>,
    /// Lines that came faster than they could be written.
    dropped: [ErrorCounter; 2],
    _writers: [WorkerGuard; 2],
}

impl Log {
    /// Shows in `registry` how many lines were lost.
    ///
    /// # Errors
    /// When the registry shows the losses of a log already.
    pub fn export(&self, registry: &prometheus::Registry) -> prometheus::Result<()> {
        let help = "Log lines lost because standard output or the log file was too slow or full.";
        let counter = IntCounter::new("tern_log_lines_dropped_total", help)?;
        registry.register(Box::new(LostLines { counter, lost: Arc::clone(&self.lost), dropped: self.dropped.clone() }))
    }
}

/// Reads the losses where they are counted, when somebody asks.
#[derive(Debug)]
struct LostLines {
    counter: IntCounter,
    lost: Arc<AtomicU64>,
    dropped: [ErrorCounter; 2],
}

impl Collector for LostLines {
    fn desc(&self) -> Vec<&Desc> {
        self.counter.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let dropped: usize = self.dropped.iter().map(ErrorCounter::dropped_lines).sum();
        let lost = self.lost.load(Ordering::Relaxed) + dropped as u64;
        self.counter.inc_by(lost.saturating_sub(self.counter.get()));
        self.counter.collect()
    }
}

/// Starts the log of this process: one JSON object a line, to standard output and to a file.
///
/// Lines are written by threads of their own: a full pipe or a slow disk costs lines, which are counted, never time.
///
/// # Errors
/// When the file cannot be opened for writing.
///
/// # Panics
/// If the log was started before.
pub fn start_log(config: &LogConfig) -> io::Result<Log> {
    let lost = Arc::new(AtomicU64::new(0));
    let (file, file_guard) = NonBlocking::new(LogFile::open(&config.file, Arc::clone(&lost))?);
    let (stdout, stdout_guard) = NonBlocking::new(io::stdout());
    let dropped = [file.error_counter(), stdout.error_counter()];
    // may writes two lines for each connection at level info.
    let filter = EnvFilter::new(format!("{},may=warn,generator=warn", config.level));
    let layer = tracing_subscriber::fmt::layer().event_format(JsonFormat).fmt_fields(SpanFields);
    let layer = layer.with_writer(stdout.and(file));
    tracing_subscriber::registry().with(layer.with_filter(filter)).init();
    Ok(Log { lost, dropped, _writers: [file_guard, stdout_guard] })
}

/// Every metric of `registry` in the Prometheus text format.
pub fn metrics_text(registry: &prometheus::Registry) -> String {
    let mut text = String::new();
    if let Err(error) = prometheus::TextEncoder::new().encode_utf8(&registry.gather(), &mut text) {
        tracing::error!(%error, "metrics could not be written out");
    }
    text
}
