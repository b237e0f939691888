//! Loading CSV files from the command line: one file, one transaction.

use std::fmt;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use tern_common::OwnAddresses;
use tern_common::store::{Batches, Load, LoadError, Loaded, Numbered, Store};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::csv_rows::{
    EVENT_COLUMNS, PRODUCT_COLUMNS, URL_COLUMNS, USER_COLUMNS, event_row, product_row, url_row, user_row,
};
use crate::csv_table::{CsvTable, Row};

/// How many rows are handed over at once.
const BATCH_ROWS: usize = 1000;

/// How many batches may wait while the database works on one: memory stays constant however long the file.
const BATCHES_AHEAD: usize = 2;

/// What the rows of a file are, named as the original's loader named them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    User,
    Url,
    Event,
    Product,
}

/// A file whose header was read and understood.
#[derive(Debug)]
pub struct LoadFile {
    kind: Kind,
    table: CsvTable<File>,
    bytes: u64,
}

/// Loads the files one after another and writes a line for each to `out`.
///
/// # Errors
/// At the first file that cannot be loaded, with its name. The files before it stay loaded.
pub async fn load_files(
    store: &dyn Store,
    paths: &[PathBuf],
    own: &OwnAddresses,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    for path in paths {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let (kind, loaded) = load_file(store, path, own).await.map_err(|error| anyhow!("{name}: {error}"))?;
        match loaded {
            Loaded::Inserted(rows) => writeln!(out, "Loaded {rows} rows into {kind} from {name}")?,
            Loaded::AlreadyThere(rows) => {
                writeln!(out, "Loaded 0 rows into {kind} from {name}: all {rows} are there already")?;
            }
        }
    }
    Ok(())
}

/// Opens a file and tells from its header what it holds.
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
        return Err(LoadError::File(format!("has the columns {columns}, which tell of no kind of rows: {needs}")));
    };
    let missing = table.missing(kind.columns());
    if missing.is_empty() {
        return Ok(LoadFile { kind, table, bytes });
    }
    let missing = missing.join(", ");
    Err(LoadError::File(format!("taken for a file of {kind} rows, lacks the column {missing}; it has {columns}")))
}

impl LoadFile {
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Starts a thread that reads the rows as fast as they are taken, up to the first bad one.
    /// A link to one of the addresses in `own` is a bad row.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn into_load(self, own: &OwnAddresses) -> Load {
        match self.kind {
            Kind::User => Load::Users(self.batches(user_row)),
            Kind::Url => {
                let own = own.clone();
                Load::Urls(self.batches(move |row| url_row(row, &own)))
            }
            Kind::Event => Load::Events(self.batches(event_row)),
            Kind::Product => Load::Products(self.batches(product_row)),
        }
    }

    fn batches<T: Send + 'static>(self, parse: impl Fn(Row<'_>) -> Result<T, String> + Send + 'static) -> Batches<T> {
        let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
        spawn_blocking(move || {
            if let Err(error) = self.send_rows(parse, &sender) {
                // Nobody takes the error only when nobody takes the rows.
                let _ = sender.blocking_send(Err(error));
            }
        });
        batches
    }

    fn send_rows<T>(
        mut self,
        parse: impl Fn(Row<'_>) -> Result<T, String>,
        batches: &mpsc::Sender<Result<Vec<Numbered<T>>, LoadError>>,
    ) -> Result<(), LoadError> {
        let progress = progress_bar(self.bytes);
        let mut batch = Vec::with_capacity(BATCH_ROWS);
        while let Some(row) = self.table.next_row() {
            let row = row.map_err(|bad| LoadError::Row { line: bad.line, reason: bad.reason })?;
            let line = row.line;
            let row = parse(row).map_err(|reason| LoadError::Row { line, reason })?;
            batch.push(Numbered { line, row });
            if batch.len() == BATCH_ROWS {
                let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH_ROWS));
                if batches.blocking_send(Ok(full)).is_err() {
                    return Ok(());
                }
                progress.set_position(self.table.bytes_read());
            }
        }
        let rest = if batch.is_empty() { None } else { Some(batch) };
        for last in rest.into_iter().chain([Vec::new()]) {
            if batches.blocking_send(Ok(last)).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}

impl Kind {
    const ALL: [Kind; 4] = [Kind::User, Kind::Url, Kind::Event, Kind::Product];

    /// Tells the kind by a column that only its files have; `None` if there is none of those.
    fn of(table: &CsvTable<File>) -> Option<Kind> {
        // Urls also have users, and events have both.
        if table.has("event_type") {
            Some(Kind::Event)
        } else if table.has("short_code") {
            Some(Kind::Url)
        } else if table.has("username") {
            Some(Kind::User)
        } else if table.has("price") || table.has("stock") {
            Some(Kind::Product)
        } else {
            None
        }
    }

    fn columns(self) -> &'static [&'static str] {
        match self {
            Kind::User => USER_COLUMNS,
            Kind::Url => URL_COLUMNS,
            Kind::Event => EVENT_COLUMNS,
            Kind::Product => PRODUCT_COLUMNS,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::User => "User",
            Kind::Url => "Url",
            Kind::Event => "Event",
            Kind::Product => "Product",
        })
    }
}

async fn load_file(store: &dyn Store, path: &Path, own: &OwnAddresses) -> Result<(Kind, Loaded), LoadError> {
    let file = open(path)?;
    let kind = file.kind();
    Ok((kind, store.load(file.into_load(own)).await?))
}

/// Shows nothing unless standard error is a terminal.
fn progress_bar(bytes: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {eta}");
    let bar = ProgressBar::new(bytes).with_finish(ProgressFinish::AndClear);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
