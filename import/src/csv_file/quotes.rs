//! The check of a CSV file's quotes, so that an unclosed quote is not read as a field of many lines.

use std::fmt;

/// The place of the next byte within its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    FieldStart,
    Plain,
    Quoted,
    /// After a quote within a quoted field, which ends the field or is the first of two.
    QuoteSeen,
}

#[derive(Debug)]
pub(crate) struct Quotes {
    separator: u8,
    place: Place,
    line: u64,
    /// The line in which the row of the next byte begins.
    row_line: u64,
    opened_in: u64,
    /// The bytes of a byte order mark that may still follow.
    mark_left: &'static [u8],
}

/// A quote that is not closed, or closed within text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadQuote {
    NeverClosed { opened_in: u64 },
    ClosedWithinText { opened_in: u64, line: u64 },
}

impl Quotes {
    /// Starts at the beginning of a file whose fields are separated by `separator`.
    pub(crate) fn new(separator: u8) -> Quotes {
        Quotes { separator, place: Place::FieldStart, line: 1, row_line: 1, opened_in: 0, mark_left: b"\xef\xbb\xbf" }
    }

    /// Checks `bytes` up to the first that is not allowed.
    ///
    /// # Errors
    /// With the number of bytes before the one that is not allowed.
    pub(crate) fn follow(&mut self, bytes: &[u8]) -> Result<(), (usize, BadQuote)> {
        for (at, &byte) in bytes.iter().enumerate() {
            if let Some((&mark, rest)) = self.mark_left.split_first() {
                self.mark_left = if byte == mark { rest } else { b"" };
                if byte == mark {
                    continue;
                }
            }
            self.place = match (self.place, byte) {
                (Place::FieldStart | Place::QuoteSeen, b'"') => {
                    if self.place == Place::FieldStart {
                        self.opened_in = self.line;
                    }
                    Place::Quoted
                }
                (Place::Quoted, b'"') => Place::QuoteSeen,
                (Place::Quoted, _) => Place::Quoted,
                (_, byte) if byte == self.separator || byte == b'\n' => Place::FieldStart,
                (Place::QuoteSeen, b' ' | b'\t' | b'\r') => Place::QuoteSeen,
                (Place::QuoteSeen, _) => {
                    return Err((at, BadQuote::ClosedWithinText { opened_in: self.opened_in, line: self.line }));
                }
                (Place::FieldStart | Place::Plain, _) => Place::Plain,
            };
            if byte == b'\n' {
                self.line += 1;
                if self.place == Place::FieldStart {
                    self.row_line = self.line;
                }
            }
        }
        Ok(())
    }

    /// Returns the line in which the row of the next byte begins.
    pub(crate) fn row_line(&self) -> u64 {
        self.row_line
    }

    /// Checks that the file may end here.
    pub(crate) fn end(&self) -> Result<(), BadQuote> {
        match self.place {
            Place::Quoted => Err(BadQuote::NeverClosed { opened_in: self.opened_in }),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for BadQuote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadQuote::NeverClosed { opened_in } => write!(f, "the quote opened in line {opened_in} is never closed"),
            BadQuote::ClosedWithinText { opened_in, line } => {
                write!(f, "the quote opened in line {opened_in} is closed in line {line} with text behind it")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<(), BadQuote>) {
        for size in 1..=text.len().max(1) {
            let mut quotes = Quotes::new(b',');
            let followed = text.as_bytes().chunks(size).try_for_each(|piece| quotes.follow(piece));
            let found = followed.map_err(|(_, bad)| bad).and_then(|()| quotes.end());
            assert_eq!(found, expected, "{text:?} in pieces of {size}");
        }
    }

    #[test]
    fn closed_quotes_are_accepted() {
        check("", Ok(()));
        check("a,b\n1,\"2\n2\"\r\n\"3\" ,\"\"\n", Ok(()));
        check("\u{feff}\"a\",\"b\"\n\"ci\"\"d\",5\" wide\n", Ok(()));
        check("a\n\"\"\"\"", Ok(()));
    }

    #[test]
    fn unclosed_quote_is_reported_with_its_line() {
        check("a,b\n1,2\n\"3,4\n5,6\n", Err(BadQuote::NeverClosed { opened_in: 3 }));
        check("a,b\n1,\"2\"\"\n3,4", Err(BadQuote::NeverClosed { opened_in: 2 }));
        check("\u{feff}\"a,b\n", Err(BadQuote::NeverClosed { opened_in: 1 }));
        check("a,b\n1,\"2\n3,\"4\n", Err(BadQuote::ClosedWithinText { opened_in: 2, line: 3 }));
    }
}
