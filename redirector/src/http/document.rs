//! Bodies of answers: fixed text around pieces, which are escaped as the media type needs. Pure; it allocates nothing.

use super::FilledUrl;

/// A body in pieces. One function measures it and writes it, so it needs no memory of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Document<'a> {
    pub media_type: MediaType,
    /// Texts before, between and behind the pieces. They are written as they are.
    pub fixed: &'a [&'a str; 4],
    /// Pieces of any bytes. They are escaped.
    pub pieces: [&'a [u8]; 3],
    /// A URL that takes the place of the second piece, and how many of its bytes are written.
    pub filled: Option<(FilledUrl<'a>, usize)>,
}

/// The media type of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    Json,
    Html,
}

impl MediaType {
    /// Returns the value of `Content-Type`.
    pub const fn name(self) -> &'static str {
        match self {
            MediaType::Json => "application/json",
            MediaType::Html => "text/html; charset=utf-8",
        }
    }
}

impl Document<'_> {
    /// Passes the body to `put` in parts.
    pub fn write(&self, put: &mut dyn FnMut(&[u8])) {
        let [first, others @ ..] = self.fixed;
        put(first.as_bytes());
        for (number, (piece, fixed)) in self.pieces.iter().zip(others).enumerate() {
            match &self.filled {
                Some((url, len)) if number == 1 => self.write_url(url, *len, put),
                _ => put_escaped(self.media_type, piece, put),
            }
            put(fixed.as_bytes());
        }
    }

    fn write_url(&self, url: &FilledUrl<'_>, mut len: usize, put: &mut dyn FnMut(&[u8])) {
        // A filled URL is ASCII, so each of its parts can be escaped by itself.
        url.write(|bytes| {
            let shown = &bytes[..bytes.len().min(len)];
            len -= shown.len();
            put_escaped(self.media_type, shown, put);
        });
    }
}

/// Escapes a piece for a string of JSON, or for text and quoted attributes of HTML. Invalid UTF-8 becomes U+FFFD.
pub(super) fn put_escaped(media_type: MediaType, piece: &[u8], put: &mut dyn FnMut(&[u8])) {
    for chunk in piece.utf8_chunks() {
        match media_type {
            MediaType::Json => escape_json(chunk.valid().as_bytes(), put),
            MediaType::Html => escape_html(chunk.valid().as_bytes(), put),
        }
        if !chunk.invalid().is_empty() {
            put("\u{fffd}".as_bytes());
        }
    }
}

fn escape_json(mut rest: &[u8], put: &mut dyn FnMut(&[u8])) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f | 0x7f)) {
        let byte = rest[at];
        put(&rest[..at]);
        match byte {
            b'"' | b'\\' => put(&[b'\\', byte]),
            _ => put(&[b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]),
        }
        rest = &rest[at + 1..];
    }
    put(rest);
}

fn escape_html(mut rest: &[u8], put: &mut dyn FnMut(&[u8])) {
    while let Some((at, reference)) = rest.iter().enumerate().find_map(|(at, byte)| Some((at, html_reference(*byte)?)))
    {
        put(&rest[..at]);
        put(reference.as_bytes());
        rest = &rest[at + 1..];
    }
    put(rest);
}

/// Returns the character reference of a byte that may not stand for itself in text or in a quoted attribute.
pub const fn html_reference(byte: u8) -> Option<&'static str> {
    match byte {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'>' => Some("&gt;"),
        b'"' => Some("&quot;"),
        b'\'' => Some("&#39;"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_escaped_as_their_media_type_needs_and_fixed_text_is_not() {
        let fixed = ["<a href=\"", "\">", "</a>", ""];
        let pieces: [&[u8]; 3] = [b"\"><script>'&amp;", "caf\u{e9}\n\\".as_bytes(), b"\xff"];
        let check = |media_type, expected: &str| {
            let mut written = Vec::new();
            Document { media_type, fixed: &fixed, pieces, filled: None }
                .write(&mut |bytes| written.extend_from_slice(bytes));
            assert_eq!(String::from_utf8(written).unwrap(), expected);
        };
        let html = "<a href=\"&quot;&gt;&lt;script&gt;&#39;&amp;amp;\">caf\u{e9}\n\\</a>\u{fffd}";
        check(MediaType::Html, html);
        let json = "<a href=\"\\\"><script>'&amp;\">caf\u{e9}\\u000a\\\\</a>\u{fffd}";
        check(MediaType::Json, json);
    }
}
