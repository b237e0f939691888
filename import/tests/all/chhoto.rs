//! Files of chhoto-url.

use std::path::Path;

use rusqlite::Connection;
use tern_import::{ImportedLink, Options, Row, Source};

use crate::reading::{at, codes, error, invalid, links, rows};

#[test]
fn answer_of_the_api_is_read_with_an_end_in_seconds() {
    let text = r#"[{"shortlink":"calm-turing","longlink":"https://example.com/hello","hits":42,"expiry_time":0,"notes":null},
        {"shortlink":"sale","longlink":"https://example.com/sale","hits":7,"expiry_time":1893456000,"notes":"on the poster"}]"#;
    let links = links(text, Source::Chhoto);
    assert_eq!(codes(&links), ["calm-turing", "sale"]);
    assert_eq!((links[0].clicks, links[0].expires_at), (42, None));
    assert_eq!((links[1].notes.as_deref(), links[1].expires_at), (Some("on the poster"), at("2030-01-01T00:00:00Z")));
}

const DUMP: &str = r"PRAGMA foreign_keys=OFF;
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

/// Writes a database.
fn database(path: &Path, sql: &str) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(sql).unwrap();
    connection
}

fn links_of(path: &Path) -> Vec<ImportedLink> {
    let import = tern_import::open(path, None, &Options::default()).unwrap();
    assert_eq!(import.recognised.source, Source::Chhoto);
    let link = |row| match row {
        Ok(Row::Link(link)) => *link,
        other => panic!("{other:?}"),
    };
    import.rows.map(link).collect()
}

#[test]
fn database_is_read_by_its_path_and_by_its_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("urls ?#%.sqlite");
    drop(database(&path, DUMP));
    let expected = links(DUMP, Source::Chhoto);
    assert_eq!(links_of(&path), expected);
    assert_eq!(links(std::fs::read(&path).unwrap(), Source::Chhoto), expected);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is created beside it");
}

#[test]
fn database_of_a_running_server_is_read_with_its_log_of_changes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("urls.sqlite");
    let server = database(&path, &format!("PRAGMA journal_mode = wal; {DUMP}"));
    server.execute("INSERT INTO urls VALUES (4, 'new', 'https://example.com/new', 0, 0, NULL)", []).unwrap();
    assert_eq!(codes(&links_of(&path)), ["calm-turing", "sale", "over", "new"]);
}

#[test]
fn old_database_without_notes_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("urls.sqlite");
    drop(database(
        &path,
        "CREATE TABLE urls (id INTEGER PRIMARY KEY, long_url TEXT, short_url TEXT, hits INTEGER);
         INSERT INTO urls VALUES (1, 'https://example.com/', 'a', 3);",
    ));
    assert_eq!((codes(&links_of(&path)), links_of(&path)[0].clicks), (vec!["a"], 3));
}

#[test]
fn hostile_databases_are_refused_or_read_within_bounds() {
    let directory = tempfile::tempdir().unwrap();
    let read = |name: &str, sql: &str| {
        let path = directory.path().join(name);
        drop(database(&path, sql));
        std::fs::read(path).unwrap()
    };
    let columns = "id INTEGER PRIMARY KEY, short_url, long_url, hits, expiry_time, notes";
    let long = read(
        "long",
        &format!(
            "CREATE TABLE urls ({columns});
             INSERT INTO urls VALUES (1, 'a', 'https://example.com/', 0, 0, zeroblob(5000000));
             INSERT INTO urls VALUES (2, 'b', 'https://example.com/', 0, 0, x'ff');
             INSERT INTO urls VALUES (3, 'c', 'https://example.com/', 1.5, '', x'41');"
        ),
    );
    let rows = rows(&long, Source::Chhoto);
    assert_eq!(rows[0], invalid(1, None, "the row has over 1 MiB"));
    assert_eq!(rows[1], invalid(2, None, "the column notes is not UTF-8"));
    assert!(matches!(&rows[2], Row::Link(link) if link.notes.as_deref() == Some("A")), "{rows:?}");
    let view = read(
        "view",
        "CREATE VIEW urls AS SELECT 1 AS id, 'a' AS short_url, 'https://example.com/' AS long_url, 1 AS hits",
    );
    assert!(error(view, None, &Options::default()).contains("without a table urls"));
    let other = read("other", "CREATE TABLE urls (a, b)");
    assert!(error(other, None, &Options::default()).contains("it has the columns a, b"));
    let cut = error(&long[..6000], None, &Options::default());
    assert!(cut.contains("is a database of SQLite that cannot be read"), "{cut}");
}
