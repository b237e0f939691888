//! CSV files with a header, read row by row in bounded memory.

use std::io::Read;

use csv::{ErrorKind, StringRecord, Terminator};

use super::dialect::read_head;
use super::row_bytes::RowBytes;

/// The most columns that a message lists.
const MAX_LISTED: usize = 20;

const NOT_UTF_8: &str = "the row is not UTF-8: save the file as \"CSV UTF-8\"";

/// A table that is being read.
#[derive(Debug)]
pub struct CsvTable<R> {
    reader: csv::Reader<RowBytes<R>>,
    trim: bool,
    columns: Vec<String>,
    /// The number of fields that a row must have at least.
    min_fields: usize,
    record: StringRecord,
}

/// One row with as many fields as there are columns.
#[derive(Clone, Copy, Debug)]
pub struct CsvRow<'a> {
    /// The line of the file in which the row begins, from 1.
    pub line: u64,
    trim: bool,
    columns: &'a [String],
    fields: &'a StringRecord,
}

/// A row that cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub struct BadRow {
    pub line: u64,
    pub reason: String,
    /// Whether no row can be read after this one.
    pub is_last: bool,
}

impl<R: Read> CsvTable<R> {
    /// Reads the header. Trims the names of columns, and with `trim` also the fields.
    ///
    /// # Errors
    /// When the file has no valid header. The message is the end of a sentence, such as "is empty".
    pub fn open(source: R, trim: bool) -> Result<CsvTable<R>, String> {
        let mut table = CsvTable::begin(source, trim)?;
        match table.read_record() {
            None => Err("is empty".to_owned()),
            Some(Err(bad)) => Err(format!("cannot be read: {}", bad.reason)),
            Some(Ok(_)) => {
                table.columns = table.record.iter().map(|name| name.trim().to_owned()).collect();
                table.min_fields = table.columns.len();
                table.refuse_repeated_column()?;
                Ok(table)
            }
        }
    }

    /// Begins a file without a header, whose rows have one field or more of `columns`, from the first.
    ///
    /// # Errors
    /// When the file is no text in UTF-8.
    pub fn open_headerless(source: R, columns: &[&str]) -> Result<CsvTable<R>, String> {
        let mut table = CsvTable::begin(source, false)?;
        table.columns = columns.iter().map(|&name| name.to_owned()).collect();
        Ok(table)
    }

    fn begin(mut source: R, trim: bool) -> Result<CsvTable<R>, String> {
        let (dialect, head) = read_head(&mut source)?;
        let source = RowBytes::new(head, source, dialect);
        let reader = csv::ReaderBuilder::new()
            .delimiter(dialect.separator)
            // `next_row` reports rows of another length with its own message.
            .flexible(true)
            .has_headers(false)
            // The default terminator would make `line` count wrongly in files with CRLF.
            .terminator(Terminator::Any(b'\n'))
            .from_reader(source);
        Ok(CsvTable { reader, trim, columns: Vec::new(), min_fields: 1, record: StringRecord::new() })
    }

    /// Refuses a header that names a column twice, because either column may have the intended values.
    fn refuse_repeated_column(&self) -> Result<(), String> {
        for (second, name) in self.columns.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            if let Some(first) = self.columns[..second].iter().position(|other| other == name) {
                let (first, second) = (first + 1, second + 1);
                return Err(format!("has the column {name} twice, in places {first} and {second} of its header"));
            }
        }
        Ok(())
    }

    /// Returns the names of all columns, in their order.
    pub fn names(&self) -> &[String] {
        &self.columns
    }

    /// Returns the source, whose position has to be restored before the next row is read.
    pub fn source_mut(&mut self) -> &mut R {
        self.reader.get_mut().inner_mut()
    }

    /// Returns the names of all columns for a message.
    pub fn columns(&self) -> String {
        let named: Vec<&str> = self.columns.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
        let mut listed = named[..named.len().min(MAX_LISTED)].join(", ");
        if named.len() > MAX_LISTED {
            listed.push_str(", ...");
        }
        listed
    }

    pub fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|name| name == column)
    }

    /// Returns those of `columns` that the file lacks.
    pub fn missing(&self, columns: &[&'static str]) -> Vec<&'static str> {
        columns.iter().copied().filter(|column| !self.has(column)).collect()
    }

    /// Returns the number of bytes that were read.
    pub fn bytes_read(&self) -> u64 {
        self.reader.position().byte()
    }

    /// Reads the next row that is not blank.
    pub fn next_row(&mut self) -> Option<Result<CsvRow<'_>, BadRow>> {
        let line = match self.read_record()? {
            Ok(line) => line,
            Err(bad) => return Some(Err(bad)),
        };
        let (fields, columns) = (self.record.len(), self.columns.len());
        if fields > columns || fields < self.min_fields {
            let reason = format!("the row has {fields} fields and not {columns}");
            return Some(Err(BadRow { line, reason, is_last: false }));
        }
        Some(Ok(self.last_row(line)))
    }

    /// Returns the row that was read last, which begins in `line`.
    pub fn last_row(&self, line: u64) -> CsvRow<'_> {
        CsvRow { line, trim: self.trim, columns: &self.columns, fields: &self.record }
    }

    /// Returns a field of the row that was read last, if a bad row has it, too.
    pub fn last_field(&self, column: &str) -> Option<&str> {
        CsvRow { line: 0, trim: true, columns: &self.columns, fields: &self.record }.field(column)
    }

    /// Reads until `record` is not blank, and returns its line.
    fn read_record(&mut self) -> Option<Result<u64, BadRow>> {
        loop {
            self.reader.get_mut().begin_row();
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
                // Spreadsheets write blank rows as commas.
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
                    let line = self.reader.get_ref().row_line();
                    return Some(Err(BadRow { line, reason, is_last: true }));
                }
            }
        }
    }

    /// Returns the line of the record that was read last, counted back from the end of the record.
    /// The reader's position of a record cannot be used, because the reader takes it before it skips blank lines.
    /// `before` is the lower bound for a record that the end of the file cuts within a quote.
    fn line(&self, before: u64) -> u64 {
        let inside: usize = self.record.iter().map(|field| field.bytes().filter(|&byte| byte == b'\n').count()).sum();
        before.max(self.reader.position().line() - 1 - inside as u64)
    }
}

impl<'a> CsvRow<'a> {
    /// Returns the field of a column; `None` if there is no such column.
    pub fn field(&self, column: &str) -> Option<&'a str> {
        self.cell(self.columns.iter().position(|name| name == column)?)
    }

    /// Returns the field of the column with an index; `None` if the row ends before it.
    pub fn cell(&self, index: usize) -> Option<&'a str> {
        let field = self.fields.get(index)?;
        // The reader includes a CR before LF in the last field.
        let is_last = index + 1 == self.fields.len();
        let field = if is_last { field.strip_suffix('\r').unwrap_or(field) } else { field };
        Some(if self.trim { field.trim() } else { field })
    }

    /// Returns the field of a column; `None` if there is no such column or the field is blank.
    pub fn given(&self, column: &str) -> Option<&'a str> {
        self.field(column).filter(|field| !field.trim().is_empty())
    }

    pub fn longest_field(&self) -> usize {
        self.fields.iter().map(str::len).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::row_bytes::MAX_ROW_LEN;
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
    fn row_after_blank_or_quoted_lines_has_its_line() {
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
    fn bad_row_is_reported_and_later_rows_are_read() {
        let read = rows(b"a,b\n1\n\xff,2\n3,4\n5,6,7\n");
        assert_eq!(read[0].as_ref().unwrap_err().reason, "the row has 1 fields and not 2");
        assert_eq!(read[1].as_ref().unwrap_err().line, 3);
        assert_eq!(read[2], Ok((4, "4".to_owned())));
        assert_eq!(read[3].as_ref().unwrap_err().line, 5);
    }

    #[test]
    fn row_that_is_not_utf_8_has_its_line() {
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
    fn row_beyond_its_bound_ends_the_file() {
        let text = format!("a,b\n1,2\n\"{}", "x".repeat(3 * MAX_ROW_LEN));
        let read = rows(text.as_bytes());
        let last = read[1].as_ref().unwrap_err();
        assert!(last.is_last && last.reason.contains("2 MiB"), "{last:?}");
        assert_eq!(read.len(), 2);
    }

    #[test]
    fn unclosed_quote_is_reported_after_the_rows_before_it() {
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
    fn row_that_cannot_be_read_has_its_line() {
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
    fn file_of_a_spreadsheet_is_read_with_its_separator_and_line_ends() {
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
    fn repeated_column_is_refused_with_both_places() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(CsvTable::open(text.as_bytes(), true).err().as_deref(), expected, "{text:?}");
        };
        check("a,b, a\n", Some("has the column a twice, in places 1 and 3 of its header"));
        check("x;a;a\n", Some("has the column a twice, in places 2 and 3 of its header"));
        check("a,A,,\n", None);
    }

    #[test]
    fn file_without_a_header_is_empty() {
        for text in ["", "\n\n", "\u{feff}", " \n"] {
            assert_eq!(CsvTable::open(text.as_bytes(), true).unwrap_err(), "is empty", "{text:?}");
        }
    }
}
