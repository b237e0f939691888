use proptest::prelude::*;

use super::*;
use crate::http::query::read_query;

/// The time of the tests: a Tuesday.
const NOW: &str = "2026-02-10T12:30:00";

const MOST: i64 = 2_000;

fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn read(query: &str) -> Result<LocalRange> {
    let parameters: RangeParameters = read_query(query).map_err(bad_request)?;
    parameters.range(time(NOW), MOST)
}

/// Checks the ends, the first and last hour in UTC, and the number of points of a range.
fn check(query: &str, ends: [&str; 2], hours: [&str; 2], count: usize) {
    let range = read(query).unwrap_or_else(|error| panic!("{query}: {error:?}"));
    let Ends { from, to } = range.ends();
    assert_eq!([from.to_string(), to.to_string()], ends, "{query}");
    assert_eq!(range.hours(), (time(hours[0]), time(hours[1])), "{query}");
    assert_eq!(range.count(), count, "{query}");
    assert_eq!(range.starts().count(), count, "{query}");
}

fn check_refused(query: &str, message: &str) {
    let error = format!("{:?}", read(query).expect_err(query));
    assert!(error.contains(message), "{query}: {error}");
}

/// Checks a range in UTC, whose ends are times in UTC.
fn check_utc(query: &str, from: &str, to: &str, count: usize) {
    check(query, [from, to], [from, to], count);
}

#[test]
fn range_is_widened_to_whole_points() {
    check_utc("", "2026-01-12T00:00:00", "2026-02-11T00:00:00", 30);
    check_utc("per=hour", "2026-01-11T13:00:00", "2026-02-10T13:00:00", 720);
    check_utc("per=week", "2026-01-12T00:00:00", "2026-02-16T00:00:00", 5);
    check_utc("per=month", "2026-01-01T00:00:00", "2026-03-01T00:00:00", 2);
    check_utc("from=2026-02-09T23:59:59", "2026-02-09T00:00:00", "2026-02-11T00:00:00", 2);
    check_utc("to=2020-02-29%2000:00:00", "2020-01-30T00:00:00", "2020-02-29T00:00:00", 30);
    check_utc("from=2026-11-21&to=2026-11-22", "2026-11-21T00:00:00", "2026-11-22T00:00:00", 1);
    check_utc("per=hour&from=2026-11-21&to=2026-11-22", "2026-11-21T00:00:00", "2026-11-22T00:00:00", 24);
    check_utc("per=week&from=2026-11-22&to=2026-11-24", "2026-11-16T00:00:00", "2026-11-30T00:00:00", 2);
    check_utc("per=week&from=2026-11-23&to=2026-11-30", "2026-11-23T00:00:00", "2026-11-30T00:00:00", 1);
    check_utc("per=month&from=2026-11-30&to=2027-01-02", "2026-11-01T00:00:00", "2027-02-01T00:00:00", 3);
    let hours = "per=hour&from=1969-12-31T23:59:59&to=1970-01-01T00:00:01";
    check_utc(hours, "1969-12-31T23:00:00", "1970-01-01T01:00:00", 2);
}

#[test]
fn range_at_the_ends_of_the_calendar_is_taken_or_refused() {
    let last = "per=hour&from=9999-12-30T20:00:00&to=9999-12-30T21:00:01";
    check_utc(last, "9999-12-30T20:00:00", "9999-12-30T22:00:00", 2);
    check_utc("to=0001-01-31", "0001-01-01T00:00:00", "0001-01-31T00:00:00", 30);
    for query in [
        "from=9999-12-30T00:00:00&to=9999-12-30T21:00:00",
        "from=9999-12-30&to=9999-12-31T23:59:59",
        "per=hour&from=9999-12-31T22:00:00&to=9999-12-31T23:59:59",
        "per=week&from=9999-12-30&to=9999-12-31",
        "per=month&from=9999-12-30&to=9999-12-31",
        "to=0001-01-05",
        "from=0001-01-01&to=0001-01-05&timezone=Asia/Tokyo",
        "per=hour&from=9999-12-30T20:00:00&to=9999-12-30T22:00:00&timezone=America/New_York",
    ] {
        check_refused(query, "must be within 0001-01-01T00:00:00 and 9999-12-30T22:00:00");
    }
    check_refused("from=0001-01-01&to=9999-12-30", "at most 2000 days apart with per=day, and are 3652057");
    check_refused("per=hour&from=0001-01-01&to=9999-12-30", "at most 2000 hours apart");
    check_refused("per=month&from=0001-01-01&to=9999-12-01", "are 119987");
}

#[test]
fn range_that_is_empty_or_malformed_is_refused_with_the_right_form() {
    check_refused("from=2026-02-10&to=2026-02-10", "from must be before to");
    check_refused("from=2030-01-01", "from must be before to");
    check_refused("per=minute", "per must be");
    let form = "from must be a date such as 2025-09-19, or a time in UTC such as 2025-09-19T22:25:05";
    for text in ["", "yesterday", "2026-02-30", "2026-2-3", "%2B202-01-01", "0000-01-01", "2026-01-01T25:00:00"] {
        check_refused(&format!("from={text}"), form);
    }
    let zoned = "to must be in Europe/Berlin, in whole seconds and without a zone: write 2026-02-01T11:00:00";
    for text in [
        "2026-02-01T10:00:00Z",
        "2026-02-01T10:00:00.5Z",
        "2026-02-01T12:00:00%2B02:00",
        "2026-02-01T12:00:00+02:00",
        "2026-02-01T11:00",
    ] {
        check_refused(&format!("timezone=Europe/Berlin&to={text}"), zoned);
    }
}

#[test]
fn range_with_too_many_points_is_refused_with_the_limit() {
    check_utc("from=2020-01-01&to=2025-06-23", "2020-01-01T00:00:00", "2025-06-23T00:00:00", 2_000);
    check_refused("from=2020-01-01&to=2025-06-24", "at most 2000 days apart with per=day, and are 2001");
    // The day of 25 hours is one of these 83 days and 8 hours.
    let hours = "per=hour&timezone=Europe/Berlin&from=2026-09-01&to=2026-11-23T07:00:00";
    assert_eq!(read(hours).unwrap().count(), 2_000);
    let hours = "per=hour&timezone=Europe/Berlin&from=2026-09-01&to=2026-11-23T08:00:00";
    check_refused(hours, "at most 2000 hours apart with per=hour, and are 2001");
}

#[test]
fn unknown_zone_is_refused_by_name() {
    for (text, name) in [
        ("Mars/Olympus", "Mars/Olympus"),
        ("", ""),
        ("%2B02:00", "+02:00"),
        ("Etc/Unknown", "Etc/Unknown"),
        ("../../etc/passwd", "../../etc/passwd"),
        (&"x".repeat(5_000), &"x".repeat(40)),
    ] {
        let message = "timezone must be a time zone of the IANA database such as Europe/Berlin, and";
        let error = read(&format!("timezone={text}")).unwrap_err();
        let error = format!("{error:?}").replace("\\\"", "\"");
        assert!(error.contains(&format!("{message} \"{name}\" is none")), "{text}: {error}");
    }
    assert_eq!(read("timezone=europe/berlin").unwrap().timezone(), "Europe/Berlin");
    assert_eq!(read("").unwrap().timezone(), "UTC");
}

#[test]
fn day_in_which_clocks_change_has_23_or_25_hours() {
    let berlin = |from: &str, to: &str| format!("timezone=Europe/Berlin&per=hour&from={from}&to={to}");
    let ends = ["2026-03-29T00:00:00", "2026-03-30T00:00:00"];
    check(&berlin("2026-03-29", "2026-03-30"), ends, ["2026-03-28T23:00:00", "2026-03-29T22:00:00"], 23);
    let ends = ["2026-10-25T00:00:00", "2026-10-26T00:00:00"];
    check(&berlin("2026-10-25", "2026-10-26"), ends, ["2026-10-24T22:00:00", "2026-10-25T23:00:00"], 25);
    let range = read(&berlin("2026-10-25T01:00:00", "2026-10-25T04:00:00")).unwrap();
    let starts: Vec<String> = range.starts().map(|at| at.to_string()[11..13].to_owned()).collect();
    assert_eq!(starts, ["01", "02", "02", "03"]);
    // Clocks of São Paulo went from 24:00 to 01:00, and Samoa had no 30 December.
    let sao_paulo = "timezone=America/Sao_Paulo&from=2018-11-04&to=2018-11-05";
    let ends = ["2018-11-04T00:00:00", "2018-11-05T00:00:00"];
    check(sao_paulo, ends, ["2018-11-04T03:00:00", "2018-11-05T02:00:00"], 1);
    let samoa = "timezone=Pacific/Apia&from=2011-12-29&to=2012-01-01";
    let ends = ["2011-12-29T00:00:00", "2012-01-01T00:00:00"];
    check(samoa, ends, ["2011-12-29T10:00:00", "2011-12-31T10:00:00"], 2);
    check_refused("timezone=Pacific/Apia&from=2011-12-30&to=2011-12-31", "clocks skip");
}

#[test]
fn range_without_an_end_includes_the_present_hour_in_each_zone() {
    let now = time(NOW).unix_seconds();
    for zone in ["UTC", "Asia/Kolkata", "Asia/Kathmandu", "America/St_Johns", "Pacific/Chatham", "Pacific/Marquesas"] {
        for per in ["hour", "day", "week", "month"] {
            for minute in 0..60 {
                let parameters: RangeParameters = read_query(&format!("per={per}&timezone={zone}")).unwrap();
                let range = parameters.range(Timestamp::from_unix_seconds(now + minute * 60), MOST).unwrap();
                assert!(range.hours().1.unix_seconds() >= now + minute * 60, "{zone} {per} {minute}");
            }
        }
    }
}

#[test]
fn points_of_zones_with_half_hours_are_late_by_them() {
    let check = |zone: &str, hours: [&str; 2], minutes: i64| {
        let range = read(&format!("timezone={zone}&from=2026-01-02&to=2026-01-03")).unwrap();
        assert_eq!(range.hours(), (time(hours[0]), time(hours[1])), "{zone}");
        assert_eq!(range.off_by_minutes(), minutes, "{zone}");
        let hours = read(&format!("timezone={zone}&per=hour&from=2026-01-02&to=2026-01-03")).unwrap();
        assert_eq!((hours.count(), hours.off_by_minutes()), (24, minutes), "{zone}");
        assert_eq!(hours.ends(), range.ends(), "{zone}");
    };
    check("Europe/Berlin", ["2026-01-01T23:00:00", "2026-01-02T23:00:00"], 0);
    check("Asia/Kolkata", ["2026-01-01T19:00:00", "2026-01-02T19:00:00"], 30);
    check("Asia/Kathmandu", ["2026-01-01T19:00:00", "2026-01-02T19:00:00"], 45);
    check("America/St_Johns", ["2026-01-02T04:00:00", "2026-01-03T04:00:00"], 30);
}

#[test]
fn previous_range_has_as_many_points_and_ends_where_the_range_begins() {
    let check = |query: &str, expected: Option<[&str; 2]>| {
        let previous = read(query).unwrap().previous().map(|Ends { from, to }| [from.to_string(), to.to_string()]);
        assert_eq!(previous, expected.map(|ends| ends.map(str::to_owned)), "{query}");
    };
    check("from=2026-02-01&to=2026-02-08", Some(["2026-01-25T00:00:00", "2026-02-01T00:00:00"]));
    check("per=month&from=2026-03-01&to=2026-05-01", Some(["2026-01-01T00:00:00", "2026-03-01T00:00:00"]));
    check("per=week&from=2026-02-02&to=2026-02-09", Some(["2026-01-26T00:00:00", "2026-02-02T00:00:00"]));
    let day = "timezone=Europe/Berlin&per=hour&from=2026-03-29&to=2026-03-30";
    check(day, Some(["2026-03-28T01:00:00", "2026-03-29T00:00:00"]));
    check("from=0001-01-05&to=0001-01-31", None);
}

fn any_query() -> impl Strategy<Value = String> {
    let zones: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
    let pers = prop_oneof![Just("hour"), Just("day"), Just("week"), Just("month")];
    // From 2012 to 2037, in seconds since 1970.
    (prop::sample::select(zones), pers, 1_325_376_000_i64..2_114_380_800, 0_i64..6_000_000).prop_map(
        |(zone, per, from, length)| {
            let [from, to] = [from, from + length].map(Timestamp::from_unix_seconds);
            format!("per={per}&from={from}&to={to}&timezone={}", zone.replace('+', "%2B"))
        },
    )
}

proptest! {
    #[test]
    fn series_adds_up_and_its_points_begin_at_local_boundaries(
        query in any_query(),
        hours in prop::collection::vec((0_i64..2_500, 1_u64..100), 0..50),
    ) {
        let Ok(range) = read(&query) else { return Ok(()) };
        let zone = &range.zone;
        let (first, behind) = range.hours();
        let counted: Vec<(Timestamp, u64)> =
            hours.iter().map(|(n, clicks)| (Timestamp::from_unix_seconds(first.unix_seconds() + n * HOUR), *clicks)).collect();
        let inside = counted.iter().filter(|(hour, _)| *hour < behind);
        let points = range.fold(counted.clone());
        prop_assert_eq!(points.len(), range.count());
        prop_assert_eq!(points.iter().sum::<u64>(), inside.clone().map(|(_, clicks)| clicks).sum::<u64>());
        for pair in range.boundaries.windows(2) {
            prop_assert!(pair[0].hour < pair[1].hour);
            prop_assert_eq!(range.per.floor(pair[0].at), Some(pair[0].at));
            prop_assert_eq!(pair[0].hour % HOUR, 0);
            // Each hour of a point begins in it, by the clocks of the zone.
            for hour in (pair[0].hour..pair[1].hour).step_by(3600) {
                prop_assert_eq!(range.per.floor(zone.local(hour).unwrap()), Some(pair[0].at), "{} {}", &query, hour);
            }
        }
        prop_assert!(range.off_by_minutes() < 60);
    }
}
