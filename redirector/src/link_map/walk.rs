//! Looking at every link while the map is served and changed: for the snapshot file and the audit.
//!
//! The log is walked, not the table. What takes the place of a record stands behind it in the log, whether it is a change
//! or a copy made by compaction, so whoever walks to the end meets every link that is there all the while.
//! One that changes meanwhile may be met twice.

use tern_common::served_link::ServedLink;

use super::LinkMap;

impl LinkMap {
    /// Shows `look` every link until it returns an error. No guard is held while it looks: it may wait for a disk.
    pub fn each<E>(&self, mut look: impl FnMut(ServedLink<'_>) -> Result<(), E>) -> Result<(), E> {
        let mut chunk = self.shared.chunk_after(None);
        while let Some(present) = chunk {
            for (record, text) in present.records() {
                if self.shared.is_live(record) {
                    look(ServedLink::decode(record, text))?;
                }
            }
            chunk = self.shared.chunk_after(Some(present.number()));
        }
        Ok(())
    }
}
