//! The state of a link, as lists and answers show it.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// The state of a link, by the order of decisions at a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(example = "active"))]
pub enum LinkState {
    /// Redirects to its target.
    Active,
    /// Switched off.
    Inactive,
    /// Begins later.
    Scheduled,
    /// Ended.
    Expired,
    /// Used up.
    Exhausted,
}

impl LinkState {
    /// Returns the state as answers show it.
    pub fn as_str(self) -> &'static str {
        match self {
            LinkState::Active => "active",
            LinkState::Inactive => "inactive",
            LinkState::Scheduled => "scheduled",
            LinkState::Expired => "expired",
            LinkState::Exhausted => "exhausted",
        }
    }

    /// Returns the state of a link at a time.
    pub fn at(
        now: Timestamp,
        is_active: bool,
        starts_at: Option<Timestamp>,
        expires_at: Option<Timestamp>,
        is_exhausted: bool,
    ) -> LinkState {
        if !is_active {
            LinkState::Inactive
        } else if starts_at.is_some_and(|start| now < start) {
            LinkState::Scheduled
        } else if expires_at.is_some_and(|end| now >= end) {
            LinkState::Expired
        } else if is_exhausted {
            LinkState::Exhausted
        } else {
            LinkState::Active
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_follows_the_order_of_decisions() {
        let time = |seconds| Some(Timestamp::from_unix_seconds(seconds));
        let used_up = |is_active, starts_at, expires_at, is_exhausted| {
            LinkState::at(Timestamp::from_unix_seconds(10), is_active, starts_at, expires_at, is_exhausted)
        };
        let at = |is_active, starts_at, expires_at| used_up(is_active, starts_at, expires_at, false);
        assert_eq!(at(false, time(20), time(5)), LinkState::Inactive);
        assert_eq!(at(true, time(11), time(5)), LinkState::Scheduled);
        assert_eq!(at(true, time(10), time(10)), LinkState::Expired);
        assert_eq!(at(true, None, time(11)), LinkState::Active);
        assert_eq!(at(true, None, None), LinkState::Active);
        assert_eq!(used_up(false, None, None, true), LinkState::Inactive);
        assert_eq!(used_up(true, time(11), None, true), LinkState::Scheduled);
        assert_eq!(used_up(true, None, time(10), true), LinkState::Expired);
        assert_eq!(used_up(true, time(10), time(11), true), LinkState::Exhausted);
    }
}
