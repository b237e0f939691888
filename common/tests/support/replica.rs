//! A replica as a redirector has it: a snapshot first, then deltas, and a new snapshot when its cursor is too old.

use std::collections::BTreeMap;

use tern_common::served_link::LinkRow;
use tern_common::store::{AdminStore, Cursor, Delta, LinkChange, Result};

pub type Links = BTreeMap<String, LinkRow>;

#[derive(Clone, Default)]
pub struct Replica {
    pub links: Links,
    pub cursor: Option<Cursor>,
    /// Number of snapshots taken.
    pub snapshots: u32,
}

impl Replica {
    /// Reads until there are no more changes.
    pub async fn catch_up(&mut self, store: &dyn AdminStore) -> Result<()> {
        while self.read_next(store).await? {}
        Ok(())
    }

    /// Reads one snapshot or one delta; returns whether there is more.
    pub async fn read_next(&mut self, store: &dyn AdminStore) -> Result<bool> {
        let Some(cursor) = &self.cursor else {
            let mut snapshot = store.snapshot().await?;
            let mut links = Links::new();
            while let Some(batch) = snapshot.rows.recv().await {
                links.extend(batch?.into_iter().map(|row| (row.short_code.clone(), row)));
            }
            (self.links, self.cursor) = (links, Some(snapshot.cursor));
            self.snapshots += 1;
            return Ok(true);
        };
        match store.delta(cursor).await? {
            Delta::TooOld => {
                self.cursor = None;
                Ok(true)
            }
            Delta::Changes { changes, cursor, more } => {
                for change in changes {
                    match change.change {
                        LinkChange::Put(row) => drop(self.links.insert(row.short_code.clone(), row)),
                        LinkChange::Removed { short_code } => drop(self.links.remove(&short_code)),
                    }
                }
                self.cursor = Some(cursor);
                Ok(more)
            }
        }
    }
}
