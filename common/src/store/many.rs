//! Selections of many urls, and the outcomes of calls that may find a url instead of creating it.

use super::{Change, Result, StoreError};
use crate::Id;
use crate::url::{Url, UrlFilter};

/// The urls that one change or one deletion is for.
#[derive(Clone, Debug)]
pub enum UrlSelection {
    /// The urls of these ids. With an owner, the urls of other users count as missing.
    Ids { ids: Vec<Id>, owner: Option<Id> },
    /// Every url that matches, if their number is the expected one.
    Filter { filter: UrlFilter, expect: u64 },
}

impl UrlSelection {
    /// The largest number of urls of a selection.
    pub const MAX: usize = 10_000;

    /// The largest number of events of urls that one transaction deletes, which takes half a second.
    pub const MAX_EVENTS: u32 = 100_000;
}

/// The new urls of a call that are committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// Every url that is not refused.
    Accepted,
    /// All urls, unless one of them is refused.
    AllOrNone,
    /// No url: the call only finds out which would be refused.
    Nothing,
}

impl Commit {
    /// Returns whether a transaction with these outcomes is undone.
    pub(super) fn undoes<T>(self, outcomes: &[Result<T>]) -> bool {
        match self {
            Commit::Accepted => false,
            Commit::AllOrNone => outcomes.iter().any(Result::is_err),
            Commit::Nothing => true,
        }
    }
}

/// A url that was found for reuse, or created.
#[derive(Debug)]
pub enum Reused {
    Found(Url),
    Created(Change<Url>),
}

/// A url that was replaced under its external id, or created.
#[derive(Debug)]
pub enum Placed {
    Replaced(Change<Url>),
    Created(Change<Url>),
}

impl StoreError {
    /// Names the url that refused a change of many. Other errors remain as they are.
    pub(super) fn by(self, url: Id) -> StoreError {
        if self.is_of_one_change() { StoreError::RefusedBy { url, reason: Box::new(self) } } else { self }
    }

    /// Returns whether the store refused one of many changes and can make the others.
    pub(super) fn is_of_one_change(&self) -> bool {
        matches!(
            self,
            StoreError::OptionConflict(_)
                | StoreError::TooManyTags
                | StoreError::ExternalIdTaken
                | StoreError::OtherCode(_)
                | StoreError::OtherRevision(_)
        )
    }

    /// Returns whether the store refused one of many new urls and can insert the others.
    #[cfg(feature = "sqlite")]
    pub(super) fn is_of_one_url(&self) -> bool {
        matches!(self, StoreError::ShortCodeTaken | StoreError::ExternalIdTaken | StoreError::UnknownUser(_))
    }
}
