//! The encoding of a file, by its first bytes.

use crate::error::FileError;
use crate::sql::Dialect;

/// The encoding of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Container {
    Csv,
    Json,
    Sql(Dialect),
    Sqlite,
}

/// The first bytes of files that have to be changed before, and what to do.
const OTHERS: [(&[u8], &str); 5] = [
    (b"\x1f\x8b", "is compressed with gzip: unpack it with gunzip"),
    (b"PK\x03\x04", "is an archive or a workbook: unpack it, or save the sheet as \"CSV UTF-8\""),
    (b"BZh", "is compressed with bzip2: unpack it with bunzip2"),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd: unpack it with unzstd"),
    (b"\xd0\xcf\x11\xe0", "is an old workbook: save the sheet as \"CSV UTF-8\""),
];

/// The beginnings of statements in dumps.
const STATEMENTS: [&str; 12] = [
    "CREATE TABLE ",
    "CREATE DATABASE ",
    "DROP TABLE ",
    "INSERT INTO ",
    "INSERT IGNORE ",
    "REPLACE INTO ",
    "LOCK TABLES ",
    "SET ",
    "USE ",
    "PRAGMA ",
    "BEGIN TRANSACTION",
    "START TRANSACTION",
];

/// Finds the encoding of a file by its beginning.
pub(crate) fn of(head: &[u8]) -> Result<Container, FileError> {
    if let Some((_, advice)) = OTHERS.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Err(FileError::of_file(*advice));
    }
    if head.starts_with(b"SQLite format 3\0") {
        return Ok(Container::Sqlite);
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    match text.first() {
        Some(b'{' | b'[') => Ok(Container::Json),
        Some(b'<') => Err(FileError::of_file("is a web page or XML, and not an export: download it again")),
        _ if is_sql(text) => Ok(Container::Sql(dialect(text))),
        _ => Ok(Container::Csv),
    }
}

/// Returns whether a text begins with a comment or a statement of SQL.
fn is_sql(text: &[u8]) -> bool {
    text.starts_with(b"--") || text.starts_with(b"/*") || begins_with(text, &STATEMENTS)
}

/// Finds the dialect by the lines with which dumps of SQLite begin.
fn dialect(text: &[u8]) -> Dialect {
    let is_sqlite = |line: &[u8]| begins_with(line, &["PRAGMA ", "BEGIN TRANSACTION;"]);
    if text.split(|&byte| byte == b'\n').any(is_sqlite) { Dialect::Sqlite } else { Dialect::MySql }
}

fn begins_with(text: &[u8], words: &[&str]) -> bool {
    let has = |word: &&str| text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word.as_bytes()));
    words.iter().any(has)
}
