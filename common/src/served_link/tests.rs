//! Tests of the encoding.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

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
    check(LinkRow { original_url: foreign, expires_at, ..plain }, location, len + 5 + 8);
}

#[test]
fn invalid_row_is_refused_with_its_reason() {
    let mut encoder = LinkEncoder::default();
    let plain = LinkRow::plain("CODE12", "https://example.com/");
    let mut check = |row: LinkRow<&str>, expected: InvalidLink| assert_eq!(encoder.check(&row), Err(expected));
    check(LinkRow { url_id: 0, ..plain.clone() }, InvalidLink::Id);
    check(LinkRow { owner_id: -1, ..plain.clone() }, InvalidLink::Id);
    check(LinkRow { original_url: "ftp://a", ..plain.clone() }, InvalidLink::Target(InvalidTarget::NotHttp));
    let code = ShortCode::check("a b").unwrap_err();
    check(LinkRow { short_code: "a b", ..plain }, InvalidLink::ShortCode(code));
}

#[test]
fn link_is_expired_from_its_expiry_on() {
    let mut encoder = LinkEncoder::default();
    let end = Timestamp::from_unix_seconds(1_000);
    let row = LinkRow { expires_at: Some(end), ..LinkRow::plain("CODE12", "https://example.com/") };
    let link = encoder.check(&row).unwrap();
    let expired_after = |millis| link.has_expired(SystemTime::UNIX_EPOCH + Duration::from_millis(millis));
    assert_eq!([0, 999_999, 1_000_000, 2_000_000].map(expired_after), [false, false, true, true]);
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
