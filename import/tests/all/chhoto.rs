//! Files of chhoto-url.

use tern_import::Source;

use crate::reading::{at, codes, links};

#[test]
fn answer_of_the_api_is_read_with_an_end_in_seconds() {
    let text = r#"[{"shortlink":"calm-turing","longlink":"https://example.com/hello","hits":42,"expiry_time":0,"notes":null},
        {"shortlink":"sale","longlink":"https://example.com/sale","hits":7,"expiry_time":1893456000,"notes":"on the poster"}]"#;
    let links = links(text, Source::Chhoto);
    assert_eq!(codes(&links), ["calm-turing", "sale"]);
    assert_eq!((links[0].clicks, links[0].expires_at), (42, None));
    assert_eq!((links[1].notes.as_deref(), links[1].expires_at), (Some("on the poster"), at("2030-01-01T00:00:00Z")));
}

pub const DUMP: &str = r"PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE urls (id INTEGER PRIMARY KEY, short_url TEXT NOT NULL, long_url TEXT NOT NULL, hits INTEGER NOT NULL, expiry_time INTEGER, notes TEXT);
INSERT INTO urls VALUES(1,'calm-turing','https://example.com/a\b',42,NULL,NULL);
INSERT INTO urls VALUES(2,'sale','https://example.com/it''s',7,1893456000,replace('on the\nposter','\n',char(10)));
INSERT INTO urls VALUES(3,'over','https://example.com/over',1,1600000000,'C:\');
CREATE UNIQUE INDEX idx_short_url ON urls (short_url);
COMMIT;
";

#[test]
fn dump_is_read_with_the_texts_of_sqlite() {
    for text in [DUMP.to_owned(), DUMP.replace("PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n", "")] {
        let links = links(text, Source::Chhoto);
        assert_eq!(codes(&links), ["calm-turing", "sale", "over"]);
        assert_eq!((links[0].target.as_str(), links[0].clicks), (r"https://example.com/a\b", 42));
        assert_eq!(
            (links[1].target.as_str(), links[1].notes.as_deref()),
            ("https://example.com/it's", Some("on the\nposter"))
        );
        assert_eq!((links[1].expires_at, links[0].expires_at), (at("2030-01-01T00:00:00Z"), None));
        assert_eq!((links[2].expires_at, links[2].notes.as_deref()), (Some(1_600_000_000), Some(r"C:\")));
        assert!(links[2].is_active && links[2].dropped.is_empty());
    }
}
