//! Reads and writes the snapshot file beside other work. The module `file` knows its format.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::task::spawn_blocking;

use super::file::{self, FileContents};
use super::in_flight::Work;
use super::map_updater::NextFile;
use crate::metrics::ReplicaMetrics;

/// Interval at which a changed map is written. The links of a restart without a store are older by as much.
pub(super) const WRITE_EVERY: Duration = Duration::from_secs(60);

/// Reads the snapshot file, and logs and counts an error.
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
            tracing::error!(path = %path.display(), %error, "snapshot file cannot be used; every link is loaded from the store");
        }
        Err(error) => {
            tracing::error!(%error, "reading the snapshot file panicked; every link is loaded from the store")
        }
    }
    None
}

/// Starts to write the snapshot file.
pub(super) fn write(path: PathBuf, next: NextFile) -> Work<io::Result<()>> {
    let write = move || file::write(&path, &next.cursor, next.equal_at, &next.map);
    Box::pin(async { spawn_blocking(write).await.map_err(io::Error::other)? })
}
