//! Times as services and spreadsheets write them.

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

use crate::options::DateOrder;

/// The earliest number that is taken for seconds since the Unix epoch: 1973. Smaller ones may be days of a spreadsheet.
const FIRST_SECONDS: i64 = 100_000_000;

/// The first number that is taken for milliseconds since the Unix epoch; as seconds it is beyond the year 5000.
const FIRST_MILLISECONDS: i64 = 100_000_000_000;

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// The reason why a text is no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoTime {
    /// The order of day and month is unknown.
    UnknownOrder,
    Unreadable,
}

/// The three numbers of a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Date {
    /// A date whose parts are known: year, month, day.
    Known([i64; 3]),
    /// Two numbers, each of which may be the day, and the year.
    EitherOrder([i64; 2], i64),
}

/// Reads a time in seconds since the Unix epoch. Absent times, and 0 and `0000-00-00`, are `None`.
///
/// A time without a zone is in `zone`; a date without a time is its midnight.
pub(crate) fn parse(text: &str, zone: &TimeZone, order: Option<DateOrder>) -> Result<Option<i64>, NoTime> {
    let text = text.trim();
    if text.is_empty() || text.starts_with("0000-00-00") || text.eq_ignore_ascii_case("null") {
        return Ok(None);
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return epoch(text);
    }
    let (date, rest) = split_date(text).ok_or(NoTime::Unreadable)?;
    let [year, month, day] = match date {
        Date::Known(parts) => parts,
        Date::EitherOrder([first, second], year) => match order.ok_or(NoTime::UnknownOrder)? {
            DateOrder::DayFirst => [year, second, first],
            DateOrder::MonthFirst => [year, first, second],
        },
    };
    seconds(year, month, day, rest, zone).map(Some).ok_or(NoTime::Unreadable)
}

/// Returns the order of day and month that a date proves; `None` if it proves none, or has no order to be decided.
pub(crate) fn proven_order(text: &str) -> Option<DateOrder> {
    match split_date(text.trim())?.0 {
        Date::EitherOrder([first, second], _) if first > 12 && second <= 12 => Some(DateOrder::DayFirst),
        Date::EitherOrder([first, second], _) if second > 12 && first <= 12 => Some(DateOrder::MonthFirst),
        _ => None,
    }
}

/// Returns whether the order of day and month in a date has to be decided.
pub(crate) fn needs_order(text: &str) -> bool {
    let text = text.trim();
    // Most times begin with a year.
    let begins_with_year = text.len() > 4 && text.as_bytes()[..4].iter().all(u8::is_ascii_digit);
    !begins_with_year && matches!(split_date(text), Some((Date::EitherOrder(..), _)))
}

fn epoch(text: &str) -> Result<Option<i64>, NoTime> {
    match text.parse::<i64>() {
        Ok(0) => Ok(None),
        Ok(number @ FIRST_MILLISECONDS..) => Ok(Some(number / 1000)),
        Ok(number @ FIRST_SECONDS..) => Ok(Some(number)),
        _ => Err(NoTime::Unreadable),
    }
}

/// Splits a text into its date and the rest.
fn split_date(text: &str) -> Option<(Date, &str)> {
    let has_word = !text.starts_with(|c: char| c.is_ascii_digit()) || text.chars().take(5).any(char::is_alphabetic);
    if has_word {
        return split_words(text);
    }
    let (first, rest) = number(text)?;
    let separator = rest.chars().next().filter(|c| matches!(c, '-' | '/' | '.'))?;
    let (second, rest) = number(&rest[1..])?;
    let (third, rest) = number(rest.strip_prefix(separator)?)?;
    let [a, b, c] = [first, second, third].map(|part| part.parse::<i64>().unwrap_or(i64::MAX));
    let date = match (separator, first.len()) {
        (_, 4) => Date::Known([a, b, c]),
        ('.', _) => Date::Known([full_year(third, c)?, b, a]),
        _ => Date::EitherOrder([a, b], full_year(third, c)?),
    };
    Some((date, rest))
}

/// Reads a date whose month is an English word, such as `Mar 2, 2026` or `Mon, 02 Mar 2026`.
fn split_words(text: &str) -> Option<(Date, &str)> {
    let (mut month, mut day, mut rest) = (None, None, text);
    loop {
        rest = rest.trim_start_matches([' ', ',', '.', '-']);
        let len = rest.find([' ', ',', '.', '-']).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(len);
        rest = behind;
        if word.is_empty() {
            return None;
        }
        let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        match (word.starts_with(|c: char| c.is_ascii_digit()), month, day) {
            (true, Some(month), Some(day)) => {
                return Some((Date::Known([full_year(digits, digits.parse().ok()?)?, month, day]), rest));
            }
            (true, _, None) if digits.len() <= 2 => day = digits.parse().ok(),
            (false, None, _) => month = month_of(word),
            _ => return None,
        }
    }
}

fn month_of(word: &str) -> Option<i64> {
    let head = word.get(..3)?.to_ascii_lowercase();
    MONTHS.iter().position(|month| *month == head).map(|at| at as i64 + 1)
}

/// Splits the digits off the start of a text.
fn number(text: &str) -> Option<(&str, &str)> {
    let len = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    (1..=4).contains(&len).then(|| text.split_at(len))
}

/// Returns a year of four digits; two digits are of 1970 to 2069.
fn full_year(digits: &str, year: i64) -> Option<i64> {
    match digits.len() {
        4 => Some(year),
        2 => Some(if year < 70 { 2000 + year } else { 1900 + year }),
        _ => None,
    }
}

/// Returns the seconds of a date with the time and the zone in `rest`.
fn seconds(year: i64, month: i64, day: i64, rest: &str, zone: &TimeZone) -> Option<i64> {
    let rest = rest.strip_prefix(['T', 't']).unwrap_or(rest).trim_start_matches([' ', ',']);
    let (time, rest) = if rest.is_empty() { ([0; 3], "") } else { split_time(rest)? };
    let [hour, minute, second] = time;
    let at = DateTime::new(
        i16::try_from(year).ok()?,
        i8::try_from(month).ok()?,
        i8::try_from(day).ok()?,
        hour,
        minute,
        second.min(59),
        0,
    );
    let at = at.ok()?;
    let rest = rest.trim();
    let utc = if rest.is_empty() { zone.to_timestamp(at) } else { offset(rest)?.to_timestamp(at) };
    utc.ok().map(|utc| utc.as_second())
}

/// Splits hours, minutes and seconds off the start of a text. A fraction is dropped.
fn split_time(text: &str) -> Option<([i8; 3], &str)> {
    let (hour, rest) = number(text)?;
    let mut time = [two_digits(hour)?, 0, 0];
    let mut rest = rest;
    for part in &mut time[1..] {
        let Some(behind) = rest.strip_prefix(':') else { break };
        let (digits, behind) = number(behind)?;
        (*part, rest) = (two_digits(digits)?, behind);
    }
    if let Some(fraction) = rest.strip_prefix(['.', ',']) {
        rest = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    let half = rest.trim_start();
    let meridiem = half.get(..2).map(str::to_ascii_lowercase);
    match (meridiem.as_deref(), time[0]) {
        (Some("am" | "pm"), 0 | 13..) => return None,
        (Some("am"), hour) => (time[0], rest) = (hour % 12, &half[2..]),
        (Some("pm"), hour) => (time[0], rest) = (hour % 12 + 12, &half[2..]),
        _ => {}
    }
    Some((time, rest))
}

fn two_digits(digits: &str) -> Option<i8> {
    if digits.len() > 2 { None } else { digits.parse().ok() }
}

/// Reads a zone as a number, such as `+0000`, `+02:00`, `Z` or `UTC`.
fn offset(text: &str) -> Option<Offset> {
    if ["z", "utc", "gmt"].iter().any(|zone| zone.eq_ignore_ascii_case(text)) {
        return Some(Offset::UTC);
    }
    let text = text.strip_prefix("UTC").or(text.strip_prefix("GMT")).unwrap_or(text);
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        ("\u{2212}", digits) => (-1, digits),
        _ => return None,
    };
    let digits = digits.replace(':', "");
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |from: usize| digits.get(from..from + 2).map_or(Some(0), |part| part.parse::<i32>().ok());
    let seconds = match digits.len() {
        1 => digits.parse::<i32>().ok()? * 3600,
        2 | 4 | 6 => part(0)? * 3600 + part(2)? * 60 + part(4)?,
        _ => return None,
    };
    Offset::from_seconds(sign * seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str, order: Option<DateOrder>) -> Result<Option<String>, NoTime> {
        let time = parse(text, &TimeZone::UTC, order)?;
        Ok(time.map(|time| jiff::Timestamp::from_second(time).unwrap().to_string()))
    }

    #[test]
    fn time_is_read_in_each_form() {
        let check = |text: &str, expected: &str| {
            assert_eq!(utc(text, None), Ok(Some(expected.to_owned())), "{text:?}");
        };
        check("2026-03-02T09:15:00Z", "2026-03-02T09:15:00Z");
        check("2026-03-02T09:15:00.999Z", "2026-03-02T09:15:00Z");
        check("2026-03-02T09:15:00+0000", "2026-03-02T09:15:00Z");
        check("2026-03-02T09:15:00+02:00", "2026-03-02T07:15:00Z");
        check("2026-03-02 09:15:00 -05", "2026-03-02T14:15:00Z");
        check("2026-03-02 09:15:00 UTC", "2026-03-02T09:15:00Z");
        check("2026-03-02 09:15", "2026-03-02T09:15:00Z");
        check("2026-03-02", "2026-03-02T00:00:00Z");
        check("2026/03/02 9:15 PM", "2026-03-02T21:15:00Z");
        check("02.03.2026 09:15", "2026-03-02T09:15:00Z");
        check("2.3.26", "2026-03-02T00:00:00Z");
        check("1760000000", "2025-10-09T08:53:20Z");
        check("1760000000123", "2025-10-09T08:53:20Z");
        check("Mar 2, 2026", "2026-03-02T00:00:00Z");
        check("March 2, 2026 12:05 am", "2026-03-02T00:05:00Z");
        check("2 Mar 2026 09:15:00", "2026-03-02T09:15:00Z");
        check("Mon, 02 Mar 2026 09:15:00 +0100", "2026-03-02T08:15:00Z");
        check("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z");
    }

    #[test]
    fn absent_time_is_none() {
        for text in ["", " ", "0", "NULL", "0000-00-00", "0000-00-00 00:00:00"] {
            assert_eq!(utc(text, None), Ok(None), "{text:?}");
        }
    }

    #[test]
    fn text_that_is_no_time_is_refused() {
        let texts = [
            "soon",
            "2026",
            "45000",
            "2026-02-30",
            "2026-13-01",
            "30.02.2026",
            "2026-03-02T25:00:00Z",
            "2026-03",
            "2026-03-02T09:15:00 Mars",
            "2026-03-02T09:15:00+99:00",
            "13:00 PM",
            "2.3.026",
            "9999999999999999999999",
            "2026-03-02T0",
            "Mar Mar 2026",
            "é",
            "2026-03-02Té",
            "2026-03-02 9:15 é",
            "2026-03-02 9:15 +é",
        ];
        for text in texts {
            let expected = if text == "2026-03-02T0" {
                Ok(Some("2026-03-02T00:00:00Z".to_owned()))
            } else {
                Err(NoTime::Unreadable)
            };
            assert_eq!(utc(text, None), expected, "{text:?}");
        }
    }

    #[test]
    fn order_of_slashes_is_decided_by_a_part_over_12() {
        assert_eq!(utc("03/02/2026 09:15", None), Err(NoTime::UnknownOrder));
        let day_first = utc("03/02/2026 09:15", Some(DateOrder::DayFirst));
        assert_eq!(day_first, Ok(Some("2026-02-03T09:15:00Z".to_owned())));
        let month_first = utc("3-2-2026 9:15 PM", Some(DateOrder::MonthFirst));
        assert_eq!(month_first, Ok(Some("2026-03-02T21:15:00Z".to_owned())));
        assert_eq!(proven_order("13/02/2026"), Some(DateOrder::DayFirst));
        assert_eq!(proven_order("02/13/2026"), Some(DateOrder::MonthFirst));
        assert_eq!(proven_order("02/03/2026"), None);
        assert_eq!(proven_order("13/13/2026"), None);
        assert!(needs_order("02/03/2026") && needs_order("2-3-2026"));
        assert!(!needs_order("2026-03-02") && !needs_order("02.03.2026") && !needs_order("2026/03/02"));
    }

    #[test]
    fn time_without_a_zone_is_in_the_given_one() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let check = |text: &str, expected: &str| {
            let seconds = parse(text, &berlin, None).unwrap().unwrap();
            assert_eq!(jiff::Timestamp::from_second(seconds).unwrap().to_string(), expected, "{text:?}");
        };
        check("2026-03-02 09:15:00", "2026-03-02T08:15:00Z");
        check("2026-07-02 09:15:00", "2026-07-02T07:15:00Z");
        check("02.03.2026", "2026-03-01T23:00:00Z");
        check("2026-03-02 09:15:00Z", "2026-03-02T09:15:00Z");
        // Clocks skip this hour, and repeat that one.
        check("2026-03-29 02:30:00", "2026-03-29T01:30:00Z");
        check("2026-10-25 02:30:00", "2026-10-25T00:30:00Z");
    }
}
