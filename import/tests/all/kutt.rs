//! Answers of Kutt's API.

use tern_import::{Options, Source};

use crate::reading::{at, codes, links, links_with};

const PAGE: &str = r#"{"total":4,"limit":50,"skip":0,"data":[
 {"address":"one","banned":false,"created_at":"2025-05-01T10:00:00.000Z","updated_at":"2025-06-01T10:00:00.000Z","password":false,
  "description":"First link","expire_in":null,"target":"https://example.com/1","visit_count":7,"domain":null,
  "id":"aaaaaaaa-0000-4000-8000-000000000001","link":"https://kutt.example.com/one"},
 {"address":"two","banned":false,"created_at":"2025-05-01T10:00:00.000Z","updated_at":"2025-05-01T10:00:00.000Z","password":true,
  "description":null,"expire_in":"2027-05-01 12:00:00","target":"https://example.com/2","visit_count":0,"domain":"go.example.com",
  "id":"aaaaaaaa-0000-4000-8000-000000000002","link":"https://go.example.com/two"},
 {"address":"three","banned":true,"created_at":"2024-05-01T10:00:00.000Z","updated_at":"2024-05-01T10:00:00.000Z","password":false,
  "description":"","expire_in":null,"target":"https://phish.example.com/","visit_count":99,"domain":null,
  "id":"aaaaaaaa-0000-4000-8000-000000000003","link":"https://kutt.example.com/three"}]}"#;

#[test]
fn links_are_read_with_description_end_and_domain() {
    let links = links(PAGE, Source::Kutt);
    assert_eq!(codes(&links), ["one", "two", "three"]);
    assert_eq!((links[0].title.as_deref(), links[0].clicks), (Some("First link"), 7));
    assert_eq!((links[0].created_at, links[0].updated_at), (at("2025-05-01T10:00:00Z"), at("2025-06-01T10:00:00Z")));
    assert_eq!(links[0].domain.as_deref(), Some("kutt.example.com"));
    assert_eq!((links[1].domain.as_deref(), links[1].expires_at), (Some("go.example.com"), at("2027-05-01T12:00:00Z")));
    assert!(links[0].is_active && links[0].dropped.is_empty() && links[0].notes.is_none());
}

#[test]
fn banned_and_protected_links_arrive_switched_off_with_a_note() {
    let links = links(PAGE, Source::Kutt);
    assert!(!links[1].is_active && !links[2].is_active);
    assert_eq!(links[1].notes.as_deref(), Some("Import: switched off, because Kutt asked for a password"));
    assert_eq!(links[1].dropped.iter().map(|name| &**name).collect::<Vec<_>>(), ["password"]);
    assert_eq!(links[2].notes.as_deref(), Some("Import: switched off, because Kutt had banned it"));
}

#[test]
fn time_without_a_zone_is_in_the_given_one() {
    let timezone = Some(jiff::tz::TimeZone::get("Europe/Berlin").unwrap());
    let links = links_with(PAGE, Source::Kutt, &Options { timezone, ..Options::default() });
    assert_eq!(links[1].expires_at, at("2027-05-01T10:00:00Z"));
    assert_eq!(links[1].created_at, at("2025-05-01T10:00:00Z"));
}

#[test]
fn long_description_becomes_notes() {
    let long = "word ".repeat(60);
    let links = links(PAGE.replace("First link", long.trim()), Source::Kutt);
    assert_eq!((links[0].title.as_deref(), links[0].notes.as_deref()), (None, Some(long.trim())));
}
