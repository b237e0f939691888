//! The `Date` line, formatted once a second for each connection.
//!
//! A line for the whole process would need a lock, and a thread-local would live across a yield.

use std::io::Write as _;
use std::time::{Duration, SystemTime};

const LENGTH: usize = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n".len();

#[derive(Debug)]
pub(super) struct Date {
    second: u64,
    line: [u8; LENGTH],
}

impl Default for Date {
    fn default() -> Self {
        // A second that no clock shows, so that the first use formats the line.
        Self { second: u64::MAX, line: [b' '; LENGTH] }
    }
}

impl Date {
    /// Returns `Date: <IMF-fixdate>` with CR LF, for a time in microseconds since the Unix epoch.
    pub(super) fn line(&mut self, now_micros: u64) -> &[u8] {
        let second = now_micros / 1_000_000;
        if second != self.second {
            self.format(second);
        }
        &self.line
    }

    #[cold]
    #[inline(never)]
    fn format(&mut self, second: u64) {
        /// 9999-12-31T23:59:59Z, since the format has four digits for the year.
        const LAST: u64 = 253_402_300_799;
        let moment = SystemTime::UNIX_EPOCH + Duration::from_secs(second.min(LAST));
        // The line always fits: the format has a fixed width.
        let written = write!(&mut self.line[..], "Date: {}\r\n", httpdate::HttpDate::from(moment));
        debug_assert!(written.is_ok());
        self.second = second;
    }
}

/// Returns the microseconds since the Unix epoch, or 0 if the clock is set before it.
pub(super) fn now_micros() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_shows_the_second_of_a_time_within_four_digit_years() {
        let mut date = Date::default();
        for (micros, expected) in [
            (0, "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"),
            (999_999, "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"),
            (784_111_777_123_456, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"),
            (784_111_776_000_000, "Date: Sun, 06 Nov 1994 08:49:36 GMT\r\n"),
            (1_709_164_800_000_000, "Date: Thu, 29 Feb 2024 00:00:00 GMT\r\n"),
            (u64::MAX, "Date: Fri, 31 Dec 9999 23:59:59 GMT\r\n"),
        ] {
            assert_eq!(date.line(micros), expected.as_bytes());
        }
    }
}
