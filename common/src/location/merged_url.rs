//! A URL into which the query of a request is merged. Pure: bytes only, nothing is parsed and rebuilt.
//!
//! The URL is copied up to its `?`. Those of its pairs follow whose name is not in the query, then the query, then the
//! fragment of the URL. Names are compared after percent-decoding, and every copied byte stays as it is.

use percent_encoding::percent_decode;

/// A URL and a query that is merged into it. The merge happens when the bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MergedUrl<'a> {
    url: &'a [u8],
    query: &'a [u8],
}

/// The parts of a URL.
pub(super) struct Parts<'a> {
    /// Everything before the `?`.
    pub(super) before: &'a [u8],
    pub(super) query: Option<&'a [u8]>,
    /// The fragment with its `#`.
    pub(super) fragment: &'a [u8],
}

impl<'a> MergedUrl<'a> {
    /// The most bytes by which a merge may lengthen a URL.
    pub const MAX_GROWTH: usize = 8192;

    /// The most comparisons of names for one merge, which take less than a millisecond.
    pub(super) const MAX_COMPARISONS: usize = 1 << 16;

    /// Merges a query, which is not empty, into a URL.
    ///
    /// Returns `None` if the result would be longer than the URL and [`MergedUrl::MAX_GROWTH`], the query is not visible
    /// ASCII, or the merge would take too long.
    pub fn new(url: &'a [u8], query: &'a [u8]) -> Option<MergedUrl<'a>> {
        let merged = MergedUrl { url, query };
        let longest = url.len() + MergedUrl::MAX_GROWTH;
        // Pairs that the query replaces make room, so a longer query may fit.
        let may_fit = query.len() <= longest && query.iter().all(u8::is_ascii_graphic);
        if !may_fit {
            return None;
        }
        let own = Parts::of(url).query.map_or(0, |own| pairs(own).count());
        if own > 0 && own * pairs(query).count() > MergedUrl::MAX_COMPARISONS {
            return None;
        }
        // One byte more separates the query from what is before it.
        let fits = query.len() < MergedUrl::MAX_GROWTH || merged.len() <= longest;
        fits.then_some(merged)
    }

    /// Returns the query that is merged into the URL.
    pub fn query(&self) -> &'a [u8] {
        self.query
    }

    /// Returns an upper bound of the length.
    pub fn max_len(&self) -> usize {
        self.url.len() + self.query.len() + 2
    }

    fn len(&self) -> usize {
        let mut len = 0;
        self.write(|bytes| len += bytes.len());
        len
    }

    /// Writes the merged URL in pieces.
    pub fn write(&self, mut put: impl FnMut(&[u8])) {
        let Parts { before, query, fragment } = Parts::of(self.url);
        put(before);
        put(b"?");
        for pair in query.into_iter().flat_map(split) {
            if pair.is_empty() || !self.replaces(name(pair)) {
                put(pair);
                put(b"&");
            }
        }
        put(self.query);
        put(fragment);
    }

    /// Returns whether the query has a pair of this name.
    fn replaces(&self, own: &[u8]) -> bool {
        pairs(self.query).any(|pair| {
            let given = name(pair);
            own == given
                || (own.contains(&b'%') || given.contains(&b'%')) && percent_decode(own).eq(percent_decode(given))
        })
    }
}

impl<'a> Parts<'a> {
    pub(super) fn of(url: &'a [u8]) -> Parts<'a> {
        let (rest, fragment) = url.split_at(memchr::memchr(b'#', url).unwrap_or(url.len()));
        match memchr::memchr(b'?', rest) {
            Some(mark) => Parts { before: &rest[..mark], query: Some(&rest[mark + 1..]), fragment },
            None => Parts { before: rest, query: None, fragment },
        }
    }
}

/// Splits a query at each `&`. An empty query has no parts.
pub(super) fn split(query: &[u8]) -> impl Iterator<Item = &[u8]> {
    query.split(|byte| *byte == b'&').take(if query.is_empty() { 0 } else { usize::MAX })
}

/// Returns the pairs of a query. An empty part is no pair.
pub(super) fn pairs(query: &[u8]) -> impl Iterator<Item = &[u8]> {
    split(query).filter(|pair| !pair.is_empty())
}

pub(super) fn name(pair: &[u8]) -> &[u8] {
    &pair[..memchr::memchr(b'=', pair).unwrap_or(pair.len())]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn merge(url: &str, query: &str) -> Option<String> {
        let mut merged = Vec::new();
        MergedUrl::new(url.as_bytes(), query.as_bytes())?.write(|bytes| merged.extend_from_slice(bytes));
        Some(String::from_utf8(merged).unwrap())
    }

    #[test]
    fn query_replaces_pairs_of_its_names_and_follows_the_others() {
        for (url, query, merged) in [
            ("https://a.example", "x=1", "https://a.example?x=1"),
            ("https://a.example/", "x=1", "https://a.example/?x=1"),
            ("https://a.example/p#f", "x=1", "https://a.example/p?x=1#f"),
            ("https://a.example/?", "x=1", "https://a.example/?x=1"),
            ("https://a.example/?a=1", "x=1", "https://a.example/?a=1&x=1"),
            ("https://a.example/?a=1&x=0&b=2#f", "x=1", "https://a.example/?a=1&b=2&x=1#f"),
            ("https://a.example/?x=0&x=2", "x=1", "https://a.example/?x=1"),
            ("https://a.example/?a=1&a=2", "x=1", "https://a.example/?a=1&a=2&x=1"),
            ("https://a.example/?x=0", "x=1&x=2&x", "https://a.example/?x=1&x=2&x"),
            ("https://a.example/?x", "x=1", "https://a.example/?x=1"),
            ("https://a.example/?x=0", "X=1", "https://a.example/?x=0&X=1"),
            ("https://a.example/?%78=0", "x=1", "https://a.example/?x=1"),
            ("https://a.example/?x=0", "%78=1", "https://a.example/?%78=1"),
            ("https://a.example/?%C3%BC=0", "%c3%bc=1", "https://a.example/?%c3%bc=1"),
            ("https://a.example/?a%3Db=0", "a=1", "https://a.example/?a%3Db=0&a=1"),
            ("https://a.example/?a+b=0", "a%20b=1", "https://a.example/?a+b=0&a%20b=1"),
            ("https://a.example/?a=%zz&b=%&c", "x=%1", "https://a.example/?a=%zz&b=%&c&x=%1"),
            ("https://a.example/?a=1&&b=2&", "x=1", "https://a.example/?a=1&&b=2&&x=1"),
            ("https://a.example/?a=1&&b=2", "&x=1&&", "https://a.example/?a=1&&b=2&&x=1&&"),
            ("https://a.example/?=0&a", "=1", "https://a.example/?a&=1"),
            ("https://a.example/?a=1?b=2", "x=?#", "https://a.example/?a=1?b=2&x=?#"),
            ("https://a.example/#/route?x=0", "x=1", "https://a.example/?x=1#/route?x=0"),
            ("https://a.example/", "//evil.example/@\\", "https://a.example/?//evil.example/@\\"),
        ] {
            assert_eq!(merge(url, query).as_deref(), Some(merged), "{url} {query}");
        }
    }

    #[test]
    fn query_that_is_too_long_or_not_visible_is_not_merged() {
        let url = "https://a.example/";
        let fits = "x".repeat(MergedUrl::MAX_GROWTH - 1);
        assert_eq!(merge(url, &fits), Some(format!("{url}?{fits}")));
        assert_eq!(merge(url, &format!("{fits}x")), None);
        // What the query replaces makes room.
        let (url, query) = (format!("{url}?x={}", "0".repeat(2000)), format!("x={}", "1".repeat(10_000)));
        assert_eq!(merge(&url, &query).map(|merged| merged.len()), Some(18 + 1 + query.len()));
        assert_eq!(merge(&url, &format!("y{query}")), None);
        for query in ["ä", "a b", "a\r\nSet-Cookie: x", "\0", "\u{7f}"] {
            assert_eq!(merge(&url, query), None, "{query:?}");
        }
    }

    #[test]
    fn merge_of_many_pairs_on_both_sides_is_refused() {
        let pairs = |n: usize| (0..n).map(|n| format!("{n}=")).collect::<Vec<_>>().join("&");
        let url = |n| format!("https://a.example/?{}", pairs(n));
        assert!(merge(&url(256), &pairs(256)).is_some());
        assert_eq!(merge(&url(257), &pairs(256)), None);
        assert!(merge("https://a.example/", &pairs(1_500)).is_some());
    }

    /// Returns the scheme, the host and the port that a browser reads.
    fn origin(url: &str) -> (String, Option<String>, Option<u16>) {
        let parsed = url::Url::parse(url).unwrap();
        (parsed.scheme().to_owned(), parsed.host_str().map(str::to_owned), parsed.port_or_known_default())
    }

    proptest! {
        #[test]
        fn merged_url_keeps_the_origin_and_every_byte(
            tail in "([/?#][!-~]{0,30}){0,4}",
            query in "([a-c%=&?#/@:\\\\]|%6[1-3]|[!-~]){1,30}",
        ) {
            let url = format!("https://user@a.example:81{tail}");
            prop_assume!(url::Url::parse(&url).is_ok());
            let merged = merge(&url, &query).unwrap();
            prop_assert!(merged.bytes().all(|byte| (0x21..=0x7e).contains(&byte)), "{}", merged);
            prop_assert_eq!(origin(&merged), origin(&url));
            let Parts { before, query: own, fragment } = Parts::of(url.as_bytes());
            let rest = merged.as_bytes().strip_prefix(before).unwrap().strip_prefix(b"?").unwrap();
            let rest = rest.strip_suffix(fragment).unwrap();
            let kept = rest.strip_suffix(query.as_bytes()).unwrap();
            // The kept parts are in order, and each lost part has a name of the query.
            let mut kept = kept.split_inclusive(|byte| *byte == b'&').map(|part| part.strip_suffix(b"&").unwrap()).peekable();
            for part in own.into_iter().flat_map(split) {
                let is_replaced = !part.is_empty()
                    && pairs(query.as_bytes()).any(|pair| percent_decode(name(pair)).eq(percent_decode(name(part))));
                if !is_replaced {
                    prop_assert_eq!(kept.next(), Some(part));
                }
            }
            prop_assert_eq!(kept.next(), None);
        }
    }
}
