//! Visits: single clicks, as the clients of other services list them.

use crate::event::Details;
use crate::json::JsonText;
use crate::{StatsQuery, Timestamp, Visitor};

/// A request for visits. The newest are first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VisitQuery {
    /// The clicks to list. The range may begin and end at any second.
    pub clicks: StatsQuery,
    /// The number of visits before the first one of the page.
    pub offset: u64,
    /// The largest number of visits of the page.
    pub limit: u32,
}

/// A click that has an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    pub at: Timestamp,
    pub short_code: Option<String>,
    /// The address to which the click led.
    pub target: Option<String>,
    pub referrer: Option<String>,
    pub user_agent: Option<String>,
    pub visitor: Visitor,
}

impl Visit {
    /// Reads the visit from an event and the text form of its visitor. An event of another program may lack each part.
    pub(crate) fn of_event(at: Timestamp, details: &Details, visitor: Option<&str>) -> Visit {
        let text = |name| details.field(name).and_then(JsonText::text).map(std::borrow::Cow::into_owned);
        Visit {
            at,
            short_code: text("short_code"),
            target: text("original_url"),
            referrer: text("referrer"),
            user_agent: text("user_agent"),
            visitor: visitor.map_or(Visitor::UNKNOWN, Visitor::parse),
        }
    }
}
