//! Points in time in the form of `docs/CONTRACT.md`: UTC, whole seconds, without a zone.

use std::borrow::Cow;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::civil::DateTime;
use jiff::fmt::temporal::Pieces;
use jiff::tz::{Offset, TimeZone};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A point in time in whole seconds since the Unix epoch, written as `2025-09-19T22:25:05`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(
    feature = "schema",
    schema(
        value_type = String,
        description = "A time in UTC, to the second, without a zone",
        pattern = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]$",
        example = "2026-04-04T22:43:09"
    )
)]
pub struct Timestamp(i64);

/// The error for a malformed time, or one outside of [`Timestamp::FIRST`] to [`Timestamp::LAST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a time is written 2025-09-19T22:25:05")]
pub struct InvalidTimestamp;

impl Timestamp {
    /// The last time that can be written: 9999-12-30T22:00:00. It is in the year 9999 in every zone.
    pub const LAST: Timestamp = Timestamp(253_402_207_200);

    /// The first time that can be written: 0001-01-01T00:00:00.
    pub const FIRST: Timestamp = Timestamp(-62_135_596_800);

    pub fn now() -> Timestamp {
        Timestamp::from(SystemTime::now())
    }

    /// Returns the time `age` ago; [`Timestamp::FIRST`] at the earliest.
    pub fn ago(age: std::time::Duration) -> Timestamp {
        Timestamp::now().minus(age)
    }

    /// Returns the time that was `age` earlier; [`Timestamp::FIRST`] at the earliest.
    pub fn minus(self, age: std::time::Duration) -> Timestamp {
        let age = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
        Timestamp((self.0.saturating_sub(age)).max(Timestamp::FIRST.0))
    }

    /// Returns the time that is `age` later; `None` if it cannot be written.
    pub fn plus(self, age: std::time::Duration) -> Option<Timestamp> {
        let seconds = self.0.checked_add(i64::try_from(age.as_secs()).ok()?)?;
        Some(Timestamp(seconds)).filter(|time| time.can_be_written())
    }

    pub const fn from_unix_seconds(seconds: i64) -> Timestamp {
        Timestamp(seconds)
    }

    pub const fn unix_seconds(self) -> i64 {
        self.0
    }

    /// Returns whether the time is in the range of the contract's form.
    pub fn can_be_written(self) -> bool {
        (Timestamp::FIRST..=Timestamp::LAST).contains(&self)
    }

    /// Parses a date and a time of day, separated by `T` or a space.
    pub fn parse(text: &str) -> Result<Timestamp, InvalidTimestamp> {
        // jiff also accepts fractions, absent seconds and short years, which the contract does not.
        if text.len() != "2025-09-19T22:25:05".len() {
            return Err(InvalidTimestamp);
        }
        let format = if text.as_bytes()[10] == b'T' { "%Y-%m-%dT%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
        let civil = DateTime::strptime(format, text).map_err(|_| InvalidTimestamp)?;
        Timestamp::at_offset(civil, Offset::UTC)
    }

    /// Parses a time in a form of databases and spreadsheets: seconds, their fraction and a zone are optional.
    /// The result is in UTC and in whole seconds. The zone is converted, and the fraction is dropped.
    pub fn parse_any_zone(text: &str) -> Result<Timestamp, InvalidTimestamp> {
        let pieces = Pieces::parse(text).map_err(|_| InvalidTimestamp)?;
        let (Some(time), None) = (pieces.time(), pieces.time_zone_annotation()) else {
            return Err(InvalidTimestamp);
        };
        let whole = time.with().subsec_nanosecond(0).build().map_err(|_| InvalidTimestamp)?;
        let offset = pieces.to_numeric_offset().unwrap_or(Offset::UTC);
        Timestamp::at_offset(pieces.date().to_datetime(whole), offset)
    }

    fn at_offset(civil: DateTime, offset: Offset) -> Result<Timestamp, InvalidTimestamp> {
        let utc = offset.to_timestamp(civil).map_err(|_| InvalidTimestamp)?;
        Some(Timestamp(utc.as_second())).filter(|time| time.can_be_written()).ok_or(InvalidTimestamp)
    }
}

impl From<SystemTime> for Timestamp {
    /// Converts a time of the clock. A time before 1970 becomes the epoch, and a time beyond [`Timestamp::LAST`] becomes
    /// that, so that a wrong clock stops nothing.
    fn from(time: SystemTime) -> Timestamp {
        let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        i64::try_from(seconds).map_or(Timestamp::LAST, |seconds| Timestamp(seconds).min(Timestamp::LAST))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let civil = jiff::Timestamp::from_second(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_zoned(TimeZone::UTC);
        write!(f, "{}", civil.strftime("%Y-%m-%dT%H:%M:%S"))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    /// Parses a time in any zone. The default is UTC.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Timestamp::parse_any_zone(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_of_any_clock_can_be_written() {
        let at = |seconds| Timestamp::from(UNIX_EPOCH + std::time::Duration::from_secs(seconds)).to_string();
        assert_eq!(at(0), "1970-01-01T00:00:00");
        assert_eq!(at(1_700_000_000), "2023-11-14T22:13:20");
        assert_eq!(at(1 << 62), "9999-12-30T22:00:00");
        assert_eq!(Timestamp::from(UNIX_EPOCH - std::time::Duration::from_secs(9)).to_string(), "1970-01-01T00:00:00");
    }

    #[test]
    fn time_in_either_form_is_parsed_and_written_with_t() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(Timestamp::parse(text).ok().map(|t| t.to_string()).as_deref(), expected, "{text:?}");
        };
        check("2025-09-19T22:25:05", Some("2025-09-19T22:25:05"));
        check("2025-09-19 22:25:05", Some("2025-09-19T22:25:05"));
        check("2024-02-29T00:00:00", Some("2024-02-29T00:00:00"));
        check("1969-12-31T23:59:59", Some("1969-12-31T23:59:59"));
        check("0001-01-01T00:00:00", Some("0001-01-01T00:00:00"));
        check("0000-12-31T23:59:59", None);
        check("-001-01-01T00:00:00", None);
        check("-0001-01-01T00:00:0", None);
        check("9999-12-30T22:00:00", Some("9999-12-30T22:00:00"));
        check("9999-12-30T22:00:01", None);
        check("9999-12-31T23:59:59", None);
        check("2025-02-29T00:00:00", None);
        check("2025-09-19T22:25:05Z", None);
        check("2025-09-19T22:25", None);
        check("2025-09-19T22:25:0é", None);
        check("2025-13-19T22:25:05", None);
        check("", None);
    }

    #[test]
    fn time_of_a_database_or_spreadsheet_is_parsed_in_utc_and_whole_seconds() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(Timestamp::parse_any_zone(text).ok().map(|t| t.to_string()).as_deref(), expected, "{text:?}");
        };
        check("2025-09-19T22:25:05", Some("2025-09-19T22:25:05"));
        check("2025-09-19 22:25:05", Some("2025-09-19T22:25:05"));
        check("2025-09-19 22:25:05.123456", Some("2025-09-19T22:25:05"));
        check("2025-09-19 22:25:05.9", Some("2025-09-19T22:25:05"));
        check("1969-12-31 23:59:58.5", Some("1969-12-31T23:59:58"));
        check("2025-01-01 10:00:00.123456+00", Some("2025-01-01T10:00:00"));
        check("2025-01-01 10:00:00+02", Some("2025-01-01T08:00:00"));
        check("2025-01-01T00:30:00+02:00", Some("2024-12-31T22:30:00"));
        check("2025-01-01T10:00:00-0530", Some("2025-01-01T15:30:00"));
        check("2025-01-01T10:00:00Z", Some("2025-01-01T10:00:00"));
        check("2025-01-01T10:00:00.123Z", Some("2025-01-01T10:00:00"));
        check("1883-11-18 12:03:58-04:56:02", Some("1883-11-18T17:00:00"));
        check("2025-09-19 22:25", Some("2025-09-19T22:25:00"));
        check("0001-01-01 00:00:00+01", None);
        check("9999-12-31 00:00:00Z", None);
        check("2025-01-01T10:00:00+02:00[Europe/Berlin]", None);
        check("2025-09-19", None);
        check("2025-02-29 00:00:00", None);
        check("2025-09-19 25:25:05", None);
        check("2025-09-19 22:25:05 BC", None);
        check("19.09.2025 22:25:05", None);
        check("9/19/2025 22:25", None);
        check("infinity", None);
        check("1758320705", None);
        check("", None);
    }
}
