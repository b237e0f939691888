//! The short code and its signs in the path and the query of a request. Pure: bytes only.

use tern_common::ShortCode;

/// Returns a query without the mark of a QR code at its start, and whether it had the mark: `qr` without a value.
///
/// Parameters that an app appends to the address in the code follow the mark.
pub fn without_qr_mark(query: &[u8]) -> (&[u8], bool) {
    match query {
        b"qr" => (b"", true),
        [b'q', b'r', b'&', rest @ ..] => (rest, true),
        _ => (query, false),
    }
}

/// A buffer for the code of a path and the sign of a preview.
pub type CodeBuffer = [u8; ShortCode::MAX_LEN + 1];

/// The parts of a request path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CodePath<'a> {
    /// The short code, percent-decoded once. `None` if no short code has this form.
    pub code: Option<&'a str>,
    /// Whether the path ends with the sign of a preview, a `+`.
    pub is_preview: bool,
    /// The path behind the code and its slash as it was sent, without the sign of a preview; `None` if there is no slash.
    pub rest: Option<&'a [u8]>,
}

/// Returns the parts of a request path.
///
/// The sign of a preview may be percent-encoded behind a code. Behind a further segment it is a part of that then.
pub fn code_of_path<'a>(path: &'a [u8], buffer: &'a mut CodeBuffer) -> CodePath<'a> {
    let segments = path.strip_prefix(b"/").unwrap_or_default();
    // Most paths are a code.
    if ShortCode::has_shape(segments) {
        return CodePath { code: std::str::from_utf8(segments).ok(), ..CodePath::default() };
    }
    let (first, rest) = match memchr::memchr(b'/', segments) {
        Some(slash) => (&segments[..slash], Some(&segments[slash + 1..])),
        None => (segments, None),
    };
    let first = decode(first, buffer).unwrap_or_default();
    let is_code = ShortCode::has_shape(first);
    let unsigned = if rest.is_some() || is_code { None } else { first.strip_suffix(b"+") };
    let code = unsigned.unwrap_or(first);
    let code = if ShortCode::has_shape(code) { std::str::from_utf8(code).ok() } else { None };
    let unsigned_rest = rest.and_then(|rest| rest.strip_suffix(b"+"));
    let is_preview = code.is_some() && (unsigned.is_some() || unsigned_rest.is_some());
    CodePath { code, is_preview, rest: unsigned_rest.or(rest) }
}

/// Percent-decodes a segment. `None` if it is too long for a code.
fn decode<'a>(segment: &'a [u8], buffer: &'a mut CodeBuffer) -> Option<&'a [u8]> {
    if !segment.contains(&b'%') {
        return Some(segment);
    }
    let mut len = 0;
    for byte in percent_encoding::percent_decode(segment) {
        *buffer.get_mut(len)? = byte;
        len += 1;
    }
    Some(&buffer[..len])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_of_path_accepts_only_the_form_of_a_short_code() {
        let check = |path: &str, expected: Option<&str>| {
            let mut buffer = [0; ShortCode::MAX_LEN + 1];
            let found = code_of_path(path.as_bytes(), &mut buffer);
            let code = found.code.filter(|_| found.rest.is_none());
            assert_eq!((code, found.is_preview), (expected, false), "{path}");
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
    fn only_the_mark_of_a_qr_code_is_taken_off_a_query() {
        let check = |query: &str, rest: &str, is_from_qr: bool| {
            assert_eq!(without_qr_mark(query.as_bytes()), (rest.as_bytes(), is_from_qr), "{query}");
        };
        check("qr", "", true);
        check("qr&", "", true);
        check("qr&a=1", "a=1", true);
        check("qr&qr", "qr", true);
        for other in ["", "q", "qr=", "qr=1", "qrs", "QR", "a=qr", "a=1&qr", "&qr"] {
            check(other, other, false);
        }
    }

    #[test]
    fn code_of_path_with_a_plus_asks_for_a_preview() {
        let check = |path: &str, expected: Option<&str>| {
            let mut buffer = [0; ShortCode::MAX_LEN + 1];
            let CodePath { code, is_preview, .. } = code_of_path(path.as_bytes(), &mut buffer);
            assert_eq!((code, is_preview), (expected, expected.is_some()), "{path}");
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
    #[test]
    fn path_behind_a_code_is_returned_as_it_was_sent() {
        let check = |path: &str, code: Option<&str>, rest: &str, is_preview: bool| {
            let mut buffer = [0; ShortCode::MAX_LEN + 1];
            let found = code_of_path(path.as_bytes(), &mut buffer);
            assert_eq!(found, CodePath { code, is_preview, rest: Some(rest.as_bytes()) }, "{path}");
        };
        check("/jira/ABC-1", Some("jira"), "ABC-1", false);
        check("/%6Aira/a%2Fb//c/", Some("jira"), "a%2Fb//c/", false);
        check("/jira/", Some("jira"), "", false);
        check("/jira/ABC-1+", Some("jira"), "ABC-1", true);
        check("/jira/c++", Some("jira"), "c+", true);
        check("/jira/c%2B%2b", Some("jira"), "c%2B%2b", false);
        check("/jira+/ABC-1", None, "ABC-1", false);
        check("/jira%2B/ABC-1+", None, "ABC-1", false);
        check("//ABC-1", None, "ABC-1", false);
        check(&format!("/{}/x", "a".repeat(65)), None, "x", false);
    }
}
