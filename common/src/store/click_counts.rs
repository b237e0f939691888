//! Sums of clicks that are counted without an event.

use std::collections::{BTreeMap, HashMap};

use crate::{Click, ClickSource, Id, Per, Timestamp};

/// The numbers of clicks that a batch brought.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RecordedClicks {
    /// Clicks whose link exists.
    pub(super) recorded: u64,
    /// Recorded clicks without an event.
    pub(super) without_event: u64,
}

/// The number of clicks for each url, full hour and source.
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

/// The number of clicks and the time of the last one, for each url by its id.
#[derive(Debug, Default)]
pub(super) struct LinkClicks(BTreeMap<Id, (i64, Timestamp)>);

impl LinkClicks {
    pub(super) fn add(&mut self, click: &Click) {
        self.entry(click).0 += 1;
    }

    /// Includes the url and the time of a click that is counted elsewhere.
    pub(super) fn include(&mut self, click: &Click) {
        self.entry(click);
    }

    fn entry(&mut self, click: &Click) -> &mut (i64, Timestamp) {
        let at = Timestamp::from(click.at);
        let link = self.0.entry(click.url_id).or_insert((0, at));
        link.1 = link.1.max(at);
        link
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Id, i64, Timestamp)> {
        self.0.iter().map(|(id, (clicks, last))| (*id, *clicks, *last))
    }
}
