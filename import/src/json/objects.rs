//! The objects of links in a JSON file, found without a tree of the whole file.
//!
//! A link is an object at the top, in a list, or below a key of a page such as `links`. A page has other keys, too,
//! which are skipped. Documents may follow each other.

use std::io::Read;

use crate::bytes::Bytes;
use crate::error::{FileError, Place};

/// The longest object of a link in bytes, which bounds the memory.
const MAX_OBJECT_LEN: usize = 1024 * 1024;

/// The deepest nesting in an object, and of pages and lists around objects.
const MAX_DEPTH: usize = 32;

/// The keys of pages that have links below them.
const PAGE_KEYS: [&[u8]; 3] = [b"links", b"data", b"shortUrls"];

const CUT: &str = "the file ends within its JSON: was it cut?";

type Result<T> = std::result::Result<T, FileError>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame {
    List,
    Page,
}

/// The reader of objects.
#[derive(Debug)]
pub(crate) struct Objects<R> {
    bytes: Bytes<R>,
    /// The lists and pages around the next byte.
    frames: Vec<Frame>,
    /// Whether the next byte is the first in an object below a key of a page.
    is_in_object: bool,
    object: Vec<u8>,
}

impl<R: Read> Objects<R> {
    pub(crate) fn new(input: R) -> Result<Objects<R>> {
        Ok(Objects { bytes: Bytes::new(input)?, frames: Vec::new(), is_in_object: false, object: Vec::new() })
    }

    /// Reads the next object, and returns its place with its text, which is not checked but for its brackets.
    pub(crate) fn next_object(&mut self) -> Result<Option<(Place, &[u8])>> {
        loop {
            if std::mem::take(&mut self.is_in_object) {
                if let Some(place) = self.read_object()? {
                    return Ok(Some((place, &self.object)));
                }
                continue;
            }
            let place = self.bytes.place();
            self.bytes.skip_space()?;
            let Some(byte) = self.bytes.next()? else {
                return if self.frames.is_empty() { Ok(None) } else { Err(FileError::at(place, CUT)) };
            };
            match (self.frames.last(), byte) {
                (None | Some(Frame::List), b'{') => self.is_in_object = true,
                (None | Some(Frame::List), b'[') => self.push(Frame::List)?,
                (Some(Frame::List), b']') | (Some(Frame::Page), b'}') => drop(self.frames.pop()),
                (Some(_), b',') => {}
                (Some(Frame::Page), b'"') => {
                    self.object.clear();
                    let is_page_key = self.read_key()?;
                    if !(is_page_key && self.enter()?) {
                        self.read_value(false)?;
                    }
                }
                _ => return Err(self.wrong("expected an object of a link or a list of them")),
            }
        }
    }

    /// Reads an object whose bracket was read. Returns `None` at a key that makes it a page, which is entered.
    fn read_object(&mut self) -> Result<Option<Place>> {
        let mut place = self.bytes.place();
        place.byte = place.byte.map(|byte| byte - 1);
        self.object.clear();
        self.object.push(b'{');
        loop {
            self.bytes.skip_space()?;
            match self.bytes.next()? {
                Some(b'}') => {
                    self.object.push(b'}');
                    return Ok(Some(place));
                }
                Some(b',') => self.object.push(b','),
                Some(b'"') => {
                    if self.read_key()? && matches!(self.bytes.peek()?, Some(b'[' | b'{')) {
                        self.push(Frame::Page)?;
                        self.enter()?;
                        return Ok(None);
                    }
                    self.object.push(b':');
                    self.read_value(true)?;
                }
                Some(_) => return Err(self.wrong("expected a key in quotes")),
                None => return Err(self.wrong(CUT)),
            }
        }
    }

    /// Reads a key whose quote was read, and the colon. Returns whether links may be below it.
    fn read_key(&mut self) -> Result<bool> {
        let begin = self.object.len();
        self.read_string(true)?;
        let key = &self.object[begin + 1..self.object.len() - 1];
        let is_page_key = PAGE_KEYS.contains(&key);
        self.bytes.skip_space()?;
        if self.bytes.next()? != Some(b':') {
            return Err(self.wrong("expected a colon behind a key"));
        }
        self.bytes.skip_space()?;
        Ok(is_page_key)
    }

    /// Enters the list or object that is next, below a key of a page. Returns whether there is one.
    fn enter(&mut self) -> Result<bool> {
        match self.bytes.peek()? {
            Some(b'[') => self.push(Frame::List)?,
            Some(b'{') => self.is_in_object = true,
            _ => return Ok(false),
        }
        self.bytes.next()?;
        Ok(true)
    }

    fn push(&mut self, frame: Frame) -> Result<()> {
        if self.frames.len() == MAX_DEPTH {
            return Err(self.wrong("the lists and objects around the links are nested too deeply"));
        }
        self.frames.push(frame);
        Ok(())
    }

    /// Reads a value, and appends it to the object or skips it.
    fn read_value(&mut self, is_kept: bool) -> Result<()> {
        let mut depth = 0;
        loop {
            let byte = if depth == 0 { self.bytes.peek()? } else { self.bytes.skip_space()? };
            match byte {
                None => return Err(self.wrong(CUT)),
                Some(b'"') => {
                    self.bytes.next()?;
                    self.read_string(is_kept)?;
                }
                Some(open @ (b'{' | b'[')) => {
                    depth += 1;
                    if depth > MAX_DEPTH {
                        return Err(self.wrong(format!("a value is nested over {MAX_DEPTH} deep")));
                    }
                    self.take(open, is_kept)?;
                    continue;
                }
                Some(close @ (b'}' | b']')) if depth > 0 => {
                    depth -= 1;
                    self.take(close, is_kept)?;
                }
                Some(between @ (b',' | b':')) if depth > 0 => {
                    self.take(between, is_kept)?;
                    continue;
                }
                Some(_) => self.read_word(is_kept)?,
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// Reads a number or a word such as `true`.
    fn read_word(&mut self, is_kept: bool) -> Result<()> {
        let mut len = 0;
        while let Some(byte) = self.bytes.peek()? {
            if !(byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')) {
                break;
            }
            self.take(byte, is_kept)?;
            len += 1;
        }
        if len == 0 { Err(self.wrong("expected a value")) } else { Ok(()) }
    }

    /// Reads the rest of a string whose quote was read.
    fn read_string(&mut self, is_kept: bool) -> Result<()> {
        if is_kept {
            self.object.push(b'"');
        }
        loop {
            let buffered = self.bytes.buffered()?;
            if buffered.is_empty() {
                return Err(self.wrong("the file ends within a text in quotes: was it cut?"));
            }
            let plain = memchr::memchr2(b'"', b'\\', buffered).unwrap_or(buffered.len());
            if is_kept {
                self.object.extend_from_slice(&buffered[..plain]);
            }
            self.bytes.consume(plain);
            self.check_len()?;
            match self.bytes.peek()? {
                Some(b'"') => return self.take(b'"', is_kept),
                Some(b'\\') => {
                    self.take(b'\\', is_kept)?;
                    if let Some(escaped) = self.bytes.peek()? {
                        self.take(escaped, is_kept)?;
                    }
                }
                _ => {}
            }
        }
    }

    /// Consumes the next byte.
    fn take(&mut self, byte: u8, is_kept: bool) -> Result<()> {
        self.bytes.next()?;
        if is_kept {
            self.object.push(byte);
            self.check_len()?;
        }
        Ok(())
    }

    fn check_len(&self) -> Result<()> {
        if self.object.len() > MAX_OBJECT_LEN {
            return Err(self.wrong(format!("an object has over {} MiB", MAX_OBJECT_LEN / (1024 * 1024))));
        }
        Ok(())
    }

    fn wrong(&self, reason: impl Into<String>) -> FileError {
        FileError::at(self.bytes.place(), reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(text: &str) -> Result<Vec<String>> {
        let mut objects = Objects::new(text.as_bytes())?;
        let mut found = Vec::new();
        while let Some((_, object)) = objects.next_object()? {
            found.push(String::from_utf8(object.to_vec()).unwrap());
        }
        Ok(found)
    }

    #[test]
    fn objects_are_found_in_lists_pages_and_lines() {
        let check = |text: &str, expected: &[&str]| assert_eq!(objects(text).unwrap(), expected, "{text:?}");
        check("", &[]);
        check("[]", &[]);
        check(
            "\u{feff} [ {\"a\" : 1} , {\"b\":[1, {\"c\":\"]}\\\"\"}]} ]",
            &["{\"a\":1}", "{\"b\":[1,{\"c\":\"]}\\\"\"}]}"],
        );
        check("{\"a\":1}\n{\"a\":2}\r\n\n{\"a\":3}", &["{\"a\":1}", "{\"a\":2}", "{\"a\":3}"]);
        check("{\"total\":2,\"data\":[{\"a\":1},{\"a\":2}],\"next\":{\"links\":[{}]}}", &["{\"a\":1}", "{\"a\":2}"]);
        check("{\"shortUrls\":{\"data\":[{\"a\":1}],\"pagination\":{}}}{\"links\":[]}", &["{\"a\":1}"]);
        check("[{\"links\":[{\"a\":1}]},{\"links\":[{\"a\":2}]}]", &["{\"a\":1}", "{\"a\":2}"]);
        check("{\"data\":{\"a\":true},\"code\":0,\"errors\":[]}", &["{\"a\":true}"]);
        check("{\"a\":null,\"data\":5}", &["{\"a\":null,\"data\":5}"]);
        check("{}", &["{}"]);
    }

    #[test]
    fn broken_json_is_refused_with_its_place() {
        let check =
            |text: &str, expected: &str| assert_eq!(objects(text).unwrap_err().to_string(), expected, "{text:?}");
        check("[{\"a\":1},\n", "line 1, byte 9: the file ends within its JSON: was it cut?");
        check("[\n{\"a\":\"1", "line 2, byte 9: the file ends within a text in quotes: was it cut?");
        check("[1]", "line 1, byte 2: expected an object of a link or a list of them");
        check("{\"a\" 1}", "line 1, byte 6: expected a colon behind a key");
        check("{a:1}", "line 1, byte 2: expected a key in quotes");
        check("{\"a\":}", "line 1, byte 5: expected a value");
        check("{\"a\":[", "line 1, byte 6: the file ends within its JSON: was it cut?");
        check(&"[".repeat(100), "line 1, byte 33: the lists and objects around the links are nested too deeply");
        check(&format!("{{\"a\":{}", "[".repeat(100)), "line 1, byte 37: a value is nested over 32 deep");
        check(&format!("{{\"links\":[],\"a\":{}", "[".repeat(100)), "line 1, byte 48: a value is nested over 32 deep");
        let long = format!("{{\"a\":\"{}", "x".repeat(3 * MAX_OBJECT_LEN));
        assert!(objects(&long).unwrap_err().reason.contains("1 MiB"));
    }
}
