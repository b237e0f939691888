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

#[cfg(test)]
mod tests {
    use super::*;

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
}
