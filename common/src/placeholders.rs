//! Placeholders of targets: `{1}` to `{9}`, `{path}` and `{query:name}`, which a redirect fills from its request.
//!
//! A target with placeholders is a template. Its placeholders are found when the target is written and again when it is
//! loaded. A redirect reads their offsets from the encoded template, and parses nothing.

use std::ops::Range;

use percent_encoding::percent_decode;

/// The most placeholders of a target, so that a redirect takes a bounded time to fill them.
pub const MAX_PLACEHOLDERS: usize = 32;

/// The part of a request that fills a placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source<'a> {
    /// `{1}` to `{9}`: the segment of this number behind the code, from 1.
    Segment(usize),
    /// `{path}`: the segments behind those that a number names.
    Path,
    /// `{query:name}`: the first value of a parameter. Its name may be percent-encoded.
    Query(&'a [u8]),
}

/// The reason to refuse the placeholders of a target. Each message continues the name of its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPlaceholder {
    #[error(
        "must not hold an unknown placeholder: {{1}} to {{9}}, {{path}} and {{query:name}} are known, and %7B is a brace"
    )]
    Unknown,
    #[error("must not have a placeholder in its scheme, host or port: a visitor would choose where the link leads")]
    InHost,
    #[error("must not have a placeholder directly behind a % or a part of an escape; %25 is a percent sign")]
    InEscape,
    #[error("must not have a placeholder of the query beside dots alone between two slashes")]
    BesideDots,
    #[error("must have at most {MAX_PLACEHOLDERS} placeholders")]
    TooMany,
    #[error("must not have placeholders: only the target of a link is filled from a request")]
    NotHere,
}

/// A placeholder of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placeholder<'a> {
    /// The bytes of the template in whose place the value is written.
    pub range: Range<usize>,
    pub source: Source<'a>,
    /// Whether the placeholder is in the path of the target, and not in its query or its fragment.
    pub is_in_path: bool,
}

/// The encoded form of a target with placeholders.
///
/// Layout, with little-endian integers: number of placeholders (1 byte); for each of them offset (2), length (2), source
/// (1: the number of the segment, [`PATH`] or [`QUERY`]) and whether it is in the path (1); the text of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Template<'a>(&'a [u8]);

/// The length of an encoded placeholder.
const ENTRY: usize = 6;
const PATH: u8 = 10;
const QUERY: u8 = 11;

/// The text of `{query:name}` before its name.
const QUERY_PREFIX: &str = "query:";

impl<'a> Template<'a> {
    /// Encodes a checked target in its header form. `None` if it has no placeholders.
    pub fn encode(location: &str) -> Option<Vec<u8>> {
        memchr::memchr(b'{', location.as_bytes())?;
        let path_end = location.find(['?', '#']).unwrap_or(location.len());
        let found: Vec<_> = find(location).filter_map(Result::ok).take(MAX_PLACEHOLDERS).collect();
        let mut out = vec![u8::try_from(found.len()).ok().filter(|number| *number > 0)?];
        for (range, source) in found {
            let number = |number: usize| u16::try_from(number).map(u16::to_le_bytes);
            out.extend(number(range.start).ok()?);
            out.extend(number(range.len()).ok()?);
            let source = match source {
                Source::Segment(number) => u8::try_from(number).ok()?,
                Source::Path => PATH,
                Source::Query(_) => QUERY,
            };
            out.extend([source, u8::from(range.start < path_end)]);
        }
        out.extend(location.as_bytes());
        Some(out)
    }

    /// Reads an encoded template.
    #[inline]
    pub fn decode(bytes: &'a [u8]) -> Option<Template<'a>> {
        let entries = usize::from(*bytes.first()?) * ENTRY;
        (bytes.len() > entries).then_some(Template(bytes))
    }

    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Returns the header form of the target, with its placeholders.
    pub fn text(&self) -> &'a [u8] {
        &self.0[1 + self.entries_len()..]
    }

    /// Returns the placeholders in the order of their offsets.
    pub fn placeholders(&self) -> impl Iterator<Item = Placeholder<'a>> + use<'a> {
        let text = self.text();
        self.0[1..=self.entries_len()].chunks_exact(ENTRY).map(move |entry| {
            let number = |at: usize| usize::from(u16::from_le_bytes([entry[at], entry[at + 1]]));
            let range = number(0)..number(0) + number(2);
            let source = match entry[4] {
                PATH => Source::Path,
                QUERY => Source::Query(
                    text.get(range.start + 1 + QUERY_PREFIX.len()..range.end.saturating_sub(1)).unwrap_or_default(),
                ),
                number => Source::Segment(usize::from(number)),
            };
            Placeholder { range, source, is_in_path: entry[5] == 1 }
        })
    }

    /// Returns the number of placeholders that parameters of a query fill.
    pub fn parameters(&self) -> usize {
        self.placeholders().filter(|placeholder| matches!(placeholder.source, Source::Query(_))).count()
    }

    fn entries_len(&self) -> usize {
        usize::from(self.0[0]) * ENTRY
    }
}

/// Checks the placeholders of a target. Returns whether it has any.
pub(crate) fn check(target: &str) -> Result<bool, InvalidPlaceholder> {
    let path = path_of(target);
    let mut found = Vec::new();
    for placeholder in find(target) {
        let (range, source) = placeholder?;
        if range.start < path.start {
            return Err(InvalidPlaceholder::InHost);
        }
        if ends_in_an_escape(&target.as_bytes()[..range.start]) {
            return Err(InvalidPlaceholder::InEscape);
        }
        found.push((range, source));
    }
    if found.len() > MAX_PLACEHOLDERS {
        return Err(InvalidPlaceholder::TooMany);
    }
    let mut start = path.start;
    for segment in target[path].split(['/', '\\']) {
        let range = start..start + segment.len();
        if may_become_dots(target, range, &found) {
            return Err(InvalidPlaceholder::BesideDots);
        }
        start += segment.len() + 1;
    }
    Ok(!found.is_empty())
}

/// Returns the range of the path of a target, which begins where the host and the port end.
pub(crate) fn path_of(target: &str) -> Range<usize> {
    let authority = target.find("://").map_or(0, |at| at + "://".len());
    let start = target[authority..].find(['/', '\\', '?', '#']).map_or(target.len(), |at| authority + at);
    let end = target[start..].find(['?', '#']).map_or(target.len(), |at| start + at);
    start..end
}

/// Finds the placeholders of a text. Braces around any other text are no placeholder.
fn find(text: &str) -> impl Iterator<Item = Result<(Range<usize>, Source<'_>), InvalidPlaceholder>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let open = at + text.get(at..)?.find('{')?;
            at = open + 1;
            let end = text[at..].find(['{', '}'])?;
            if text.as_bytes()[at + end] == b'{' {
                continue;
            }
            let content = &text[at..at + end];
            at += end + 1;
            if let Some(source) = parse(content).transpose() {
                return Some(source.map(|source| (open..at, source)));
            }
        }
    })
}

/// Parses the text between two braces. `None` if it resembles no placeholder.
fn parse(content: &str) -> Result<Option<Source<'_>>, InvalidPlaceholder> {
    match content.as_bytes() {
        [digit @ b'1'..=b'9'] => return Ok(Some(Source::Segment(usize::from(digit - b'0')))),
        b"path" => return Ok(Some(Source::Path)),
        _ => {}
    }
    if let Some(name) = content.strip_prefix(QUERY_PREFIX) {
        let is_name = !name.is_empty() && !name.contains(['&', '=', '#', '?', '/', '\\']);
        return if is_name { Ok(Some(Source::Query(name.as_bytes()))) } else { Err(InvalidPlaceholder::Unknown) };
    }
    let word = content.split(':').next().unwrap_or_default();
    let resembles_one = !content.is_empty() && content.bytes().all(|byte| byte.is_ascii_digit())
        || ["path", "query"].iter().any(|known| word.eq_ignore_ascii_case(known));
    if resembles_one { Err(InvalidPlaceholder::Unknown) } else { Ok(None) }
}

/// Returns whether a byte more could complete a percent escape at the end of a text.
fn ends_in_an_escape(text: &[u8]) -> bool {
    matches!(text, [.., b'%']) || matches!(text, [.., b'%', digit] if digit.is_ascii_hexdigit())
}

/// Returns whether a segment of a path is `.` or `..` if its placeholders are filled with nothing.
///
/// Only parameters of a query may be empty. A value that is `.` or `..` itself is refused at the redirect.
fn may_become_dots(target: &str, segment: Range<usize>, found: &[(Range<usize>, Source<'_>)]) -> bool {
    let mut literal = Vec::new();
    let mut start = segment.start;
    let mut inside = found.iter().filter(|(range, _)| segment.contains(&range.start)).peekable();
    if inside.peek().is_none() {
        return false;
    }
    for (range, source) in inside {
        if !matches!(source, Source::Query(_)) {
            return false;
        }
        literal.extend(percent_decode(&target.as_bytes()[start..range.start]));
        start = range.end;
    }
    literal.extend(percent_decode(&target.as_bytes()[start..segment.end]));
    !literal.is_empty() && literal.iter().all(|byte| *byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(number: usize, range: Range<usize>, is_in_path: bool) -> Placeholder<'static> {
        Placeholder { range, source: Source::Segment(number), is_in_path }
    }

    #[test]
    fn template_has_its_text_and_the_place_of_each_placeholder() {
        let text = "https://a.example/{1}/{path}?q={query:a%20b}&r={2}#{9}";
        let encoded = Template::encode(text).unwrap();
        let template = Template::decode(&encoded).unwrap();
        assert_eq!((template.text(), template.as_bytes()), (text.as_bytes(), encoded.as_slice()));
        let expected = [
            segment(1, 18..21, true),
            Placeholder { range: 22..28, source: Source::Path, is_in_path: true },
            Placeholder { range: 31..44, source: Source::Query(b"a%20b"), is_in_path: false },
            segment(2, 47..50, false),
            segment(9, 51..54, false),
        ];
        assert!(template.placeholders().eq(expected), "{:?}", template.placeholders().collect::<Vec<_>>());
        for plain in ["https://a.example/", "https://a.example/{id}?{", "https://a.example/%7B1%7D"] {
            assert_eq!(Template::encode(plain), None, "{plain}");
        }
        for broken in [&[][..], &[1], &[1, 0, 0, 0, 0, 0, 0]] {
            assert_eq!(Template::decode(broken).is_some(), broken.len() == 7, "{broken:?}");
        }
    }

    #[test]
    fn only_known_placeholders_are_found_and_their_misspellings_refused() {
        let check = |content: &str, expected: Result<bool, InvalidPlaceholder>| {
            assert_eq!(check(&format!("https://a.example/{content}")), expected, "{content}");
        };
        for known in
            ["{1}", "{9}", "{path}", "{query:q}", "{query:a-b%20c}", "{{1}}", "{x{1}", "{1}}", "?a={2}", "#{3}"]
        {
            check(known, Ok(true));
        }
        for literal in
            ["", "{", "}", "{}", "{id}", "{\"a\":1}", "{1", "1}", "{ path}", "{1x}", "{queryx}", "{pathname}"]
        {
            check(literal, Ok(false));
        }
        for wrong in ["{0}", "{10}", "{01}", "{Path}", "{PATH}", "{path:x}", "{query}", "{query:}", "{QUERY:x}"] {
            check(wrong, Err(InvalidPlaceholder::Unknown));
        }
        for name in ["{query:a&b}", "{query:a=b}", "{query:a#b}", "{query:a/b}", "{query:a?b}", "{query:a\\b}"] {
            check(name, Err(InvalidPlaceholder::Unknown));
        }
    }

    #[test]
    fn placeholder_before_the_path_is_refused() {
        for target in [
            "https://{1}.example/",
            "https://a.example:{1}/",
            "https://{query:x}@a.example/",
            "https://a.example{path}",
            "https://a.example{1}/{2}",
            "{1}://a.example/",
            "{query:url}",
            "{1}/x",
            "http{1}://a.example",
        ] {
            assert_eq!(check(target), Err(InvalidPlaceholder::InHost), "{target}");
        }
        for target in ["https://a.example/{1}", "https://a.example?{1}", "https://a.example#{1}", "/x/{1}"] {
            assert_eq!(check(target), Ok(true), "{target}");
        }
    }

    #[test]
    fn placeholder_that_could_change_its_neighbours_is_refused() {
        for target in ["%{1}", "%2{1}", "%f{path}", "?q=%{query:x}", "#%A{1}"] {
            assert_eq!(check(&format!("https://a.example/{target}")), Err(InvalidPlaceholder::InEscape), "{target}");
        }
        for target in [".{query:x}", "a/{query:x}..", "%2e{query:x}/b", "{query:x}.{query:y}", "a/.%2E{query:x}?q"] {
            let refused = Err(InvalidPlaceholder::BesideDots);
            assert_eq!(check(&format!("https://a.example/{target}")), refused, "{target}");
        }
        for target in
            [".{1}", "..{path}", ".{query:x}{1}", "a.{query:x}", "{query:x}", "{query:x}{query:y}", "?.{query:x}"]
        {
            assert_eq!(check(&format!("https://a.example/{target}")), Ok(true), "{target}");
        }
        for target in ["%20{1}", "%zz{1}", "%x{1}", "%%25{1}"] {
            assert_eq!(check(&format!("https://a.example/{target}")), Ok(true), "{target}");
        }
    }

    #[test]
    fn number_of_placeholders_is_bounded() {
        let target = |number: usize| format!("https://a.example/{}", "{1}".repeat(number));
        assert_eq!(check(&target(MAX_PLACEHOLDERS)), Ok(true));
        assert_eq!(check(&target(MAX_PLACEHOLDERS + 1)), Err(InvalidPlaceholder::TooMany));
        let encoded = Template::encode(&target(MAX_PLACEHOLDERS)).unwrap();
        assert_eq!(Template::decode(&encoded).unwrap().placeholders().count(), MAX_PLACEHOLDERS);
    }
}
