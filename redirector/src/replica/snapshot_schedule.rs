//! When the snapshot file is read and written. What stands in it is [`file`]'s affair.

use std::io;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::file::Stored;
use super::{Replica, count, file};

impl Replica {
    /// Reads what was kept from last time, if there is anything. It is not served yet.
    pub(super) async fn read_file(&mut self) -> Option<Stored> {
        let path = self.config.file.clone()?;
        match spawn_blocking({
            let path = path.clone();
            move || file::read(&path)
        })
        .await
        {
            Ok(Ok(Some(stored))) => {
                self.metrics.rejected_rows.inc_by(stored.rejected);
                self.cursor = Some(stored.cursor.clone());
                return Some(stored);
            }
            Ok(Ok(None)) => {}
            Ok(Err(error)) => {
                self.metrics.file_errors.inc();
                tracing::error!(path = %path.display(), %error, "the snapshot file is not used");
            }
            Err(error) => tracing::error!(%error, "the snapshot file could not be read"),
        }
        None
    }

    /// Puts what was kept into the map.
    pub(super) fn adopt(&mut self, stored: Option<Stored>) {
        let Some(stored) = stored else { return };
        tracing::info!(links = stored.links.len(), rejected = stored.rejected, "going on from the snapshot file");
        // Millions of links take their time, and this thread has other tasks.
        tokio::task::block_in_place(|| self.writer.replace(stored.links));
        self.metrics.links.set(count(self.writer.map().len()));
        self.freshness.mark_kept(stored.equal_at);
    }

    /// Serves what was kept, whether or not the store has told what came since.
    pub(super) fn serve_kept(&mut self, is_current: bool) {
        if !is_current {
            let links = self.writer.map().len();
            let staleness_seconds = self.freshness.staleness().unwrap_or_default().as_secs();
            tracing::error!(
                links,
                staleness_seconds,
                "the store cannot be read; links are served from the snapshot file; the store is asked again"
            );
        }
        self.writer.declare_loaded();
    }

    /// Begins to write the file, if anything changed since it was begun last.
    pub(super) fn write_file(&mut self) -> Option<impl Future<Output = io::Result<()>> + Send + use<>> {
        let path = self.config.file.clone().filter(|_| self.is_unsaved)?;
        let cursor = self.cursor.clone()?;
        let equal_at = self.freshness.equal_at()?;
        let map = Arc::clone(self.writer.map());
        self.is_unsaved = false;
        let write = move || file::write(&path, &cursor, equal_at, &map);
        Some(async { spawn_blocking(write).await.map_err(io::Error::other)? })
    }

    pub(super) fn written(&mut self, written: io::Result<()>) {
        if let Err(error) = written {
            self.is_unsaved = true;
            self.metrics.file_errors.inc();
            tracing::error!(%error, "the snapshot file was not written; a restart would serve an older one");
        }
    }
}
