//! Exports of Tern.

use tern_import::{ImportedLink, Source};

use crate::reading::{at, dropped, links};

const HEADER: &str = "id,user_id,short_code,original_url,title,is_active,starts_at,expires_at,expired_url,redirect_status,\
    forward_query,rules,split,created_at,updated_at,tags,notes,external_id,revision,clicks,last_clicked_at,short_url,state";

const RULES: &str = r#"[{"if":[{"type":"device","value":"ios"}],"target":"https://example.com/app"}]"#;
const SPLIT: &str =
    r#"[{"target":"https://example.com/a","weight":30},{"target":"https://example.com/b","weight":30}]"#;

/// Returns a row with its rules and its split as fields of CSV.
fn with_routing(row: &str) -> String {
    let quoted = |json: &str| format!("\"{}\"", json.replace('"', "\"\""));
    row.replace("RULES", &quoted(RULES)).replace("SPLIT", &quoted(SPLIT))
}

/// Returns the link of the row below.
fn full() -> ImportedLink {
    ImportedLink {
        row: 2,
        short_code: Some("Lh1hFP".to_owned()),
        domain: Some("go.example.com".to_owned()),
        target: "https://example.com/hello?a=1,2".to_owned(),
        title: Some(" =Hello, \"you\" ".to_owned()),
        notes: Some("two\nlines ".to_owned()),
        tags: vec!["poster".to_owned(), "two words".to_owned()],
        is_active: false,
        created_at: at("2026-01-02T03:04:05Z"),
        updated_at: at("2026-02-03T04:05:06Z"),
        starts_at: at("2026-01-03T00:00:00Z"),
        expires_at: at("2027-01-03T00:00:00Z"),
        expired_url: Some("https://example.com/over".to_owned()),
        redirect_status: Some(307),
        forward_query: Some(false),
        rules: Some(RULES.to_owned()),
        split: Some(SPLIT.to_owned()),
        clicks: 42,
        external_id: Some("'=order-1".to_owned()),
        ..ImportedLink::default()
    }
}

const FULL: &str = "7,1,Lh1hFP,\"https://example.com/hello?a=1,2\",\" =Hello, \"\"you\"\" \",false,2026-01-03T00:00:00,\
    2027-01-03T00:00:00,https://example.com/over,307,false,RULES,SPLIT,2026-01-02T03:04:05,2026-02-03T04:05:06,poster|two words,\
    \"two\nlines \",'=order-1,3,42,2026-02-02T00:00:00,https://go.example.com/Lh1hFP,inactive";

#[test]
fn plain_export_is_read_without_a_loss() {
    let links = links(format!("{HEADER}\r\n{}\r\n", with_routing(FULL)), Source::Tern);
    assert_eq!(links, [full()]);
}

#[test]
fn limited_link_has_the_clicks_that_are_left() {
    let text = "user_id,short_code,original_url,max_clicks,clicks_left\n1,a,https://example.com/,9,4\n1,b,https://example.com/,9,0\n";
    let links = links(text, Source::Tern);
    assert_eq!(links.iter().map(|link| link.clicks_left).collect::<Vec<_>>(), [Some(4), Some(0)]);
    assert_eq!(links.iter().map(|link| link.is_active).collect::<Vec<_>>(), [true, false]);
    assert!(links.iter().all(|link| dropped(link).is_empty()), "{links:?}");
}

#[test]
fn row_with_few_fields_is_a_plain_link() {
    let row = "8,1,plain,https://example.com/,,true,,,,,,,,2026-01-02T03:04:05,2026-01-02T03:04:05,,,,1,0,,https://go.example.com/plain,active";
    let links = links(format!("{HEADER}\r\n{row}\r\n"), Source::Tern);
    let expected = ImportedLink {
        row: 2,
        short_code: Some("plain".to_owned()),
        domain: Some("go.example.com".to_owned()),
        target: "https://example.com/".to_owned(),
        is_active: true,
        created_at: at("2026-01-02T03:04:05Z"),
        updated_at: at("2026-01-02T03:04:05Z"),
        ..ImportedLink::default()
    };
    assert_eq!(links, [expected]);
}

#[test]
fn export_for_spreadsheets_is_read_without_its_escapes() {
    let row = with_routing(FULL).replace("\" =Hello", "\"'=Hello").replace("'=order-1", "'+order-1");
    let links = links(format!("\u{feff}{HEADER}\r\n{row}\r\n"), Source::Tern);
    assert_eq!(links[0].title.as_deref(), Some("=Hello, \"you\""));
    assert_eq!(links[0].external_id.as_deref(), Some("+order-1"));
}

const OBJECT: &str = r#"{"id":7,"user_id":1,"short_code":"Lh1hFP","original_url":"https://example.com/hello?a=1,2",
 "title":" =Hello, \"you\" ","is_active":false,"starts_at":"2026-01-03T00:00:00","expires_at":"2027-01-03T00:00:00",
 "expired_url":"https://example.com/over","redirect_status":307,"forward_query":false,"rules":RULES,"split":SPLIT,"created_at":"2026-01-02T03:04:05",
 "updated_at":"2026-02-03T04:05:06","tags":["poster","two words"],"notes":"two\nlines ","external_id":"'=order-1","revision":3,
 "clicks":42,"last_clicked_at":"2026-02-02T00:00:00","short_url":"https://go.example.com/Lh1hFP","state":"inactive"}"#;

#[test]
fn list_and_lines_of_json_are_read_without_a_loss() {
    let line = OBJECT.replace('\n', "").replace("RULES", RULES).replace("SPLIT", SPLIT);
    let plain = r#"{"user_id":1,"short_code":"b","original_url":"https://example.com/","title":"","is_active":true,"notes":null,"external_id":" "}"#;
    for text in [format!("{line}\n{plain}\n"), format!("[{line},\n{plain}]")] {
        let links = links(text, Source::Tern);
        assert_eq!(links[0], ImportedLink { row: 1, ..full() });
        assert_eq!((links[1].row, links[1].title.as_deref(), links[1].notes.as_deref()), (2, Some(""), None));
        assert_eq!(links[1].external_id.as_deref(), Some(" "));
    }
}

#[test]
fn earlier_imported_clicks_are_added_to_the_clicks() {
    let text =
        r#"{"user_id":1,"short_code":"b","original_url":"https://example.com/","clicks":2,"imported_clicks":40}"#;
    assert_eq!(links(text, Source::Tern)[0].clicks, 42);
}

#[test]
fn field_of_a_later_release_is_named() {
    let text = r#"{"user_id":1,"short_code":"b","original_url":"https://example.com/","colour":"red","rules":[]}"#;
    assert_eq!(dropped(&links(text, Source::Tern)[0]), ["colour"]);
}
