//! The growth of a table in steps: its replacement is made beside it, a few lines at a time. This module must not publish a
//! table.

use super::chunk::Place;
use super::sync::{Hasher, LINES_CLEARED, LINES_COPIED};
use super::table::{EmptyLines, Table};

/// The replacement of a table that is nearly full. Each record in it is the one that the table has under the same code.
#[derive(Debug)]
pub(super) enum Growth {
    /// The replacement has no records yet, and its memory is cleared. It does not take changes.
    Clearing(EmptyLines),
    /// The replacement takes each change, and the records of the table's lines.
    Copying {
        replacement: Table,
        /// Slots of the replacement that are not null.
        used: usize,
        /// The number of the table's first lines that are copied.
        copied: usize,
    },
}

impl Growth {
    /// Begins the growth of a table with `used` slots that are not null and `links` records, if it is due. The table then
    /// still has room for the changes until the last step, if each takes a step before it is applied.
    pub(super) fn begin_if_due(table: &Table, used: usize, links: usize) -> Option<Growth> {
        // The replacement has less than twice the lines.
        let steps = (2 * table.len()).div_ceil(LINES_CLEARED) + table.len().div_ceil(LINES_COPIED);
        let is_due = !table.has_room_for(used + 1 + steps);
        is_due.then(|| Growth::Clearing(EmptyLines::with_room_for(links + 1 + steps)))
    }

    /// Clears or copies a few lines. Returns the replacement and the number of its slots that are not null after the last
    /// step, or else the growth.
    ///
    /// # Safety
    /// The chunks of all records in `table` outlive the call, and the growth is the one of `table`.
    pub(super) unsafe fn step(self, table: &Table, hasher: &Hasher) -> Result<(Table, usize), Growth> {
        match self {
            Growth::Clearing(lines) => Err(match lines.clear(LINES_CLEARED) {
                Ok(replacement) => Growth::Copying { replacement, used: 0, copied: 0 },
                Err(lines) => Growth::Clearing(lines),
            }),
            Growth::Copying { replacement, used, copied } => {
                let end = table.len().min(copied + LINES_COPIED);
                // A record that a change has put there already is put there again.
                let places = table.places(copied..end);
                // SAFETY: the caller ensures that the chunks live, and each record of the replacement is in `table`, too.
                let used = used + unsafe { replacement.fill(hasher, places, |_| {}) };
                if end == table.len() {
                    Ok((replacement, used))
                } else {
                    Err(Growth::Copying { replacement, used, copied: end })
                }
            }
        }
    }

    /// Puts the record at `place`, which the table has or gets under `code`.
    ///
    /// # Safety
    /// The chunks of all records in the table are alive.
    pub(super) unsafe fn put(&mut self, hash: u64, code: &[u8], place: Place) {
        if let Growth::Copying { replacement, used, .. } = self {
            // SAFETY: each record of the replacement is in the table, too.
            let (_, is_new) = unsafe { replacement.put(hash, code, place) };
            *used += usize::from(is_new);
        }
    }

    /// Removes the record under `code`, if there is one.
    ///
    /// # Safety
    /// The chunks of all records in the table are alive.
    pub(super) unsafe fn remove(&self, hash: u64, code: &[u8]) {
        if let Growth::Copying { replacement, .. } = self
            // SAFETY: each record of the replacement is in the table, too.
            && let Some((slot, _)) = unsafe { replacement.find(hash, code) }
        {
            replacement.clear(slot);
        }
    }

    /// Returns the bytes of the replacement.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        match self {
            Growth::Clearing(lines) => lines.bytes(),
            Growth::Copying { replacement, .. } => replacement.bytes(),
        }
    }

    /// Returns the numbers of lines that are cleared and copied.
    #[cfg(test)]
    pub(super) fn progress(&self) -> (usize, usize) {
        match self {
            Growth::Clearing(lines) => (lines.cleared(), 0),
            Growth::Copying { replacement, copied, .. } => (replacement.len(), *copied),
        }
    }
}
