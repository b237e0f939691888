//! Time zones, and times of their clocks in requests and answers.

use std::fmt;

use jiff::civil::{Date, DateTime};
use jiff::fmt::temporal::Pieces;
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tern_common::json::SourceText;
use utoipa::ToSchema;

use crate::http::error::{Error, bad_request};

/// A time zone of the IANA database, which is a part of the program.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
    name: String,
    rules: TimeZone,
}

/// A time as clocks in the zone of a range show it
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(
    value_type = String,
    description = "A time of the clocks in `timezone`",
    pattern = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]$",
    example = "2026-04-04T00:00:00"
)]
pub(crate) struct LocalTime(DateTime);

impl Zone {
    pub(crate) fn utc() -> Zone {
        Zone { name: "UTC".to_owned(), rules: TimeZone::UTC }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn rules(&self) -> &TimeZone {
        &self.rules
    }

    /// Finds a zone by its name, in any case.
    fn find(name: &str) -> Option<Zone> {
        let rules = TimeZone::get(name).ok().filter(|rules| !rules.is_unknown())?;
        Some(Zone { name: rules.iana_name()?.to_owned(), rules })
    }

    /// Returns what clocks show at a time.
    pub(crate) fn local(&self, seconds: i64) -> Option<DateTime> {
        Some(self.rules.to_datetime(jiff::Timestamp::from_second(seconds).ok()?))
    }

    /// Returns when clocks show a time. A time that they skip is taken as so much later, and one that they repeat as the
    /// first.
    pub(crate) fn seconds(&self, at: DateTime) -> Option<i64> {
        Some(self.rules.to_timestamp(at).ok()?.as_second())
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Zone, D::Error> {
        let SourceText(text) = SourceText::deserialize(deserializer)?;
        Zone::find(text).ok_or_else(|| {
            let name: String = text.chars().take(40).collect();
            serde::de::Error::custom(format!(
                "must be a time zone of the IANA database such as Europe/Berlin, and {name:?} is none"
            ))
        })
    }
}

impl LocalTime {
    pub(crate) fn new(at: DateTime) -> LocalTime {
        LocalTime(at)
    }
}

impl fmt::Display for LocalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.strftime("%Y-%m-%dT%H:%M:%S"))
    }
}

impl Serialize for LocalTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads a date as its midnight, or a time without a zone.
pub(crate) fn parse(text: &str) -> Option<DateTime> {
    let has_shape = |shape: &str| {
        shape.len() == text.len()
            && shape.bytes().zip(text.bytes()).all(|(shape, byte)| match shape {
                b'0' => byte.is_ascii_digit(),
                b'T' => matches!(byte, b'T' | b' '),
                _ => byte == shape,
            })
    };
    let at = if has_shape("0000-00-00") {
        text.parse::<Date>().ok()?.at(0, 0, 0, 0)
    } else if has_shape("0000-00-00T00:00:00") {
        text.parse().ok()?
    } else {
        return None;
    };
    Some(at).filter(|at| at.year() >= 1)
}

/// Refuses a text as an end of a range. A time in another form is repeated in the right one.
pub(crate) fn refuse(name: &str, text: &str, zone: &Zone) -> Error {
    // A `+` that was not encoded arrives as a space.
    let with_plus = || text.rsplit_once(' ').and_then(|(time, offset)| in_zone(&format!("{time}+{offset}"), zone));
    match in_zone(text, zone).or_else(with_plus) {
        Some(time) => {
            let zone = &zone.name;
            bad_request(format!("{name} must be in {zone}, in whole seconds and without a zone: write {time}"))
        }
        None => bad_request(format!(
            "{name} must be a date such as 2025-09-19, or a time in {} such as 2025-09-19T22:25:05",
            zone.name
        )),
    }
}

/// Reads a time with a zone or a fraction.
fn in_zone(text: &str, zone: &Zone) -> Option<LocalTime> {
    let pieces = Pieces::parse(text).ok()?;
    let whole = pieces.time()?.with().subsec_nanosecond(0).build().ok()?;
    let at = pieces.date().to_datetime(whole);
    let at = match pieces.to_numeric_offset() {
        Some(offset) => zone.local(offset.to_timestamp(at).ok()?.as_second())?,
        None => at,
    };
    Some(LocalTime(at)).filter(|at| at.0.year() >= 1)
}
