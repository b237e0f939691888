//! Counts of clicks folded from the rows of `click_counts`, and the ranges of time for which rows have to be read.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::statistics::{Breakdown, ClickFilter, HourClicks, NO_REFERRER, NO_SOURCE, OTHER_VALUE, Statistics, TopLink};
use crate::visitor::UNKNOWN;

pub(super) const HOUR_SECONDS: i64 = 60 * 60;
pub(super) const DAY_HOURS: i64 = 24;

/// The id under which the counts of all links are summarised.
pub(super) const ALL_LINKS: i64 = 0;

/// The number of rows from which an hour or a day of a link has a summary.
pub(super) const MANY_ROWS: i64 = 128;

/// The separator of the parts of a visitor.
const SEPARATOR: char = '|';

/// The breakdowns of the parts of a visitor, in their order. The bot follows them.
const PARTS: [Breakdown; 5] =
    [Breakdown::Browsers, Breakdown::Systems, Breakdown::Devices, Breakdown::Languages, Breakdown::Countries];

/// The clicks of each value, by the breakdowns in the order of [`Breakdown::ALL`].
type Values = [HashMap<String, i64>; Breakdown::ALL.len()];

/// Sums of counts, which can be added to each other. The text of a summary is this as JSON.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct FoldedClicks {
    /// The clicks of people, of bots, and those of both without an event, by the start of the hour in Unix seconds.
    hours: BTreeMap<i64, [i64; 3]>,
    humans: Values,
    bots: Values,
    /// The rows that are added. A summary has all of them.
    #[serde(skip)]
    filter: ClickFilter,
}

/// A row of `click_counts`, or of the totals.
#[derive(Debug)]
pub(super) struct CountRow<'a> {
    pub(super) hour: i64,
    pub(super) kind: &'a str,
    pub(super) value: &'a str,
    pub(super) clicks: i64,
}

impl FoldedClicks {
    /// Returns sums without a count, to which only rows of the filter are added.
    pub(super) fn of(filter: ClickFilter) -> FoldedClicks {
        FoldedClicks { filter, ..FoldedClicks::default() }
    }

    /// Returns whether summaries can be merged, which have no clicks of a filter.
    pub(super) fn takes_summaries(&self) -> bool {
        self.filter == ClickFilter::All
    }

    pub(super) fn add(&mut self, row: &CountRow<'_>) {
        match &self.filter {
            ClickFilter::All => {}
            ClickFilter::Visitors(values) if !is_visitor(row, values) => return,
            ClickFilter::Visitors(_) => {}
            ClickFilter::Value(by, value) => {
                let sign = sign(row, *by, value);
                return self.add_of_value(row, sign);
            }
        }
        let (values, breakdown) = match row.kind {
            "v" | "V" => return self.add_visitor(row),
            "r" | "R" => (&mut self.humans, Breakdown::Referrers),
            "q" | "Q" => (&mut self.bots, Breakdown::Referrers),
            "s" | "S" => (&mut self.humans, Breakdown::Sources),
            "t" | "T" => (&mut self.bots, Breakdown::Sources),
            "d" | "D" => (&mut self.humans, Breakdown::Targets),
            "e" | "E" => (&mut self.bots, Breakdown::Targets),
            _ => return,
        };
        add_to(values, breakdown, row.value, row.clicks);
    }

    fn add_visitor(&mut self, row: &CountRow<'_>) {
        let hour = self.hours.entry(row.hour).or_default();
        let is_person = row.value.ends_with(SEPARATOR);
        hour[usize::from(!is_person)] += row.clicks;
        if row.kind == "V" {
            hour[2] += row.clicks;
        }
        let values = if is_person { &mut self.humans } else { &mut self.bots };
        let mut parts = row.value.split(SEPARATOR);
        for breakdown in PARTS {
            let part = parts.next().filter(|part| !part.is_empty()).unwrap_or(UNKNOWN);
            add_to(values, breakdown, part, row.clicks);
        }
    }

    /// Adds clicks with a referrer, a source or a target, and subtracts those with another one.
    fn add_of_value(&mut self, row: &CountRow<'_>, sign: i64) {
        if sign != 0 {
            let is_person = match row.kind {
                "v" | "V" => row.value.ends_with(SEPARATOR),
                kind => matches!(kind, "r" | "R" | "s" | "S" | "d" | "D"),
            };
            let hour = self.hours.entry(row.hour).or_default();
            hour[usize::from(!is_person)] += sign * row.clicks;
            if row.kind.bytes().all(|kind| kind.is_ascii_uppercase()) {
                hour[2] += sign * row.clicks;
            }
        }
    }

    pub(super) fn merge(&mut self, other: FoldedClicks) {
        for (at, counts) in other.hours {
            let hour = self.hours.entry(at).or_default();
            for (sum, n) in hour.iter_mut().zip(counts) {
                *sum += n;
            }
        }
        for (sums, values) in [(&mut self.humans, other.humans), (&mut self.bots, other.bots)] {
            for (sums, values) in sums.iter_mut().zip(values) {
                for (value, n) in values {
                    *sums.entry(value).or_default() += n;
                }
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hours.is_empty()
    }

    pub(super) fn into_statistics(self, bots_included: bool, top: Vec<TopLink>) -> Statistics {
        let sum = |at: usize| self.hours.values().map(|counts| counts[at]).sum::<i64>();
        let (humans, bots, without_event) = (sum(0), sum(1), sum(2));
        let filter = self.filter;
        let all = humans + if bots_included { bots } else { 0 };
        if let ClickFilter::Value(by, value) = &filter {
            let rows = vec![(value.clone(), positive(all))].into_iter().filter(|(_, clicks)| *clicks > 0).collect();
            let breakdowns = [(*by, rows)].into_iter().collect();
            return Statistics { breakdowns, ..totals(&self.hours, [humans, bots, without_event], top) };
        }
        let mut values = self.humans;
        if bots_included {
            for (sums, bots) in values.iter_mut().zip(self.bots) {
                for (value, n) in bots {
                    *sums.entry(value).or_default() += n;
                }
            }
        }
        let known = Breakdown::ALL.into_iter().zip(values).filter(|(breakdown, _)| filter.has(*breakdown));
        let breakdowns = known.map(|(breakdown, values)| {
            let absent = match breakdown {
                Breakdown::Referrers => Some(NO_REFERRER),
                Breakdown::Sources => Some(NO_SOURCE),
                // A link has no targets but its own until it has rules or a split.
                Breakdown::Targets if values.values().any(|n| *n > 0) => Some(OTHER_VALUE),
                _ => None,
            };
            (breakdown, rank(values, all, absent))
        });
        let breakdowns = breakdowns.collect();
        Statistics { breakdowns, ..totals(&self.hours, [humans, bots, without_event], top) }
    }
}

/// Returns statistics without breakdowns.
fn totals(hours: &BTreeMap<i64, [i64; 3]>, sums: [i64; 3], top: Vec<TopLink>) -> Statistics {
    let [humans, bots, without_event] = sums.map(positive);
    let hour = |(at, [humans, bots, _]): (&i64, &[i64; 3])| HourClicks {
        at: Timestamp::from_unix_seconds(*at),
        humans: positive(*humans),
        bots: positive(*bots),
    };
    let hours = hours.iter().map(hour).filter(|hour| hour.humans + hour.bots > 0).collect();
    Statistics { hours, humans, bots, without_event, breakdowns: HashMap::new(), top }
}

/// Returns whether a row counts visitors with all of these values.
fn is_visitor(row: &CountRow<'_>, values: &[(Breakdown, String)]) -> bool {
    let parts: Vec<&str> = row.value.split(SEPARATOR).collect();
    let has = |(breakdown, value): &(Breakdown, String)| {
        let part = PARTS.iter().position(|part| part == breakdown).and_then(|at| parts.get(at));
        part.is_some_and(|part| if part.is_empty() { value == UNKNOWN } else { part == value })
    };
    matches!(row.kind, "v" | "V") && values.iter().all(has)
}

/// Returns how a row counts for a value: once, not at all, or as clicks to subtract.
fn sign(row: &CountRow<'_>, by: Breakdown, value: &str) -> i64 {
    let (kinds, absent) = match by {
        Breakdown::Referrers => (["r", "R", "q", "Q"], Some(NO_REFERRER)),
        Breakdown::Targets => (["d", "D", "e", "E"], None),
        _ => (["s", "S", "t", "T"], Some(NO_SOURCE)),
    };
    match (kinds.contains(&row.kind), absent == Some(value)) {
        (true, true) => -1,
        (true, false) => i64::from(row.value == value),
        (false, true) => i64::from(matches!(row.kind, "v" | "V")),
        (false, false) => 0,
    }
}

fn add_to(values: &mut Values, breakdown: Breakdown, value: &str, clicks: i64) {
    let values = &mut values[breakdown as usize];
    match values.get_mut(value) {
        Some(sum) => *sum += clicks,
        None => drop(values.insert(value.to_owned(), clicks)),
    }
}

/// Returns the most frequent values, then all others as [`OTHER_VALUE`]. Clicks without a value are those of `absent`.
fn rank(mut values: HashMap<String, i64>, all: i64, absent: Option<&str>) -> Vec<(String, u64)> {
    if let Some(absent) = absent {
        let without = all - values.values().sum::<i64>();
        *values.entry(absent.to_owned()).or_default() += without;
    }
    let mut other = values.remove(OTHER_VALUE).unwrap_or_default();
    let mut rows: Vec<(String, i64)> = values.into_iter().filter(|(_, n)| *n > 0).collect();
    rows.sort_unstable_by(|(a, n), (b, m)| m.cmp(n).then_with(|| a.cmp(b)));
    other += rows.iter().skip(Breakdown::MOST).map(|(_, n)| n).sum::<i64>();
    rows.truncate(Breakdown::MOST);
    if other > 0 {
        rows.push((OTHER_VALUE.to_owned(), other));
    }
    rows.into_iter().map(|(value, n)| (value, positive(n))).collect()
}

/// Returns a sum of counts, none of which the store makes negative.
fn positive(sum: i64) -> u64 {
    u64::try_from(sum).unwrap_or_default()
}

/// A range of time in Unix seconds whose counts of one link, or of all links, are not read yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) url_id: i64,
    pub(super) from: i64,
    pub(super) to: i64,
}

/// Returns what remains of gaps without the summaries in them. Summaries of one link are in chronological order.
pub(super) fn without_summaries(gaps: &[Gap], summaries: &[(i64, i64)], hours: i64) -> Vec<Gap> {
    let mut starts: HashMap<i64, Vec<i64>> = HashMap::new();
    for (url_id, start) in summaries {
        starts.entry(*url_id).or_default().push(*start);
    }
    let mut rest = Vec::new();
    for gap in gaps {
        let mut from = gap.from;
        let within = |start: &&i64| **start >= gap.from && **start < gap.to;
        for start in starts.get(&gap.url_id).into_iter().flatten().filter(within) {
            if from < *start {
                rest.push(Gap { from, to: *start, ..*gap });
            }
            from = start + hours * HOUR_SECONDS;
        }
        if from < gap.to {
            rest.push(Gap { from, ..*gap });
        }
    }
    rest
}

/// Returns the start of the UTC day of a time.
pub(super) const fn day_of(seconds: i64) -> i64 {
    seconds - seconds.rem_euclid(DAY_HOURS * HOUR_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(rows: &[(i64, &str, &str, i64)]) -> FoldedClicks {
        let mut folded = FoldedClicks::default();
        for (hour, kind, value, clicks) in rows {
            folded.add(&CountRow { hour: *hour, kind, value, clicks: *clicks });
        }
        folded
    }

    #[test]
    fn each_breakdown_adds_up_to_its_clicks() {
        let rows = [
            (0, "v", "Firefox|Linux|desktop|en|DE|", 7),
            (0, "V", "Chrome|Windows|desktop|en|Other|", 2),
            (3600, "v", "Bot|Bot|Bot|Unknown|US|Googlebot", 5),
            (0, "r", "news.example", 4),
            (0, "R", "Other", 1),
            (3600, "q", "news.example", 1),
            (0, "s", "mail", 3),
            (0, "d", "https://a.example/", 3),
        ];
        let mut sums = folded(&rows[..3]);
        let text = serde_json::to_string(&folded(&rows[3..])).unwrap();
        sums.merge(serde_json::from_str(&text).unwrap());
        let text = serde_json::to_string(&sums).unwrap();
        let people = sums.into_statistics(false, vec![]);
        assert_eq!((people.humans, people.bots, people.without_event), (9, 5, 2));
        let targets = [("https://a.example/", 3), ("Other", 6)].map(|(value, n)| (value.to_owned(), n));
        assert_eq!(people.breakdown(Breakdown::Targets), targets);
        let expected = [("Direct", 4), ("news.example", 4), ("Other", 1)].map(|(value, n)| (value.to_owned(), n));
        assert_eq!(people.breakdown(Breakdown::Referrers), expected);
        let everyone = serde_json::from_str::<FoldedClicks>(&text).unwrap().into_statistics(true, vec![]);
        for breakdown in Breakdown::ALL {
            let sum = |stats: &Statistics| stats.breakdown(breakdown).iter().map(|(_, n)| n).sum::<u64>();
            assert_eq!((sum(&people), sum(&everyone)), (9, 14), "{breakdown:?}");
        }
        assert_eq!(everyone.hours.len(), 2);
    }

    #[test]
    fn values_beyond_the_most_frequent_are_one_row() {
        let rows: Vec<_> = (0..30).map(|n| format!("site{n:02}")).collect();
        let values = rows.iter().map(|value| (value.clone(), 1)).chain([("Other".to_owned(), 50)]).collect();
        let ranked = rank(values, 80, None);
        assert_eq!(ranked.len(), Breakdown::MOST + 1);
        assert_eq!(ranked.first().unwrap(), &("site00".to_owned(), 1));
        assert_eq!(ranked.last().unwrap(), &("Other".to_owned(), 60));
    }

    #[test]
    fn gaps_are_what_no_summary_covers() {
        let gap = |url_id, from: i64, to: i64| Gap { url_id, from: from * HOUR_SECONDS, to: to * HOUR_SECONDS };
        let hours = [(7, 2), (7, 3), (8, 0), (7, 9)].map(|(url_id, hour)| (url_id, hour * HOUR_SECONDS));
        let rest = without_summaries(&[gap(7, 0, 5), gap(8, 0, 1), gap(9, 0, 1)], &hours, 1);
        assert_eq!(rest, [gap(7, 0, 2), gap(7, 4, 5), gap(9, 0, 1)]);
        let days = [(7, 0)];
        assert_eq!(without_summaries(&[gap(7, 0, 48)], &days, 24), [gap(7, 24, 48)]);
        assert_eq!(day_of(-1), -86_400);
    }
}
