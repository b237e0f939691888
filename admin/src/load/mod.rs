//! The command `load`: CSV files, each in one transaction.

mod kind;
mod skips;

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use tern_common::store::{AdminStore, Batches, Load, LoadError, LoadOutcome, NumberedRow, SkippedRow, SkippedRows};
use tern_common::{Id, OwnAddresses};
use tern_import::csv_file::{BadRow, CsvRow, CsvTable};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::csv_rows::{event_row, product_row, url_row, user_row};
use crate::load::kind::Kind;
use crate::load::skips::{Report, SkippedIds, Skips};

/// The rows of one batch from the reader to the store.
const BATCH_ROWS: usize = 1000;

/// The batches that may wait while the store inserts one, which bounds the memory.
const BATCHES_AHEAD: usize = 2;

/// A file whose header was read, so that its kind is known.
#[derive(Debug)]
pub struct LoadFile {
    kind: Kind,
    table: CsvTable<File>,
    progress: ProgressBar,
}

/// The receiver of rows that the reader of a file skips, and the ids that were skipped in earlier files.
#[derive(Debug)]
struct SkipSink {
    rows: SkippedRows,
    earlier: Arc<SkippedIds>,
}

/// The arguments of the command `load`.
#[derive(Clone, Debug, Args)]
pub struct LoadCommand {
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Fail at a row that cannot be loaded, or skip it
    #[arg(long, value_enum, default_value_t)]
    pub on_error: OnError,
}

/// The treatment of a row that cannot be loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OnError {
    /// Load no row of its file
    #[default]
    Fail,
    /// Report it on standard error, and load the other rows; rows of later files that belong to it are skipped, too
    Skip,
}

/// Loads the files one after another and writes a line for each to `out`.
/// Writes a line to `report` for each row that is skipped.
///
/// # Errors
/// At the first file that cannot be loaded, with its name. The files before it stay loaded.
/// After the last file, if skipped rows of a loaded file could not be reported.
pub async fn load_files(
    store: &dyn AdminStore,
    command: &LoadCommand,
    own: &OwnAddresses,
    out: &mut (dyn Write + Send),
    report: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    let mut skipped = Arc::default();
    let mut unreported = Vec::new();
    for path in &command.files {
        let name = name_of(path);
        let skipped = (command.on_error == OnError::Skip).then_some(&mut skipped);
        let outcome = load_file(store, path, own, skipped, report).await.map_err(|error| anyhow!("{name}: {error}"))?;
        writeln!(out, "{}", outcome.line(&name)).map_err(|error| {
            anyhow!("{name}: was loaded, but standard output cannot be written ({error}); no later file is loaded")
        })?;
        if outcome.unreported.is_some() {
            unreported.push(name);
        }
    }
    if unreported.is_empty() {
        return Ok(());
    }
    let names = unreported.join(", ");
    Err(anyhow!(
        "{names}: loaded, but the report of skipped rows is cut short; load again to see which rows are still refused"
    ))
}

/// Opens a file and finds the kind of its rows by its header.
///
/// # Errors
/// When the file cannot be read, or has none of the known headers.
pub fn open(path: &Path) -> Result<LoadFile, LoadError> {
    let unreadable = |error| LoadError::File(format!("cannot be read: {error}"));
    let file = File::open(path).map_err(unreadable)?;
    let bytes = file.metadata().map_err(unreadable)?.len();
    let table = CsvTable::open(file, false).map_err(LoadError::File)?;
    let columns = table.columns();
    let Some(kind) = Kind::of(&table) else {
        let needs = Kind::ALL.map(|kind| format!("{kind} rows need {}", kind.columns().join(", "))).join("; ");
        return Err(LoadError::File(format!("has the columns {columns}, which fit no kind of rows: {needs}")));
    };
    let missing = table.missing(kind.columns());
    if missing.is_empty() {
        return Ok(LoadFile { kind, table, progress: progress_bar(bytes) });
    }
    let missing = missing.join(", ");
    Err(LoadError::File(format!("taken for a file of {kind} rows, lacks the column {missing}; it has {columns}")))
}

impl LoadFile {
    /// Starts a thread that reads the rows as fast as the store receives them, up to the first bad one.
    /// A link to one of the addresses in `own` is a bad row.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn into_load(self, own: &OwnAddresses) -> Load {
        self.read(own, None)
    }

    /// Starts the thread of [`LoadFile::into_load`]. With a `sink` it continues after a bad row.
    fn read(self, own: &OwnAddresses, sink: Option<SkipSink>) -> Load {
        let earlier = sink.as_ref().map(|sink| Arc::clone(&sink.earlier)).unwrap_or_default();
        match self.kind {
            Kind::User => Load::Users(self.batches(user_row, sink)),
            Kind::Url => {
                let own = own.clone();
                let parse = move |row: CsvRow<'_>| {
                    let url = url_row(row, &own)?;
                    earlier.check_user(url.user_id).map(|()| url)
                };
                Load::Urls(self.batches(parse, sink))
            }
            Kind::Event => {
                let parse = move |row: CsvRow<'_>| {
                    let event = event_row(row)?;
                    earlier.check_url(event.url_id).and_then(|()| earlier.check_user(event.user_id)).map(|()| event)
                };
                Load::Events(self.batches(parse, sink))
            }
            Kind::Product => Load::Products(self.batches(product_row, sink)),
        }
    }

    fn batches<T: Send + 'static>(
        self,
        parse: impl Fn(CsvRow<'_>) -> Result<T, String> + Send + 'static,
        sink: Option<SkipSink>,
    ) -> Batches<T> {
        let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
        spawn_blocking(move || {
            if let Err(error) = self.send_rows(parse, &sender, sink) {
                // Without a receiver of rows the error is not needed.
                let _ = sender.blocking_send(Err(error));
            }
        });
        batches
    }

    fn send_rows<T>(
        mut self,
        parse: impl Fn(CsvRow<'_>) -> Result<T, String>,
        batches: &mpsc::Sender<Result<Vec<NumberedRow<T>>, LoadError>>,
        sink: Option<SkipSink>,
    ) -> Result<(), LoadError> {
        let mut batch = Vec::with_capacity(BATCH_ROWS);
        while let Some(read) = self.table.next_row() {
            let read = read.and_then(|row| {
                let line = row.line;
                let parsed = parse(row).map_err(|reason| BadRow { line, reason, is_last: false });
                parsed.map(|row| NumberedRow { line, row })
            });
            match (read, &sink) {
                (Ok(row), _) => batch.push(row),
                (Err(BadRow { line, reason, is_last: false }), Some(sink)) => {
                    let id = self.table.last_field("id").and_then(Id::parse);
                    if sink.rows.blocking_send(SkippedRow { line, id, reason }).is_err() {
                        return Ok(());
                    }
                }
                (Err(BadRow { line, reason, .. }), _) => return Err(LoadError::Row { line, reason }),
            }
            if batch.len() == BATCH_ROWS {
                let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH_ROWS));
                if batches.blocking_send(Ok(full)).is_err() {
                    return Ok(());
                }
                self.progress.set_position(self.table.bytes_read());
            }
        }
        if batch.is_empty() || batches.blocking_send(Ok(batch)).is_ok() {
            // An empty batch ends the rows of a whole file.
            let _ = batches.blocking_send(Ok(Vec::new()));
        }
        Ok(())
    }
}

/// The numbers of a file's rows by their outcome.
struct Outcome {
    kind: Kind,
    inserted: u64,
    existing: u64,
    skipped: u64,
    /// The error of the first report of a skipped row that failed.
    unreported: Option<io::Error>,
}

impl Outcome {
    fn new(kind: Kind, loaded: LoadOutcome, Skips { count: skipped, unreported, .. }: Skips) -> Outcome {
        let (inserted, existing) = match loaded {
            LoadOutcome::Inserted(rows) => (rows, 0),
            LoadOutcome::AlreadyThere(rows) => (0, rows),
            LoadOutcome::Partly { inserted, there } => (inserted, there),
        };
        Outcome { kind, inserted, existing, skipped, unreported }
    }

    /// Returns the line on standard output for the file of this name.
    fn line(&self, name: &str) -> String {
        let Outcome { kind, inserted, existing, skipped, unreported } = self;
        let mut line = format!("Loaded {inserted} rows into {kind} from {name}");
        line += &match (inserted, existing, skipped) {
            (_, 0, 0) => String::new(),
            (0, existing, 0) => format!(": all {existing} are there already"),
            (_, existing, 0) => format!(": {existing} are there already"),
            (_, 0, skipped) => format!(": {skipped} skipped"),
            (_, existing, skipped) => format!(": {skipped} skipped, {existing} are there already"),
        };
        if let Some(error) = unreported {
            line += &format!("; the report of skipped rows cannot be written: {error}");
        }
        line
    }
}

/// Loads a file. With `skipped`, loads its valid rows, reports the other rows, and adds their ids to `skipped`.
async fn load_file(
    store: &dyn AdminStore,
    path: &Path,
    own: &OwnAddresses,
    skipped: Option<&mut Arc<SkippedIds>>,
    report: &mut (dyn Write + Send),
) -> anyhow::Result<Outcome> {
    let file = open(path)?;
    let kind = file.kind;
    let Some(skipped) = skipped else {
        return Ok(Outcome::new(kind, store.load(file.into_load(own), None).await?, Skips::default()));
    };
    let mut report = Report { name: &name_of(path), out: report, progress: file.progress.clone() };
    let (sender, rows) = mpsc::channel(BATCH_ROWS);
    let load = file.read(own, Some(SkipSink { rows: sender.clone(), earlier: Arc::clone(skipped) }));
    let (loaded, skips) = tokio::join!(store.load(load, Some(sender)), report.follow(rows, kind));
    let (loaded, mut skips) = match (loaded, skips) {
        (Ok(loaded), Ok(skips)) => (loaded, skips),
        // The load had sent its last skipped row before the report ended.
        (Ok(_), Err(error)) => return Err(anyhow!("was loaded, and no later file is: it {error}")),
        (Err(error), Ok(_)) => return Err(error.into()),
        (Err(_), Err(error)) => return Err(error),
    };
    Arc::make_mut(skipped).extend(std::mem::take(&mut skips.ids));
    Ok(Outcome::new(kind, loaded, skips))
}

fn name_of(path: &Path) -> Cow<'_, str> {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy()
}

/// Returns a progress bar, which is shown only if standard error is a terminal.
fn progress_bar(bytes: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {eta}");
    let bar = ProgressBar::new(bytes).with_finish(ProgressFinish::AndClear);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
