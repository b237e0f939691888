//! Exports of Bitly.

use tern_import::{Options, Row, Source};

use crate::reading::{at, codes, dropped, invalid, links, links_with, rows, rows_with};

const DASHBOARD: &str = "Link,Custom Link,Date created,Title,Destination URL,Engagements,Status\n\
    https://bit.ly/1aBcDe,https://go.example.com/Autumn,2026-02-01T10:00:00Z,\"Autumn, \"\"late\"\"\",https://example.com/a?utm_source=x&b=1,\"12,345\",Active\n\
    https://bit.ly/2aBcDe,Plain-Half,2025-01-01T00:00:00+0000,,https://example.com/b,7,Active\n\
    https://bit.ly/3aBcDe,,2024-01-01T00:00:00Z,Old,https://example.com/c,0,Deleted\n";

#[test]
fn row_with_a_custom_link_makes_both_links_with_the_count_on_the_first() {
    let links = links(DASHBOARD, Source::Bitly);
    assert_eq!(codes(&links), ["1aBcDe", "Autumn", "2aBcDe", "Plain-Half", "3aBcDe"]);
    let [first, custom, second, half, _] = &links[..] else { unreachable!() };
    assert_eq!((first.row, custom.row, second.row, half.row), (2, 2, 3, 3));
    assert_eq!((first.clicks, custom.clicks, second.clicks, half.clicks), (12_345, 0, 7, 0));
    assert_eq!(first.domain.as_deref(), Some("bit.ly"));
    assert_eq!(custom.domain.as_deref(), Some("go.example.com"));
    assert_eq!(half.domain.as_deref(), Some("bit.ly"));
    for link in [first, custom] {
        assert_eq!(link.target, "https://example.com/a?utm_source=x&b=1");
        assert_eq!(link.title.as_deref(), Some("Autumn, \"late\""));
        assert_eq!(link.created_at, at("2026-02-01T10:00:00Z"));
        assert!(link.is_active && link.dropped.is_empty() && link.remarks.is_empty());
    }
    assert_eq!(second.title, None);
}

#[test]
fn deleted_link_arrives_switched_off_with_a_note() {
    let links = links(DASHBOARD, Source::Bitly);
    let deleted = &links[4];
    assert!(!deleted.is_active);
    assert_eq!(deleted.notes.as_deref(), Some("Import: switched off, because Bitly had deleted it"));
    assert_eq!(deleted.remarks, ["switched off, because Bitly had deleted it"]);
}

#[test]
fn chosen_domain_skips_the_other_links_and_has_the_count() {
    let options = Options { domain: Some("GO.example.com".to_owned()), ..Options::default() };
    let rows = rows_with(DASHBOARD, Source::Bitly, &options);
    let links: Vec<_> = rows.iter().filter(|row| matches!(row, Row::Link(_))).collect();
    let [Row::Link(link)] = links[..] else { panic!("{links:?}") };
    assert_eq!((link.short_code.as_deref(), link.clicks), (Some("Autumn"), 12_345));
    let Row::Skipped { row: 2, short_code: Some(code), reason } = &rows[0] else { panic!("{rows:?}") };
    assert_eq!(code, "1aBcDe");
    assert_eq!(reason, "is on bit.ly, and only the links of go.example.com are imported");
}

#[test]
fn row_without_a_target_is_invalid_and_a_count_of_words_is_none() {
    let text = "Link,Custom Link,Date created,Title,Destination URL,Engagements,Status\r\n\
        https://bit.ly/1aBcDe,,2026-02-01T10:00:00Z,,,5,Active\r\n\
        https://bit.ly/2aBcDe,,some day,\"Two\r\nlines\",not a url,n/a,Active\r\n\
        https://bit.ly/3aBcDe,,2026-02-01T10:00:00Z,,https://example.com/,1.5,Lost\r\n";
    let rows = rows(text, Source::Bitly);
    assert_eq!(rows[0], invalid(2, Some("1aBcDe"), "has no target"));
    let Row::Link(odd) = &rows[1] else { panic!("{rows:?}") };
    assert_eq!((odd.target.as_str(), odd.clicks, odd.created_at), ("not a url", 0, None));
    assert_eq!(odd.title.as_deref(), Some("Two\r\nlines"));
    assert_eq!(odd.remarks, ["the time \"some day\" cannot be read and is left out"]);
    assert_eq!(rows[2], invalid(5, Some("3aBcDe"), "has the unknown status \"Lost\""));
}

#[test]
fn other_dashboard_export_is_read_with_tags_and_its_archived_links_stay_active() {
    let text = "Bitlink,Title,Long URL,Tags,Created,Total Clicks,Campaign,Archived\n\
        bit.ly/4aBcDe,Sale,https://example.com/sale,\"spring, email\",2026-03-01,1 234,Big,false\n\
        bit.ly/5aBcDe,,https://example.com/old,,2020-03-01,0,,TRUE\n";
    let options = Options { timezone: Some(jiff::tz::TimeZone::get("Europe/Berlin").unwrap()), ..Options::default() };
    let links = links_with(text, Source::Bitly, &options);
    assert_eq!(codes(&links), ["4aBcDe", "5aBcDe"]);
    assert_eq!((links[0].tags.as_slice(), links[0].clicks), (&["spring".to_owned(), "email".to_owned()][..], 1234));
    assert_eq!(links[0].created_at, at("2026-02-28T23:00:00Z"));
    assert_eq!(dropped(&links[0]), ["Campaign"]);
    assert!(links[1].is_active && links[1].dropped.is_empty());
    assert_eq!(links[1].tags, ["archived"]);
}

const API: &str = r#"{"links":[
 {"created_at":"2026-04-01T08:00:00+0000","id":"bit.ly/6aBcDe","link":"https://bit.ly/6aBcDe","custom_bitlinks":
  ["https://go.example.com/Promo","http://bit.ly/promo2/","https://other.example.com/Promo"],"long_url":"https://example.com/p?a=[1]",
  "title":"Say \"hi\"","archived":false,"tags":["one","two, three"],"references":{"group":"https://api.example.com/g"}},
 {"created_at":"2025-04-01T08:00:00+0000","id":"bit.ly/7aBcDe","link":"https://bit.ly/7aBcDe","custom_bitlinks":[],
  "long_url":"https://example.com/q","archived":true,"tags":[],"launchpad_ids":["x"]},
 {"created_at":"2025-04-01T08:00:00+0000","id":"bit.ly/8aBcDe","link":"https://bit.ly/8aBcDe","custom_bitlinks":[],"archived":false,"tags":[]}
],"pagination":{"next":"","size":50}}
"#;

#[test]
fn pages_of_the_api_are_read_with_every_back_half() {
    let rows = rows(API.to_owned() + &API.replace("aBcDe", "zBcDe"), Source::Bitly);
    let Row::Link(first) = &rows[0] else { panic!("{rows:?}") };
    assert_eq!((first.row, first.short_code.as_deref()), (1, Some("6aBcDe")));
    assert_eq!((first.target.as_str(), first.title.as_deref()), ("https://example.com/p?a=[1]", Some("Say \"hi\"")));
    assert_eq!(first.created_at, at("2026-04-01T08:00:00Z"));
    assert_eq!(first.tags, ["one", "two, three"]);
    assert!(first.dropped.is_empty(), "{first:?}");
    let names = |rows: &[Row]| -> Vec<String> {
        let name = |row: &Row| match row {
            Row::Link(link) => format!("{} {}", link.row, link.short_code.as_deref().unwrap()),
            other => format!("{other:?}"),
        };
        rows.iter().map(name).collect()
    };
    // The same code on a third domain is the same code here.
    assert_eq!(names(&rows[..4]), ["1 6aBcDe", "1 Promo", "1 promo2", "2 7aBcDe"]);
    let Row::Link(archived) = &rows[3] else { panic!("{rows:?}") };
    assert!(archived.is_active);
    assert_eq!((archived.tags.as_slice(), dropped(archived)), (&["archived".to_owned()][..], vec!["launchpad_ids"]));
    assert_eq!(rows[4], invalid(3, Some("8aBcDe"), "has no target"));
    assert_eq!(names(&rows[5..9]), ["4 6zBcDe", "4 Promo", "4 promo2", "5 7zBcDe"]);
    assert_eq!(rows.len(), 10);
}
