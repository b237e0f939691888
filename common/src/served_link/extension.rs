//! The extension of an encoded link: the fields that few links have, as entries of tag, length and value.

use std::time::SystemTime;

use crate::placeholders::Template;
use crate::routing::Routing;
use crate::{ClickLimit, RedirectStatus, Timestamp};

/// The fields that few links have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extension<'a> {
    /// The header form of the target, if it differs from the given text.
    pub(super) location: Option<&'a str>,
    /// The header form of the target with its placeholders, if it has any.
    pub(super) template: Option<Template<'a>>,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) starts_at: Option<Timestamp>,
    pub(super) expired_url: Option<&'a str>,
    /// The header form of the expired url, if it differs from the given text.
    pub(super) expired_location: Option<&'a str>,
    pub(super) redirect_status: Option<RedirectStatus>,
    pub(super) forward_query: Option<bool>,
    pub(super) max_clicks: Option<ClickLimit>,
    pub(super) is_exhausted: bool,
    /// The bytes of the rules; empty without a rule.
    pub(super) rules: &'a [u8],
    /// The bytes of the split; empty without a variant.
    pub(super) split: &'a [u8],
}

/// Tags of the entries of an extension. The tag of a field is never reused for another field.
mod tag {
    pub(super) const LOCATION: u8 = 1;
    pub(super) const EXPIRES_AT: u8 = 2;
    pub(super) const STARTS_AT: u8 = 3;
    pub(super) const EXPIRED_URL: u8 = 4;
    pub(super) const EXPIRED_LOCATION: u8 = 5;
    pub(super) const REDIRECT_STATUS: u8 = 6;
    pub(super) const FORWARD_QUERY: u8 = 7;
    pub(super) const MAX_CLICKS: u8 = 10;
    pub(super) const IS_EXHAUSTED: u8 = 11;
    pub(super) const RULES: u8 = 8;
    pub(super) const SPLIT: u8 = 9;
    pub(super) const TEMPLATE: u8 = 12;
}

impl<'a> Extension<'a> {
    /// Returns the header form of the target, if it differs from the given text.
    pub fn location(&self) -> Option<&'a str> {
        self.location
    }

    /// Returns the target with its placeholders, if it has any.
    pub fn template(&self) -> Option<Template<'a>> {
        self.template
    }

    /// Returns whether a target of the link has placeholders, so that it may have a path behind its code.
    pub fn has_placeholders(&self) -> bool {
        self.template.is_some() || self.routing().is_some_and(|routing| routing.has_placeholders())
    }

    /// Returns whether the link has not started at a time.
    pub fn is_scheduled(&self, at: SystemTime) -> bool {
        self.starts_at.is_some_and(|start| Timestamp::from(at) < start)
    }

    /// Returns whether the link is expired at a time.
    pub fn has_expired(&self, at: SystemTime) -> bool {
        self.expires_at.is_some_and(|end| Timestamp::from(at) >= end)
    }

    /// Returns the value of the `Location` header of the expired link: bytes 0x21 to 0x7e only.
    pub fn expired_location(&self) -> Option<&'a str> {
        self.expired_location.or(self.expired_url)
    }

    /// Returns whether the number of clicks of the link is limited.
    pub fn is_limited(&self) -> bool {
        self.max_clicks.is_some()
    }

    /// Returns whether the limit of clicks is used up.
    pub fn is_exhausted(&self) -> bool {
        self.is_exhausted && self.is_limited()
    }

    /// Returns the status of the redirect. A link with an end, rules, a split or a limit never has a permanent one.
    pub fn redirect_status(&self, default: RedirectStatus) -> RedirectStatus {
        let status = self.redirect_status.unwrap_or(default);
        let may_change = self.expires_at.is_some() || self.is_limited() || self.routing().is_some();
        if status.is_permanent() && may_change { RedirectStatus::FOUND } else { status }
    }

    /// Returns whether the query of a request is merged into the target, if the link decides it.
    pub fn forward_query(&self) -> Option<bool> {
        self.forward_query
    }

    /// Returns the rules and the split, if the link has any.
    #[inline]
    pub fn routing(&self) -> Option<Routing<'a>> {
        Routing::of(self.rules, self.split)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let mut put = |tag: u8, value: &[u8]| {
            out.push(tag);
            out.extend(u32::try_from(value.len()).expect("a value is shorter than 4 GiB").to_le_bytes());
            out.extend(value);
        };
        if let Some(location) = self.location {
            put(tag::LOCATION, location.as_bytes());
        }
        if let Some(template) = self.template {
            put(tag::TEMPLATE, template.as_bytes());
        }
        if let Some(end) = self.expires_at {
            put(tag::EXPIRES_AT, &end.unix_seconds().to_le_bytes());
        }
        if let Some(start) = self.starts_at {
            put(tag::STARTS_AT, &start.unix_seconds().to_le_bytes());
        }
        if let Some(target) = self.expired_url {
            put(tag::EXPIRED_URL, target.as_bytes());
        }
        if let Some(location) = self.expired_location {
            put(tag::EXPIRED_LOCATION, location.as_bytes());
        }
        if let Some(status) = self.redirect_status {
            put(tag::REDIRECT_STATUS, &status.code().to_le_bytes());
        }
        if let Some(forward) = self.forward_query {
            put(tag::FORWARD_QUERY, &[u8::from(forward)]);
        }
        if let Some(limit) = self.max_clicks {
            put(tag::MAX_CLICKS, &limit.get().to_le_bytes());
        }
        if self.is_exhausted {
            put(tag::IS_EXHAUSTED, &[]);
        }
        for (tag, bytes) in [(tag::RULES, self.rules), (tag::SPLIT, self.split)] {
            if !bytes.is_empty() {
                put(tag, bytes);
            }
        }
    }

    pub(super) fn decode(mut entries: &'a [u8]) -> Option<Extension<'a>> {
        let mut extension = Extension::default();
        while let Some((&tag, rest)) = entries.split_first() {
            let (len, rest) = rest.split_first_chunk()?;
            let (value, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
            match tag {
                tag::LOCATION => extension.location = Some(std::str::from_utf8(value).ok()?),
                tag::EXPIRES_AT => extension.expires_at = Some(decode_time(value)?),
                tag::STARTS_AT => extension.starts_at = Some(decode_time(value)?),
                tag::EXPIRED_URL => extension.expired_url = Some(std::str::from_utf8(value).ok()?),
                tag::EXPIRED_LOCATION => extension.expired_location = Some(std::str::from_utf8(value).ok()?),
                tag::REDIRECT_STATUS => {
                    let code = i16::from_le_bytes(value.try_into().ok()?);
                    extension.redirect_status = Some(RedirectStatus::try_from(i64::from(code)).ok()?);
                }
                tag::TEMPLATE => extension.template = Some(Template::decode(value)?),
                tag::FORWARD_QUERY => extension.forward_query = Some(value == [1]),
                tag::MAX_CLICKS => {
                    let limit = i64::from_le_bytes(value.try_into().ok()?);
                    extension.max_clicks = Some(ClickLimit::try_from(limit).ok()?);
                }
                tag::IS_EXHAUSTED => extension.is_exhausted = true,
                tag::RULES => extension.rules = value,
                tag::SPLIT => extension.split = value,
                _ => {}
            }
            entries = rest;
        }
        Some(extension)
    }
}

fn decode_time(value: &[u8]) -> Option<Timestamp> {
    Some(Timestamp::from_unix_seconds(i64::from_le_bytes(value.try_into().ok()?)))
}
