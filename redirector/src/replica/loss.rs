//! Refuses the loss of most links: a store that was emptied, or is another one, must not empty the map.
//!
//! Only removals are refused, and only those of a snapshot or an audit. What a delta removes is in the log of changes.

use std::convert::Infallible;

use super::{Replica, count};
use crate::link_map::Replacement;

impl Replica {
    /// Makes the map hold `links`. If they are less than half of those that are served, the others stay.
    pub(super) fn commit_without_loss(&mut self, links: Replacement) {
        let found = links.len();
        if !self.is_suspicious_loss(found) {
            self.writer.commit(links);
            self.metrics.refused_removals.set(0);
            return;
        }
        let mut merged = Replacement::default();
        let Ok(()) = self.writer.map().each(|link| {
            merged.put_served(link);
            Ok::<_, Infallible>(())
        });
        // Of two links under one code the later stays.
        merged.append(links);
        self.writer.commit(merged);
        self.metrics.refused_removals.set(count(self.writer.map().len().saturating_sub(found)));
    }

    /// Whether so few links would be left that an operator has to confirm it; if so, it is logged and counted.
    pub(super) fn is_suspicious_loss(&self, left: usize) -> bool {
        let held = self.writer.map().len();
        let is_suspicious = left < held / 2 && !self.config.allow_shrink;
        if is_suspicious {
            self.metrics.refused_snapshots.inc();
            tracing::error!(
                held,
                left,
                "the store has lost most links; they are served on, and all other changes are taken; restore the \
                 store, or restart with REPLICA_ALLOW_SHRINK=true if they were deleted"
            );
        }
        is_suspicious
    }
}
