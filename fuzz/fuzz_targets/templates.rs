//! Placeholders that are filled: visible ASCII comes out, from the same origin, with the same number of segments.

#![no_main]

use libfuzzer_sys::fuzz_target;
use percent_encoding::percent_decode;
use tern_common::TargetUrl;
use tern_common::placeholders::{MAX_PLACEHOLDERS, Source, Template};
use tern_redirector::http::{FilledUrl, MergedUrl};
use url::Url;

/// Splits at the first `separator`, which belongs to neither part.
fn split_once(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == separator)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

fn written(filled: FilledUrl<'_>) -> Vec<u8> {
    let mut location = Vec::new();
    filled.write(|bytes| location.extend_from_slice(bytes));
    assert_eq!(location.len(), filled.written_len());
    location
}

fn parse(url: &[u8]) -> Url {
    Url::parse(std::str::from_utf8(url).unwrap()).unwrap()
}

/// Returns the number of slashes and dot segments aside, as clients count segments.
fn segments(url: &Url) -> usize {
    url.path_segments().map_or(0, Iterator::count)
}

fuzz_target!(|bytes: &[u8]| {
    // The target, a line end, the path behind the code, a line end, the query.
    let Some((target, request)) = split_once(bytes, b'\n') else { return };
    let Some((rest, query)) = split_once(request, b'\n') else { return };
    let rest = (rest != b"-").then_some(rest);
    let Ok(target) = std::str::from_utf8(target).map_err(drop).and_then(|text| TargetUrl::parse(text).map_err(drop))
    else {
        return;
    };
    let Some(encoded) = Template::encode(target.location()) else {
        assert!(target.clone().without_placeholders().is_ok());
        return;
    };
    assert!(target.clone().without_placeholders().is_err());
    let template = Template::decode(&encoded).unwrap();
    assert_eq!(template.text(), target.location().as_bytes());
    assert!((1..=MAX_PLACEHOLDERS).contains(&template.placeholders().count()));
    let Some(filled) = FilledUrl::new(template, rest, query) else { return };

    let location = written(filled);
    assert!(location.iter().all(|byte| (0x21..=0x7e).contains(byte)));
    assert!(location.len() <= template.text().len() + MergedUrl::MAX_GROWTH);
    let (before, after) = (parse(template.text()), parse(&location));
    assert_eq!(before.origin(), after.origin());
    assert_eq!((before.username(), before.password()), (after.username(), after.password()));
    assert_eq!(before.fragment().is_some(), after.fragment().is_some());
    assert_eq!(before.query().is_some(), after.query().is_some());
    let count = |url: &Url| url.query().map_or(0, |query| query.split('&').count());
    assert_eq!(count(&before), count(&after));
    let takes_path = template.placeholders().any(|placeholder| placeholder.source == Source::Path);
    if !takes_path {
        assert_eq!(segments(&before), segments(&after));
    }
    // Each piece of the location is the text of the template, or decodes to what was asked.
    let mut left: &[u8] = &location;
    let mut at = 0;
    let rest: Vec<&[u8]> = rest.into_iter().flat_map(|rest| rest.split(|byte| *byte == b'/')).collect();
    for placeholder in template.placeholders() {
        let text = &template.text()[at..placeholder.range.start];
        left = left.strip_prefix(text).expect("the text of the template stays");
        at = placeholder.range.end;
        let Source::Segment(number) = placeholder.source else { return };
        let wanted: Vec<u8> = percent_decode(rest[number - 1]).collect();
        let mut decoded = Vec::new();
        while decoded.len() < wanted.len() {
            let len = if left[0] == b'%' { 3 } else { 1 };
            decoded.extend(percent_decode(&left[..len]));
            left = &left[len..];
        }
        assert_eq!(decoded, wanted);
    }
    assert_eq!(left, &template.text()[at..]);

    if let Some(merged) = filled.merge_query() {
        let location = written(merged);
        assert!(location.iter().all(|byte| (0x21..=0x7e).contains(byte)));
        assert!(location.len() <= template.text().len() + MergedUrl::MAX_GROWTH);
        assert_eq!(parse(&location).origin(), before.origin());
    }
});
