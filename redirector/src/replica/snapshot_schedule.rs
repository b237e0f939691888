//! The times at which the snapshot file is read and written. The module `file` knows its format.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::task::spawn_blocking;

use super::file::{self, FileContents};
use super::in_flight::Work;
use super::map_updater::NextFile;
use crate::metrics::ReplicaMetrics;

/// Interval at which the snapshot file is written, if anything changed: a restart without a store is behind by as much.
pub(super) const WRITE_EVERY: Duration = Duration::from_secs(60);

/// Reads the snapshot file and counts what was wrong with it. Its links are not in the map yet.
pub(super) async fn read(path: Option<&PathBuf>, metrics: &ReplicaMetrics) -> Option<FileContents> {
    let path = path?.clone();
    let reading = spawn_blocking({
        let path = path.clone();
        move || file::read(&path)
    });
    match reading.await {
        Ok(Ok(stored)) => return stored.inspect(|stored| metrics.rejected_rows.inc_by(stored.rejected)),
        Ok(Err(error)) => {
            metrics.file_errors.inc();
            tracing::error!(path = %path.display(), %error, "the snapshot file is not used");
        }
        Err(error) => tracing::error!(%error, "the snapshot file could not be read"),
    }
    None
}

/// Begins to write the file.
pub(super) fn write(path: PathBuf, next: NextFile) -> Work<io::Result<()>> {
    let write = move || file::write(&path, &next.cursor, next.equal_at, &next.map);
    Box::pin(async { spawn_blocking(write).await.map_err(io::Error::other)? })
}
