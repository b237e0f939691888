//! The optional served fields in requests that create or change a link.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};
use tern_common::routing::{Rules, Split};
use tern_common::{ClickLimit, LinkOptionsChange, OwnAddresses, RedirectStatus, TargetUrl, Timestamp};

use crate::http::error::{Result, bad_request};

/// The optional served fields, as a request gives them.
#[derive(Debug, Default)]
pub(super) struct GivenOptions {
    pub(super) starts_at: Option<Option<Timestamp>>,
    pub(super) expires_at: Option<Option<Timestamp>>,
    pub(super) expires_in: Option<Option<Lifetime>>,
    pub(super) expired_url: Option<Option<TargetUrl>>,
    pub(super) redirect_status: Option<Option<RedirectStatus>>,
    pub(super) forward_query: Option<Option<bool>>,
    pub(super) max_clicks: Option<Option<ClickLimit>>,
    pub(super) rules: Option<Option<Rules>>,
    pub(super) split: Option<Option<Split>>,
}

impl GivenOptions {
    /// Converts the fields into a change. A lifetime begins at `now`.
    ///
    /// # Errors
    /// When a field cannot be combined with another one, an address is one of Tern itself, or `expired_url` has placeholders.
    pub(super) fn check(self, own: &OwnAddresses, now: Timestamp) -> Result<LinkOptionsChange> {
        let expires_at = match (self.expires_at, self.expires_in.flatten()) {
            (Some(Some(_)), Some(_)) => {
                return Err(bad_request("expires_in must not be given together with expires_at"));
            }
            (_, Some(Lifetime(lifetime))) => {
                let end = now.plus(lifetime).ok_or_else(|| bad_request("expires_in must end before the year 10000"))?;
                Some(Some(end))
            }
            (expires_at, None) => expires_at,
        };
        let expired_url = match self.expired_url {
            Some(Some(target)) => {
                let checked = own.check_expired_url(target);
                Some(Some(checked.map_err(|error| bad_request(format!("expired_url {error}")))?))
            }
            other => other,
        };
        let GivenOptions { starts_at, redirect_status, forward_query, max_clicks, .. } = self;
        let (rules, split) = (self.rules.map(Option::unwrap_or_default), self.split.map(Option::unwrap_or_default));
        check_targets(own, rules.as_ref(), split.as_ref())?;
        Ok(LinkOptionsChange {
            starts_at,
            expires_at,
            expired_url,
            redirect_status,
            forward_query,
            max_clicks,
            rules,
            split,
        })
    }
}

/// Refuses rules or a split with a target at an address where short codes are answered.
pub(super) fn check_targets(own: &OwnAddresses, rules: Option<&Rules>, split: Option<&Split>) -> Result<()> {
    let rules = rules.into_iter().flat_map(Rules::targets);
    for (field, target) in rules.chain(split.into_iter().flat_map(Split::targets)) {
        own.parse_target(target).map_err(|error| bad_request(format!("{field} {error}")))?;
    }
    Ok(())
}

/// Refuses a target at an address where short codes are answered.
pub(super) fn check_target(own: &OwnAddresses, field: &str, target: TargetUrl) -> Result<TargetUrl> {
    own.check_target(target).map_err(|error| bad_request(format!("{field} {error}")))
}

/// The time for which a link redirects from now on, such as `90m`, `8h` or `42d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lifetime(Duration);

impl Lifetime {
    fn parse(text: &str) -> Option<Lifetime> {
        let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 60 * 60,
            "d" => 24 * 60 * 60,
            "w" => 7 * 24 * 60 * 60,
            _ => return None,
        };
        // `parse` also accepts a sign.
        let number = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<u32>().ok())??;
        (number > 0).then(|| Lifetime(Duration::from_secs(u64::from(number) * seconds)))
    }
}

impl<'de> Deserialize<'de> for Lifetime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Lifetime, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Lifetime::parse(&text).ok_or_else(|| {
            de::Error::custom("must be a whole number above 0 with a unit, such as 90m, 8h or 42d (s, m, h, d or w)")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetime_needs_a_positive_number_and_a_unit() {
        let seconds = |text| Lifetime::parse(text).map(|lifetime| lifetime.0.as_secs());
        assert_eq!(seconds("1s"), Some(1));
        assert_eq!(seconds("90m"), Some(5_400));
        assert_eq!(seconds("8h"), Some(28_800));
        assert_eq!(seconds("42d"), Some(3_628_800));
        assert_eq!(seconds("2w"), Some(1_209_600));
        for text in ["", "m", "0m", "42", "-1d", "+1d", "1.5h", "1 d", " 1d", "1d ", "1D", "1y", "1é", "9999999999d"] {
            assert_eq!(seconds(text), None, "{text:?}");
        }
    }
}
