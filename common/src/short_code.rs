//! Short codes: the path segments that name links.

use std::borrow::Borrow;
use std::fmt;

use serde::Serialize;

use crate::json::deserialize_by_parse;

/// A short code: 1 to 64 characters of `0-9 A-Z a-z - _`, case-sensitive, and not a reserved word.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(
    feature = "schema",
    schema(value_type = String, min_length = 1, max_length = 64, pattern = "^[0-9A-Za-z_-]+$", example = "summer-sale")
)]
pub struct ShortCode(Box<str>);

deserialize_by_parse!(ShortCode);

/// The reason to refuse a text as a short code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidShortCode {
    #[error("a short code has 1 to {} characters", ShortCode::MAX_LEN)]
    Length,
    #[error("a short code has only letters, digits, '-' and '_'")]
    Character,
    #[error("this short code is reserved for a page of the service")]
    Reserved,
}

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The words that no short code may be: first path segments of the API, and a few that it may need later.
///
/// A link with such a code could not be followed on the port that serves API and redirects.
/// A test of the admin plane compares this list with its router.
pub const RESERVED: [&str; 23] = [
    "admin",
    "api",
    "audit",
    "docs",
    "events",
    "favicon.ico",
    "health",
    "live",
    "login",
    "logs",
    "metrics",
    "openapi.json",
    "products",
    "ready",
    "rest",
    "robots.txt",
    "static",
    "stats",
    "system",
    "tags",
    "tokens",
    "urls",
    "users",
];

impl ShortCode {
    pub const MAX_LEN: usize = 64;

    /// The default length of generated codes: there are 62^6 = 5.7e10 of them.
    pub const DEFAULT_LEN: usize = 6;

    pub fn parse(text: &str) -> Result<ShortCode, InvalidShortCode> {
        ShortCode::check(text).map(|()| ShortCode(text.into()))
    }

    /// Checks a text without building a short code.
    pub fn check(text: &str) -> Result<(), InvalidShortCode> {
        if !ShortCode::has_shape(text.as_bytes()) {
            let length_is_right = (1..=ShortCode::MAX_LEN).contains(&text.len());
            return Err(if length_is_right { InvalidShortCode::Character } else { InvalidShortCode::Length });
        }
        if RESERVED.contains(&text) {
            return Err(InvalidShortCode::Reserved);
        }
        Ok(())
    }

    /// Returns whether `bytes` have the length and the characters of a short code, as each key of the link map has.
    pub fn has_shape(bytes: &[u8]) -> bool {
        (1..=ShortCode::MAX_LEN).contains(&bytes.len())
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    }

    /// Returns a random code of `len` base62 characters. The operating system's generator makes it unpredictable.
    ///
    /// # Panics
    /// If `len` is not 1 to 64, or the operating system has no random bytes.
    pub fn generate(len: usize) -> ShortCode {
        assert!((1..=ShortCode::MAX_LEN).contains(&len), "a short code has 1 to 64 characters");
        let mut code = String::with_capacity(len);
        loop {
            let mut random = [0u8; ShortCode::MAX_LEN];
            getrandom::fill(&mut random).expect("the operating system has random bytes");
            // 248 is 4 * 62. Larger bytes would favour the first characters of the alphabet.
            let unbiased = random.iter().filter(|&&b| b < 248).map(|b| char::from(BASE62[usize::from(b % 62)]));
            code.extend(unbiased.take(len - code.len()));
            if code.len() == len {
                match ShortCode::parse(&code) {
                    Ok(code) => return code,
                    Err(_) => code.clear(),
                }
            }
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Display for ShortCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for ShortCode {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn code_with_a_wrong_shape_or_a_reserved_word_is_refused() {
        let check = |text: &str, expected: Result<(), InvalidShortCode>| {
            assert_eq!(ShortCode::parse(text).map(|_| ()), expected, "{text:?}");
        };
        check("CODE12", Ok(()));
        check("no-such_code-here", Ok(()));
        check(&"a".repeat(64), Ok(()));
        check(&"a".repeat(65), Err(InvalidShortCode::Length));
        check("", Err(InvalidShortCode::Length));
        check("a b", Err(InvalidShortCode::Character));
        check("a/b", Err(InvalidShortCode::Character));
        check("é", Err(InvalidShortCode::Character));
        check("health", Err(InvalidShortCode::Reserved));
        check("Health", Ok(()));
    }

    #[test]
    fn generated_codes_have_the_length_use_the_whole_alphabet_and_differ() {
        let codes: Vec<ShortCode> = (0..5_000).map(|_| ShortCode::generate(6)).collect();
        assert!(codes.iter().all(|c| c.as_str().len() == 6));
        let characters: HashSet<char> = codes.iter().flat_map(|c| c.as_str().chars()).collect();
        assert_eq!(characters.len(), 62);
        assert_eq!(codes.iter().collect::<HashSet<_>>().len(), 5_000);
        assert_eq!(ShortCode::generate(64).as_str().len(), 64);
    }
}
