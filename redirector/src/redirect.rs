//! The order of decisions about a request for a short code. Pure: no I/O, no lock, no allocation, no error value.

use std::net::IpAddr;
use std::time::SystemTime;

use tern_common::ShortCode;

use crate::http::Method;
use crate::link_map::{LinkMap, MapPin};
use crate::outcome::{Kind, Outcome};

/// A request for a short code, on either port.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// The path as it was sent, without the query.
    pub path: &'a [u8],
    /// The short code in the path, by [`code_of_path`].
    pub code: Option<&'a str>,
    /// Whether the path ends with the sign of a preview, by [`code_of_path`].
    pub is_preview: bool,
    pub method: Method,
    pub at: SystemTime,
    pub peer: IpAddr,
    /// Whether the request is of HTTP/1.0, which many proxies send by default.
    pub is_http_1_0: bool,
    /// The slot of the recorder and of the counters: a worker's number, or a result of `Engine::beside_workers`.
    pub affinity: usize,
}

/// A buffer for the code of a path and the sign of a preview.
pub type CodeBuffer = [u8; ShortCode::MAX_LEN + 1];

/// Returns the short code in a request path, percent-decoded once, and whether `+` behind it asks for a preview.
/// `None` if no short code has this form.
pub fn code_of_path<'a>(path: &'a [u8], buffer: &'a mut CodeBuffer) -> (Option<&'a str>, bool) {
    let segment = segment_of_path(path, buffer).unwrap_or_default();
    if ShortCode::has_shape(segment) {
        return (std::str::from_utf8(segment).ok(), false);
    }
    let code = segment.strip_suffix(b"+").filter(|code| ShortCode::has_shape(code));
    (code.and_then(|code| std::str::from_utf8(code).ok()), code.is_some())
}

/// Returns the path behind its slash, percent-decoded once. `None` if it is too long for a code.
fn segment_of_path<'a>(path: &'a [u8], buffer: &'a mut CodeBuffer) -> Option<&'a [u8]> {
    let segment = path.strip_prefix(b"/")?;
    if segment.contains(&b'%') {
        let mut len = 0;
        for byte in percent_encoding::percent_decode(segment) {
            *buffer.get_mut(len)? = byte;
            len += 1;
        }
        Some(&buffer[..len])
    } else {
        Some(segment)
    }
}

/// Decides about one request. Both ports use this order of decisions.
pub fn decide<'a>(map: &'a LinkMap, pin: &'a MapPin, visit: &Visit<'a>) -> Outcome<'a> {
    // Until its first load, the map proves neither that a link exists nor that it is absent.
    if !map.is_loaded() {
        return Kind::NotReady.into();
    }
    let Some(code) = visit.code else {
        let is_root = visit.path == b"/" && visit.method != Method::Other;
        return if is_root { Kind::Root.into() } else { Kind::NoCode.into() };
    };
    let Some(link) = map.find(pin, code) else { return Outcome::not_found(code) };
    if visit.method == Method::Other {
        return Kind::OtherMethod.into();
    }
    if !link.active {
        return Kind::Gone.into();
    }
    if link.extension().is_some_and(|extension| extension.has_expired(visit.at)) {
        return Kind::Expired.into();
    }
    if visit.is_preview {
        return Outcome::preview(link);
    }
    Outcome::redirect(link)
}

#[cfg(test)]
mod tests {
    use tern_common::Timestamp;
    use tern_common::served_link::LinkRow;

    use super::*;
    use crate::link_map::Replacement;

    #[test]
    fn code_of_path_accepts_only_the_form_of_a_short_code() {
        let check = |path: &str, expected: Option<&str>| {
            let mut buffer = [0; ShortCode::MAX_LEN + 1];
            assert_eq!(code_of_path(path.as_bytes(), &mut buffer), (expected, false), "{path}");
        };
        check("/CODE12", Some("CODE12"));
        check("/no-such_code", Some("no-such_code"));
        check("/%43ODE12", Some("CODE12"));
        check("/%43%4f%44%45%31%32", Some("CODE12"));
        check("/%2543ODE12", None);
        check("/CODE12/", None);
        check("//CODE12", None);
        check("/CODE12%2F", None);
        check("/a/b", None);
        check("/%00", None);
        check("/%0d%0aSet-Cookie:%20x=1", None);
        check("/%zz", None);
        check("/%", None);
        check("/", None);
        check("", None);
        check("CODE12", None);
        check("/é", None);
        check(&format!("/{}", "a".repeat(64)), Some(&"a".repeat(64)));
        check(&format!("/{}", "a".repeat(65)), None);
        check(&format!("/{}", "%61".repeat(64)), Some(&"a".repeat(64)));
        check(&format!("/{}", "%61".repeat(65)), None);
    }

    #[test]
    fn code_of_path_with_a_plus_asks_for_a_preview() {
        let check = |path: &str, expected: Option<&str>| {
            let mut buffer = [0; ShortCode::MAX_LEN + 1];
            assert_eq!(code_of_path(path.as_bytes(), &mut buffer), (expected, expected.is_some()), "{path}");
        };
        check("/CODE12+", Some("CODE12"));
        check("/CODE12%2B", Some("CODE12"));
        check("/%43ODE12+", Some("CODE12"));
        check(&format!("/{}+", "a".repeat(64)), Some(&"a".repeat(64)));
        check(&format!("/{}%2b", "%61".repeat(64)), Some(&"a".repeat(64)));
        check(&format!("/{}+", "a".repeat(65)), None);
        check("/+", None);
        check("/CODE12++", None);
        check("/+CODE12", None);
        check("/CO+DE12", None);
        check("/CODE12+/", None);
        check("/CODE12%252B", None);
    }

    fn visit(code: Option<&str>, method: Method) -> Visit<'_> {
        let peer = std::net::Ipv4Addr::LOCALHOST.into();
        let at = SystemTime::UNIX_EPOCH;
        Visit { path: b"/path", code, is_preview: false, method, at, peer, is_http_1_0: false, affinity: 0 }
    }

    #[test]
    fn decision_checks_readiness_code_link_method_and_state_in_this_order() {
        use Method::{Get, Head, Other};
        let (map, mut writer) = LinkMap::new();
        let check = |code: Option<&str>, method: Method, expected: (Kind, Option<&str>)| {
            MapPin::scope(|pin| {
                let outcome = decide(&map, pin, &visit(code, method));
                assert_eq!((outcome.kind, outcome.link.map(|link| link.location())), expected, "{method:?} {code:?}");
            });
        };
        check(Some("CODE12"), Get, (Kind::NotReady, None));
        check(None, Get, (Kind::NotReady, None));
        let mut links = Replacement::default();
        for (code, is_active, end) in
            [("CODE12", true, None), ("GONE12", false, None), ("ENDED1", true, Some(0)), ("ENDS12", true, Some(1))]
        {
            let expires_at = end.map(Timestamp::from_unix_seconds);
            links.put(&LinkRow { is_active, expires_at, ..LinkRow::plain(code, "https://example.com/") }).unwrap();
        }
        // The links of a snapshot file are not served yet: the store may have changed them.
        writer.replace(links);
        check(Some("CODE12"), Get, (Kind::NotReady, None));
        check(Some("GONE12"), Get, (Kind::NotReady, None));
        check(Some("code12"), Get, (Kind::NotReady, None));
        writer.declare_loaded();
        check(None, Get, (Kind::NoCode, None));
        check(None, Other, (Kind::NoCode, None));
        check(Some("code12"), Get, (Kind::NotFound, None));
        check(Some("code12"), Other, (Kind::NotFound, None));
        check(Some("CODE12"), Other, (Kind::OtherMethod, None));
        check(Some("GONE12"), Other, (Kind::OtherMethod, None));
        check(Some("GONE12"), Get, (Kind::Gone, None));
        check(Some("GONE12"), Head, (Kind::Gone, None));
        check(Some("ENDED1"), Get, (Kind::Expired, None));
        check(Some("ENDED1"), Other, (Kind::OtherMethod, None));
        check(Some("ENDS12"), Get, (Kind::Redirect, Some("https://example.com/")));
        check(Some("CODE12"), Get, (Kind::Redirect, Some("https://example.com/")));
        check(Some("CODE12"), Head, (Kind::Redirect, Some("https://example.com/")));

        let check_kind = |visit: Visit<'_>, expected: Kind| {
            MapPin::scope(|pin| assert_eq!(decide(&map, pin, &visit).kind, expected, "{visit:?}"));
        };
        let preview = |code, method| Visit { is_preview: true, ..visit(Some(code), method) };
        check_kind(preview("code12", Get), Kind::NotFound);
        check_kind(preview("CODE12", Other), Kind::OtherMethod);
        check_kind(preview("GONE12", Get), Kind::Gone);
        check_kind(preview("ENDED1", Get), Kind::Expired);
        check_kind(preview("CODE12", Get), Kind::Preview);
        check_kind(preview("ENDS12", Head), Kind::Preview);
        let root = |method| Visit { path: b"/", ..visit(None, method) };
        check_kind(root(Get), Kind::Root);
        check_kind(root(Head), Kind::Root);
        check_kind(root(Other), Kind::NoCode);
    }
}
