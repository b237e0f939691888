//! Sums of clicks that are counted without an event.

use std::collections::{BTreeMap, HashMap};

use super::folded_clicks::HOUR_SECONDS;
use crate::{Click, ClickSource, Id, Timestamp};

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
        let hour = Timestamp::from_unix_seconds(at - at.rem_euclid(HOUR_SECONDS));
        *self.0.entry((click.url_id, hour, source)).or_default() += 1;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&(Id, Timestamp, ClickSource), &i64)> {
        self.0.iter()
    }
}

/// The clicks of people and the time of the last one, for each url by its id.
#[derive(Debug, Default)]
pub(super) struct LinkClicks(BTreeMap<Id, (i64, Option<Timestamp>)>);

impl LinkClicks {
    pub(super) fn add(&mut self, click: &Click, source: &ClickSource) {
        let link = self.0.entry(click.url_id).or_default();
        if source.visitor.is_none_or(|visitor| visitor.bot.is_none()) {
            link.0 += 1;
            link.1 = link.1.max(Some(Timestamp::from(click.at)));
        }
    }

    /// Includes the url of a click that is counted elsewhere.
    pub(super) fn include(&mut self, click: &Click) {
        self.0.entry(click.url_id).or_default();
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Id, i64, Option<Timestamp>)> {
        self.0.iter().map(|(id, (clicks, last))| (*id, *clicks, *last))
    }
}
