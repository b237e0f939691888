//! Reading a text as a file.

use std::io::Cursor;

use tern_import::{FileError, Import, ImportedLink, Options, Row, Source, read};

/// Begins to read a file.
pub fn open(text: impl AsRef<[u8]>, from: Option<Source>, options: &Options) -> Result<Import, FileError> {
    read(Cursor::new(text.as_ref().to_vec()), from, options)
}

/// Reads all rows of a file that is recognised as one of `source`.
pub fn rows(text: impl AsRef<[u8]>, source: Source) -> Vec<Row> {
    rows_with(text, source, &Options::default())
}

/// Reads all rows with options.
pub fn rows_with(text: impl AsRef<[u8]>, source: Source, options: &Options) -> Vec<Row> {
    let import = open(text, None, options).unwrap();
    assert_eq!(import.recognised.source, source, "{}", import.recognised);
    import.rows.map(Result::unwrap).collect()
}

/// Reads all rows, which are links.
pub fn links(text: impl AsRef<[u8]>, source: Source) -> Vec<ImportedLink> {
    links_with(text, source, &Options::default())
}

/// Reads all rows with options; every row is a link.
pub fn links_with(text: impl AsRef<[u8]>, source: Source, options: &Options) -> Vec<ImportedLink> {
    let link = |row| match row {
        Row::Link(link) => *link,
        other => panic!("no link: {other:?}"),
    };
    rows_with(text, source, options).into_iter().map(link).collect()
}

/// Returns the message of a file that cannot be recognised, or not be read to its end.
pub fn error(text: impl AsRef<[u8]>, from: Option<Source>, options: &Options) -> String {
    match open(text, from, options) {
        Err(error) => error.to_string(),
        Ok(import) => import.rows.filter_map(Result::err).last().unwrap().to_string(),
    }
}

/// Returns the seconds of a time in UTC.
pub fn at(time: &str) -> Option<i64> {
    Some(time.parse::<jiff::Timestamp>().unwrap().as_second())
}

/// Returns the codes of links, in their order.
pub fn codes(links: &[ImportedLink]) -> Vec<&str> {
    links.iter().map(|link| link.short_code.as_deref().unwrap_or("(new)")).collect()
}

/// Returns the names of the fields of a link that Tern has no place for.
pub fn dropped(link: &ImportedLink) -> Vec<&str> {
    link.dropped.iter().map(|name| &**name).collect()
}

/// Returns the row of a link that cannot be read.
pub fn invalid(row: u64, short_code: Option<&str>, reason: &str) -> Row {
    Row::Invalid { row, short_code: short_code.map(str::to_owned), reason: reason.to_owned() }
}
