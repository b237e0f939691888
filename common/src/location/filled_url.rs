//! A URL whose placeholders are filled from a request, and into which the query of that request may be merged.
//!
//! The module is pure and allocates nothing. A value is percent-decoded once and encoded for its place, while it is
//! written. The bytes of the template stay as they are. A value adds no parameter and no fragment, since what separates
//! those is encoded in it. Only `{path}` adds segments.

use std::ops::Range;

use crate::placeholders::{Placeholder, Source, Template};
use percent_encoding::{percent_decode, percent_encode_byte};

use super::merged_url::{MergedUrl, Parts, name, pairs, split};

/// A template, and the parts of a request that fill it. The URL is made when its bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilledUrl<'a> {
    template: Template<'a>,
    /// The segments behind the code, as they were sent.
    rest: &'a [u8],
    query: &'a [u8],
    /// The length of the URL.
    len: u32,
    /// Whether the parameters that fill no placeholder are merged into the URL.
    merges_query: bool,
}

impl<'a> FilledUrl<'a> {
    /// Fills a template from the path behind the code, which has no leading slash, and from the query of a request.
    ///
    /// Returns `None` if a value is missing, refused or surplus; if the fill would take more than 65,536 comparisons of
    /// names; or if the URL would exceed the template by more than [`MergedUrl::MAX_GROWTH`] bytes.
    pub fn new(template: Template<'a>, rest: Option<&'a [u8]>, query: &'a [u8]) -> Option<FilledUrl<'a>> {
        let filled = FilledUrl { template, rest: rest.unwrap_or_default(), query, len: 0, merges_query: false };
        let named = filled.named_segments();
        let mut given = 0;
        for segment in rest.into_iter().flat_map(segments) {
            if segment.is_empty() || is_dots(segment) || has_control(segment) {
                return None;
            }
            given += 1;
        }
        let takes_path = template.placeholders().any(|placeholder| placeholder.source == Source::Path);
        let is_used_up = if takes_path { given > named } else { given == named };
        if !is_used_up {
            return None;
        }
        if template.parameters() * pairs(query).count() > MergedUrl::MAX_COMPARISONS {
            return None;
        }
        let has_values = template.placeholders().all(|placeholder| match placeholder.source {
            Source::Segment(_) | Source::Path => true,
            Source::Query(name) => {
                let refuses = |value| has_control(value) || placeholder.is_in_path && is_dots(value);
                value_of(query, name).is_some_and(|value| !refuses(value))
            }
        });
        if has_values { filled.measure() } else { None }
    }

    /// Merges the parameters that fill no placeholder into the URL, as [`MergedUrl`] does.
    ///
    /// Returns `None` if the query is not visible ASCII; if the merge would take more than 65,536 comparisons of names;
    /// or if the URL would exceed the template by more than [`MergedUrl::MAX_GROWTH`] bytes.
    pub fn merge_query(self) -> Option<FilledUrl<'a>> {
        if self.forwarded().all(<[u8]>::is_empty) {
            return Some(self);
        }
        let own = Parts::of(self.template.text()).query.map_or(0, |own| pairs(own).count());
        // Each pair is compared with each own name, and with the names that fill placeholders.
        let comparisons = (own + 1) * (self.template.parameters() + 1) * pairs(self.query).count();
        let takes_long = comparisons > MergedUrl::MAX_COMPARISONS;
        if takes_long || !self.query.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        FilledUrl { merges_query: true, ..self }.measure()
    }

    /// Returns the query of the request if some of it is merged into the URL; otherwise an empty one.
    pub fn merged_query(&self) -> &'a [u8] {
        if self.merges_query { self.query } else { b"" }
    }

    /// Returns the value, as it was sent, of the placeholder that is the whole value of a parameter of the template.
    ///
    /// `start` is the name with its `=`.
    pub fn parameter(&self, start: &[u8]) -> Option<&'a [u8]> {
        let Parts { before, query, .. } = Parts::of(self.template.text());
        let mut at = before.len() + 1;
        let value = split(query?).find_map(|pair| {
            let begin = at;
            at += pair.len() + 1;
            pair.starts_with(start).then(|| begin + start.len()..begin + pair.len())
        })?;
        let placeholder = self.template.placeholders().find(|placeholder| placeholder.range == value)?;
        Some(self.value(placeholder.source))
    }

    /// Returns the length of the URL in bytes.
    pub fn written_len(&self) -> usize {
        self.len as usize
    }

    /// Writes the URL in pieces.
    pub fn write(&self, mut put: impl FnMut(&[u8])) {
        let text = self.template.text();
        if !self.merges_query {
            return self.write_range(0..text.len(), &mut put);
        }
        let Parts { before, query, fragment } = Parts::of(text);
        self.write_range(0..before.len(), &mut put);
        put(b"?");
        let mut start = before.len() + 1;
        for pair in query.into_iter().flat_map(split) {
            let range = start..start + pair.len();
            if pair.is_empty() || !self.is_replaced(range.start..range.start + name(pair).len()) {
                self.write_range(range, &mut put);
                put(b"&");
            }
            start += pair.len() + 1;
        }
        let mut separator: &[u8] = b"";
        for part in self.forwarded() {
            put(separator);
            put(part);
            separator = b"&";
        }
        self.write_range(text.len() - fragment.len()..text.len(), &mut put);
    }

    /// Writes a part of the template that begins and ends outside of its placeholders.
    fn write_range(&self, range: Range<usize>, put: &mut impl FnMut(&[u8])) {
        for piece in self.pieces(range) {
            match piece {
                Piece::Text(text) => put(text),
                Piece::Value(value, placeholder) => put_value(value, &placeholder, put),
            }
        }
    }

    /// Returns the texts and the values of a part of the template.
    fn pieces(&self, range: Range<usize>) -> impl Iterator<Item = Piece<'a>> + use<'a> {
        let (filled, text) = (*self, self.template.text());
        let mut at = range.start;
        let inside = move |placeholder: &Placeholder<'_>| {
            range.start <= placeholder.range.start && placeholder.range.end <= range.end
        };
        let end = range.end;
        let mut placeholders = self.template.placeholders().filter(inside);
        let mut value = None;
        std::iter::from_fn(move || {
            if let Some(piece) = value.take() {
                return Some(piece);
            }
            if let Some(placeholder) = placeholders.next() {
                let before = at..placeholder.range.start;
                at = placeholder.range.end;
                value = Some(Piece::Value(filled.value(placeholder.source), placeholder));
                return Some(Piece::Text(text.get(before).unwrap_or_default()));
            }
            let behind = text.get(at..end).unwrap_or_default();
            at = end;
            (!behind.is_empty()).then_some(Piece::Text(behind))
        })
    }

    /// Returns the value of a placeholder, as it was sent.
    fn value(&self, source: Source<'a>) -> &'a [u8] {
        match source {
            Source::Segment(number) => segments(self.rest).nth(number.saturating_sub(1)).unwrap_or_default(),
            Source::Path => {
                let named = segments(self.rest).take(self.named_segments());
                self.rest.get(named.map(|segment| segment.len() + 1).sum()..).unwrap_or_default()
            }
            Source::Query(name) => value_of(self.query, name).unwrap_or_default(),
        }
    }

    /// Returns the highest number of a placeholder, which is how many segments do not belong to `{path}`.
    fn named_segments(&self) -> usize {
        let numbers = self.template.placeholders().map(|placeholder| match placeholder.source {
            Source::Segment(number) => number,
            Source::Path | Source::Query(_) => 0,
        });
        numbers.max().unwrap_or_default()
    }

    /// Returns the parts of the query whose parameter fills no placeholder.
    fn forwarded(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let template = self.template;
        split(self.query).filter(move |part| {
            let fills = |placeholder: Placeholder<'_>| match placeholder.source {
                Source::Query(wanted) => are_equal(name(part), wanted),
                Source::Segment(_) | Source::Path => false,
            };
            part.is_empty() || !template.placeholders().any(fills)
        })
    }

    /// Returns whether a forwarded parameter has the name that is at a range of the template.
    fn is_replaced(&self, own: Range<usize>) -> bool {
        self.forwarded().filter(|part| !part.is_empty()).any(|part| {
            let pieces = self.pieces(own.clone()).map(|piece| match piece {
                Piece::Text(bytes) | Piece::Value(bytes, _) => bytes,
            });
            pieces.flat_map(percent_decode).eq(percent_decode(name(part)))
        })
    }

    /// Returns the URL with its length. `None` if it is too long.
    fn measure(self) -> Option<FilledUrl<'a>> {
        let mut len = 0;
        self.write(|bytes| len += bytes.len());
        let is_short_enough = len <= self.template.text().len() + MergedUrl::MAX_GROWTH;
        let len = u32::try_from(len).ok().filter(|_| is_short_enough)?;
        Some(FilledUrl { len, ..self })
    }
}

enum Piece<'a> {
    Text(&'a [u8]),
    Value(&'a [u8], Placeholder<'a>),
}

fn segments(rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    rest.split(|byte| *byte == b'/')
}

/// Returns the first value of a parameter. A name without `=` has an empty one.
fn value_of<'a>(query: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let pair = pairs(query).find(|pair| are_equal(name(pair), wanted))?;
    Some(pair.get(name(pair).len() + 1..).unwrap_or_default())
}

/// Returns whether two names are equal after percent-decoding.
fn are_equal(one: &[u8], other: &[u8]) -> bool {
    one == other || (one.contains(&b'%') || other.contains(&b'%')) && percent_decode(one).eq(percent_decode(other))
}

/// Returns whether a value is `.` or `..` after percent-decoding, which a client removes from a path.
fn is_dots(value: &[u8]) -> bool {
    value.len() <= "%2e%2e".len() && (percent_decode(value).eq(*b".") || percent_decode(value).eq(*b".."))
}

/// Returns whether a value has a control character after percent-decoding: C0, DEL or C1 in UTF-8.
fn has_control(value: &[u8]) -> bool {
    let mut before = 0;
    percent_decode(value).any(|byte| {
        let is_control = byte.is_ascii_control() || before == 0xc2 && (0x80..=0x9f).contains(&byte);
        before = byte;
        is_control
    })
}

/// Writes a value that is decoded once and encoded for the place of its placeholder.
fn put_value(value: &[u8], placeholder: &Placeholder<'_>, put: &mut impl FnMut(&[u8])) {
    let is_of_query = matches!(placeholder.source, Source::Query(_));
    // Bytes up to `start` are written, and those up to `at` stay as they are.
    let (mut start, mut at) = (0, 0);
    while let Some(sent) = value.get(at..).filter(|rest| !rest.is_empty()) {
        let escaped = escape(sent);
        let byte = escaped.unwrap_or(sent[0]);
        let may_stand = match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => true,
            b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'(' | b')' | b'*' | b',' | b':' | b'@' => true,
            b'&' | b'\'' | b'=' => placeholder.is_in_path,
            // A form sends a space as a plus, and a plus as an escape. In a path, a plus is a plus.
            b'+' => placeholder.is_in_path || is_of_query && escaped.is_none(),
            b'/' => escaped.is_none() && !(is_of_query && placeholder.is_in_path),
            _ => false,
        };
        if may_stand && escaped.is_none() {
            at += 1;
            continue;
        }
        put(&value[start..at]);
        at += if escaped.is_some() { 3 } else { 1 };
        start = at;
        if may_stand {
            put(&[byte]);
        } else {
            put(percent_encode_byte(byte).as_bytes());
        }
    }
    put(&value[start..]);
}

/// Returns the byte of the percent escape at the start of a text.
fn escape(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(*high)? << 4 | digit(*low)?)
}

#[cfg(test)]
#[path = "filled_url_tests.rs"]
mod tests;
