//! Reads and writes the snapshot file beside other work. The module `file` knows its format.

use std::io;
use std::time::Duration;

use tokio::task::spawn_blocking;

use super::file::{FileContents, NextFile, SnapshotFile, TailEnd};
use super::in_flight::{Work, WriteResult};
use super::unsaved::{Save, Unsaved};
use crate::metrics::ReplicaMetrics;

/// Interval at which changes are written. The links of a restart without a store are older by as much.
pub(super) const WRITE_EVERY: Duration = Duration::from_secs(5);

/// Pause before all links are written again, after a failed write or after changes that came too fast to be appended.
pub(super) const PAUSE: Duration = Duration::from_secs(60);

/// Reads the snapshot file, and logs and counts an error.
pub(super) async fn read(
    file: Option<SnapshotFile>,
    metrics: &ReplicaMetrics,
) -> (Option<SnapshotFile>, Option<FileContents>) {
    let Some(mut file) = file else { return (None, None) };
    let again = SnapshotFile::new(file.path().to_owned());
    let reading = spawn_blocking(move || {
        let contents = file.read();
        (file, contents)
    });
    let (file, contents) = match reading.await {
        Ok((file, contents)) => (file, contents),
        Err(error) => {
            tracing::error!(%error, "reading the snapshot file panicked; every link is loaded from the store");
            return (Some(again), None);
        }
    };
    let path = file.path().display();
    match &contents {
        Ok(Some(FileContents { tail_end: TailEnd::Whole, .. }) | None) => {}
        Ok(Some(FileContents { tail_end: TailEnd::Incomplete, .. })) => {
            metrics.file_errors.inc();
            tracing::warn!(%path, "snapshot file ends in an incomplete record, as after a power cut; the links before it are used, and deltas follow");
        }
        Ok(Some(FileContents { tail_end: TailEnd::Damaged, tail_error, .. })) => {
            metrics.file_errors.inc();
            let error = tail_error.as_ref().map(tracing::field::display);
            tracing::error!(
                %path, error,
                "a record of the snapshot file is damaged or cannot be read; the links before it are used, and deltas follow"
            );
        }
        Err(error) => {
            metrics.file_errors.inc();
            tracing::error!(%path, %error, "snapshot file cannot be used; every link is loaded from the store");
        }
    }
    let contents = contents.ok().flatten();
    metrics.rejected_rows.inc_by(contents.as_ref().map_or(0, |contents| contents.rejected));
    (Some(file), contents)
}

/// Starts to write the snapshot file.
pub(super) fn write(mut file: SnapshotFile, save: Save) -> Work<WriteResult> {
    let again = SnapshotFile::new(file.path().to_owned());
    let write = move || {
        let changes = match &save.unsaved {
            Unsaved::Changes(changes) => Some(changes),
            Unsaved::Everything => None,
        };
        let next = NextFile { cursor: &save.cursor, equal_at: save.equal_at, map: &save.map, changes };
        let written = file.write(next);
        (file, written)
    };
    Box::pin(async { spawn_blocking(write).await.unwrap_or_else(|error| (again, Err(io::Error::other(error)))) })
}
