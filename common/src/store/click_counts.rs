//! Clicks that are counted and have no event, summed before they are written.

use std::collections::HashMap;

use crate::{Click, ClickSource, Id, Per, Timestamp};

/// Clicks that a batch brought.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Recorded {
    /// Clicks whose link exists.
    pub(super) recorded: u64,
    /// Recorded clicks that have no event.
    pub(super) without_event: u64,
}

/// Clicks by url, full hour and source.
#[derive(Debug, Default)]
pub(super) struct ClickCounts(HashMap<(Id, Timestamp, ClickSource), i64>);

impl ClickCounts {
    pub(super) fn add(&mut self, click: &Click, source: ClickSource) {
        let at = Timestamp::from(click.at).unix_seconds();
        let hour = Timestamp::from_unix_seconds(at - at.rem_euclid(Per::Hour.seconds()));
        *self.0.entry((click.url_id, hour, source)).or_default() += 1;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&(Id, Timestamp, ClickSource), &i64)> {
        self.0.iter()
    }
}
