//! Queries that are merged into targets: visible ASCII comes out, from the same origin, and no byte is lost or changed.

#![no_main]

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;
use percent_encoding::percent_decode;
use tern_common::TargetUrl;
use tern_redirector::http::MergedUrl;
use url::Url;

/// The name of a pair, percent-decoded.
fn name(pair: &[u8]) -> Vec<u8> {
    percent_decode(pair.split(|byte| *byte == b'=').next().unwrap_or_default()).collect()
}

fn parts(query: &[u8]) -> impl Iterator<Item = &[u8]> {
    query.split(|byte| *byte == b'&')
}

/// Splits at the first `separator`, which stays with the second part.
fn split_before(bytes: &[u8], separator: u8) -> (&[u8], &[u8]) {
    bytes.split_at(bytes.iter().position(|byte| *byte == separator).unwrap_or(bytes.len()))
}

fn origin(url: &[u8]) -> (String, Option<String>, Option<u16>) {
    let url = Url::parse(std::str::from_utf8(url).unwrap()).unwrap();
    (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port_or_known_default())
}

fuzz_target!(|bytes: &[u8]| {
    // The target, a line end, the query.
    let (target, query) = split_before(bytes, b'\n');
    let Some(query) = query.get(1..).filter(|query| !query.is_empty()) else { return };
    let Ok(target) = std::str::from_utf8(target).map_err(drop).and_then(|text| TargetUrl::parse(text).map_err(drop))
    else {
        return;
    };
    let target = target.location().as_bytes();
    let Some(merged) = MergedUrl::new(target, query) else { return };
    let mut location = Vec::new();
    merged.write(|bytes| location.extend_from_slice(bytes));

    assert!(location.iter().all(|byte| (0x21..=0x7e).contains(byte)));
    assert!(location.len() <= target.len() + MergedUrl::MAX_GROWTH);
    assert_eq!(origin(&location), origin(target));

    let (rest, fragment) = split_before(target, b'#');
    let (before, own) = split_before(rest, b'?');
    let middle = location.strip_prefix(before).unwrap().strip_prefix(b"?").unwrap();
    let kept = middle.strip_suffix(fragment).unwrap().strip_suffix(query).unwrap();
    let names: HashSet<Vec<u8>> = parts(query).filter(|part| !part.is_empty()).map(name).collect();
    let own = own.get(1..).filter(|own| !own.is_empty()).into_iter().flat_map(parts);
    let expected: Vec<u8> = own
        .filter(|part| part.is_empty() || !names.contains(&name(part)))
        .flat_map(|part| part.iter().copied().chain([b'&']))
        .collect();
    assert_eq!(kept, expected);
});
