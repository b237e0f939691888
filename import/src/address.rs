//! Short addresses: their host and their code.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// A short address in two parts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// The host in lower case, with a port that is given.
    pub(crate) host: String,
    /// The path without slashes around it; empty for the root of the host.
    pub(crate) code: String,
}

/// Splits an address with or without a scheme. A query and a fragment are left out.
pub(crate) fn split(text: &str) -> Address {
    let text = without_scheme(text.trim());
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let (host, path) = text.split_once('/').unwrap_or((text, ""));
    let code = path.trim_matches('/');
    let decoded = percent_decode_str(code).decode_utf8().unwrap_or(Cow::Borrowed(code));
    Address { host: host.to_lowercase(), code: decoded.into_owned() }
}

/// Returns the host of a domain, which may be written as an address.
pub(crate) fn host(text: &str) -> String {
    split(text).host
}

/// Returns whether a back-half is a whole address, and not only a code.
pub(crate) fn is_address(text: &str) -> bool {
    text.contains("://") || text.trim().trim_matches('/').contains('/')
}

/// Returns whether a text begins with `http://` or `https://`.
pub(crate) fn is_http(text: &str) -> bool {
    let has = |scheme: &str| text.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme));
    has("http://") || has("https://")
}

fn without_scheme(text: &str) -> &str {
    text.split_once("://").map_or(text, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_split_into_host_and_code() {
        let check = |text: &str, host: &str, code: &str| {
            assert_eq!(split(text), Address { host: host.to_owned(), code: code.to_owned() }, "{text:?}");
        };
        check("https://bit.ly/3xAmPle", "bit.ly", "3xAmPle");
        check("bit.ly/3xAmPle", "bit.ly", "3xAmPle");
        check("HTTP://Go.Example.com/Spring/?a=1#b", "go.example.com", "Spring");
        check("https://s.example.com:8080/my/campaign", "s.example.com:8080", "my/campaign");
        check("https://d.example.com/gr%C3%BCn", "d.example.com", "grün");
        check("https://d.example.com/%FF", "d.example.com", "%FF");
        check("https://d.example.com", "d.example.com", "");
        check("https://d.example.com/", "d.example.com", "");
        check("", "", "");
    }

    #[test]
    fn back_half_is_an_address_only_with_a_host() {
        assert!(is_address("https://go.example.com/Spring"));
        assert!(is_address("go.example.com/Spring"));
        assert!(!is_address("Spring"));
        assert!(!is_address("/Spring/"));
        assert!(!is_address("v1.2"));
    }
}
