//! Clicks: answered redirects that journals pass to the store.

use std::fmt;
use std::time::SystemTime;

use ipnet::IpNet;

use crate::routing::Choice;
use crate::{Id, Visitor};

/// An answered redirect. The store counts it exactly once.
///
/// A click becomes one event of type `clicked`, unless its network exceeded its budget of events.
/// The texts have a bounded length and no control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Click {
    /// The id of the url. A database that lost commits may reuse it, so `short_code` is compared as well.
    pub url_id: Id,
    /// The owner of the url at the time of the click.
    pub owner_id: Id,
    pub short_code: String,
    /// The target at the time of the click.
    pub original_url: String,
    /// The reason for this target, if the link had rules or a split.
    pub choice: Option<Choice>,
    /// The time of the click by the clock of the redirector, to the microsecond.
    pub at: SystemTime,
    /// The network of the client (/24, or /48 of IPv6). Its whole address is never recorded.
    pub client: Option<IpNet>,
    pub user_agent: Option<String>,
    pub referrer: Option<String>,
    /// The client by families, worked out before its click is shipped.
    pub visitor: Visitor,
    /// A source that the target does not have: [`crate::click_source::QR`], or the `utm_source` of a forwarded query.
    pub source: Option<String>,
    /// Whether the request asked not to be tracked, or the operator tracks nobody: its network is not stored.
    pub is_minimal: bool,
    /// Whether the click is beyond the budget of its network. If so, it is counted and has no event.
    pub is_counted_only: bool,
}

/// The permanent id of a journal, random at its creation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JournalId(pub u128);

/// The position in a journal up to which the store has its clicks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JournalPosition {
    /// The number of the segment, at most 2^63 - 1.
    pub segment: u64,
    /// The offset in the segment in bytes, at most 2^63 - 1.
    pub offset: u64,
    /// The number of clicks in the journal before this position.
    pub sequence: u64,
}

/// The state of a journal in the store. It changes only in the transaction that stores its clicks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalState {
    pub position: JournalPosition,
    /// Clicks of this journal that the store counted, since the journal was created.
    pub recorded: u64,
    /// Recorded clicks without an event, since they were beyond the budget of their network.
    pub without_event: u64,
    /// Clicks whose link was deleted, or whose id now belongs to a link with a different code.
    pub orphaned: u64,
    /// Clicks that the store refused and the shipper parked.
    pub parked: u64,
}

/// Consecutive clicks of a journal.
#[derive(Clone, Copy, Debug)]
pub struct ClickBatch<'a> {
    pub journal: JournalId,
    /// The position that the journal must have in the store; `None` if the store must not know the journal.
    pub from: Option<JournalPosition>,
    /// The position of the journal after the batch.
    pub to: JournalPosition,
    /// Clicks in the order of their answers. An empty batch changes only the position.
    pub clicks: &'a [Click],
    /// The number of clicks between the positions that the shipper parked.
    pub parked: u64,
}

/// The result of shipping a batch of clicks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShipOutcome {
    /// The batch was committed. The state includes it.
    Committed(JournalState),
    /// The journal has a different position in the store, and nothing was changed.
    ///
    /// Either an earlier attempt was committed and its answer was lost, or the database lost its last commits.
    Mismatch(Option<JournalState>),
}

impl fmt::Display for JournalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for JournalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl JournalId {
    /// Parses 32 lower-case hexadecimal digits; returns `None` for any other text.
    pub fn parse(text: &str) -> Option<JournalId> {
        u128::from_str_radix(text, 16).ok().map(JournalId).filter(|id| id.to_string() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journal_id_in_another_spelling_is_refused() {
        let id = JournalId(0x00c0_ffee);
        assert_eq!(id.to_string(), "00000000000000000000000000c0ffee");
        assert_eq!(JournalId::parse(&id.to_string()), Some(id));
        for text in ["", "c0ffee", "00000000000000000000000000C0FFEE", "+0000000000000000000000000c0ffee"] {
            assert_eq!(JournalId::parse(text), None, "{text}");
        }
    }
}
