//! Limits of clicks: how many `GET`s of a link are answered with a redirect, and how redirectors take them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Id;

/// A limit of the clicks of a link: a positive integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(
    feature = "schema",
    schema(
        value_type = i64,
        description = "The number of `GET` requests that are answered with a redirect, since the link was made",
        minimum = 1,
        example = 100
    )
)]
#[serde(try_from = "i64", into = "i64")]
pub struct ClickLimit(i64);

/// The error for a number that is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("max_clicks must be a positive integer")]
pub struct InvalidClickLimit;

impl ClickLimit {
    /// Parses the digits of a limit.
    pub fn parse(text: &str) -> Result<ClickLimit, InvalidClickLimit> {
        text.trim().parse::<i64>().map_err(|_| InvalidClickLimit)?.try_into()
    }

    pub const fn get(self) -> i64 {
        self.0
    }

    /// Returns the clicks that are left after a number of them was taken. A limit may have been lowered meanwhile.
    pub fn left(self, taken: i64) -> i64 {
        self.0.saturating_sub(taken).max(0)
    }
}

impl TryFrom<i64> for ClickLimit {
    type Error = InvalidClickLimit;

    fn try_from(value: i64) -> Result<ClickLimit, InvalidClickLimit> {
        if value > 0 { Ok(ClickLimit(value)) } else { Err(InvalidClickLimit) }
    }
}

impl From<ClickLimit> for i64 {
    fn from(limit: ClickLimit) -> i64 {
        limit.0
    }
}

impl fmt::Display for ClickLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A request of a redirector for clicks of a limited link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClickTake {
    pub url_id: Id,
    /// The number of clients that wait for a click.
    pub needed: i64,
    /// The number of clicks wanted for the next clients.
    pub ahead: i64,
}

/// The answer of a store to a [`ClickTake`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakenClicks {
    /// The number of clicks that now belong to the redirector; 0 if the limit is used up.
    Granted(i64),
    /// The link has no limit any more.
    Unlimited,
    /// No link has the id. The map of the redirector is older than the store.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_is_a_positive_integer() {
        for text in ["1", " 7 ", "9223372036854775807"] {
            assert_eq!(ClickLimit::parse(text).map(|limit| limit.to_string()), Ok(text.trim().to_owned()));
        }
        for text in ["", "0", "-1", "1.0", "x", "9223372036854775808"] {
            assert_eq!(ClickLimit::parse(text), Err(InvalidClickLimit), "{text:?}");
        }
        assert_eq!(ClickLimit(5).left(3), 2);
        assert_eq!(ClickLimit(5).left(9), 0, "the limit was lowered");
    }
}
