//! Request path and map to outcome. Pure: no I/O, no lock, no allocation, and no error value.

use tern_common::ShortCode;

use crate::link_map::{LinkMap, LinkView, MapPin};

/// What the redirector decided.
#[derive(Debug)]
pub enum Outcome<'a> {
    Redirect(LinkView<'a>),
    /// The link is deactivated.
    Gone,
    NotFound,
    /// There is a link, and the request has a method that no link takes.
    OtherMethod,
    /// The map is not loaded: nothing can be said of any code.
    NotReady,
    /// This client has missed too often.
    Refused {
        retry_after_seconds: u32,
    },
}

/// Room for the code of a path.
pub type CodeBuffer = [u8; ShortCode::MAX_LEN];

/// The short code that a request path names, percent-decoded once; `None` if there can be no such code.
pub fn code_of_path<'a>(path: &'a [u8], buffer: &'a mut CodeBuffer) -> Option<&'a str> {
    let segment = path.strip_prefix(b"/")?;
    let code = if segment.contains(&b'%') {
        let mut len = 0;
        for byte in percent_encoding::percent_decode(segment) {
            *buffer.get_mut(len)? = byte;
            len += 1;
        }
        &buffer[..len]
    } else {
        segment
    };
    if ShortCode::has_shape(code) { std::str::from_utf8(code).ok() } else { None }
}

/// Shows `then` what is to become of a request for `code`. `then` must not yield.
pub fn decide<R>(map: &LinkMap, code: Option<&str>, then: impl FnOnce(Outcome<'_>) -> R) -> R {
    // Asked before the look-up: the map of before its first load says nothing, neither of what it lacks nor of what it has.
    if !map.is_loaded() {
        return then(Outcome::NotReady);
    }
    let Some(code) = code else { return then(Outcome::NotFound) };
    MapPin::scope(|pin| {
        then(match map.find(pin, code) {
            Some(link) if link.active => Outcome::Redirect(link),
            Some(_) => Outcome::Gone,
            None => Outcome::NotFound,
        })
    })
}

#[cfg(test)]
mod tests {
    use tern_common::link::CheckedLink;

    use super::*;
    use crate::link_map::Replacement;

    #[test]
    fn codes_of_paths() {
        let check = |path: &str, expected: Option<&str>| {
            let mut buffer = [0; ShortCode::MAX_LEN];
            assert_eq!(code_of_path(path.as_bytes(), &mut buffer), expected, "{path}");
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
    fn outcomes() {
        let (map, mut writer) = LinkMap::new();
        let name = |code: Option<&str>| {
            decide(&map, code, |outcome| match outcome {
                Outcome::Redirect(link) => link.location().to_owned(),
                other => format!("{other:?}"),
            })
        };
        assert_eq!(name(Some("CODE12")), "NotReady");
        assert_eq!(name(None), "NotReady");
        let mut links = Replacement::default();
        for (code, active) in [("CODE12", true), ("GONE12", false)] {
            links.put(&CheckedLink::check(code, "https://example.com/", 1, 1, active).unwrap());
        }
        // Of a file: others may have come since, and these may have changed.
        writer.replace(links);
        for code in ["CODE12", "GONE12", "code12"] {
            assert_eq!(name(Some(code)), "NotReady");
        }
        writer.declare_loaded();
        assert_eq!(name(Some("CODE12")), "https://example.com/");
        assert_eq!(name(Some("GONE12")), "Gone");
        assert_eq!(name(Some("code12")), "NotFound");
        assert_eq!(name(None), "NotFound");
    }
}
