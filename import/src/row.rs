//! Rows of a file: links, clicks, and rows that are neither.

use std::net::IpAddr;
use std::sync::Arc;

/// One result of reading a row. A row that makes several links yields several of these with the same `row`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    Link(Box<ImportedLink>),
    /// A click of a link that was a row before; only with [`crate::Options::with_clicks`].
    Click(ImportedClick),
    /// A row that makes no link on purpose.
    Skipped {
        row: u64,
        short_code: Option<String>,
        reason: String,
    },
    /// A row that cannot be read as a link.
    Invalid {
        row: u64,
        short_code: Option<String>,
        reason: String,
    },
}

/// A link of another service, unchecked: its code, target, texts and times may break Tern's rules.
///
/// Times are seconds since the Unix epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportedLink {
    /// The line in which the row begins, from 1, in CSV; the number of the row, from 1, in other files.
    pub row: u64,
    /// The code; `None` asks for a new one.
    pub short_code: Option<String>,
    /// The host of the old short address, in lower case.
    pub domain: Option<String>,
    pub target: String,
    pub title: Option<String>,
    /// The notes, with a last line for each reason why the link is switched off.
    pub notes: Option<String>,
    pub tags: Vec<String>,
    pub is_active: bool,
    pub created_at: Option<i64>,
    pub updated_at: Option<i64>,
    pub starts_at: Option<i64>,
    pub expires_at: Option<i64>,
    pub expired_url: Option<String>,
    pub redirect_status: Option<u16>,
    pub forward_query: Option<bool>,
    /// Rules in the form of Tern's API as JSON, unchecked.
    pub rules: Option<String>,
    /// A split of Tern as JSON, unchecked.
    pub split: Option<String>,
    /// The count of the old service. The first of several links of a row has it.
    pub clicks: u64,
    /// The clicks of people that a limit of the old service leaves; `None` without a limit.
    ///
    /// A link with none left is switched off.
    pub clicks_left: Option<u64>,
    pub external_id: Option<String>,
    /// Sentences for the report about this row, such as the reason why the link is switched off.
    pub remarks: Vec<String>,
    /// The names of the row's fields that have a value for which Tern has no place.
    pub dropped: Vec<Arc<str>>,
}

/// A click in the log of another service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedClick {
    /// The number of the row among the clicks, from 1.
    pub row: u64,
    pub short_code: String,
    /// The time in seconds since the Unix epoch.
    pub at: i64,
    pub referrer: Option<String>,
    pub user_agent: Option<String>,
    /// The code of the country, as the old service found it.
    pub country: Option<String>,
    /// The whole address of the client. Tern stores at most its network.
    pub address: Option<IpAddr>,
}
