//! Generated files: any bytes are read or refused, and what is written as a known file is read back.

use std::io::Cursor;

use proptest::prelude::*;
use tern_import::{ImportedLink, Options, Row, Source, read};

/// Beginnings by which a file is recognised, so that the bytes behind them reach every reader.
const HEADS: [&str; 12] = [
    "",
    "URL,Slug,Created,Expires,Tags,Active,Clicks\n",
    "Link,Custom Link,Date created,Title,Destination URL,Engagements,Status\n",
    "id,user_id,short_code,original_url,title,notes\n",
    "https://example.com/a,b,c\n",
    "[",
    "{\"links\":[{\"slug\":\"a\",\"url\":\"b\",\"createdAt\":1,\"updatedAt\":1},",
    "[{\"address\":\"a\",\"target\":\"b\",\"banned\":false,\"meta\":{",
    "INSERT INTO yourls_url VALUES ('a','b','c','2019-06-01 08:00:00','d',1),(",
    "CREATE TABLE links (id, short_url, long_url, secret_key, is_disabled, clicks); INSERT INTO links VALUES (",
    "PRAGMA x; CREATE TABLE urls (short_url, long_url, hits); INSERT INTO urls VALUES (",
    "SQLite format 3\0",
];

/// Reads a file to its end, and returns the number of rows.
fn exhaust(bytes: Vec<u8>, from: Option<Source>) -> usize {
    let options = Options { with_clicks: true, ..Options::default() };
    let len = bytes.len();
    let Ok(import) = read(Cursor::new(bytes), from, &options) else { return 0 };
    let mut rows = 0;
    for row in import.rows {
        rows += 1;
        if let Ok(Row::Link(link)) = &row {
            assert!(link.row > 0 && !link.target.is_empty(), "{link:?}");
        }
        assert!(rows <= 4 * len, "more rows than bytes");
    }
    rows
}

/// Quotes a field of CSV.
fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// Quotes a text of MySQL.
fn escape(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n"))
}

fn links(text: String) -> Vec<ImportedLink> {
    let link = |row| match row {
        Ok(Row::Link(link)) => *link,
        other => panic!("{other:?}"),
    };
    read(Cursor::new(text), None, &Options::default()).unwrap().rows.map(link).collect()
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(head in prop::sample::select(&HEADS[..]), bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        exhaust([head.as_bytes(), &bytes].concat(), None);
    }

    #[test]
    fn any_text_of_the_characters_that_matter_is_read_or_refused(
        head in prop::sample::select(&HEADS[..]),
        text in "[\"'`\\\\,;:(){}\\[\\]\n\r\t/*#|=a-z0-9 .\u{feff}é-]{0,200}",
        from in prop::option::of(prop::sample::select(&Source::ALL[..])),
    ) {
        exhaust(format!("{head}{text}").into_bytes(), from);
    }

    #[test]
    fn texts_are_read_back_from_each_encoding(title in "[ -~\né]{0,40}", notes in "[ -~\né]{0,40}", code in "[A-Za-z0-9_-]{1,20}") {
        let csv = format!(
            "user_id,short_code,original_url,title,notes\r\n1,{code},https://example.com/,{},{}\r\n",
            quote(&title),
            quote(&notes)
        );
        let read = &links(csv)[0];
        let expected = (Some(code.as_str()), title.as_str(), notes.as_str());
        let found = |link: &ImportedLink| {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            (link.short_code.clone(), text(&link.title), text(&link.notes))
        };
        let (read_code, read_title, read_notes) = found(read);
        prop_assert_eq!((read_code.as_deref(), read_title.as_str(), read_notes.as_str()), expected);
        let json = serde_json::json!({
            "user_id": 1, "short_code": code, "original_url": "https://example.com/", "title": title, "notes": notes,
        });
        let (read_code, read_title, read_notes) = found(&links(json.to_string())[0]);
        prop_assert_eq!((read_code.as_deref(), read_title.as_str(), read_notes.as_str()), expected);
        let sql = format!(
            "INSERT INTO yourls_url VALUES ({},'https://example.com/',{},'2019-06-01 08:00:00','',1);",
            escape(&code),
            escape(&title)
        );
        let (read_code, read_title, _) = found(&links(sql)[0]);
        prop_assert_eq!((read_code.as_deref(), read_title.as_str()), (Some(code.as_str()), title.trim()));
    }
}
