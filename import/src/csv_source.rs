//! Rows of a CSV file.

use std::collections::VecDeque;
use std::io::{Cursor, Read, Seek, SeekFrom};

use crate::address;
use crate::build::Builder;
use crate::cells::Cells;
use crate::csv_file::{BadRow, CsvRow, CsvTable};
use crate::dates;
use crate::error::FileError;
use crate::field::Field;
use crate::options::{DateOrder, Options};
use crate::queue::Records;
use crate::recognise::{self, Recognised};
use crate::roles::{Role, Roles, require};
use crate::row::Row;
use crate::shapes::{HEADERLESS, shorten};
use crate::source::Source;

/// The rows of a file without a header that are looked at.
const FIRST_ROWS: usize = 10;

/// The characters before which spreadsheets, and exports for them, put a `'`.
const FORMULAS: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

const BOM: char = '\u{feff}';

/// A CSV file that is being read.
#[derive(Debug)]
pub(crate) struct CsvSource<R> {
    table: CsvTable<R>,
    roles: Vec<Role>,
    is_headerless: bool,
    has_null_words: bool,
    builder: Builder,
}

impl<R: Read + Seek> CsvSource<R> {
    /// Recognises a file by its header. `head` is its beginning.
    pub(crate) fn open(
        input: R,
        head: &[u8],
        from: Option<Source>,
        options: &Options,
    ) -> Result<(Recognised, CsvSource<R>), FileError> {
        let may_be_headerless = from.is_none_or(|from| from == Source::Yourls) && options.columns.is_empty();
        let is_headerless = may_be_headerless && has_no_header(head);
        let table = open_table(input, is_headerless)?;
        let names = table.names();
        let from = if is_headerless { Some(Source::Yourls) } else { from };
        let shape = recognise::find(names, from, &options.columns, true)?;
        let roles = Roles::new(shape, &options.columns).of_header(names)?;
        require(&roles, names, options)?;
        let mut builder = Builder::new(shape.source, options);
        // An export for spreadsheets has a byte order mark, and its texts are escaped.
        builder.set_verbatim(shape.source == Source::Tern && !head.starts_with(b"\xef\xbb\xbf"));
        let recognised = Recognised::new(shape, names);
        let has_null_words = shape.source == Source::Yourls;
        Ok((recognised, CsvSource { table, roles, is_headerless, has_null_words, builder }))
    }

    /// Returns a field, as it was before a spreadsheet changed it.
    fn text<'a>(&self, row: CsvRow<'a>, at: usize) -> &'a str {
        let text = row.cell(at).unwrap_or_default();
        if self.builder.is_verbatim() {
            return text;
        }
        let text = text.trim_start_matches(BOM).trim();
        match text.strip_prefix('\'') {
            Some(rest) if rest.starts_with(FORMULAS) => rest,
            None if self.has_null_words && matches!(text, "NULL" | "\\N") => "",
            _ => text,
        }
    }

    /// Decides the order of day and month in each column of times whose first date with slashes is in this row.
    fn decide_orders(&mut self, line: u64) -> Result<(), FileError> {
        for (time, field) in Field::TIMES.into_iter().enumerate() {
            if self.builder.order(time).is_some() {
                continue;
            }
            let columns = self.roles.iter().enumerate().filter(|(_, role)| **role == Role::Field(field));
            for at in columns.map(|(at, _)| at).collect::<Vec<_>>() {
                let text = self.text(self.table.last_row(line), at);
                if dates::needs_order(text) {
                    let text = text.to_owned();
                    *self.builder.order(time) = Some(self.survey(at, line, &text)?);
                }
            }
        }
        Ok(())
    }

    /// Reads the whole file for the order of day and month in a column, and returns to the present row.
    fn survey(&mut self, column: usize, line: u64, text: &str) -> Result<DateOrder, FileError> {
        let (is_headerless, name) = (self.is_headerless, self.table.names()[column].clone());
        let input = self.table.source_mut();
        let position = input.stream_position()?;
        input.rewind()?;
        let mut table = open_table(&mut *input, is_headerless)?;
        let mut proofs = [None, None];
        while let Some(row) = table.next_row() {
            match row {
                Ok(row) => {
                    let text = row.cell(column).unwrap_or_default();
                    if let Some(order) = dates::proven_order(text.trim_start_matches([BOM, '\''])) {
                        proofs[order as usize].get_or_insert(row.line);
                    }
                }
                Err(bad) if bad.is_last => break,
                Err(_) => {}
            }
        }
        input.seek(SeekFrom::Start(position))?;
        let advice = "choose day-first or month-first, or write the dates as 2026-03-31";
        match proofs {
            [Some(_), None] => Ok(DateOrder::DayFirst),
            [None, Some(_)] => Ok(DateOrder::MonthFirst),
            [None, None] => Err(FileError::in_line(
                line,
                format!(
                    "{:?} in the column {} may begin with the day or the month, and no date of the column decides it: {advice}",
                    shorten(text),
                    shorten(&name)
                ),
            )),
            [Some(day_first), Some(month_first)] => Err(FileError::in_line(
                line,
                format!(
                    "the dates of the column {} begin with the day in line {day_first} and with the month in line {month_first}: {advice}",
                    shorten(&name)
                ),
            )),
        }
    }
}

impl<R: Read + Seek> Records for CsvSource<R> {
    fn read_record(&mut self, rows: &mut VecDeque<Row>) -> Result<bool, FileError> {
        let line = match self.table.next_row() {
            None => return Ok(false),
            Some(Err(BadRow { line, reason, is_last: true })) => return Err(FileError::in_line(line, reason)),
            Some(Err(BadRow { line, reason, is_last: false })) => {
                rows.push_back(Row::Invalid { row: line, short_code: None, reason });
                return Ok(true);
            }
            Some(Ok(row)) => row.line,
        };
        self.decide_orders(line)?;
        let row = self.table.last_row(line);
        let mut cells = Cells::new(line, self.builder.is_verbatim());
        for (at, role) in self.roles.iter().enumerate() {
            let text = self.text(row, at);
            if !text.is_empty() {
                cells.set_text(role, &self.table.names()[at], text);
            }
        }
        self.builder.build(&cells, rows);
        Ok(true)
    }
}

fn open_table<R: Read>(input: R, is_headerless: bool) -> Result<CsvTable<R>, FileError> {
    let table =
        if is_headerless { CsvTable::open_headerless(input, &HEADERLESS) } else { CsvTable::open(input, false) };
    table.map_err(FileError::of_file)
}

/// Returns whether each of the first rows begins with an address and has at most three cells.
fn has_no_header(head: &[u8]) -> bool {
    let Ok(mut table) = CsvTable::open_headerless(Cursor::new(head), &HEADERLESS) else { return false };
    let mut rows = 0;
    while rows < FIRST_ROWS {
        match table.next_row() {
            Some(Ok(row)) if row.cell(0).is_some_and(|text| address::is_http(text.trim_start_matches(BOM).trim())) => {}
            // The head of a long file may end within a row.
            Some(Err(bad)) if bad.is_last => break,
            None => break,
            Some(_) => return false,
        }
        rows += 1;
    }
    rows > 0
}
