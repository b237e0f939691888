//! The load of one batch of rows.

use tern_common::store::{AdminStore, Batches, Load, LoadError, LoadOutcome, NumberedRow, SkippedRow};
use tokio::sync::mpsc;

/// Loads one batch of rows in one transaction. Returns the rows that were skipped.
pub(super) async fn load_batch<T>(
    store: &dyn AdminStore,
    kind: impl FnOnce(Batches<T>) -> Load,
    rows: Vec<NumberedRow<T>>,
) -> Result<(LoadOutcome, Vec<SkippedRow>), LoadError> {
    let (sender, batches) = mpsc::channel(2);
    for batch in [rows, Vec::new()] {
        // The channel has room for both.
        let _ = sender.try_send(Ok(batch));
    }
    let (report, mut reported) = mpsc::channel(64);
    let collect = async {
        let mut skipped = Vec::new();
        while let Some(row) = reported.recv().await {
            skipped.push(row);
        }
        skipped
    };
    let (loaded, skipped) = tokio::join!(store.load(kind(batches), Some(report)), collect);
    Ok((loaded?, skipped))
}
