//! A scanner of JSON texts.

/// The reason to refuse a text as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJson {
    #[error("not JSON")]
    Broken,
    #[error("nested too deep")]
    TooDeep,
}

type Result<T> = std::result::Result<T, InvalidJson>;

/// A position in a JSON text.
#[derive(Clone, Debug)]
pub(super) struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    pub(super) fn new(text: &'a str) -> Scan<'a> {
        Scan { text, at: 0 }
    }

    /// Returns the position after the `opening` bracket of an object or array; the end of the text for any other value.
    pub(super) fn within(value: &'a str, opening: char) -> Scan<'a> {
        Scan { text: value, at: if value.starts_with(opening) { 1 } else { value.len() } }
    }

    pub(super) fn is_at_end(&mut self) -> bool {
        self.skip_blanks();
        self.at == self.text.len()
    }

    /// Reads the next field of an object that was checked before.
    pub(super) fn field(&mut self) -> Option<(&'a str, &'a str)> {
        self.skip_comma();
        let begin = self.at;
        self.string().ok()?;
        let name = &self.text[begin..self.at];
        self.skip_blanks();
        self.take(b':').ok()?;
        Some((name, self.value(u64::BITS as usize).ok()?))
    }

    /// Reads the next item of an array that was checked before.
    pub(super) fn item(&mut self) -> Option<&'a str> {
        self.skip_comma();
        self.value(u64::BITS as usize).ok()
    }

    /// Checks the next value and returns its text.
    ///
    /// Each open array or object takes one bit of an integer, so no input can exhaust the stack or the memory.
    pub(super) fn value(&mut self, max_depth: usize) -> Result<&'a str> {
        debug_assert!(max_depth <= u64::BITS as usize, "a bit for each level");
        self.skip_blanks();
        let begin = self.at;
        let (mut depth, mut objects) = (0usize, 0u64);
        loop {
            self.skip_blanks();
            let is_object = match self.peek().ok_or(InvalidJson::Broken)? {
                b'{' => Some(true),
                b'[' => Some(false),
                b'"' => self.string().map(|()| None)?,
                b't' => self.literal("true").map(|()| None)?,
                b'f' => self.literal("false").map(|()| None)?,
                b'n' => self.literal("null").map(|()| None)?,
                _ => self.number().map(|()| None)?,
            };
            if let Some(is_object) = is_object {
                self.at += 1;
                depth += 1;
                if depth > max_depth {
                    return Err(InvalidJson::TooDeep);
                }
                objects = objects << 1 | u64::from(is_object);
                self.skip_blanks();
                let is_empty = self.peek() == Some(if is_object { b'}' } else { b']' });
                if !is_empty {
                    self.name_in(objects)?;
                    continue;
                }
            }
            while depth > 0 {
                self.skip_blanks();
                let closing = if objects & 1 == 1 { b'}' } else { b']' };
                match self.peek() {
                    Some(b',') => break,
                    Some(byte) if byte == closing => {
                        self.at += 1;
                        depth -= 1;
                        objects >>= 1;
                    }
                    _ => return Err(InvalidJson::Broken),
                }
            }
            if depth == 0 {
                return Ok(&self.text[begin..self.at]);
            }
            self.take(b',')?;
            self.name_in(objects)?;
        }
    }

    /// Reads the name and the colon before the next value if the innermost open value is an object.
    fn name_in(&mut self, objects: u64) -> Result<()> {
        if objects & 1 == 0 {
            return Ok(());
        }
        self.skip_blanks();
        self.string()?;
        self.skip_blanks();
        self.take(b':')
    }

    fn string(&mut self) -> Result<()> {
        self.take(b'"')?;
        loop {
            match self.next().ok_or(InvalidJson::Broken)? {
                b'"' => return Ok(()),
                b'\\' => self.escape()?,
                0..=0x1f => return Err(InvalidJson::Broken),
                _ => {}
            }
        }
    }

    fn escape(&mut self) -> Result<()> {
        match self.next() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(()),
            Some(b'u') => match self.code_unit()? {
                0xd800..=0xdbff => {
                    self.take(b'\\')?;
                    self.take(b'u')?;
                    if (0xdc00..=0xdfff).contains(&self.code_unit()?) { Ok(()) } else { Err(InvalidJson::Broken) }
                }
                0xdc00..=0xdfff => Err(InvalidJson::Broken),
                _ => Ok(()),
            },
            _ => Err(InvalidJson::Broken),
        }
    }

    fn code_unit(&mut self) -> Result<u32> {
        (0..4).try_fold(0, |unit, _| {
            let digit = self.next().and_then(|byte| char::from(byte).to_digit(16)).ok_or(InvalidJson::Broken)?;
            Ok(unit << 4 | digit)
        })
    }

    fn number(&mut self) -> Result<()> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<()> {
        let begin = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at > begin { Ok(()) } else { Err(InvalidJson::Broken) }
    }

    fn literal(&mut self, word: &str) -> Result<()> {
        let is_there = self.text.as_bytes()[self.at..].starts_with(word.as_bytes());
        self.at += word.len();
        if is_there { Ok(()) } else { Err(InvalidJson::Broken) }
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn skip_comma(&mut self) {
        self.skip_blanks();
        if self.peek() == Some(b',') {
            self.at += 1;
        }
        self.skip_blanks();
    }

    fn take(&mut self, expected: u8) -> Result<()> {
        if self.next() == Some(expected) { Ok(()) } else { Err(InvalidJson::Broken) }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }
}
