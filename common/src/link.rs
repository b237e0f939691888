//! Links: what a redirector serves of a url.

use crate::short_code::InvalidShortCode;
use crate::target_url::InvalidTarget;
use crate::{Id, ShortCode, TargetUrl};

/// The served side of a url.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub url_id: Id,
    /// The user who owns the url, to whom its clicks are recorded.
    pub owner_id: Id,
    pub target: TargetUrl,
    /// An inactive link is answered "gone".
    pub active: bool,
}

/// A url as the change feed brings it, before anything of it is believed: one bad row must not cost the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkRow {
    pub url_id: i64,
    pub owner_id: i64,
    pub short_code: String,
    pub original_url: String,
    pub is_active: bool,
}

/// Why a row cannot be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLink {
    #[error("an id must be a positive integer")]
    Id,
    #[error(transparent)]
    ShortCode(#[from] InvalidShortCode),
    #[error(transparent)]
    Target(#[from] InvalidTarget),
}

impl LinkRow {
    /// Checks the row anew: it may have been written past Tern.
    pub fn into_link(self) -> Result<(ShortCode, Link), InvalidLink> {
        let code = ShortCode::parse(&self.short_code)?;
        let target = TargetUrl::parse(&self.original_url)?;
        let id = |id| Id::new(id).ok_or(InvalidLink::Id);
        Ok((code, Link { url_id: id(self.url_id)?, owner_id: id(self.owner_id)?, target, active: self.is_active }))
    }
}
