//! Exports of Sink.

use serde_json::{Value, json};
use tern_import::Source;

use crate::reading::{at, codes, dropped, links};

#[test]
fn export_is_read_with_seconds_and_its_targets_become_rules() {
    let text = r#"{"version":"1.0","exportedAt":"2026-08-20T00:00:00.000Z","count":2,"list_complete":true,"links":[
        {"id":"k1","url":"https://example.com/hello","slug":"hello","comment":"from a letter","createdAt":1760000000,"updatedAt":1760000100,
         "tags":["news"],"redirectWithQuery":true,"geo":{"DE":"https://example.com/de"},"apple":"https://apps.example.com/ios","google":""},
        {"id":"k2","url":"https://example.com/over","slug":"over","createdAt":1700000000,"updatedAt":1700000000,"expiration":1710000000,"tags":[]},
        {"id":"k3","url":"https://example.com/safe","slug":"safe","createdAt":1700000000,"updatedAt":1700000000,"password":"hash"}]}"#;
    let links = links(text, Source::Sink);
    assert_eq!(codes(&links), ["hello", "over", "safe"]);
    assert_eq!((links[0].notes.as_deref(), links[0].forward_query), (Some("from a letter"), Some(true)));
    assert_eq!((links[0].created_at, links[0].updated_at), (Some(1_760_000_000), Some(1_760_000_100)));
    assert!(dropped(&links[0]).is_empty());
    let rules: Value = serde_json::from_str(links[0].rules.as_deref().unwrap()).unwrap();
    let expected = json!([
        { "target": "https://apps.example.com/ios", "if": [{ "type": "device", "value": "ios" }] },
        { "target": "https://example.com/de", "if": [{ "type": "country", "value": "DE" }] },
    ]);
    assert_eq!(rules, expected);
    assert_eq!(links[1].rules, None);
    assert_eq!((links[1].expires_at, links[1].is_active), (at("2024-03-09T16:00:00Z"), true));
    assert!(!links[2].is_active);
}
