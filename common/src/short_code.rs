//! The path segment that names a link.

use std::borrow::Borrow;
use std::fmt;

use serde::Serialize;

/// A short code: 1 to 64 characters of `0-9 A-Z a-z - _`, case-sensitive, not a reserved word.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ShortCode(Box<str>);

/// Why a text is not a short code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidShortCode {
    #[error("a short code has 1 to {} characters", ShortCode::MAX_LEN)]
    Length,
    #[error("a short code holds only letters, digits, '-' and '_'")]
    Character,
    #[error("this short code is reserved for a page of the service")]
    Reserved,
}

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// First path segments that the admin plane answers itself, and a few it may come to answer.
/// A link under one of them could never be followed on the port that serves both.
/// A test of the admin plane compares this list with its router.
pub const RESERVED: [&str; 17] = [
    "admin",
    "api",
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
    "robots.txt",
    "static",
    "urls",
    "users",
];

impl ShortCode {
    pub const MAX_LEN: usize = 64;

    /// The length of generated codes unless configured otherwise: 62^6 is 5.7e10 codes.
    pub const DEFAULT_LEN: usize = 6;

    pub fn parse(text: &str) -> Result<ShortCode, InvalidShortCode> {
        ShortCode::check(text).map(|()| ShortCode(text.into()))
    }

    /// Whether [`ShortCode::parse`] would take `text`.
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

    /// Whether `bytes` could be a short code at all: what has not this shape is in no map.
    pub fn has_shape(bytes: &[u8]) -> bool {
        (1..=ShortCode::MAX_LEN).contains(&bytes.len())
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    }

    /// A new code of `len` base62 characters from the operating system's generator, so that codes cannot be guessed.
    ///
    /// # Panics
    /// If `len` is not 1 to 64, or the operating system has no randomness to give.
    pub fn generate(len: usize) -> ShortCode {
        assert!((1..=ShortCode::MAX_LEN).contains(&len), "a short code has 1 to 64 characters");
        let mut code = String::with_capacity(len);
        loop {
            let mut random = [0u8; ShortCode::MAX_LEN];
            getrandom::fill(&mut random).expect("the operating system gives random bytes");
            // 248 = 4 * 62: larger bytes would make the first characters of the alphabet more likely.
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
    fn shape_and_reserved_words() {
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
    fn generated_codes_have_the_asked_length_use_the_whole_alphabet_and_differ() {
        let codes: Vec<ShortCode> = (0..5_000).map(|_| ShortCode::generate(6)).collect();
        assert!(codes.iter().all(|c| c.as_str().len() == 6));
        let characters: HashSet<char> = codes.iter().flat_map(|c| c.as_str().chars()).collect();
        assert_eq!(characters.len(), 62);
        assert_eq!(codes.iter().collect::<HashSet<_>>().len(), 5_000);
        assert_eq!(ShortCode::generate(64).as_str().len(), 64);
    }
}
