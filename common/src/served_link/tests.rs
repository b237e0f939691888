//! Tests of the encoding.

use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::*;
use crate::placeholders::InvalidPlaceholder;

#[test]
fn encoded_link_has_each_field_of_its_row() {
    let mut encoder = LinkEncoder::default();
    let mut check = |row: LinkRow<&str>, location: &str, len: usize| {
        let expected = row.clone();
        let encoded = encoder.encode(&row).unwrap().bytes().to_vec();
        assert_eq!(LinkRow::decode(&encoded), Some(expected));
        assert_eq!((encoded.len(), encoded_len(encoded.first_chunk().unwrap())), (len, len));
        let text = std::str::from_utf8(&encoded[text_range(encoded.first_chunk().unwrap())]).unwrap();
        let link = ServedLink::decode(&encoded, text);
        assert_eq!((link.code, link.location(), link.active), (row.short_code, location, row.is_active));
        assert_eq!((link.url_id.get(), link.owner_id.get()), (row.url_id, row.owner_id));
        assert_eq!(encoder.check(&row), Ok(link));
        assert_eq!(encoder.encode_served(link).bytes(), encoded);
    };
    let plain = LinkRow::plain("CODE12", "https://example.com/");
    let widest = i64::from(u32::MAX);
    let (longest, foreign) = (format!("https://a.example/{}", "x".repeat(8174)), "https://münchen.example/ü");
    check(plain.clone(), "https://example.com/", 12 + 6 + 20);
    check(LinkRow { is_active: false, ..plain.clone() }, "https://example.com/", 12 + 6 + 20);
    check(LinkRow { url_id: widest, owner_id: widest, ..plain.clone() }, "https://example.com/", 12 + 6 + 20);
    check(LinkRow { owner_id: widest + 1, ..plain.clone() }, "https://example.com/", 20 + 6 + 20);
    check(LinkRow { url_id: i64::MAX, ..plain.clone() }, "https://example.com/", 20 + 6 + 20);
    check(LinkRow { original_url: &longest, ..plain.clone() }, &longest, 12 + 6 + 8192);
    let location = "https://xn--mnchen-3ya.example/%C3%BC";
    let expires_at = Some(Timestamp::from_unix_seconds(-1));
    check(LinkRow { expires_at, ..plain.clone() }, "https://example.com/", 16 + 6 + 20 + 5 + 8);
    let len = 16 + 6 + foreign.len() + 5 + location.len();
    check(LinkRow { original_url: foreign, ..plain.clone() }, location, len);
    check(LinkRow { original_url: foreign, expires_at, ..plain.clone() }, location, len + 5 + 8);
    let start = LinkRow { starts_at: expires_at, ..plain.clone() };
    check(start, "https://example.com/", 16 + 6 + 20 + 5 + 8);
    let fallback = LinkRow { expired_url: Some("https://a.example/"), ..plain.clone() };
    check(fallback, "https://example.com/", 16 + 6 + 20 + 5 + 18);
    let fallback = LinkRow { expired_url: Some(foreign), ..plain.clone() };
    check(fallback, "https://example.com/", 16 + 6 + 20 + 5 + foreign.len() + 5 + location.len());
    let status = LinkRow { redirect_status: Some(308), ..plain.clone() };
    check(status, "https://example.com/", 16 + 6 + 20 + 5 + 2);
    let rules = Some(r#"[{"target":"https://a.example/","if":[{"type":"country","value":"AT"}]}]"#.to_owned());
    let rules = LinkRow { rules, ..plain.clone() };
    check(rules, "https://example.com/", 16 + 6 + 20 + 5 + 8 + 18 + 3 + 2);
    let split = r#"[{"target":"https://a.example/","weight":1},{"target":"https://münchen.example/ü","weight":2}]"#;
    let split = LinkRow { split: Some(split.to_owned()), ..plain.clone() };
    check(split, "https://example.com/", 16 + 6 + 20 + 5 + 7 + 18 + 7 + foreign.len() + location.len());
    for forward in [true, false] {
        let query = LinkRow { forward_query: Some(forward), ..plain.clone() };
        check(query, "https://example.com/", 16 + 6 + 20 + 5 + 1);
    }
    let limited = LinkRow { max_clicks: Some(1), ..plain.clone() };
    check(limited.clone(), "https://example.com/", 16 + 6 + 20 + 5 + 8);
    check(LinkRow { is_exhausted: true, ..limited }, "https://example.com/", 16 + 6 + 20 + 5 + 8 + 5);
}

#[test]
fn target_with_placeholders_is_served_with_their_places() {
    let mut encoder = LinkEncoder::default();
    let plain = LinkRow::plain("jira", "https://münchen.example/{1}?q={query:ü}");
    let encoded = encoder.encode(&plain).unwrap().bytes().to_vec();
    assert_eq!(LinkRow::decode(&encoded), Some(plain.clone()));
    let text = std::str::from_utf8(&encoded[text_range(encoded.first_chunk().unwrap())]).unwrap();
    let link = ServedLink::decode(&encoded, text);
    assert_eq!(link.original_url(), plain.original_url);
    let extension = link.extension().unwrap();
    let template = extension.template().unwrap();
    assert_eq!(template.text(), b"https://xn--mnchen-3ya.example/{1}?q={query:%C3%BC}");
    assert_eq!((template.placeholders().count(), extension.has_placeholders()), (2, true));
    let braces = LinkRow::plain("CODE12", "https://a.example/{id}");
    assert_eq!(encoder.check(&braces).unwrap().extension(), None, "other braces are text");
}

#[test]
fn invalid_row_is_refused_with_its_reason() {
    let mut encoder = LinkEncoder::default();
    let plain = LinkRow::plain("CODE12", "https://example.com/");
    let mut check = |row: LinkRow<&str>, expected: InvalidLink| assert_eq!(encoder.check(&row), Err(expected));
    check(LinkRow { url_id: 0, ..plain.clone() }, InvalidLink::Id);
    check(LinkRow { owner_id: -1, ..plain.clone() }, InvalidLink::Id);
    check(LinkRow { original_url: "ftp://a", ..plain.clone() }, InvalidLink::Target(InvalidTarget::NotHttp));
    let expired_url = LinkRow { expired_url: Some("javascript:x"), ..plain.clone() };
    check(expired_url, InvalidLink::ExpiredUrl(InvalidTarget::NotHttp));
    let host = LinkRow { original_url: "https://{1}.example/", ..plain.clone() };
    check(host, InvalidLink::Target(InvalidPlaceholder::InHost.into()));
    let expired_url = LinkRow { expired_url: Some("https://a.example/{1}"), ..plain.clone() };
    check(expired_url, InvalidLink::ExpiredUrl(InvalidPlaceholder::NotHere.into()));
    check(LinkRow { redirect_status: Some(303), ..plain.clone() }, InvalidLink::RedirectStatus(InvalidRedirectStatus));
    check(LinkRow { max_clicks: Some(0), ..plain.clone() }, InvalidLink::ClickLimit(InvalidClickLimit));
    let rules = |text: &str| LinkRow { rules: Some(text.to_owned()), ..plain.clone() };
    check(rules("{}"), InvalidLink::Rules(InvalidRules::Unreadable));
    let target = InvalidRules::Target { rule: 0, reason: InvalidTarget::NotHttp };
    check(rules(r#"[{"target":"javascript:x","if":[]}]"#), InvalidLink::Rules(target));
    let split = r#"[{"target":"https://a.example/","weight":1},{"target":"ftp://a","weight":2}]"#;
    let split = LinkRow { split: Some(split.to_owned()), ..plain.clone() };
    let target = InvalidSplit::Target { variant: 1, reason: InvalidTarget::NotHttp };
    check(split, InvalidLink::Split(target));
    let code = ShortCode::check("a b").unwrap_err();
    check(LinkRow { short_code: "a b", ..plain }, InvalidLink::ShortCode(code));
}

#[test]
fn link_redirects_from_its_start_to_its_end() {
    let mut encoder = LinkEncoder::default();
    let [start, end] = [1_000, 2_000].map(|seconds| Some(Timestamp::from_unix_seconds(seconds)));
    let row = LinkRow { starts_at: start, expires_at: end, ..LinkRow::plain("CODE12", "https://example.com/") };
    let extension = encoder.check(&row).unwrap().extension().unwrap();
    let state_after = |millis| {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        (extension.is_scheduled(at), extension.has_expired(at))
    };
    let (scheduled, active, expired) = ((true, false), (false, false), (false, true));
    let states = [0, 999_999, 1_000_000, 1_999_999, 2_000_000, 3_000_000].map(state_after);
    assert_eq!(states, [scheduled, scheduled, active, active, expired, expired]);
}

#[test]
fn link_with_an_end_or_a_limit_is_never_redirected_permanently() {
    let mut encoder = LinkEncoder::default();
    let rules = r#"[{"target":"https://a.example/","if":[{"type":"bot","value":"true"}]}]"#;
    let rules = LinkRow { rules: Some(rules.to_owned()), ..LinkRow::plain("CODE12", "https://example.com/") };
    let extension = encoder.check(&rules).unwrap().extension().unwrap();
    for (default, expected) in [(301, 302), (302, 302), (307, 307), (308, 302)] {
        assert_eq!(extension.redirect_status(default.try_into().unwrap()).code(), expected);
    }
    let mut status_of = |redirect_status, expires_at: Option<i64>, max_clicks, default: i64| {
        let expires_at = expires_at.map(Timestamp::from_unix_seconds);
        // The start makes the extension exist in each case.
        let starts_at = Some(Timestamp::from_unix_seconds(0));
        let plain = LinkRow::plain("CODE12", "https://example.com/");
        let row = LinkRow { redirect_status, expires_at, starts_at, max_clicks, ..plain };
        let extension = encoder.check(&row).unwrap().extension().unwrap();
        extension.redirect_status(default.try_into().unwrap()).code()
    };
    assert_eq!(status_of(None, None, Some(5), 301), 302);
    assert_eq!(status_of(Some(301), None, Some(5), 301), 302);
    assert_eq!(status_of(Some(307), None, Some(5), 301), 307);
    let mut status = |redirect_status, expires_at, default| status_of(redirect_status, expires_at, None, default);
    assert_eq!(status(None, None, 302), 302);
    assert_eq!(status(None, None, 301), 301);
    assert_eq!(status(Some(308), None, 302), 308);
    assert_eq!(status(None, Some(9), 301), 302);
    assert_eq!(status(None, Some(9), 308), 302);
    assert_eq!(status(None, Some(9), 307), 307);
    assert_eq!(status(Some(307), Some(9), 301), 307);
    assert_eq!(status(Some(301), Some(9), 301), 302);
}

#[test]
fn extension_with_an_unknown_tag_is_decoded_without_it() {
    let mut entries = vec![200, 3, 0, 0, 0, 1, 2, 3];
    let known = Extension { location: Some("https://a.example/"), ..Extension::default() };
    known.encode(&mut entries);
    entries.extend([201, 0, 0, 0, 0]);
    assert_eq!(Extension::decode(&entries), Some(known));
    for len in [1, 7, 9, entries.len() - 1] {
        assert_eq!(Extension::decode(&entries[..len]), None, "{len}");
    }
}

proptest! {
    #[test]
    fn damaged_encoded_link_does_not_panic(at in any::<prop::sample::Index>(), bit in 0..8u32) {
        let row = LinkRow::plain("CODE12", "https://münchen.example/ü");
        let mut encoded = LinkEncoder::default().encode(&row).unwrap().bytes().to_vec();
        let at = at.index(encoded.len());
        encoded[at] ^= 1 << bit;
        let _ = LinkRow::decode(&encoded);
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        if let Some(row) = LinkRow::decode(&bytes) {
            let _ = LinkEncoder::default().encode(&row);
        }
    }
}
