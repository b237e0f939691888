//! Tests of filled templates, with a second implementation that allocates and is easy to check.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use proptest::prelude::*;

use super::*;

/// Splits the path and the query that follow a code.
fn parts_of(request: &str) -> (Option<&str>, &str) {
    let (path, query) = request.split_once('?').unwrap_or((request, ""));
    (path.strip_prefix('/'), query)
}

/// Fills a target from a request; merges the rest of its query if `forwards`.
fn fill(target: &str, request: &str, forwards: bool) -> Option<String> {
    let encoded = Template::encode(target).unwrap();
    let (rest, query) = parts_of(request);
    let filled = FilledUrl::new(Template::decode(&encoded).unwrap(), rest.map(str::as_bytes), query.as_bytes())?;
    let filled = if forwards { filled.merge_query().unwrap() } else { filled };
    let mut written = Vec::new();
    filled.write(|bytes| written.extend_from_slice(bytes));
    assert_eq!(written.len(), filled.written_len());
    Some(String::from_utf8(written).unwrap())
}

#[test]
fn placeholders_are_filled_in_path_query_and_fragment() {
    for (target, request, expected) in [
        ("https://a.example/browse/{1}", "/ABC-1", Some("https://a.example/browse/ABC-1")),
        ("https://a.example/{2}/{1}/{1}", "/x/y", Some("https://a.example/y/x/x")),
        ("https://a.example/{2}", "/x/y", Some("https://a.example/y")),
        ("https://a.example?a={1}#{2}", "/x/y", Some("https://a.example?a=x#y")),
        ("https://a.example#{1}?x={1}", "/a&b", Some("https://a.example#a%26b?x=a%26b")),
        ("https://a.example/{path}", "/a/b/c", Some("https://a.example/a/b/c")),
        ("https://a.example/{1}/x/{path}", "/a/b/c", Some("https://a.example/a/x/b/c")),
        ("https://a.example/{path}?n={2}", "/a/b/c", Some("https://a.example/c?n=b")),
        ("https://a.example/?p={path}#{path}", "/a/b", Some("https://a.example/?p=a/b#a/b")),
        ("https://a.example/{id}/{{1}}", "/x", Some("https://a.example/{id}/{x}")),
        ("https://a.example/?q={query:q}", "?q=x", Some("https://a.example/?q=x")),
        ("https://a.example/{query:q}", "?a=1&q=x&q=y", Some("https://a.example/x")),
        ("https://a.example/{query:a%20b}", "?a%20b=x", Some("https://a.example/x")),
        ("https://a.example/{query:%71}", "?%71=x", Some("https://a.example/x")),
        ("https://a.example/{query:q}", "?q=a=b", Some("https://a.example/a=b")),
    ] {
        assert_eq!(fill(target, request, false).as_deref(), expected, "{target} {request}");
    }
}

#[test]
fn value_is_decoded_once_and_encoded_for_its_place() {
    let target = "https://a.example/{1}?{1}";
    for (value, in_path, in_query) in [
        ("a%20b", "a%20b", "a%20b"),
        ("%41", "A", "A"),
        ("%2f", "%2F", "%2F"),
        ("%252F", "%252F", "%252F"),
        ("%2e%2E%2e", "...", "..."),
        ("%3F%23%25", "%3F%23%25", "%3F%23%25"),
        ("a&b=c+d;e", "a&b=c+d%3Be", "a%26b%3Dc%2Bd%3Be"),
        ("%26%3D%2B", "&=+", "%26%3D%2B"),
        ("%zz%4", "%25zz%254", "%25zz%254"),
        ("%", "%25", "%25"),
        ("\u{fc}\u{1f426}", "%C3%BC%F0%9F%90%A6", "%C3%BC%F0%9F%90%A6"),
        ("%c3%bc", "%C3%BC", "%C3%BC"),
        ("%ff", "%FF", "%FF"),
        ("\\\"<>^`{|}", "%5C%22%3C%3E%5E%60%7B%7C%7D", "%5C%22%3C%3E%5E%60%7B%7C%7D"),
        ("o'x!$(*,)-._~:@", "o'x!$(*,)-._~:@", "o%27x!$(*,)-._~:@"),
        ("{2}", "%7B2%7D", "%7B2%7D"),
    ] {
        let expected = format!("https://a.example/{in_path}?{in_query}");
        assert_eq!(fill(target, &format!("/{value}"), false), Some(expected), "{value}");
    }
    let target = "https://a.example/{query:q}?{query:q}#{query:q}";
    for (value, in_path, behind_it) in [
        ("a+b", "a+b", "a+b"),
        ("a%2Bb", "a+b", "a%2Bb"),
        ("a/b", "a%2Fb", "a/b"),
        ("a%2Fb", "a%2Fb", "a%2Fb"),
        ("", "", ""),
    ] {
        let expected = format!("https://a.example/{in_path}?{behind_it}#{behind_it}");
        assert_eq!(fill(target, &format!("?q={value}"), false), Some(expected), "{value}");
    }
}

#[test]
fn request_that_does_not_fill_a_target_is_refused() {
    let refused = |target: &str, requests: &[&str]| {
        for request in requests {
            assert_eq!(fill(&format!("https://a.example/{target}"), request, false), None, "{target} {request}");
        }
    };
    refused("{1}", &["", "/", "//", "/x/", "/x/y", "//x", "/x//", "?1=x"]);
    refused("{2}", &["", "/x", "/x/", "//y", "/x/y/z", "/../y"]);
    refused("{path}", &["", "/", "/x/", "/x//y", "/./x", "/x/.."]);
    refused("{1}/{path}", &["", "/x", "/x/"]);
    refused("{query:q}", &["", "?", "?a=1", "?Q=x", "?qq=x", "/?q=x", "/x?q=x"]);
    let dots = ["/.", "/..", "/%2e", "/%2E%2e", "/.%2e", "/%2e."];
    let controls = ["/%00", "/a%0d%0aX:y", "/%09", "/%1f", "/%7f", "/%c2%85", "/%C2%9f"];
    for target in ["{1}", "?{1}", "#{1}", "{path}", "?{path}"] {
        refused(target, &dots);
        refused(target, &controls);
    }
    for target in ["{query:q}", "?{query:q}", "#{query:q}"] {
        refused(target, &controls.map(|control| control.replace('/', "?q=")).each_ref().map(String::as_str));
    }
    refused("a{query:q}b", &["?q=..", "?q=%2e"]);
    for target in ["https://a.example/?{query:q}", "https://a.example/#{query:q}"] {
        assert!(fill(target, "?q=..", false).is_some(), "dots mean nothing there");
    }
    for allowed in ["/...", "/.a", "/..;", "/%252e", "/%c2%a0", "/%c3%85"] {
        assert!(fill("https://a.example/{1}", allowed, false).is_some(), "{allowed}");
    }
}

#[test]
fn rest_of_the_query_is_merged_into_a_filled_target() {
    for (target, request, expected) in [
        ("https://a.example/{1}", "/x?a=1&b", "https://a.example/x?a=1&b"),
        ("https://a.example/{1}", "/x?", "https://a.example/x"),
        ("https://a.example/{query:q}", "?q=x", "https://a.example/x"),
        ("https://a.example/{query:q}", "?q=x&q=y&", "https://a.example/x"),
        ("https://a.example/{query:q}#{query:r}", "?q=x&a=%41+&r=y&&b", "https://a.example/x?a=%41+&&b#y"),
        ("https://a.example/?q={query:q}&l=en&x=1#f", "?q=x&l=de", "https://a.example/?q=x&x=1&l=de#f"),
        ("https://a.example/?x=1&q={query:x}", "?x=5&a=1", "https://a.example/?x=1&q=5&a=1"),
        ("https://a.example/?k{1}=0&b=1", "/a?ka=2", "https://a.example/?b=1&ka=2"),
        ("https://a.example/?k{1}=0&b=1", "/%C3%BC?k%c3%bc=2", "https://a.example/?b=1&k%c3%bc=2"),
        ("https://a.example/?{1}&b=1", "/a?b=2", "https://a.example/?a&b=2"),
        ("https://a.example/{1}?a=1", "/x?a=2", "https://a.example/x?a=2"),
    ] {
        assert_eq!(fill(target, request, true).as_deref(), Some(expected), "{target} {request}");
    }
}

#[test]
fn parameter_is_the_value_that_fills_it_as_a_whole() {
    for (target, expected) in [
        ("https://a.example/?a=1&s={query:q}#s=x", Some("v+%41")),
        ("https://a.example/?s={1}", Some("x%20y")),
        ("https://a.example/{1}?s={query:q}", Some("v+%41")),
        ("https://a.example/{1}?s=x", None),
        ("https://a.example/?s=a{1}", None),
        ("https://a.example/?xs={1}", None),
        ("https://a.example/#?s={1}", None),
    ] {
        let encoded = Template::encode(target).unwrap();
        let rest: Option<&[u8]> = target.contains("{1}").then_some(b"x%20y");
        let filled = FilledUrl::new(Template::decode(&encoded).unwrap(), rest, b"q=v+%41").unwrap();
        assert_eq!(filled.parameter(b"s="), expected.map(str::as_bytes), "{target}");
    }
}

#[test]
fn location_is_at_most_8192_bytes_longer_than_its_target() {
    let target = "https://a.example/{1}";
    let fits = "x".repeat(MergedUrl::MAX_GROWTH + 3);
    assert_eq!(fill(target, &format!("/{fits}"), false), Some(format!("https://a.example/{fits}")));
    assert_eq!(fill(target, &format!("/{fits}x"), false), None);
    assert_eq!(fill("https://a.example/{1}{1}", &format!("/{}", "x".repeat(4_100)), false), None);
    let encoded = Template::encode(target).unwrap();
    let merge = |query: &str| {
        let template = Template::decode(&encoded).unwrap();
        FilledUrl::new(template, Some(b"123"), query.as_bytes()).unwrap().merge_query().is_some()
    };
    assert!(merge(&"q".repeat(MergedUrl::MAX_GROWTH - 1)) && !merge(&"q".repeat(MergedUrl::MAX_GROWTH)));
    assert!(merge("q") && !merge("\u{fc}") && !merge("a b"));
}

#[test]
fn work_for_one_request_is_bounded() {
    let pairs = |number: usize| (0..number).map(|n| format!("{n}=")).collect::<Vec<_>>().join("&");
    let target = format!("https://a.example/?{}", "{query:0}".repeat(32));
    assert!(fill(&target, &format!("?{}", pairs(1_000)), false).is_some());
    assert_eq!(fill(&target, &format!("?{}", pairs(2_049)), false), None);
    let encoded = Template::encode(&format!("https://a.example/{{1}}?{}", pairs(256))).unwrap();
    let query = pairs(256);
    let filled = FilledUrl::new(Template::decode(&encoded).unwrap(), Some(b"x"), query.as_bytes()).unwrap();
    assert_eq!(filled.merge_query(), None, "257 names and 256 pairs are too many");
}

/// Characters that the oracle leaves alone behind the path of a target.
const BEHIND_PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b',')
    .remove(b':')
    .remove(b'@');
const IN_PATH: &AsciiSet = &BEHIND_PATH.remove(b'&').remove(b'\'').remove(b'=').remove(b'+');

fn decode(text: &str) -> Vec<u8> {
    percent_decode(text.as_bytes()).collect()
}

fn encode(value: &[u8], is_in_path: bool) -> String {
    percent_encode(value, if is_in_path { IN_PATH } else { BEHIND_PATH }).to_string()
}

/// Fills a target by replacing one placeholder after another in a copy of it.
fn fill_naively(target: &str, request: &str) -> Option<String> {
    let (rest, query) = parts_of(request);
    let segments: Vec<&str> = rest.map_or(Vec::new(), |rest| rest.split('/').collect());
    let is_wrong = |value: &[u8]| {
        let text = String::from_utf8_lossy(value);
        text.is_empty() || text == "." || text == ".." || text.chars().any(char::is_control)
    };
    if segments.iter().any(|segment| is_wrong(&decode(segment))) {
        return None;
    }
    let highest = (1..=9).filter(|number| target.contains(&format!("{{{number}}}"))).max().unwrap_or(0);
    if segments.len() < highest || segments.len() > highest && !target.contains("{path}") {
        return None;
    }
    let mut filled = String::new();
    let mut left = target;
    while let Some(open) = left.find('{') {
        filled += &left[..open];
        left = &left[open..];
        let is_in_path = !filled.contains(['?', '#']);
        let end = left.find('}').map_or(1, |close| close + 1);
        let content = &left[..end];
        left = &left[end..];
        if content == "{path}" {
            let others = segments.get(highest..).filter(|others| !others.is_empty())?;
            let others: Vec<_> = others.iter().map(|segment| encode(&decode(segment), is_in_path)).collect();
            filled += &others.join("/");
        } else if let Some(name) = content.strip_prefix("{query:").and_then(|rest| rest.strip_suffix('}')) {
            let pair = query
                .split('&')
                .find(|pair| !pair.is_empty() && decode(pair.split('=').next().unwrap()) == decode(name))?;
            let value = pair.split_once('=').map_or("", |(_, value)| value);
            if !value.is_empty()
                && is_wrong(&decode(value))
                && (is_in_path || !["", ".", ".."].contains(&String::from_utf8_lossy(&decode(value)).as_ref()))
            {
                return None;
            }
            // A plus and a slash that the client did not escape may stay as they are.
            for part in value.split_inclusive(['+', '/']) {
                let (text, sign) = part.strip_suffix(['+', '/']).map_or((part, ""), |text| (text, &part[text.len()..]));
                filled += &encode(&decode(text), is_in_path);
                filled += if sign == "/" && is_in_path { "%2F" } else { sign };
            }
        } else {
            let number: usize = content.trim_matches(['{', '}']).parse().unwrap();
            filled += &encode(&decode(segments[number - 1]), is_in_path);
        }
    }
    Some(filled + left)
}

fn origin(url: &url::Url) -> (String, Option<String>, Option<u16>, String, Option<String>) {
    let host = url.host_str().map(str::to_owned);
    (
        url.scheme().to_owned(),
        host,
        url.port_or_known_default(),
        url.username().to_owned(),
        url.password().map(str::to_owned),
    )
}

fn template() -> impl Strategy<Value = String> {
    let piece = || {
        prop_oneof![
            3 => "[a-z0-9~_-]{1,4}",
            2 => (1..=3usize).prop_map(|number| format!("{{{number}}}")),
            1 => Just("{path}".to_owned()),
            1 => "\\{query:[a-c]\\}",
        ]
    };
    let segment = prop::collection::vec(piece(), 1..3).prop_map(|pieces| pieces.concat());
    let path = prop::collection::vec(segment, 0..4).prop_map(|segments| segments.join("/"));
    let pairs = prop::collection::vec(("[a-d]", piece()).prop_map(|(name, value)| format!("{name}={value}")), 0..3);
    let host = prop_oneof![Just("a.example"), Just("u:p@b.example:8080"), Just("[2001:db8::1]"), Just("127.0.0.1")];
    (host, path, pairs, prop::option::of(piece()))
        .prop_map(|(host, path, pairs, fragment)| {
            let mut target = format!("https://{host}/{path}");
            if !pairs.is_empty() {
                target += &format!("?{}", pairs.join("&"));
            }
            if let Some(fragment) = fragment {
                target += &format!("#{fragment}");
            }
            target
        })
        .prop_filter("a template has a placeholder", |target| target.contains('{'))
}

fn request() -> impl Strategy<Value = String> {
    let value = || {
        prop_oneof![
            4 => "[a-zA-Z0-9]{1,3}",
            2 => "([!-.0->@-~]|%[0-9a-fA-F]{2}){0,6}",
            1 => "(\\.|%2e|%2E|%00|%2f|%5c|\\\\|@|:|;){1,3}",
        ]
    };
    let path = prop::collection::vec(value(), 0..5)
        .prop_map(|segments| segments.iter().map(|text| format!("/{text}")).collect::<String>());
    let name = prop_oneof![3 => "[a-d]", 1 => "%6[1-4]"];
    let pairs = prop::collection::vec(
        (name, value()).prop_map(|(name, value)| format!("{name}={}", value.replace(['&', '#'], ""))),
        0..5,
    );
    (path, pairs).prop_map(|(path, pairs)| format!("{}?{}", path.replace(['?', '#'], ""), pairs.join("&")))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn filled_target_is_what_a_naive_implementation_writes(target in template(), request in request()) {
        prop_assert_eq!(fill(&target, &request, false), fill_naively(&target, &request), "{} {}", target, request);
    }

    #[test]
    fn filled_target_keeps_the_origin_and_its_segments(target in template(), request in request(), forwards in any::<bool>()) {
        let Some(filled) = fill(&target, &request, forwards) else { return Ok(()) };
        prop_assert!(filled.bytes().all(|byte| (0x21..=0x7e).contains(&byte)), "{}", filled);
        let (before, after) = (url::Url::parse(&target).unwrap(), url::Url::parse(&filled).unwrap());
        prop_assert_eq!(origin(&before), origin(&after), "{} {}", target, filled);
        let segments = |url: &url::Url| url.path_segments().unwrap().count();
        let in_path = target.split(['?', '#']).next().unwrap().matches("{path}").count();
        let highest = (1..=9).filter(|number| target.contains(&format!("{{{number}}}"))).max().unwrap_or(0);
        let given = parts_of(&request).0.map_or(0, |rest| rest.split('/').count());
        let further = if in_path == 0 { 0 } else { in_path * (given - highest - 1) };
        prop_assert_eq!(segments(&after), segments(&before) + further, "{} {}", target, filled);
        prop_assert_eq!(before.fragment().is_some(), after.fragment().is_some());
        if !forwards {
            let pairs = |url: &url::Url| url.query().map_or(0, |query| query.split('&').count());
            prop_assert_eq!(pairs(&before), pairs(&after), "{} {}", target, filled);
        }
    }

    #[test]
    fn each_decoded_value_is_what_was_asked(values in prop::collection::vec("([!-.0->@-~]|%[2-7][0-9a-f]|%[c-d][0-9a-f]%b[0-9a-f]){1,8}", 2)) {
        let values: Vec<String> = values.iter().map(|value| value.replace(['#', '?'], "")).collect();
        let request = format!("/{}/{}", values[0], values[1]);
        let Some(filled) = fill("https://a.example/x/{1}/y?a=b&q={2}&c={1}#{2}", &request, false) else { return Ok(()) };
        let url = url::Url::parse(&filled).unwrap();
        let segments: Vec<&str> = url.path_segments().unwrap().collect();
        prop_assert_eq!(segments.len(), 3);
        prop_assert_eq!(decode(segments[1]), decode(&values[0]));
        prop_assert_eq!(decode(url.fragment().unwrap()), decode(&values[1]));
        let pairs: Vec<_> = url::form_urlencoded::parse(url.query().unwrap().as_bytes()).collect();
        let text = |value: &str| String::from_utf8_lossy(&decode(value)).into_owned();
        prop_assert_eq!(pairs, [("a", "b".to_owned()), ("q", text(&values[1])), ("c", text(&values[0]))].map(|(name, value)| (name.into(), value.into())));
    }

    #[test]
    fn arbitrary_request_does_not_panic(target in template(), rest in prop::option::of(prop::collection::vec(any::<u8>(), 0..40)), query in prop::collection::vec(any::<u8>(), 0..40)) {
        let encoded = Template::encode(&target).unwrap();
        if let Some(filled) = FilledUrl::new(Template::decode(&encoded).unwrap(), rest.as_deref(), &query) {
            let mut written = Vec::new();
            filled.merge_query().unwrap_or(filled).write(|bytes| written.extend_from_slice(bytes));
            prop_assert!(written.iter().all(|byte| (0x21..=0x7e).contains(byte)));
        }
    }
}
