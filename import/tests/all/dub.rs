//! Exports of Dub.

use tern_import::{Row, Source};

use crate::reading::{at, dropped, rows};

#[test]
fn export_with_all_columns_is_read_and_its_root_link_is_skipped() {
    let text = "Short link,Destination URL,Clicks,Leads,Conversions,Revenue,Created at,Link ID,Updated at,Tags,Archived\n\
        https://d.example.com/one,https://example.com/1,512,3,0,0,2026-02-03T04:05:06.000Z,link_1,2026-02-04T00:00:00.000Z,\"red, blue sky\",No\n\
        https://d.example.com/two,\"https://example.com/a,b\",0,0,0,0,2024-02-03T04:05:06.000Z,link_2,2024-02-03T04:05:06.000Z,,Yes\n\
        https://d.example.com,https://example.com/,3,0,0,0,2024-02-03T04:05:06.000Z,link_3,2024-02-03T04:05:06.000Z,,No\n";
    let rows = rows(text, Source::Dub);
    let [Row::Link(first), Row::Link(archived), root] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!((first.short_code.as_deref(), first.clicks), (Some("one"), 512));
    assert_eq!((first.created_at, first.updated_at), (at("2026-02-03T04:05:06Z"), at("2026-02-04T00:00:00Z")));
    assert_eq!(first.tags, ["red", "blue sky"]);
    assert_eq!(dropped(first), ["Leads"]);
    assert!(archived.is_active && archived.tags == ["archived"]);
    let reason = "is the root of the domain d.example.com and has no code".to_owned();
    assert_eq!(*root, Row::Skipped { row: 4, short_code: None, reason });
}

#[test]
fn default_export_is_recognised() {
    let text = "Short link,Destination URL,Clicks,Created at\nd.example.com/one,https://example.com/1,5,2026-02-03T04:05:06.000Z\n";
    let rows = rows(text, Source::Dub);
    assert!(matches!(&rows[..], [Row::Link(link)] if link.short_code.as_deref() == Some("one") && link.clicks == 5));
}
