//! Targets of redirects. Only a [`TargetUrl`] becomes a `Location`.

use std::fmt;

use ::url::Position;
use percent_encoding::{CONTROLS, percent_decode_str, utf8_percent_encode};
use serde::Serialize;

use crate::config::Setting;
use crate::json::deserialize_by_parse;
use crate::placeholders::{self, InvalidPlaceholder};

/// An absolute `http` or `https` URL with a host: the given text, and its form for a header.
///
/// Behind its host it may have [`placeholders`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetUrl {
    given: Box<str>,
    /// The header form, if it differs from the given text.
    location: Option<Box<str>>,
}

deserialize_by_parse!(TargetUrl);

#[cfg(feature = "schema")]
impl utoipa::PartialSchema for TargetUrl {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        let text = utoipa::openapi::ObjectBuilder::new().schema_type(utoipa::openapi::Type::String);
        let described = text.description(Some(
            "An absolute `http` or `https` URL with a host, at most 8192 bytes, without white space and control \
             characters. One at an address of Tern itself is refused. In its path, query and fragment, `{1}` to `{9}`, \
             `{path}` and `{query:name}` are filled from the request that is redirected, but not in `expired_url`.",
        ));
        let bounded = described.min_length(Some(8)).max_length(Some(TargetUrl::MAX_LEN));
        let pattern = bounded.pattern(Some(r"^[Hh][Tt][Tt][Pp][Ss]?://[^\s/?#\\]\S*$"));
        pattern.examples(["https://example.com/hello"]).into()
    }
}

#[cfg(feature = "schema")]
impl utoipa::ToSchema for TargetUrl {}

/// The reason to refuse a text as a target. Each message continues the name of its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    #[error("must have at most {} bytes", TargetUrl::MAX_LEN)]
    TooLong,
    #[error("must not hold white space or control characters")]
    Whitespace,
    #[error("must be an absolute http or https URL")]
    NotHttp,
    #[error("must be a valid URL with a host")]
    Malformed,
    #[error("must not hold a backslash before its path: clients differ in what the host is then")]
    Backslash,
    #[error("must not have a user name that looks like a host, nor more than one @ before its path")]
    UserInfo,
    #[error(transparent)]
    Placeholder(#[from] InvalidPlaceholder),
}

impl TargetUrl {
    /// The greatest length of a given target, in bytes.
    pub const MAX_LEN: usize = 8192;

    pub fn parse(text: &str) -> Result<TargetUrl, InvalidTarget> {
        TargetUrl::check(text).map(|location| TargetUrl { given: text.into(), location })
    }

    /// Checks a target and returns its header form if that differs. Allocates nothing for a plain target.
    pub fn check(text: &str) -> Result<Option<Box<str>>, InvalidTarget> {
        if is_plain(text) { Ok(None) } else { TargetUrl::check_fully(text) }
    }

    /// Checks an address that is not filled from a request, as [`TargetUrl::check`] does.
    pub fn check_without_placeholders(text: &str) -> Result<Option<Box<str>>, InvalidTarget> {
        let location = TargetUrl::check(text)?;
        if placeholders::check(text)? { Err(InvalidPlaceholder::NotHere.into()) } else { Ok(location) }
    }

    fn check_fully(text: &str) -> Result<Option<Box<str>>, InvalidTarget> {
        if text.len() > TargetUrl::MAX_LEN {
            return Err(InvalidTarget::TooLong);
        }
        // The WHATWG parser silently removes tabs, line ends and surrounding blanks, so the checked URL would differ from
        // the served one.
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(InvalidTarget::Whitespace);
        }
        let is_template = text.contains('{') && placeholders::check(text)?;
        // The parser also accepts `http:host` and `http:\\host`, which a client resolves against Tern's own address.
        let authority = strip_scheme(text).ok_or(InvalidTarget::NotHttp)?;
        if authority.starts_with(['/', '\\', '?', '#']) {
            return Err(InvalidTarget::Malformed);
        }
        check_authority(authority.split(['/', '?', '#']).next().unwrap_or_default())?;
        let parsed = ::url::Url::parse(text).map_err(|_| InvalidTarget::Malformed)?;
        if parsed.host_str().is_none_or(str::is_empty) {
            return Err(InvalidTarget::Malformed);
        }
        if text.bytes().all(may_stand_in_header) {
            return Ok(None);
        }
        if is_template {
            // The parser would encode the braces.
            let host = &parsed[..Position::BeforePath];
            let behind_host = &text[placeholders::path_of(text).start..];
            return Ok(Some(format!("{host}{}", utf8_percent_encode(behind_host, CONTROLS)).into()));
        }
        // A serialised URL is ASCII: the host is in punycode, and the rest is percent-encoded.
        debug_assert!(parsed.as_str().bytes().all(may_stand_in_header));
        Ok(Some(String::from(parsed).into()))
    }

    /// Returns the target as it was given.
    pub fn as_given(&self) -> &str {
        &self.given
    }

    /// Returns the value of the `Location` header, before placeholders are filled: bytes 0x21 to 0x7e only.
    pub fn location(&self) -> &str {
        self.location.as_deref().unwrap_or(&self.given)
    }

    /// Refuses an address with placeholders where no request fills them.
    pub fn without_placeholders(self) -> Result<TargetUrl, InvalidTarget> {
        TargetUrl::check_without_placeholders(&self.given).map(|_| self)
    }
}

impl Setting for TargetUrl {
    const EXPECTED: &'static str = "an http or https address such as https://www.example.com/help";

    fn parse(text: &str) -> Option<TargetUrl> {
        TargetUrl::parse(text).and_then(TargetUrl::without_placeholders).ok()
    }
}

/// Returns whether a text is a plain target, which the WHATWG parser always accepts.
///
/// A plain target is visible ASCII without `{`. Its host has letters, digits, dots and single hyphens, and can be neither an IPv4
/// address nor punycode. Nearly all targets are plain, and a start checks millions of them.
fn is_plain(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else { return false };
    let mut before = b'.';
    let mut label_begins_with = b'.';
    for byte in rest.bytes() {
        match byte {
            b'/' | b'?' | b'#' => break,
            b'.' | b'-' if !before.is_ascii_alphanumeric() => return false,
            b'.' | b'-' => {}
            _ if !byte.is_ascii_alphanumeric() => return false,
            _ if before == b'.' => label_begins_with = byte,
            _ => {}
        }
        before = byte;
    }
    text.len() <= TargetUrl::MAX_LEN
        && before.is_ascii_alphanumeric()
        && label_begins_with.is_ascii_alphabetic()
        // Without an early exit, the compiler vectorises the loop.
        && rest.bytes().fold(true, |all, byte| all & may_stand_in_header(byte) & (byte != b'{'))
}

/// Refuses an authority whose host is ambiguous to people or clients.
///
/// Browsers treat `\` as `/`, and other clients treat it as a part of the user name.
/// Therefore clients disagree about the host of `https://good.example\@evil.example/`.
fn check_authority(authority: &str) -> Result<(), InvalidTarget> {
    if authority.contains('\\') {
        return Err(InvalidTarget::Backslash);
    }
    let Some((user_info, _host)) = authority.split_once('@') else { return Ok(()) };
    let user = user_info.split(':').next().unwrap_or_default();
    let looks_like_host = |c: char| matches!(c, '.' | '/' | '\\' | '@' | '\u{3002}' | '\u{ff0e}' | '\u{ff61}');
    let is_deceptive = percent_decode_str(user).decode_utf8_lossy().contains(looks_like_host);
    if is_deceptive || authority.matches('@').count() > 1 { Err(InvalidTarget::UserInfo) } else { Ok(()) }
}

fn strip_scheme(text: &str) -> Option<&str> {
    ["http://", "https://"].into_iter().find_map(|scheme| {
        let head = text.get(..scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then(|| &text[scheme.len()..])
    })
}

fn may_stand_in_header(byte: u8) -> bool {
    (0x21..=0x7e).contains(&byte)
}

impl fmt::Display for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.given)
    }
}

impl Serialize for TargetUrl {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn url_without_http_scheme_or_host_is_refused() {
        let check = |text: &str, expected: Result<&str, InvalidTarget>| {
            let parsed = TargetUrl::parse(text);
            assert_eq!(parsed.as_ref().map(TargetUrl::location).map_err(|e| *e), expected, "{text:?}");
        };
        check("https://example.com/dawn/network/1", Ok("https://example.com/dawn/network/1"));
        check("https://example.com", Ok("https://example.com"));
        check("HTTP://EXAMPLE.com/../x?a=b#c", Ok("HTTP://EXAMPLE.com/../x?a=b#c"));
        check("https://user:pass@[::1]:8443/", Ok("https://user:pass@[::1]:8443/"));
        check("https://münchen.example/ü?ß#ö", Ok("https://xn--mnchen-3ya.example/%C3%BC?%C3%9F#%C3%B6"));
        check("ftp://example.com/", Err(InvalidTarget::NotHttp));
        check("javascript:alert(1)", Err(InvalidTarget::NotHttp));
        check("/relative", Err(InvalidTarget::NotHttp));
        check("//example.com/", Err(InvalidTarget::NotHttp));
        check("http:example.com", Err(InvalidTarget::NotHttp));
        check("http:\\\\example.com", Err(InvalidTarget::NotHttp));
        check("", Err(InvalidTarget::NotHttp));
        check("http://", Err(InvalidTarget::Malformed));
        check("http:///example.com", Err(InvalidTarget::Malformed));
        check("http://?x", Err(InvalidTarget::Malformed));
        check("http://exa mple.com/", Err(InvalidTarget::Whitespace));
        check(" http://example.com/", Err(InvalidTarget::Whitespace));
        check("http://example.com/\u{a0}", Err(InvalidTarget::Whitespace));
        check("http://example.com/\r\nSet-Cookie: x", Err(InvalidTarget::Whitespace));
        check("http://example.com/\u{0}", Err(InvalidTarget::Whitespace));
        check("http://example.com/\u{85}", Err(InvalidTarget::Whitespace));
        check("http://example.com:99999/", Err(InvalidTarget::Malformed));
        check("http://[::1/", Err(InvalidTarget::Malformed));
        check(&format!("http://example.com/{}", "a".repeat(8192)), Err(InvalidTarget::TooLong));
    }

    #[test]
    fn target_with_an_ambiguous_host_is_refused() {
        for text in [
            r"https://good.example\@evil.example/",
            r"https://good.example\evil.example/",
            r"https://evil.example\.good.example",
            r"https://user\:x@evil.example/",
        ] {
            assert_eq!(TargetUrl::parse(text), Err(InvalidTarget::Backslash), "{text}");
        }
        for text in [
            "https://good.example@evil.example/",
            "https://good.example:443@evil.example/",
            "https://good%2Eexample@evil.example/",
            "https://good%2eexample%2F@evil.example/",
            "https://good\u{3002}example@evil.example/",
            "https://a@b@evil.example/",
            "https://user:p@ss@evil.example/",
            "https://user%40mail@evil.example/",
        ] {
            assert_eq!(TargetUrl::parse(text), Err(InvalidTarget::UserInfo), "{text}");
        }
        for text in [
            r"https://example.com/a\b?c\d#e\f",
            r"https://example.com?\@x",
            "https://user@example.com/",
            "https://user:pass.word@example.com/",
            "https://example.com/@user@other",
            "https://example.com/?mail=a@b.example",
        ] {
            assert_eq!(TargetUrl::parse(text).as_ref().map(TargetUrl::location), Ok(text));
        }
    }

    #[test]
    fn target_with_placeholders_keeps_them_in_its_header_form() {
        let check = |text: &str, expected: Result<&str, InvalidTarget>| {
            let parsed = TargetUrl::parse(text);
            assert_eq!(parsed.as_ref().map(TargetUrl::location).map_err(|e| *e), expected, "{text:?}");
        };
        check("https://a.example/{1}/x?q={query:q}#{path}", Ok("https://a.example/{1}/x?q={query:q}#{path}"));
        check("https://a.example/ü/{1}?q={2}", Ok("https://a.example/%C3%BC/{1}?q={2}"));
        check("HTTPS://München.example:443?{query:ü}", Ok("https://xn--mnchen-3ya.example?{query:%C3%BC}"));
        check("https://a.example/../ü/{1}", Ok("https://a.example/../%C3%BC/{1}"));
        check("https://a.example/{id}?filter={\"a\":1}", Ok("https://a.example/{id}?filter={\"a\":1}"));
        check("https://{1}.example/", Err(InvalidPlaceholder::InHost.into()));
        check("https://a.example:{1}/", Err(InvalidPlaceholder::InHost.into()));
        check("{1}", Err(InvalidPlaceholder::InHost.into()));
        check("https://a.example/{0}", Err(InvalidPlaceholder::Unknown.into()));
        check("ftp://a.example/{1}", Err(InvalidTarget::NotHttp));
        check("https://a.example/{query:a b}", Err(InvalidTarget::Whitespace));
    }

    #[test]
    fn address_that_is_not_filled_has_no_placeholders() {
        let parse = |text| TargetUrl::parse(text).and_then(TargetUrl::without_placeholders).map(drop);
        assert_eq!(parse("https://a.example/{id}"), Ok(()));
        assert_eq!(parse("https://a.example/{1}"), Err(InvalidPlaceholder::NotHere.into()));
        assert_eq!(<TargetUrl as Setting>::parse("https://a.example/?code={path}"), None);
    }

    #[test]
    fn plain_target_is_recognised() {
        for text in
            ["https://example.com", "http://a.b-c.example/x?y#z", "https://localhost/", "https://9gag.com/~%zz\"<"]
        {
            assert!(is_plain(text), "{text}");
        }
        for text in [
            "https://1.2.3.4/",
            "https://a.0x1/",
            "https://xn--a.example/",
            "https://a..b/",
            "https://a:1/",
            "https:///",
            "https://a.example/{1}",
        ] {
            assert!(!is_plain(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn location_of_any_target_is_printable_ascii(tail in "\\PC*", host in "[a-zé本-]{1,12}") {
            if let Ok(target) = TargetUrl::parse(&format!("https://{host}.example/{tail}")) {
                prop_assert!(target.location().bytes().all(may_stand_in_header), "{:?}", target.location());
            }
        }

        /// The fast check must agree with the full check.
        #[test]
        fn plain_target_passes_the_full_check_unchanged(host in "[a-cxn0-9A-Z.-]{1,12}|xn--[a-z0-9-]{1,8}", tail in "([/?#:@][!-~]{0,12})?") {
            let text = format!("https://{host}{tail}");
            if is_plain(&text) {
                prop_assert_eq!(TargetUrl::check_fully(&text), Ok(None));
            }
        }

        #[test]
        fn arbitrary_text_does_not_panic(text in "\\PC*") {
            let _ = TargetUrl::parse(&text);
        }
    }
}
