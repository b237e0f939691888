//! Links: what a redirector serves of a url.

use crate::short_code::InvalidShortCode;
use crate::target_url::{CheckedTarget, InvalidTarget};
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

/// A link under its code, checked, where it was read: millions are loaded at a start, and none is copied to be checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedLink<'a> {
    /// Always a short code.
    code: &'a str,
    pub url_id: Id,
    pub owner_id: Id,
    pub target: CheckedTarget<'a>,
    pub active: bool,
}

impl<'a> CheckedLink<'a> {
    pub fn new(code: &'a ShortCode, link: &'a Link) -> CheckedLink<'a> {
        let Link { url_id, owner_id, ref target, active } = *link;
        CheckedLink { code: code.as_str(), url_id, owner_id, target: target.as_checked(), active }
    }

    /// Checks what came from outside, be it from the store or from a file: it may have been written past Tern.
    pub fn check(
        code: &'a str,
        target: &'a str,
        url_id: i64,
        owner_id: i64,
        active: bool,
    ) -> Result<CheckedLink<'a>, InvalidLink> {
        ShortCode::check(code)?;
        let target = TargetUrl::check(target)?;
        let id = |id| Id::new(id).ok_or(InvalidLink::Id);
        Ok(CheckedLink { code, url_id: id(url_id)?, owner_id: id(owner_id)?, target, active })
    }

    pub fn code(&self) -> &'a str {
        self.code
    }

    pub fn into_owned(self) -> (ShortCode, Link) {
        let CheckedLink { code, url_id, owner_id, target, active } = self;
        let code = ShortCode::parse(code).expect("the code was checked");
        (code, Link { url_id, owner_id, target: target.into_owned(), active })
    }
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
    pub fn check(&self) -> Result<CheckedLink<'_>, InvalidLink> {
        CheckedLink::check(&self.short_code, &self.original_url, self.url_id, self.owner_id, self.is_active)
    }
}
