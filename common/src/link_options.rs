//! The optional fields of a url that redirectors serve, and the rules between them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::config::Setting;
use crate::routing::{Rules, Split};
use crate::{ClickLimit, TargetUrl, Timestamp};

/// The optional served fields of a url. The default is a plain link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkOptions {
    /// The time from which the link redirects.
    pub starts_at: Option<Timestamp>,
    /// The time from which the link is expired.
    pub expires_at: Option<Timestamp>,
    /// The address to which an expired link leads.
    pub expired_url: Option<TargetUrl>,
    /// The status of the redirect; `None` is the default of the redirector.
    pub redirect_status: Option<RedirectStatus>,
    /// Whether the query of a request is merged into the target; `None` is the default of the redirector.
    pub forward_query: Option<bool>,
    /// The number of `GET` requests that are answered with a redirect.
    pub max_clicks: Option<ClickLimit>,
    /// Other targets for the requests that meet their conditions.
    pub rules: Rules,
    /// Other targets for shares of the clients.
    pub split: Split,
}

/// A change of the optional served fields. `None` leaves a field unchanged, and `Some(None)` removes its value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkOptionsChange {
    pub starts_at: Option<Option<Timestamp>>,
    pub expires_at: Option<Option<Timestamp>>,
    pub expired_url: Option<Option<TargetUrl>>,
    pub redirect_status: Option<Option<RedirectStatus>>,
    pub forward_query: Option<Option<bool>>,
    pub max_clicks: Option<Option<ClickLimit>>,
    pub rules: Option<Rules>,
    pub split: Option<Split>,
}

/// The reason why options cannot be combined. The schema of each store has the same rules as constraints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionConflict {
    #[error("expires_at must be after starts_at")]
    EndsBeforeStart,
    #[error(
        "redirect_status must be 302, 307 or null for a link with expires_at: browsers store a 301 or 308 beyond the end"
    )]
    StatusOfEnd,
    #[error(
        "redirect_status must be 302, 307 or null for a link with max_clicks: browsers follow a stored 301 or 308 uncounted"
    )]
    StatusOfLimit,
    #[error(
        "redirect_status must be 302, 307 or null for a link with rules or a split: browsers store a 301 or 308, and with it one of the targets"
    )]
    StatusOfRouting,
}

impl OptionConflict {
    /// Returns the conflict that a named constraint of the table `urls` prevents.
    pub(crate) fn of_constraint(name: &str) -> Option<OptionConflict> {
        match name {
            "urls_times_check" => Some(OptionConflict::EndsBeforeStart),
            "urls_status_of_end_check" => Some(OptionConflict::StatusOfEnd),
            "urls_status_of_limit_check" => Some(OptionConflict::StatusOfLimit),
            "urls_status_of_routing_check" => Some(OptionConflict::StatusOfRouting),
            _ => None,
        }
    }
}

impl LinkOptions {
    /// Checks the rules between the fields.
    pub fn check(&self) -> Result<(), OptionConflict> {
        if self.starts_at.zip(self.expires_at).is_some_and(|(start, end)| end <= start) {
            return Err(OptionConflict::EndsBeforeStart);
        }
        let is_permanent = self.redirect_status.is_some_and(RedirectStatus::is_permanent);
        if self.expires_at.is_some() && is_permanent {
            return Err(OptionConflict::StatusOfEnd);
        }
        if self.max_clicks.is_some() && is_permanent {
            return Err(OptionConflict::StatusOfLimit);
        }
        let has_routing = !self.rules.is_empty() || !self.split.is_empty();
        if has_routing && is_permanent {
            return Err(OptionConflict::StatusOfRouting);
        }
        Ok(())
    }
}

impl LinkOptionsChange {
    pub fn is_empty(&self) -> bool {
        *self == LinkOptionsChange::default()
    }
}

impl From<LinkOptionsChange> for LinkOptions {
    /// Returns the options of a plain link after a change.
    fn from(change: LinkOptionsChange) -> LinkOptions {
        LinkOptions {
            starts_at: change.starts_at.flatten(),
            expires_at: change.expires_at.flatten(),
            expired_url: change.expired_url.flatten(),
            redirect_status: change.redirect_status.flatten(),
            forward_query: change.forward_query.flatten(),
            max_clicks: change.max_clicks.flatten(),
            rules: change.rules.unwrap_or_default(),
            split: change.split.unwrap_or_default(),
        }
    }
}

impl From<LinkOptions> for LinkOptionsChange {
    /// Returns the change that gives every option its value, or none.
    fn from(options: LinkOptions) -> LinkOptionsChange {
        LinkOptionsChange {
            starts_at: Some(options.starts_at),
            expires_at: Some(options.expires_at),
            expired_url: Some(options.expired_url),
            redirect_status: Some(options.redirect_status),
            forward_query: Some(options.forward_query),
            max_clicks: Some(options.max_clicks),
            rules: Some(options.rules),
            split: Some(options.split),
        }
    }
}

/// The status of a redirect: 301, 302, 307 or 308.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(
    feature = "schema",
    schema(value_type = i16, description = "The status of a redirect: 301, 302, 307 or 308", minimum = 301, maximum = 308, example = 307)
)]
#[serde(try_from = "i64", into = "i16")]
pub struct RedirectStatus(i16);

/// The error for a number that is no status of a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("redirect_status must be 301, 302, 307 or 308")]
pub struct InvalidRedirectStatus;

impl RedirectStatus {
    /// The status 302: a temporary redirect.
    pub const FOUND: RedirectStatus = RedirectStatus(302);

    pub const ALL: [RedirectStatus; 4] =
        [RedirectStatus(301), RedirectStatus::FOUND, RedirectStatus(307), RedirectStatus(308)];

    /// Parses the digits of a status.
    pub fn parse(text: &str) -> Result<RedirectStatus, InvalidRedirectStatus> {
        text.trim().parse::<i64>().map_err(|_| InvalidRedirectStatus)?.try_into()
    }

    pub const fn code(self) -> i16 {
        self.0
    }

    /// Returns whether a browser may store the redirect without being told to.
    pub const fn is_permanent(self) -> bool {
        matches!(self.0, 301 | 308)
    }
}

impl TryFrom<i64> for RedirectStatus {
    type Error = InvalidRedirectStatus;

    fn try_from(code: i64) -> Result<RedirectStatus, InvalidRedirectStatus> {
        RedirectStatus::ALL.into_iter().find(|status| i64::from(status.0) == code).ok_or(InvalidRedirectStatus)
    }
}

impl Setting for RedirectStatus {
    const EXPECTED: &'static str = "301, 302, 307 or 308";

    fn parse(text: &str) -> Option<RedirectStatus> {
        RedirectStatus::parse(text).ok()
    }
}

impl From<RedirectStatus> for i16 {
    fn from(status: RedirectStatus) -> i16 {
        status.0
    }
}

impl fmt::Display for RedirectStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Option<Timestamp> {
        Some(Timestamp::from_unix_seconds(seconds))
    }

    #[test]
    fn end_at_or_before_the_start_is_refused() {
        let check = |starts_at, expires_at| LinkOptions { starts_at, expires_at, ..LinkOptions::default() }.check();
        assert_eq!(check(at(5), at(6)), Ok(()));
        assert_eq!(check(at(5), at(5)), Err(OptionConflict::EndsBeforeStart));
        assert_eq!(check(at(5), at(4)), Err(OptionConflict::EndsBeforeStart));
        assert_eq!(check(at(5), None), Ok(()));
        assert_eq!(check(None, at(4)), Ok(()));
    }

    #[test]
    fn link_with_an_end_or_a_limit_may_only_have_a_temporary_status() {
        for status in RedirectStatus::ALL {
            let options = LinkOptions { redirect_status: Some(status), ..LinkOptions::default() };
            assert_eq!(options.check(), Ok(()));
            let ends = LinkOptions { expires_at: at(5), ..options.clone() }.check();
            assert_eq!(ends.is_ok(), [302, 307].contains(&status.code()), "{status}");
            let limited = LinkOptions { max_clicks: ClickLimit::try_from(1).ok(), ..options }.check();
            assert_eq!(limited.is_ok(), [302, 307].contains(&status.code()), "{status}");
        }
    }

    #[test]
    fn status_that_is_no_redirect_is_refused() {
        for text in ["301", "302", "307", " 308 "] {
            assert_eq!(RedirectStatus::parse(text).map(|status| status.to_string()), Ok(text.trim().to_owned()));
        }
        for text in ["", "200", "300", "303", "304", "-302", "302.0", "65838", "3020", "x"] {
            assert_eq!(RedirectStatus::parse(text), Err(InvalidRedirectStatus), "{text}");
        }
    }
}
