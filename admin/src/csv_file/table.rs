//! CSV files with a header: rows looked up by the names of their columns, in bounded memory.

use std::io::{self, Chain, Cursor, Read};

use csv::{ErrorKind, StringRecord, Terminator};

use crate::csv_file::dialect::read_head;
use crate::csv_file::quotes::{BadQuote, Quotes};

/// The longest row in bytes. Without a bound one quote that is never closed would take the whole file into memory.
const MAX_ROW_LEN: usize = 2 * 1024 * 1024;

/// How many columns of a file are listed, at most.
const MAX_LISTED: usize = 20;

const NOT_UTF_8: &str = "the row is not UTF-8: save the file as \"CSV UTF-8\"";

/// A table that is being read.
#[derive(Debug)]
pub(crate) struct CsvTable<R> {
    reader: csv::Reader<Source<R>>,
    trim: bool,
    columns: Vec<String>,
    record: StringRecord,
}

/// One row with as many fields as there are columns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    /// Of the file, from 1; where the row begins.
    pub(crate) line: u64,
    trim: bool,
    columns: &'a [String],
    fields: &'a StringRecord,
}

/// A row that cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadRow {
    pub(crate) line: u64,
    pub(crate) reason: String,
    /// Nothing can be read after it.
    pub(crate) is_last: bool,
}

impl<R: Read> CsvTable<R> {
    /// Reads the header. Blanks around the names of columns are dropped, those around fields if `trim` says so.
    ///
    /// # Errors
    /// What is wrong with the file, as the end of a sentence: it "is empty".
    pub(crate) fn open(mut source: R, trim: bool) -> Result<CsvTable<R>, String> {
        let (dialect, head) = read_head(&mut source)?;
        let source = Source {
            source: Cursor::new(head).chain(source),
            has_cr_lines: dialect.has_cr_lines,
            left: MAX_ROW_LEN,
            ended: false,
            quotes: Quotes::new(dialect.separator),
            bad: None,
        };
        let reader = csv::ReaderBuilder::new()
            .delimiter(dialect.separator)
            // `next_row` tells of rows of the wrong length, in words of our own.
            .flexible(true)
            .has_headers(false)
            // With the default the line of a row is not known in a file with CRLF: see `line`.
            .terminator(Terminator::Any(b'\n'))
            .from_reader(source);
        let mut table = CsvTable { reader, trim, columns: Vec::new(), record: StringRecord::new() };
        match table.read_record() {
            None => Err("is empty".to_owned()),
            Some(Err(bad)) => Err(format!("cannot be read: {}", bad.reason)),
            Some(Ok(_)) => {
                table.columns = table.record.iter().map(|name| name.trim().to_owned()).collect();
                table.refuse_twice()?;
                Ok(table)
            }
        }
    }

    /// Refuses a header that names a column twice, since either may hold the values that are meant.
    fn refuse_twice(&self) -> Result<(), String> {
        for (second, name) in self.columns.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            if let Some(first) = self.columns[..second].iter().position(|other| other == name) {
                let (first, second) = (first + 1, second + 1);
                return Err(format!("has the column {name} twice, in places {first} and {second} of its header"));
            }
        }
        Ok(())
    }

    /// The names of all columns, as the end of a sentence about them.
    pub(crate) fn columns(&self) -> String {
        let named: Vec<&str> = self.columns.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
        let mut listed = named[..named.len().min(MAX_LISTED)].join(", ");
        if named.len() > MAX_LISTED {
            listed.push_str(", ...");
        }
        listed
    }

    pub(crate) fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|name| name == column)
    }

    /// Which of `columns` are not there.
    pub(crate) fn missing(&self, columns: &[&'static str]) -> Vec<&'static str> {
        columns.iter().copied().filter(|column| !self.has(column)).collect()
    }

    /// How many bytes of the file were read.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.reader.position().byte()
    }

    /// The next row that is not blank.
    pub(crate) fn next_row(&mut self) -> Option<Result<Row<'_>, BadRow>> {
        let line = match self.read_record()? {
            Ok(line) => line,
            Err(bad) => return Some(Err(bad)),
        };
        let (fields, columns) = (self.record.len(), self.columns.len());
        if fields != columns {
            let reason = format!("the row has {fields} fields and not {columns}");
            return Some(Err(BadRow { line, reason, is_last: false }));
        }
        Some(Ok(Row { line, trim: self.trim, columns: &self.columns, fields: &self.record }))
    }

    /// Returns a field of the row that was read last, also of a bad one, as far as it can be told.
    pub(crate) fn last_field(&self, column: &str) -> Option<&str> {
        Row { line: 0, trim: true, columns: &self.columns, fields: &self.record }.field(column)
    }

    /// Reads until `record` is not blank; gives its line.
    fn read_record(&mut self) -> Option<Result<u64, BadRow>> {
        loop {
            self.reader.get_mut().left = MAX_ROW_LEN;
            let before = self.reader.position().line();
            let mut bytes = std::mem::take(&mut self.record).into_byte_record();
            let read = self.reader.read_byte_record(&mut bytes);
            let is_utf8 = match StringRecord::from_byte_record(bytes) {
                Ok(record) => {
                    self.record = record;
                    true
                }
                Err(error) => {
                    self.record = StringRecord::from_byte_record_lossy(error.into_byte_record());
                    false
                }
            };
            match read {
                Ok(false) => return None,
                // Spreadsheets write empty rows as commas.
                Ok(true) if self.record.iter().all(|field| field.trim().is_empty()) => {}
                Ok(true) if is_utf8 => return Some(Ok(self.line(before))),
                Ok(true) => {
                    let line = self.line(before);
                    return Some(Err(BadRow { line, reason: NOT_UTF_8.to_owned(), is_last: false }));
                }
                Err(error) => {
                    let reason = match error.kind() {
                        ErrorKind::Io(error) => error.to_string(),
                        _ => error.to_string(),
                    };
                    let line = self.reader.get_ref().quotes.row_line();
                    return Some(Err(BadRow { line, reason, is_last: true }));
                }
            }
        }
    }

    /// The line of the record that was just read. The reader's own position is taken before it skips empty lines,
    /// so this counts back from the end of the record. A record that the end of the file cut short inside a quote
    /// has no line end of its own: hence `before`.
    fn line(&self, before: u64) -> u64 {
        let inside: usize = self.record.iter().map(|field| field.bytes().filter(|&byte| byte == b'\n').count()).sum();
        before.max(self.reader.position().line() - 1 - inside as u64)
    }
}

impl<'a> Row<'a> {
    /// The field of a column; `None` if there is no such column.
    pub(crate) fn field(&self, column: &str) -> Option<&'a str> {
        let index = self.columns.iter().position(|name| name == column)?;
        let field = self.fields.get(index)?;
        // The reader takes CR before LF for a part of the last field.
        let is_last = index + 1 == self.columns.len();
        let field = if is_last { field.strip_suffix('\r').unwrap_or(field) } else { field };
        Some(if self.trim { field.trim() } else { field })
    }

    /// The field of a column; `None` also if it is blank.
    pub(crate) fn given(&self, column: &str) -> Option<&'a str> {
        self.field(column).filter(|field| !field.trim().is_empty())
    }

    pub(crate) fn longest_field(&self) -> usize {
        self.fields.iter().map(str::len).max().unwrap_or(0)
    }
}

/// A source that gives only so many bytes at a time, a line end after the last one, and none behind a bad quote.
#[derive(Debug)]
struct Source<R> {
    source: Chain<Cursor<Vec<u8>>, R>,
    has_cr_lines: bool,
    left: usize,
    ended: bool,
    quotes: Quotes,
    bad: Option<BadQuote>,
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(bad) = self.bad {
            return Err(io::Error::other(bad.to_string()));
        }
        if self.left == 0 {
            let mebibytes = MAX_ROW_LEN / (1024 * 1024);
            return Err(io::Error::other(format!("the row has over {mebibytes} MiB: is a quote not closed?")));
        }
        let read = self.source.read(buffer)?;
        if self.has_cr_lines {
            buffer[..read].iter_mut().filter(|byte| **byte == b'\r').for_each(|byte| *byte = b'\n');
        }
        self.left = self.left.saturating_sub(read);
        if read == 0 {
            self.quotes.end().map_err(|bad| io::Error::other(bad.to_string()))?;
        }
        match buffer.first_mut() {
            Some(first) if read == 0 && !self.ended => {
                self.ended = true;
                *first = b'\n';
                Ok(1)
            }
            _ => match self.quotes.follow(&buffer[..read]) {
                Ok(()) => Ok(read),
                // What comes before it is given first.
                Err((0, bad)) => Err(io::Error::other(bad.to_string())),
                Err((good, bad)) => {
                    self.bad = Some(bad);
                    Ok(good)
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &[u8]) -> Vec<Result<(u64, String), BadRow>> {
        let mut table = CsvTable::open(text, true).unwrap();
        let mut rows = Vec::new();
        while let Some(row) = table.next_row() {
            rows.push(row.map(|row| (row.line, row.field("b").unwrap().to_owned())));
        }
        rows
    }

    #[test]
    fn rows_know_their_line_whatever_came_before() {
        let check = |text: &str, expected: &[(u64, &str)]| {
            let read: Vec<(u64, String)> = rows(text.as_bytes()).into_iter().map(Result::unwrap).collect();
            let read: Vec<(u64, &str)> = read.iter().map(|(line, b)| (*line, b.as_str())).collect();
            assert_eq!(read, expected, "{text:?}");
        };
        check("a,b\n1,2\n3,4\n", &[(2, "2"), (3, "4")]);
        check("a,b\r\n1,2\r\n3,4\r\n", &[(2, "2"), (3, "4")]);
        check("\u{feff}a,b\n1,2\n", &[(2, "2")]);
        check(" a , b \n1, 2 \n", &[(2, "2")]);
        check("a,b\n\"1\n1\n1\",2\n3,4\n", &[(2, "2"), (5, "4")]);
        check("a,b\r\n\"1\r\n1\",2\r\n3,4\r\n", &[(2, "2"), (4, "4")]);
        check("a,b\n1,2\n\n\n3,4", &[(2, "2"), (5, "4")]);
        check("a,b\r\n\r\n1,2\r\n\r\n3,4", &[(3, "2"), (5, "4")]);
        check("a,b\n", &[]);
    }

    #[test]
    fn a_bad_row_does_not_harm_the_others() {
        let read = rows(b"a,b\n1\n\xff,2\n3,4\n5,6,7\n");
        assert_eq!(read[0].as_ref().unwrap_err().reason, "the row has 1 fields and not 2");
        assert_eq!(read[1].as_ref().unwrap_err().line, 3);
        assert_eq!(read[2], Ok((4, "4".to_owned())));
        assert_eq!(read[3].as_ref().unwrap_err().line, 5);
    }

    #[test]
    fn row_that_is_not_utf_8_knows_its_line_whatever_came_before() {
        let check = |text: &[u8], line: u64| {
            let read = rows(text);
            assert_eq!(read, [Err(BadRow { line, reason: NOT_UTF_8.to_owned(), is_last: false })], "{text:?}");
        };
        check(b"a,b\n\xff,2\n", 2);
        check(b"a,b\n\n\n\xff,2\n", 4);
        check(b"a,b\r\n\r\n\"1\r\n\xff\",2\r\n", 3);
        check(b"a,b\n\n\xff,\"2\n\n2\"", 3);
    }

    #[test]
    fn a_quote_that_is_never_closed_does_not_take_the_file_into_memory() {
        let text = format!("a,b\n1,2\n\"{}", "x".repeat(3 * MAX_ROW_LEN));
        let read = rows(text.as_bytes());
        let last = read[1].as_ref().unwrap_err();
        assert!(last.is_last && last.reason.contains("2 MiB"), "{last:?}");
        assert_eq!(read.len(), 2);
    }

    #[test]
    fn unclosed_quote_swallows_no_rows_and_harms_none_before_it() {
        let check = |text: &str, reason: &str| {
            let read = rows(text.as_bytes());
            assert_eq!(read[0], Ok((2, "2".to_owned())), "{text:?}");
            assert_eq!(read[1], Err(BadRow { line: 3, reason: reason.to_owned(), is_last: true }), "{text:?}");
            assert_eq!(read.len(), 2, "{text:?}");
        };
        check("a,b\n1,2\n3,\"4\n5,6\n", "the quote opened in line 3 is never closed");
        check("a,b\n1,2\n3,\"4\n5,\"6\"\n", "the quote opened in line 3 is closed in line 4 with text behind it");
    }

    #[test]
    fn row_that_cannot_be_read_knows_its_line_whatever_came_before() {
        let check = |text: &str, line: u64, reason: &str| {
            let last = rows(text.as_bytes()).pop().unwrap().unwrap_err();
            assert!(last.is_last && last.reason.contains(reason), "{last:?}");
            assert_eq!(last.line, line, "{last:?}");
        };
        check("a,b\n1,2\n\n\n3,\"4\n5,6\n", 5, "opened in line 5");
        check("a,b\r\n\r\n\"1\r\n1\",\"2\r\n2\r\n", 3, "opened in line 4");
        check("a,b\n\n\n3,\"4\n5,\"6\"\n", 4, "opened in line 4 is closed in line 5");
        check(&format!("a,b\n\n\"1\n1\",2\n\n\n3,{}", "x".repeat(3 * MAX_ROW_LEN)), 7, "2 MiB");
    }

    #[test]
    fn files_of_spreadsheets_are_read_with_their_separators_and_line_ends() {
        let check = |text: &str, expected: &[(u64, &str)]| {
            let read: Vec<(u64, String)> = rows(text.as_bytes()).into_iter().map(Result::unwrap).collect();
            let read: Vec<(u64, &str)> = read.iter().map(|(line, b)| (*line, b.as_str())).collect();
            assert_eq!(read, expected, "{text:?}");
        };
        check("a;b\r\n1;2,5\r\n\"3;\";\"4;\"\"\"\r\n", &[(2, "2,5"), (3, "4;\"")]);
        check("a\tb\n1\t2\n\"3\t\"\t4\n", &[(2, "2"), (3, "4")]);
        check("a,b\r1,2\r\r\"3\r3\",4\r", &[(2, "2"), (4, "4")]);
        check("a,b,\n1,2,\n,,\n , ,\n3,4,\n,,\n", &[(2, "2"), (5, "4")]);
        check(",\na,b\n1,2\n", &[(3, "2")]);
    }

    #[test]
    fn column_that_is_there_twice_is_refused_with_both_places() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(CsvTable::open(text.as_bytes(), true).err().as_deref(), expected, "{text:?}");
        };
        check("a,b, a\n", Some("has the column a twice, in places 1 and 3 of its header"));
        check("x;a;a\n", Some("has the column a twice, in places 2 and 3 of its header"));
        check("a,A,,\n", None);
    }

    #[test]
    fn a_file_without_a_header_is_empty() {
        for text in ["", "\n\n", "\u{feff}", " \n"] {
            assert_eq!(CsvTable::open(text.as_bytes(), true).unwrap_err(), "is empty", "{text:?}");
        }
    }
}
