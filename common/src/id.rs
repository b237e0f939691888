//! Identifiers of rows.

use std::fmt;

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, Error as _, Unexpected};

use crate::json::SourceText;

/// The identifier of a row: a positive integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(minimum = 1, example = 7))]
pub struct Id(i64);

impl Id {
    /// The largest id that a file may give.
    /// A JSON reader with doubles can represent ids up to 2^53; half of that range is reserved for later rows.
    pub const MAX_GIVEN: Id = Id(1 << 52);

    /// The largest distance of an id in a file from the largest existing id. Every 32-bit id is allowed.
    pub const MAX_AHEAD: i64 = 1 << 32;

    /// Returns the largest id that a file may give to a table whose largest existing id is `last_id`.
    pub fn farthest_given(last_id: i64) -> Id {
        Id(last_id.max(0).saturating_add(Id::MAX_AHEAD)).min(Id::MAX_GIVEN)
    }

    /// Returns an id; `None` unless `value` is positive.
    pub const fn new(value: i64) -> Option<Id> {
        if value > 0 { Some(Id(value)) } else { None }
    }

    /// Parses decimal digits; returns `None` for zero and for any other text.
    ///
    /// A number that is too large becomes the largest id. It names no row, so the caller answers "not found".
    pub fn parse(text: &str) -> Option<Id> {
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        Id::new(text.parse().unwrap_or(i64::MAX))
    }

    pub const fn get(self) -> i64 {
        self.0
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Id, D::Error> {
        let SourceText(text) = SourceText::deserialize(deserializer)?;
        Id::parse(text).ok_or_else(|| D::Error::invalid_value(Unexpected::Other("value"), &"a positive integer"))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_is_parsed_only_from_a_positive_decimal_integer() {
        let check = |text: &str, expected: Option<i64>| assert_eq!(Id::parse(text).map(Id::get), expected, "{text:?}");
        check("1", Some(1));
        check("007", Some(7));
        check("9223372036854775807", Some(i64::MAX));
        check("99999999999999999999", Some(i64::MAX));
        check("0", None);
        check("-1", None);
        check("+1", None);
        check("1.0", None);
        check(" 1", None);
        check("", None);
        check("١", None);
    }
}
