//! Search for a text in urls, by the trigrams of the column `search_text`.
//!
//! The column is ASCII in lower case: each octet of other characters is `\ooo`, a backslash is `\\`, and the digits 0 to 7
//! are the letters A to H. So the extension finds every text, whatever the locale of the database calls a letter.

use std::fmt::Write as _;

use crate::store::url_list::{Bound, Sql};
use crate::url::SearchTerm;

/// The limit up to which rows with two characters are counted: no index leads to frequent ones.
pub(super) const COUNTED_PAIRS: u64 = 1_000;

/// Returns whether a text has two characters, so that it is in many rows, and the index has no trigram of it.
pub(super) fn is_pair(term: &SearchTerm) -> bool {
    encode(&term.folded()).len() == 2
}

/// Returns the condition for rows that are read one after the other. It costs a third of [`condition`].
pub(super) fn scanned(term: &SearchTerm) -> Sql {
    Sql::new("strpos(search_text, ?) > 0", [Bound::Text(encode(&term.folded()))])
}

/// Returns the condition that finds a text by the index.
pub(super) fn condition(term: &SearchTerm) -> Sql {
    let needle = encode(&term.folded());
    match *needle.as_bytes() {
        // Two letters have no trigram. Any third character follows them, since a line break ends each text.
        [a, b] if b.is_ascii_alphanumeric() => {
            let pattern = format!("{}{}[\\u0001-\\u007f]", literal(a), literal(b));
            Sql::new("search_text ~ ?", [Bound::Text(pattern)])
        }
        [a, b] if a.is_ascii_alphanumeric() => {
            let pattern = format!("[\\u0001-\\u007f]{}{}", literal(a), literal(b));
            Sql::new("search_text ~ ?", [Bound::Text(pattern)])
        }
        _ => {
            let escaped = needle.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
            Sql::new("search_text LIKE ?", [Bound::Text(format!("%{escaped}%"))])
        }
    }
}

/// Encodes a text in lower case as the column has it.
fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'0'..=b'7' => encoded.push(char::from(byte - b'0' + b'A')),
            b'\\' => encoded.push_str("\\\\"),
            0x80.. => write!(encoded, "\\{byte:03o}").unwrap_or_default(),
            _ => encoded.push(char::from(byte)),
        }
    }
    encoded
}

/// Returns a regular expression that matches one character.
fn literal(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("\\u{byte:04x}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_encoded_as_ascii_without_the_digits_of_octal_numbers() {
        assert_eq!(encode("a\\é_789"), "a\\\\\\303\\251_H89");
    }
}
