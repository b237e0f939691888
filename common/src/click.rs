//! Clicks: answered redirects on their way from a journal to the store.

use std::fmt;
use std::time::SystemTime;

use ipnet::IpNet;

use crate::Id;

/// One answered redirect. Each is counted exactly once, and becomes one event of type `clicked` within the budget of its
/// network.
///
/// Texts are bounded and hold no control characters, whatever the client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Click {
    /// Names the link together with `short_code`: a database that lost commits gives an id to another link.
    pub url_id: Id,
    /// The user who owned the url when it was followed.
    pub owner_id: Id,
    pub short_code: String,
    /// The target as it was served, which an edit may have replaced since.
    pub original_url: String,
    /// To the microsecond, by the clock of the redirector.
    pub at: SystemTime,
    /// The network the client is in (/24, or /48 of IPv6), and never its whole address.
    pub client: Option<IpNet>,
    pub user_agent: Option<String>,
    pub referrer: Option<String>,
    /// Whether the click is beyond the budget of its network: the counts of its hour include it, and no event does.
    pub is_counted_only: bool,
}

/// Names a journal for ever: it is drawn at random when the journal is made.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JournalId(pub u128);

/// How far a journal is in the store: everything before this is, nothing from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JournalPosition {
    /// Which of the journal's segments; at most 2^63 - 1, as is the offset.
    pub segment: u64,
    /// Bytes from the start of the segment.
    pub offset: u64,
    /// How many clicks were written to the journal before this place.
    pub sequence: u64,
}

/// What the store knows of a journal. It changes in the transaction that stores the clicks, and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalState {
    pub position: JournalPosition,
    /// Clicks of this journal that the store took and counted, since its beginning.
    pub recorded: u64,
    /// Recorded clicks that have no event, since they were beyond the budget of their network.
    pub without_event: u64,
    /// Clicks whose link is gone, or whose id belongs to a link of another code by now.
    pub orphaned: u64,
    /// Clicks that the store refuses, and that were put aside.
    pub parked: u64,
}

/// Clicks that stand next to each other in a journal.
#[derive(Clone, Copy, Debug)]
pub struct ClickBatch<'a> {
    pub journal: JournalId,
    /// Where the journal must stand in the store for the batch to be taken; `None` if it must not be known there yet.
    pub from: Option<JournalPosition>,
    /// Where it stands with the batch taken.
    pub to: JournalPosition,
    /// In the order in which they were answered. May be empty: then only the position moves.
    pub clicks: &'a [Click],
    /// How many were put aside instead.
    pub parked: u64,
}

/// What became of a batch of clicks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shipped {
    /// The batch was taken, whole and once; the state with it.
    Taken(JournalState),
    /// The journal stands elsewhere in the store, and nothing was changed: an earlier try was committed and its answer
    /// lost, or the database lost its last commits.
    Elsewhere(Option<JournalState>),
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
    /// Reads 32 lower-case hexadecimal digits; `None` for anything else.
    pub fn parse(text: &str) -> Option<JournalId> {
        u128::from_str_radix(text, 16).ok().map(JournalId).filter(|id| id.to_string() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_journal_has_one_spelling() {
        let id = JournalId(0x00c0_ffee);
        assert_eq!(id.to_string(), "00000000000000000000000000c0ffee");
        assert_eq!(JournalId::parse(&id.to_string()), Some(id));
        for text in ["", "c0ffee", "00000000000000000000000000C0FFEE", "+0000000000000000000000000c0ffee"] {
            assert_eq!(JournalId::parse(text), None, "{text}");
        }
    }
}
