//! The changes of counts by a batch of clicks, summed in memory, so that a store writes each count once.
//!
//! Every sum is in the order of its key. The stores lock counts in this order, so shippers cannot deadlock.

use std::collections::{BTreeMap, HashMap};

use super::folded_clicks::HOUR_SECONDS;
use super::referrer_budget::ReferrerBudget;
use crate::{Click, ClickSource, Id, Timestamp};

/// The numbers of clicks that a batch brought.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RecordedClicks {
    /// Clicks whose link exists.
    pub(super) recorded: u64,
    /// Recorded clicks without an event.
    pub(super) without_event: u64,
}

/// A click whose link exists.
#[derive(Debug)]
pub(super) struct LinkedClick<'a> {
    pub(super) click: &'a Click,
    pub(super) owner: Id,
    /// The source under which the click is counted.
    pub(super) source: ClickSource,
}

/// The kind of a count, as in `click_counts`.
pub(super) type CountKind = char;

/// The sums over a batch of clicks.
#[derive(Debug, Default)]
pub(super) struct BatchCounts {
    /// For each link.
    pub(super) links: BTreeMap<Id, LinkClicks>,
    /// Events for each owner.
    pub(super) owners: BTreeMap<Id, i64>,
    /// Clicks of people and of bots for each link and hour.
    pub(super) hours: BTreeMap<(Id, Timestamp), [i64; 2]>,
    /// For each link, hour, kind and value.
    pub(super) counts: BTreeMap<(Id, Timestamp, CountKind, String), i64>,
    /// For each hour, kind and value.
    pub(super) totals: BTreeMap<(Timestamp, CountKind, String), i64>,
}

/// The clicks of a link.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LinkClicks {
    pub(super) events: i64,
    pub(super) people: i64,
    /// The time of the last click of a person.
    pub(super) last: Option<Timestamp>,
}

impl<'a> LinkedClick<'a> {
    pub(super) fn new(click: &'a Click, owner: Id, referrers: &ReferrerBudget) -> LinkedClick<'a> {
        LinkedClick { click, owner, source: referrers.source_of(click) }
    }

    fn is_of_person(&self) -> bool {
        self.source.visitor.is_none_or(|visitor| visitor.bot.is_none())
    }
}

impl RecordedClicks {
    pub(super) fn of(clicks: &[LinkedClick<'_>]) -> RecordedClicks {
        let without_event = clicks.iter().filter(|linked| linked.click.is_counted_only).count();
        RecordedClicks { recorded: clicks.len() as u64, without_event: without_event as u64 }
    }
}

impl BatchCounts {
    pub(super) fn of(clicks: &[LinkedClick<'_>]) -> BatchCounts {
        let mut sums = BatchCounts::default();
        let mut groups = HashMap::<(Id, Timestamp, bool, &ClickSource), i64>::new();
        for linked in clicks {
            let (click, at) = (linked.click, Timestamp::from(linked.click.at));
            let events = i64::from(!click.is_counted_only);
            let link = sums.links.entry(click.url_id).or_default();
            link.events += events;
            if events > 0 {
                *sums.owners.entry(linked.owner).or_default() += 1;
            }
            if linked.is_of_person() {
                link.people += 1;
                link.last = link.last.max(Some(at));
            }
            let seconds = at.unix_seconds();
            let hour = Timestamp::from_unix_seconds(seconds - seconds.rem_euclid(HOUR_SECONDS));
            *groups.entry((click.url_id, hour, click.is_counted_only, &linked.source)).or_default() += 1;
        }
        for ((url_id, hour, is_counted_only, source), n) in groups {
            sums.add(url_id, hour, is_counted_only, source, n);
        }
        sums
    }

    /// Adds clicks on a link in an hour, which have the same source.
    fn add(&mut self, url_id: Id, hour: Timestamp, is_counted_only: bool, source: &ClickSource, n: i64) {
        let visitor = source.visitor.unwrap_or_default();
        let is_bot = visitor.bot.is_some();
        self.hours.entry((url_id, hour)).or_default()[usize::from(is_bot)] += n;
        let keys = [
            ('v', Some(visitor.to_string())),
            (if is_bot { 'q' } else { 'r' }, source.referrer.clone()),
            (if is_bot { 't' } else { 's' }, source.source.clone()),
            (if is_bot { 'e' } else { 'd' }, source.target.clone()),
        ];
        for (kind, value) in keys {
            let Some(value) = value else { continue };
            let kind = if is_counted_only { kind.to_ascii_uppercase() } else { kind };
            *self.totals.entry((hour, kind, value.clone())).or_default() += n;
            *self.counts.entry((url_id, hour, kind, value)).or_default() += n;
        }
    }
}
