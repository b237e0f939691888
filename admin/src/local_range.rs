//! Ranges of statistics in a time zone, and the points of their series.
//!
//! The store counts by full hours of UTC. A point holds the hours that begin in it, so a day of a zone has 23, 24 or 25 of
//! them. Where a zone's hours begin within an hour of UTC, each point begins and ends late by [`LocalRange::off_by_minutes`].

use std::ops::AddAssign;

use jiff::civil::{Date, DateTime};
use jiff::{Span, ToSpan as _};
use serde::{Deserialize, Serialize};
use tern_common::Timestamp;
use utoipa::{IntoParams, ToSchema};

use crate::http::error::{Error, Result, bad_request};
use crate::time_zone::{LocalTime, Zone, parse, refuse};

/// The days before `to` at which a range begins unless `from` is given.
const DEFAULT_DAYS: i64 = 30;

const HOUR: i64 = 60 * 60;

/// The time that each point of a series covers
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(example = "day")]
pub(crate) enum Per {
    Hour,
    #[default]
    Day,
    /// From Monday on.
    Week,
    Month,
}

/// The range of statistics and the length of its points
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct RangeParameters {
    /// The time that each point of a series covers; `day` unless given
    per: Option<Per>,
    /// The start, by the clocks of `timezone`: a date, or a time without a zone. Widened to the whole hour, day, week or
    /// month. 30 days before `to` unless given
    #[param(value_type = Option<String>, example = "2026-11-01")]
    from: Option<String>,
    /// The end, which is not included: a date is its midnight. Widened like `from`; now unless given
    #[param(value_type = Option<String>, example = "2026-12-01")]
    to: Option<String>,
    /// A time zone of the IANA database; `UTC` unless given
    #[param(value_type = Option<String>, example = "Europe/Berlin")]
    timezone: Option<Zone>,
}

/// A range that begins and ends at the boundary of an hour, a day, a week or a month of its zone.
#[derive(Clone, Debug)]
pub(crate) struct LocalRange {
    zone: Zone,
    per: Per,
    /// The start of each point, and the end of the last one, in the order of time.
    boundaries: Vec<Boundary>,
}

/// The start of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Boundary {
    at: DateTime,
    /// The first full hour of UTC that begins in the point, in seconds since 1970.
    hour: i64,
    /// The seconds from the start of the point to that hour.
    late: i64,
}

/// A range that is named by its ends alone
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Ends {
    pub(crate) from: LocalTime,
    pub(crate) to: LocalTime,
}

impl Per {
    fn name(self) -> &'static str {
        match self {
            Per::Hour => "hour",
            Per::Day => "day",
            Per::Week => "week",
            Per::Month => "month",
        }
    }

    /// Returns the start of the hour, day, week or month. `None` before the first year of the calendar.
    fn floor(self, at: DateTime) -> Option<DateTime> {
        let date = at.date();
        match self {
            Per::Hour => Some(date.at(at.hour(), 0, 0, 0)),
            Per::Day => Some(midnight(date)),
            Per::Week => {
                let days = i64::from(date.weekday().to_monday_zero_offset());
                date.checked_sub(days.days()).ok().map(midnight)
            }
            Per::Month => Some(midnight(date.first_of_month())),
        }
    }

    /// Returns the start of the next hour, day, week or month, unless the time is such a start.
    fn ceil(self, at: DateTime) -> Option<DateTime> {
        let floor = self.floor(at)?;
        if floor == at { Some(at) } else { floor.checked_add(self.times(1)).ok() }
    }

    fn times(self, n: i64) -> Span {
        match self {
            Per::Hour => n.hours(),
            Per::Day => n.days(),
            Per::Week => n.weeks(),
            Per::Month => n.months(),
        }
    }

    /// Counts the days, weeks or months from one start to another.
    fn count(self, from: DateTime, to: DateTime) -> i64 {
        let months = |at: DateTime| i64::from(at.year()) * 12 + i64::from(at.month());
        let days = from.date().until(to.date()).map_or(0, |span| i64::from(span.get_days()));
        match self {
            Per::Hour => days * 24 + i64::from(to.hour()) - i64::from(from.hour()),
            Per::Day => days,
            Per::Week => days / 7,
            Per::Month => months(to) - months(from),
        }
    }
}

fn midnight(date: Date) -> DateTime {
    date.at(0, 0, 0, 0)
}

impl Boundary {
    /// Returns the boundary at the start of an hour, day, week or month.
    fn start_of(zone: &Zone, at: DateTime) -> Option<Boundary> {
        let seconds = zone.seconds(at)?;
        let late = (-seconds).rem_euclid(HOUR);
        Boundary { at, hour: seconds + late, late }.writable()
    }

    /// Returns the boundary of the local hour in which a full hour of UTC begins.
    fn of_hour(zone: &Zone, hour: i64) -> Option<Boundary> {
        let local = zone.local(hour)?;
        let late = i64::from(local.minute()) * 60 + i64::from(local.second());
        Boundary { at: Per::Hour.floor(local)?, hour, late }.writable()
    }

    /// Returns the boundary if it can be written, in the zone and in UTC.
    fn writable(self) -> Option<Boundary> {
        let is_writable = self.at.year() >= 1 && Timestamp::from_unix_seconds(self.hour).can_be_written();
        is_writable.then_some(self)
    }
}

impl RangeParameters {
    /// Returns the range, widened to whole points.
    ///
    /// # Errors
    /// A 400 for a range that is empty, is outside of the calendar, or has more than `most` points.
    pub(crate) fn range(&self, now: Timestamp, most: i64) -> Result<LocalRange> {
        let zone = self.timezone.clone().unwrap_or_else(Zone::utc);
        let per = self.per.unwrap_or_default();
        let given = |name, text: &Option<String>| {
            text.as_deref().map(|text| parse(text).ok_or_else(|| refuse(name, text, &zone))).transpose()
        };
        let (from, to) = (given("from", &self.from)?, given("to", &self.to)?);
        let now = zone.local(now.unix_seconds());
        let to = match to {
            Some(to) => per.ceil(to),
            None => now.and_then(|now| per.floor(now)?.checked_add(per.times(1)).ok()),
        };
        let to = to.ok_or_else(outside)?;
        let from = from.or_else(|| to.checked_sub(DEFAULT_DAYS.days()).ok());
        let from = from.and_then(|from| per.floor(from)).ok_or_else(outside)?;
        if from >= to {
            return Err(bad_request(
                "from must be before to, and to is not included: a day ends where the next begins",
            ));
        }
        // Clocks add or skip at most a day of a range.
        let count = per.count(from, to);
        let refuse_long = |count| {
            let per = per.name();
            bad_request(format!("from and to must be at most {most} {per}s apart with per={per}, and are {count}"))
        };
        if count > most + 24 {
            return Err(refuse_long(count));
        }
        let range = LocalRange::new(zone, per, from, to).ok_or_else(outside)?;
        match range.count() as i64 {
            0 => Err(bad_request("clocks skip the time from from to to in this time zone")),
            count if count > most => Err(refuse_long(count)),
            _ => Ok(range),
        }
    }
}

fn outside() -> Error {
    bad_request(format!("from and to must be within {} and {}", Timestamp::FIRST, Timestamp::LAST))
}

impl LocalRange {
    /// Returns the points between two boundaries; `None` outside of the calendar.
    fn new(zone: Zone, per: Per, from: DateTime, to: DateTime) -> Option<LocalRange> {
        let mut boundaries: Vec<Boundary> = Vec::new();
        if per == Per::Hour {
            let (from, to) = (Boundary::start_of(&zone, from)?.hour, Boundary::start_of(&zone, to)?.hour);
            for hour in (from..=to).step_by(HOUR as usize) {
                boundaries.push(Boundary::of_hour(&zone, hour)?);
            }
        } else {
            for n in 0..=per.count(from, to) {
                let boundary = Boundary::start_of(&zone, from.checked_add(per.times(n)).ok()?)?;
                // Where clocks skip a whole day, it is none.
                match boundaries.last_mut() {
                    Some(last) if last.hour == boundary.hour => *last = boundary,
                    _ => boundaries.push(boundary),
                }
            }
        }
        Some(LocalRange { zone, per, boundaries })
    }

    pub(crate) fn timezone(&self) -> &str {
        self.zone.name()
    }

    pub(crate) fn per(&self) -> Per {
        self.per
    }

    /// Returns the number of points.
    pub(crate) fn count(&self) -> usize {
        self.boundaries.len().saturating_sub(1)
    }

    pub(crate) fn ends(&self) -> Ends {
        let at =
            |boundary: Option<&Boundary>| LocalTime::new(boundary.map_or(DateTime::default(), |boundary| boundary.at));
        Ends { from: at(self.boundaries.first()), to: at(self.boundaries.last()) }
    }

    /// Returns the start of each point.
    pub(crate) fn starts(&self) -> impl Iterator<Item = LocalTime> {
        self.boundaries.iter().take(self.count()).map(|boundary| LocalTime::new(boundary.at))
    }

    /// Returns the first full hour of the range, and the first one behind it.
    pub(crate) fn hours(&self) -> (Timestamp, Timestamp) {
        let hour = |boundary: Option<&Boundary>| Timestamp::from_unix_seconds(boundary.map_or(0, |b| b.hour));
        (hour(self.boundaries.first()), hour(self.boundaries.last()))
    }

    /// Returns the first full hour of each point, and the first one behind the range.
    pub(crate) fn boundaries(&self) -> Vec<Timestamp> {
        self.boundaries.iter().map(|boundary| Timestamp::from_unix_seconds(boundary.hour)).collect()
    }

    /// Returns the most minutes by which a point begins late, since the store counts by hours of UTC.
    pub(crate) fn off_by_minutes(&self) -> i64 {
        self.boundaries.iter().map(|boundary| boundary.late).max().map_or(0, |late| (late + 59) / 60)
    }

    /// Returns the range of as many points that ends where this one begins; `None` before the calendar.
    pub(crate) fn previous(&self) -> Option<Ends> {
        let [first, .., last] = &*self.boundaries else { return None };
        let from = if self.per == Per::Hour {
            Boundary::of_hour(&self.zone, 2 * first.hour - last.hour)?
        } else {
            let count = self.per.count(first.at, last.at);
            Boundary::start_of(&self.zone, first.at.checked_sub(self.per.times(count)).ok()?)?
        };
        Some(Ends { from: LocalTime::new(from.at), to: LocalTime::new(first.at) })
    }

    /// Adds the counts of full hours up to one for each point. Hours outside of the range are not counted.
    pub(crate) fn fold<T: AddAssign + Copy + Default>(
        &self,
        hours: impl IntoIterator<Item = (Timestamp, T)>,
    ) -> Vec<T> {
        let mut points = vec![T::default(); self.count()];
        for (hour, count) in hours {
            let after = self.boundaries.partition_point(|boundary| boundary.hour <= hour.unix_seconds());
            if let Some(point) = after.checked_sub(1).and_then(|point| points.get_mut(point)) {
                *point += count;
            }
        }
        points
    }
}

#[cfg(test)]
mod tests;
