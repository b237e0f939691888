//! The words, texts and symbols of SQL. Comments are left out.

use std::io::Read;

use crate::bytes::Bytes;
use crate::error::FileError;

/// The longest text, name or number in bytes, which bounds the memory.
const MAX_TEXT_LEN: usize = 1024 * 1024;

/// The database whose rules a dump follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// MySQL and MariaDB: a backslash in a text is an escape.
    MySql,
    Sqlite,
}

/// One token. [`Tokens::text`] has its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A keyword, or a name without quotes.
    Word,
    /// A name in backticks or double quotes. MySQL writes texts in double quotes, too.
    Quoted,
    /// A text in single quotes, or bytes in hexadecimal digits.
    Text,
    Number,
    Symbol(u8),
    End,
}

/// The reader of tokens.
#[derive(Debug)]
pub(super) struct Tokens<R> {
    bytes: Bytes<R>,
    dialect: Dialect,
    text: Vec<u8>,
    is_at_end_of_statement: bool,
}

type Result<T> = std::result::Result<T, FileError>;

impl<R: Read> Tokens<R> {
    pub(super) fn new(input: R, dialect: Dialect) -> Result<Tokens<R>> {
        Ok(Tokens { bytes: Bytes::new(input)?, dialect, text: Vec::new(), is_at_end_of_statement: false })
    }

    pub(super) fn into_input(self) -> R {
        self.bytes.into_input()
    }

    /// Returns the text of the token that was read last, unquoted.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Returns whether the token that was read last is a keyword.
    pub(super) fn is(&self, keyword: &str) -> bool {
        self.text.eq_ignore_ascii_case(keyword.as_bytes())
    }

    pub(super) fn wrong(&self, reason: impl Into<String>) -> FileError {
        FileError::at(self.bytes.place(), reason)
    }

    pub(super) fn next(&mut self) -> Result<Token> {
        self.text.clear();
        let byte = self.skip_comments(true)?;
        self.is_at_end_of_statement = matches!(byte, None | Some(b';'));
        let Some(byte) = byte else { return Ok(Token::End) };
        match byte {
            b'\'' => self.quoted(b'\'', true).map(|()| Token::Text),
            b'"' | b'`' => self.quoted(byte, true).map(|()| Token::Quoted),
            b'[' if self.dialect == Dialect::Sqlite => self.quoted(b']', true).map(|()| Token::Quoted),
            b'0'..=b'9' => self.number(byte),
            b'-' | b'+' if self.bytes.peek()?.is_some_and(|next| next.is_ascii_digit() || next == b'.') => {
                self.number(byte)
            }
            b'.' if self.bytes.peek()?.is_some_and(|next| next.is_ascii_digit()) => self.number(byte),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'$' | b'@' | 0x80.. => {
                self.word(byte)?;
                let is_hexadecimal = matches!(self.text.as_slice(), b"x" | b"X");
                if !is_hexadecimal || self.bytes.peek()? != Some(b'\'') {
                    return Ok(Token::Word);
                }
                self.bytes.next()?;
                self.text.clear();
                self.quoted(b'\'', true)?;
                self.decode(0)
            }
            other => Ok(Token::Symbol(other)),
        }
    }

    /// Skips everything up to the end of the statement, unless the token that was read last is this end.
    pub(super) fn skip_statement(&mut self) -> Result<()> {
        self.text.clear();
        if self.is_at_end_of_statement {
            return Ok(());
        }
        while let Some(byte) = self.skip_comments(false)? {
            match byte {
                b';' => break,
                b'\'' | b'"' | b'`' => self.quoted(byte, false)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Consumes comments, and white space if it is not wanted, and the byte behind them, which is returned.
    fn skip_comments(&mut self, skips_space: bool) -> Result<Option<u8>> {
        loop {
            if skips_space {
                self.bytes.skip_space()?;
            }
            let Some(byte) = self.bytes.next()? else { return Ok(None) };
            let next = if matches!(byte, b'-' | b'/') { self.bytes.peek()? } else { None };
            match (byte, next) {
                (b'-', Some(b'-')) => self.skip_line()?,
                (b'#', _) if self.dialect == Dialect::MySql => self.skip_line()?,
                (b'/', Some(b'*')) => self.skip_block()?,
                _ => return Ok(Some(byte)),
            }
        }
    }

    fn skip_line(&mut self) -> Result<()> {
        loop {
            let buffered = self.bytes.buffered()?;
            if buffered.is_empty() {
                return Ok(());
            }
            let end = memchr::memchr(b'\n', buffered);
            let len = end.map_or(buffered.len(), |end| end + 1);
            self.bytes.consume(len);
            if end.is_some() {
                return Ok(());
            }
        }
    }

    fn skip_block(&mut self) -> Result<()> {
        let begin = self.bytes.place();
        self.bytes.next()?;
        let mut before = 0;
        while let Some(byte) = self.bytes.next()? {
            if (before, byte) == (b'*', b'/') {
                return Ok(());
            }
            before = byte;
        }
        Err(FileError::at(begin, "the comment that begins here is never closed"))
    }

    /// Reads up to the closing quote, which is doubled within the text.
    fn quoted(&mut self, quote: u8, is_kept: bool) -> Result<()> {
        let begin = self.bytes.place();
        let has_escapes = self.dialect == Dialect::MySql && quote != b'`';
        loop {
            let buffered = self.bytes.buffered()?;
            if buffered.is_empty() {
                return Err(FileError::at(begin, "the quote before this place is never closed: was the file cut?"));
            }
            let escape = if has_escapes { b'\\' } else { quote };
            let plain = memchr::memchr2(quote, escape, buffered).unwrap_or(buffered.len());
            if is_kept {
                self.text.extend_from_slice(&buffered[..plain]);
            }
            self.bytes.consume(plain);
            self.check_len()?;
            let Some(byte) = self.bytes.peek()? else { continue };
            if byte == quote {
                self.bytes.next()?;
                if self.bytes.peek()? != Some(quote) {
                    return Ok(());
                }
                self.bytes.next()?;
                self.keep(quote, is_kept)?;
            } else if has_escapes && byte == b'\\' {
                self.bytes.next()?;
                if let Some(escaped) = self.bytes.next()? {
                    self.keep_escaped(escaped, is_kept)?;
                }
            }
        }
    }

    fn keep_escaped(&mut self, escaped: u8, is_kept: bool) -> Result<()> {
        let byte = match escaped {
            b'0' => 0,
            b'b' => 8,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'Z' => 26,
            b'%' | b'_' => {
                self.keep(b'\\', is_kept)?;
                escaped
            }
            other => other,
        };
        self.keep(byte, is_kept)
    }

    fn number(&mut self, first: u8) -> Result<Token> {
        self.keep(first, true)?;
        while let Some(byte) = self.bytes.peek()? {
            let is_sign = matches!(byte, b'+' | b'-') && matches!(self.text.last(), Some(b'e' | b'E'));
            if !(byte.is_ascii_alphanumeric() || byte == b'.' || is_sign) {
                break;
            }
            self.bytes.next()?;
            self.keep(byte, true)?;
        }
        if self.text.starts_with(b"0x") || self.text.starts_with(b"0X") { self.decode(2) } else { Ok(Token::Number) }
    }

    fn word(&mut self, first: u8) -> Result<()> {
        self.keep(first, true)?;
        while let Some(byte) = self.bytes.peek()? {
            if !(byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..)) {
                break;
            }
            self.bytes.next()?;
            self.keep(byte, true)?;
        }
        Ok(())
    }

    /// Replaces hexadecimal digits from `begin` by their bytes.
    fn decode(&mut self, begin: usize) -> Result<Token> {
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let byte = |pair: &[u8]| match pair {
            [high, low] => Some((digit(*high)? * 16 + digit(*low)?) as u8),
            _ => None,
        };
        let decoded: Option<Vec<u8>> = self.text[begin..].chunks(2).map(byte).collect();
        self.text = decoded.ok_or_else(|| self.wrong("bytes in hexadecimal digits cannot be read"))?;
        Ok(Token::Text)
    }

    fn keep(&mut self, byte: u8, is_kept: bool) -> Result<()> {
        if is_kept {
            self.text.push(byte);
            return self.check_len();
        }
        Ok(())
    }

    fn check_len(&self) -> Result<()> {
        if self.text.len() > MAX_TEXT_LEN {
            return Err(self.wrong(format!("a text has over {} MiB", MAX_TEXT_LEN / (1024 * 1024))));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str, dialect: Dialect) -> Vec<(Token, String)> {
        let mut tokens = Tokens::new(text.as_bytes(), dialect).unwrap();
        let mut found = Vec::new();
        loop {
            match tokens.next().unwrap() {
                Token::End => return found,
                token => found.push((token, String::from_utf8(tokens.text().to_vec()).unwrap())),
            }
        }
    }

    fn texts(text: &str, dialect: Dialect) -> Vec<String> {
        tokens(text, dialect).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn tokens_are_read_without_comments() {
        let found = tokens(
            "-- a 'comment\n# another\n/*!40101 SET x='y' */ INSERT `a``b` -1.5e+3,.5 x'4142' 0x43;",
            Dialect::MySql,
        );
        let text = |token, text: &str| (token, text.to_owned());
        let expected = [
            text(Token::Word, "INSERT"),
            text(Token::Quoted, "a`b"),
            text(Token::Number, "-1.5e+3"),
            text(Token::Symbol(b','), ""),
            text(Token::Number, ".5"),
            text(Token::Text, "AB"),
            text(Token::Text, "C"),
            text(Token::Symbol(b';'), ""),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn escapes_are_those_of_the_database() {
        assert_eq!(texts(r"'it\'s ''a'' \\ \n\%'", Dialect::MySql), ["it's 'a' \\ \n\\%"]);
        assert_eq!(texts(r"'C:\' 'it''s'", Dialect::Sqlite), ["C:\\", "it's"]);
        assert_eq!(texts("[a b] \"c\"\"d\"", Dialect::Sqlite), ["a b", "c\"d"]);
    }

    #[test]
    fn unclosed_quote_and_comment_are_refused_with_their_place() {
        for (text, place) in [("'a\nb", "byte 1"), ("x /* a", "byte 3"), (r"'a\'", "byte 1"), ("`a", "byte 1")] {
            let mut tokens = Tokens::new(text.as_bytes(), Dialect::MySql).unwrap();
            let error = loop {
                match tokens.next() {
                    Ok(Token::End) => panic!("{text:?} is read"),
                    Ok(_) => {}
                    Err(error) => break error.to_string(),
                }
            };
            assert!(error.contains(place) && error.contains("never closed"), "{text:?}: {error}");
        }
    }
}
