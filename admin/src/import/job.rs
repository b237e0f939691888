//! An import of one file: the thread that reads it, and the batches that are written meanwhile.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tern_common::store::{AdminStore, LoadError, StoreError};
use tern_import::{FileError, Import, Options, Row, Source};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::importer::{BATCH_ROWS, Importer};
use super::outcome::{RowOutcome, Summary};
use super::plan::{OnConflict, Plan};

/// The batches that may wait while one is written, which bounds the memory.
const BATCHES_AHEAD: usize = 1;

/// The rows of a file that are shown before the import.
const SAMPLE_ROWS: usize = 3;

/// The codes that a conflict lists.
const LISTED_CONFLICTS: usize = 5;

/// A file to import, which is read once or twice.
#[derive(Debug)]
pub struct Input {
    pub file: File,
    /// The path of the file, if it has one: a database of SQLite has a log of changes beside it.
    pub path: Option<PathBuf>,
    /// The source that wrote it; recognised if `None`.
    pub source: Option<Source>,
    pub options: Options,
    /// The bytes that were read.
    pub bytes_read: Arc<AtomicU64>,
}

/// The reason why an import ended early.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("{0}")]
    File(#[from] FileError),
    #[error("{0}")]
    Unreadable(#[from] io::Error),
    #[error("{count} rows have codes that are taken, so nothing was imported: {codes}")]
    Conflicts { count: u64, codes: String },
    /// The receiver of the outcomes does not accept any more of them.
    #[error("the outcomes cannot be written: {0}; the rows so far are imported, and a second import continues")]
    Unreported(anyhow::Error),
    #[error(transparent)]
    Store(StoreError),
}

impl From<LoadError> for ImportError {
    fn from(error: LoadError) -> ImportError {
        match error {
            LoadError::Store(error) => ImportError::Store(error),
            other => ImportError::Store(StoreError::Internal(other.into())),
        }
    }
}

impl From<StoreError> for ImportError {
    fn from(error: StoreError) -> ImportError {
        ImportError::Store(error)
    }
}

/// A reader that counts its bytes.
struct Counted<R> {
    reader: R,
    bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl<R: Seek> Seek for Counted<R> {
    fn seek(&mut self, position: io::SeekFrom) -> io::Result<u64> {
        self.reader.seek(position)
    }
}

/// The receiver of the outcomes of one batch after another.
pub trait Report: Send {
    fn note(&mut self, outcomes: Vec<RowOutcome>) -> impl Future<Output = anyhow::Result<()>> + Send;
}

impl Input {
    /// Opens the file at its beginning and recognises it.
    ///
    /// # Errors
    /// When the file is not recognised, or is another one than its source writes.
    pub async fn open(&self) -> Result<Import, ImportError> {
        let mut file = self.file.try_clone()?;
        file.rewind()?;
        self.bytes_read.store(0, Ordering::Relaxed);
        let mut reader = Counted { reader: file, bytes: Arc::clone(&self.bytes_read) };
        let (source, options, path) = (self.source, self.options.clone(), self.path.clone());
        let opened = spawn_blocking(move || match path {
            Some(path) if tern_import::is_database(&mut reader)? => tern_import::open(&path, source, &options),
            _ => tern_import::read(reader, source, &options),
        });
        Ok(opened.await.map_err(io::Error::other)??)
    }

    /// Returns the first links of the file, as they would be imported.
    pub async fn sample(&self) -> Result<Vec<Row>, ImportError> {
        let import = self.open().await?;
        let first = spawn_blocking(move || import.rows.take(SAMPLE_ROWS).collect::<Result<Vec<Row>, FileError>>());
        Ok(first.await.map_err(io::Error::other)??)
    }
}

/// Imports a file.
///
/// # Errors
/// When the file cannot be read to its end, a code is taken and the plan is to fail then, or the store or the report fails.
/// Batches before the error remain.
pub async fn import_file(
    store: &dyn AdminStore,
    input: &Input,
    plan: &Plan,
    report: &mut impl Report,
) -> Result<Summary, ImportError> {
    if plan.on_conflict == OnConflict::Fail {
        look_for_conflicts(store, input, plan).await?;
    }
    let mut importer = Importer::new(store, plan);
    let mut batches = read(input.open().await?);
    while let Some(batch) = batches.recv().await {
        let outcomes = importer.import(batch?).await?;
        report.note(outcomes).await.map_err(ImportError::Unreported)?;
    }
    Ok(importer.summary)
}

/// Reads the whole file without writing.
async fn look_for_conflicts(store: &dyn AdminStore, input: &Input, plan: &Plan) -> Result<(), ImportError> {
    let look = Plan { is_dry_run: true, on_conflict: OnConflict::Skip, ..plan.clone() };
    let mut importer = Importer::new(store, &look);
    let mut batches = read(input.open().await?);
    let mut codes = Vec::new();
    while let Some(batch) = batches.recv().await {
        let before = importer.conflicts;
        let outcomes = importer.import(batch?).await?;
        if importer.conflicts > before && codes.len() < LISTED_CONFLICTS {
            let skipped = outcomes.into_iter().filter(|outcome| outcome.outcome == super::Outcome::Skipped);
            codes.extend(
                skipped.map(|outcome| format!("row {} {}", outcome.row, outcome.short_code.unwrap_or_default())),
            );
            codes.truncate(LISTED_CONFLICTS);
        }
    }
    match importer.conflicts {
        0 => Ok(()),
        count => {
            let more = if count > codes.len() as u64 { ", ..." } else { "" };
            Err(ImportError::Conflicts { count, codes: codes.join(", ") + more })
        }
    }
}

/// Starts a thread that reads the rows as fast as they are imported.
fn read(import: Import) -> mpsc::Receiver<Result<Vec<Row>, FileError>> {
    let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
    spawn_blocking(move || {
        let mut batch = Vec::with_capacity(BATCH_ROWS);
        for row in import.rows {
            match row {
                Ok(row) => batch.push(row),
                Err(error) => {
                    // The rows before the fault are whole.
                    let _ = sender.blocking_send(Ok(std::mem::take(&mut batch)));
                    let _ = sender.blocking_send(Err(error));
                    return;
                }
            }
            if batch.len() == BATCH_ROWS {
                let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH_ROWS));
                if sender.blocking_send(Ok(full)).is_err() {
                    return;
                }
            }
        }
        let _ = sender.blocking_send(Ok(batch));
    });
    batches
}
