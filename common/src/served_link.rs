//! Links in the form that redirectors serve. Only this file defines, checks, encodes and decodes their fields.
//!
//! ```text
//! LinkRow       an unchecked row of the store or of a file
//! LinkEncoder   checks a row and encodes it
//! EncodedLink   the encoded bytes, in the map and in the snapshot file
//! ServedLink    a checked link that borrows from its bytes
//! ```
//!
//! Layout, with little-endian integers: flags (1 byte); length of the code (1); length of the target (2); length of the
//! extension (4, if flagged); ids of the url and of its owner (4 each, or 8 if flagged); code; target; extension.
//! A plain link has 12 bytes beside code and target.
//!
//! The extension contains fields that few links have, as entries of tag (1), length (4) and value. A default value is not
//! written. An unknown tag is skipped, just as unknown columns of a newer store are not read.

mod extension;

use std::ops::Range;

pub use self::extension::Extension;
use crate::click_limit::InvalidClickLimit;
use crate::link_options::InvalidRedirectStatus;
use crate::placeholders::Template;
use crate::routing::{InvalidRules, InvalidSplit, Rules, Split};
use crate::short_code::InvalidShortCode;
use crate::target_url::InvalidTarget;
use crate::{ClickLimit, Id, RedirectStatus, ShortCode, TargetUrl, Timestamp};

/// Columns of the view `served_links`. A snapshot file lists them as the fields that its writer knew.
pub const FIELDS: &[&str] = &[
    "short_code",
    "url_id",
    "owner_id",
    "original_url",
    "is_active",
    "expires_at",
    "starts_at",
    "expired_url",
    "redirect_status",
    "forward_query",
    "max_clicks",
    "is_exhausted",
    "rules",
    "split",
];

/// An unchecked row of the view `served_links`. Another program may have written it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkRow<S = String> {
    pub short_code: S,
    pub url_id: i64,
    pub owner_id: i64,
    pub original_url: S,
    pub is_active: bool,
    /// The time from which the link is expired.
    pub expires_at: Option<Timestamp>,
    /// The time from which the link redirects.
    pub starts_at: Option<Timestamp>,
    /// The address to which the expired link leads.
    pub expired_url: Option<S>,
    /// The status of the redirect, as in [`RedirectStatus`].
    pub redirect_status: Option<i16>,
    /// Whether the query of a request is merged into the target.
    pub forward_query: Option<bool>,
    /// The number of clicks to which the link is limited.
    pub max_clicks: Option<i64>,
    /// Whether the limit is used up.
    pub is_exhausted: bool,
    /// The rules as JSON, as in [`Rules`].
    pub rules: Option<String>,
    /// The split as JSON, as in [`Split`].
    pub split: Option<String>,
}

/// The reason why a row cannot be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLink {
    #[error("an id must be a positive integer")]
    Id,
    #[error(transparent)]
    ShortCode(#[from] InvalidShortCode),
    #[error("original_url {0}")]
    Target(InvalidTarget),
    #[error("expired_url {0}")]
    ExpiredUrl(InvalidTarget),
    #[error(transparent)]
    RedirectStatus(#[from] InvalidRedirectStatus),
    #[error(transparent)]
    ClickLimit(#[from] InvalidClickLimit),
    #[error(transparent)]
    Rules(#[from] InvalidRules),
    #[error(transparent)]
    Split(#[from] InvalidSplit),
}

impl<S> LinkRow<S> {
    /// Returns an active link without optional fields: url 1 of user 1.
    pub fn plain(short_code: S, original_url: S) -> LinkRow<S> {
        LinkRow {
            short_code,
            url_id: 1,
            owner_id: 1,
            original_url,
            is_active: true,
            expires_at: None,
            starts_at: None,
            expired_url: None,
            redirect_status: None,
            forward_query: None,
            max_clicks: None,
            is_exhausted: false,
            rules: None,
            split: None,
        }
    }
}

impl<'a> LinkRow<&'a str> {
    /// Decodes the row of an encoded link from bytes that may be damaged; returns `None` if they are no encoded link.
    pub fn decode(link: &'a [u8]) -> Option<LinkRow<&'a str>> {
        let text = std::str::from_utf8(link.get(text_range(link.first_chunk()?))?).ok()?;
        ServedLink::try_decode(link, text)?.to_row()
    }
}

/// A checked link that borrows from its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServedLink<'a> {
    pub code: &'a str,
    pub url_id: Id,
    /// The owner of the url, to whom its clicks are attributed.
    pub owner_id: Id,
    /// Whether the link redirects. An inactive link is answered 410.
    pub active: bool,
    target: &'a str,
    extension: &'a [u8],
}

impl<'a> ServedLink<'a> {
    /// Returns the target as it was given.
    pub fn original_url(&self) -> &'a str {
        self.target
    }

    /// Returns the value of the `Location` header, before placeholders are filled: bytes 0x21 to 0x7e only.
    #[inline]
    pub fn location(&self) -> &'a str {
        self.extension().and_then(|extension| extension.location).unwrap_or(self.target)
    }

    /// Returns the fields that few links have; `None` for a plain link.
    #[inline]
    pub fn extension(&self) -> Option<Extension<'a>> {
        (!self.extension.is_empty()).then(|| {
            Extension::decode(self.extension)
                .expect("the extension was encoded by this build, or checked when it was read")
        })
    }

    /// Returns whether rules or a split may lead a request to another target than the plain one.
    pub fn varies(&self) -> bool {
        self.extension().is_some_and(|extension| extension.routing().is_some())
    }

    /// Returns whether the link has no other bytes than those that every link has.
    pub fn is_plain(&self) -> bool {
        self.extension.is_empty()
    }

    /// Returns the row of the link; `None` if its extension is damaged.
    pub fn to_row(self) -> Option<LinkRow<&'a str>> {
        let extension = Extension::decode(self.extension)?;
        let routing = extension.routing().unwrap_or_default();
        Some(LinkRow {
            short_code: self.code,
            url_id: self.url_id.get(),
            owner_id: self.owner_id.get(),
            original_url: self.target,
            is_active: self.active,
            expires_at: extension.expires_at,
            starts_at: extension.starts_at,
            expired_url: extension.expired_url,
            redirect_status: extension.redirect_status.map(RedirectStatus::code),
            forward_query: extension.forward_query,
            max_clicks: extension.max_clicks.map(ClickLimit::get),
            is_exhausted: extension.is_exhausted,
            rules: routing.rules_as_json()?,
            split: routing.split_as_json()?,
        })
    }

    /// Decodes a link in place. `text` is its [`text_range`] as a string.
    ///
    /// # Panics
    /// If `link` is no [`EncodedLink`].
    #[inline]
    pub fn decode(link: &'a [u8], text: &'a str) -> ServedLink<'a> {
        ServedLink::try_decode(link, text).expect("the bytes are an encoded link")
    }

    #[inline]
    fn try_decode(link: &'a [u8], text: &'a str) -> Option<ServedLink<'a>> {
        let layout = Layout::of(link.first_chunk()?);
        let (url_id, owner_id) = if layout.flags & WIDE_IDS == 0 {
            let id = |at| Some(i64::from(u32::from_le_bytes(bytes(link, at)?)));
            (id(layout.ids)?, id(layout.ids + 4)?)
        } else {
            let id = |at| Some(i64::from_le_bytes(bytes(link, at)?));
            (id(layout.ids)?, id(layout.ids + 8)?)
        };
        Some(ServedLink {
            code: text.get(..layout.target - layout.code)?,
            url_id: Id::new(url_id)?,
            owner_id: Id::new(owner_id)?,
            active: layout.flags & ACTIVE != 0,
            target: text.get(layout.target - layout.code..layout.extension - layout.code)?,
            extension: link.get(layout.extension..layout.end)?,
        })
    }
}

/// The bytes of a checked link. Only [`LinkEncoder`] creates them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodedLink<'a>(&'a [u8]);

impl<'a> EncodedLink<'a> {
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }
}

/// An encoder of links that reuses its memory, since a start loads millions of links.
#[derive(Clone, Debug, Default)]
pub struct LinkEncoder {
    link: Vec<u8>,
    extension: Vec<u8>,
}

impl LinkEncoder {
    /// Checks a row in place. Only the first extension allocates.
    pub fn check<'a>(&'a mut self, row: &'a LinkRow<impl AsRef<str>>) -> Result<ServedLink<'a>, InvalidLink> {
        check(row, &mut self.extension)
    }

    pub fn encode(&mut self, row: &LinkRow<impl AsRef<str>>) -> Result<EncodedLink<'_>, InvalidLink> {
        Ok(encode(check(row, &mut self.extension)?, &mut self.link))
    }

    /// Encodes a link that was checked before.
    pub fn encode_served(&mut self, link: ServedLink<'_>) -> EncodedLink<'_> {
        encode(link, &mut self.link)
    }
}

fn check<'a>(row: &'a LinkRow<impl AsRef<str>>, extension: &'a mut Vec<u8>) -> Result<ServedLink<'a>, InvalidLink> {
    let (code, given) = (row.short_code.as_ref(), row.original_url.as_ref());
    ShortCode::check(code)?;
    let location = TargetUrl::check(given).map_err(InvalidLink::Target)?;
    let expired_url = row.expired_url.as_ref().map(AsRef::as_ref);
    let expired_location = match expired_url {
        Some(target) => TargetUrl::check_without_placeholders(target).map_err(InvalidLink::ExpiredUrl)?,
        None => None,
    };
    let redirect_status = row.redirect_status.map(|code| RedirectStatus::try_from(i64::from(code))).transpose()?;
    let template = Template::encode(location.as_deref().unwrap_or(given));
    let [mut rules, mut split] = [Vec::new(), Vec::new()];
    if let Some(stored) = &row.rules {
        Rules::parse(stored)?.encode(&mut rules);
    }
    if let Some(stored) = &row.split {
        Split::parse(stored)?.encode(&mut split);
    }
    extension.clear();
    Extension {
        location: location.as_deref(),
        template: template.as_deref().and_then(Template::decode),
        expires_at: row.expires_at,
        starts_at: row.starts_at,
        expired_url,
        expired_location: expired_location.as_deref(),
        redirect_status,
        forward_query: row.forward_query,
        max_clicks: row.max_clicks.map(ClickLimit::try_from).transpose()?,
        is_exhausted: row.is_exhausted,
        rules: &rules,
        split: &split,
    }
    .encode(extension);
    let id = |id| Id::new(id).ok_or(InvalidLink::Id);
    let (url_id, owner_id) = (id(row.url_id)?, id(row.owner_id)?);
    Ok(ServedLink { code, url_id, owner_id, active: row.is_active, target: given, extension })
}

fn encode<'a>(link: ServedLink<'_>, out: &'a mut Vec<u8>) -> EncodedLink<'a> {
    let ServedLink { code, url_id, owner_id, active, target, extension } = link;
    let narrow = |id: Id| u32::try_from(id.get()).ok();
    let ids = narrow(url_id).zip(narrow(owner_id));
    let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
    let flags = flag(active, ACTIVE) | flag(ids.is_none(), WIDE_IDS) | flag(!extension.is_empty(), EXTENDED);
    let code_len = u8::try_from(code.len()).expect("a short code has at most 64 bytes");
    let target_len = u16::try_from(target.len()).expect("a target has at most 8192 bytes").to_le_bytes();
    out.clear();
    out.extend([flags, code_len, target_len[0], target_len[1]]);
    if !extension.is_empty() {
        out.extend(u32::try_from(extension.len()).expect("an encoded link is shorter than 1 MiB").to_le_bytes());
    }
    match ids {
        Some((url_id, owner_id)) => out.extend((u64::from(owner_id) << 32 | u64::from(url_id)).to_le_bytes()),
        None => out.extend((i128::from(owner_id.get()) << 64 | i128::from(url_id.get())).to_le_bytes()),
    }
    out.extend(code.as_bytes());
    out.extend(target.as_bytes());
    out.extend(extension);
    debug_assert!(out.len() <= MAX_ENCODED_LEN);
    EncodedLink(out)
}

/// The first bytes of an encoded link, which determine its length. Every encoded link is at least as long.
pub type Head = [u8; 8];

/// The greatest length of an encoded link in bytes.
pub const MAX_ENCODED_LEN: usize = 1 << 20;

const ACTIVE: u8 = 1;
const WIDE_IDS: u8 = 2;
const EXTENDED: u8 = 4;

/// The offsets of the parts of an encoded link.
struct Layout {
    flags: u8,
    ids: usize,
    code: usize,
    target: usize,
    extension: usize,
    end: usize,
}

impl Layout {
    #[inline]
    fn of(head: &Head) -> Layout {
        let flags = head[0];
        let code_len = usize::from(head[1]);
        let target_len = usize::from(u16::from_le_bytes([head[2], head[3]]));
        let (extension_len, ids) = if flags & EXTENDED == 0 {
            (0, 4)
        } else {
            (u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize, 8)
        };
        let code = ids + if flags & WIDE_IDS == 0 { 8 } else { 16 };
        let target = code + code_len;
        let extension = target + target_len;
        Layout { flags, ids, code, target, extension, end: extension + extension_len }
    }
}

/// Returns the length of the encoded link that begins with `head`.
#[inline]
pub fn encoded_len(head: &Head) -> usize {
    Layout::of(head).end
}

/// Returns the range of the code and the target, which are adjacent strings, in the encoded link that begins with `head`.
#[inline]
pub fn text_range(head: &Head) -> Range<usize> {
    let layout = Layout::of(head);
    layout.code..layout.extension
}

/// Returns the range of the code in the encoded link that begins with `head`.
#[inline]
pub fn code_range(head: &Head) -> Range<usize> {
    let layout = Layout::of(head);
    layout.code..layout.target
}

#[inline]
fn bytes<const N: usize>(link: &[u8], at: usize) -> Option<[u8; N]> {
    link.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests;
