//! Rows of a dump: first the links, and then the clicks, which a dump may have before them.

use std::collections::VecDeque;
use std::io::{Read, Seek};

use super::clicks::{ClickColumns, Codes};
use super::statements::{Statement, Statements};
use super::tables::{self, Table};
use super::tokens::Dialect;
use crate::build::Builder;
use crate::cells::Cells;
use crate::error::FileError;
use crate::field::Field;
use crate::options::Options;
use crate::queue::Records;
use crate::recognise::Recognised;
use crate::roles::{Role, Roles, require};
use crate::row::Row;
use crate::source::Source;

const NOT_UTF_8: &str = "the row is not UTF-8: dump the database in utf8mb4";

/// A dump that is being read.
#[derive(Debug)]
pub(crate) struct SqlSource<R> {
    /// The reader of statements; `None` only while the file is begun again.
    statements: Option<Statements<R>>,
    dialect: Dialect,
    roles: Roles,
    builder: Builder,
    links: Table,
    /// The table of clicks, if they are wanted and not begun.
    clicks: Option<Table>,
    /// The columns of the present `INSERT`; `None` before the first.
    pass: Pass,
    codes: Option<Codes>,
    row: u64,
}

/// The table that is being read, with the meaning of the columns of the present `INSERT`.
#[derive(Debug)]
enum Pass {
    Links(Option<(Vec<String>, Vec<Role>)>),
    Clicks(Table, Option<(usize, ClickColumns)>),
}

impl<R: Read + Seek> SqlSource<R> {
    /// Reads the whole file once for its tables, and recognises it by the columns of the one that has the links.
    pub(crate) fn open(
        mut input: R,
        dialect: Dialect,
        from: Option<Source>,
        options: &Options,
    ) -> Result<(Recognised, SqlSource<R>), FileError> {
        let mut choose =
            |dialect| tables::choose(&tables::survey(&mut input, dialect)?, from, options.table_prefix.as_deref());
        let (dialect, chosen) = match (dialect, choose(dialect)) {
            (Dialect::Sqlite, chosen) => (dialect, chosen?),
            (Dialect::MySql, Ok(chosen)) if chosen.shape.source != Source::Chhoto => (dialect, chosen),
            // A dump without the usual first lines of SQLite, whose texts may end with a backslash.
            (Dialect::MySql, chosen) => match choose(Dialect::Sqlite) {
                Ok(of_sqlite) if of_sqlite.shape.source == Source::Chhoto => (Dialect::Sqlite, of_sqlite),
                _ => (dialect, chosen?),
            },
        };
        let roles = Roles::new(chosen.shape, &options.columns);
        require(&roles.of_header(&chosen.links.columns)?, &chosen.links.columns, options)?;
        let recognised = Recognised::new(chosen.shape, &chosen.links.columns);
        let clicks = chosen.clicks.filter(|_| options.with_clicks);
        let source = SqlSource {
            statements: Some(Statements::new(input, dialect)?),
            dialect,
            roles,
            builder: Builder::new(chosen.shape.source, options),
            links: chosen.links,
            codes: clicks.is_some().then(Codes::new),
            clicks,
            pass: Pass::Links(None),
            row: 0,
        };
        Ok((recognised, source))
    }

    fn statements(&mut self) -> Result<&mut Statements<R>, FileError> {
        self.statements.as_mut().ok_or_else(|| FileError::of_file("cannot be read again"))
    }

    /// Reads up to the next row of the table of this pass. Returns whether there is one.
    fn advance(&mut self) -> Result<bool, FileError> {
        loop {
            if self.statements()?.next_row()? {
                self.row += 1;
                return Ok(true);
            }
            loop {
                let Some(statement) = self.statements()?.next_statement()? else { return Ok(false) };
                let Statement::Insert { table, columns } = statement else { continue };
                let wanted = match &self.pass {
                    Pass::Links(_) => &self.links,
                    Pass::Clicks(table, _) => table,
                };
                if table != wanted.name {
                    continue;
                }
                let columns = if columns.is_empty() { wanted.columns.clone() } else { columns };
                match &mut self.pass {
                    Pass::Links(present) => {
                        let roles = self.roles.of_header(&columns)?;
                        *present = Some((columns, roles));
                    }
                    Pass::Clicks(_, present) => *present = Some((columns.len(), ClickColumns::new(&columns))),
                }
                break;
            }
        }
    }

    /// Begins the file again for its clicks. Returns whether it has any that are wanted.
    fn begin_clicks(&mut self) -> Result<bool, FileError> {
        let Some(clicks) = self.clicks.take() else { return Ok(false) };
        if let Some(statements) = self.statements.take() {
            let mut input = statements.into_input();
            input.rewind()?;
            self.statements = Some(Statements::new(input, self.dialect)?);
        }
        self.pass = Pass::Clicks(clicks, None);
        self.row = 0;
        Ok(true)
    }
}

impl<R: Read + Seek> Records for SqlSource<R> {
    fn read_record(&mut self, rows: &mut VecDeque<Row>) -> Result<bool, FileError> {
        if !self.advance()? {
            return self.begin_clicks();
        }
        let row = self.row;
        let invalid = |reason: String| Row::Invalid { row, short_code: None, reason };
        let Some(values) = self.statements.as_ref().and_then(Statements::values) else {
            rows.push_back(invalid(NOT_UTF_8.to_owned()));
            return Ok(true);
        };
        let count = match &self.pass {
            Pass::Links(present) => present.as_ref().map(|(columns, _)| columns.len()),
            Pass::Clicks(_, present) => present.as_ref().map(|(count, _)| *count),
        };
        if Some(values.len()) != count {
            let (found, count) = (values.len(), count.unwrap_or_default());
            rows.push_back(invalid(format!("the row has {found} values and not {count}")));
            return Ok(true);
        }
        match &self.pass {
            Pass::Links(Some((columns, roles))) => {
                let mut cells = Cells::new(row, false);
                for ((name, role), value) in columns.iter().zip(roles).zip(values) {
                    if let Some(text) = value {
                        cells.set_text(role, name, text.as_str());
                    }
                }
                if let (Some(codes), Some(id), Some(code)) =
                    (&mut self.codes, cells.text(Field::RowId), cells.text(Field::Code))
                {
                    codes.insert(id.to_owned(), code.into());
                }
                self.builder.build(&cells, rows);
            }
            Pass::Clicks(_, Some((_, columns))) => {
                let codes = self.codes.get_or_insert_default();
                rows.push_back(columns.row(row, values, &self.builder, codes));
            }
            Pass::Links(None) | Pass::Clicks(_, None) => {}
        }
        Ok(true)
    }
}
