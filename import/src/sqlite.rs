//! The table of links in the database of chhoto-url, which is a file of SQLite.
//!
//! The file is only read. It may be from a stranger, so its schema is not trusted: only a plain table is read.

use std::collections::VecDeque;
use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row as TableRow};
use tempfile::TempPath;

use crate::build::Builder;
use crate::cells::Cells;
use crate::error::FileError;
use crate::options::Options;
use crate::queue::Records;
use crate::recognise::{self, Recognised};
use crate::roles::{Role, Roles, require};
use crate::row::Row;
use crate::source::Source;

/// The longest texts of a row in bytes, together.
const MAX_ROW_LEN: u32 = 1024 * 1024;

/// The characters of a path that stay as they are in an address.
const PATH: AsciiSet = NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');

/// A database that is being read.
#[derive(Debug)]
pub(crate) struct SqliteSource {
    connection: Connection,
    /// The query for the first row behind a number.
    query: String,
    names: Vec<String>,
    roles: Vec<Role>,
    builder: Builder,
    /// The number of the row that was read last in the database.
    last_id: i64,
    row: u64,
    /// The copy that is read, which is deleted at the end.
    _copy: Option<TempPath>,
}

impl SqliteSource {
    /// Opens a database, and recognises it by the columns of its table `urls`.
    pub(crate) fn open(
        path: &Path,
        from: Option<Source>,
        options: &Options,
    ) -> Result<(Recognised, SqliteSource), FileError> {
        let connection = connect(path).map_err(unreadable)?;
        let names = columns(&connection).map_err(unreadable)?;
        if names.is_empty() {
            return Err(FileError::of_file("is a database of SQLite without a table urls, and not that of chhoto-url"));
        }
        let shape = recognise::find(&names, from, &options.columns, false)?;
        let roles = Roles::new(shape, &options.columns).of_header(&names)?;
        require(&roles, &names, options)?;
        let builder = Builder::new(shape.source, options);
        let recognised = Recognised::new(shape, &names);
        let query = query(&names);
        let source = SqliteSource { connection, query, names, roles, builder, last_id: i64::MIN, row: 0, _copy: None };
        Ok((recognised, source))
    }

    /// Deletes a copy of the database after its last row.
    pub(crate) fn with_copy(self, copy: TempPath) -> SqliteSource {
        SqliteSource { _copy: Some(copy), ..self }
    }

    fn build(&self, values: &TableRow<'_>, row: u64) -> rusqlite::Result<Result<Cells<'static>, String>> {
        if values.get::<_, i64>(1)? > i64::from(MAX_ROW_LEN) {
            return Ok(Err(format!("the row has over {} MiB", MAX_ROW_LEN / (1024 * 1024))));
        }
        let mut cells = Cells::new(row, false);
        for (at, (name, role)) in self.names.iter().zip(&self.roles).enumerate() {
            let text = match values.get_ref(at + 2)? {
                ValueRef::Null => continue,
                ValueRef::Integer(number) => number.to_string(),
                ValueRef::Real(number) => number.to_string(),
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => match std::str::from_utf8(bytes) {
                    Ok(text) => text.to_owned(),
                    Err(_) => return Ok(Err(format!("the column {name} is not UTF-8"))),
                },
            };
            cells.set_text(role, name, text);
        }
        Ok(Ok(cells))
    }
}

impl Records for SqliteSource {
    fn read_record(&mut self, rows: &mut VecDeque<Row>) -> Result<bool, FileError> {
        let row = self.row + 1;
        let mut statement = self.connection.prepare_cached(&self.query).map_err(unreadable)?;
        let read = statement.query_row([self.last_id], |values| Ok((values.get(0)?, self.build(values, row)?)));
        let Some((id, cells)) = read.optional().map_err(unreadable)? else { return Ok(false) };
        match cells {
            Ok(cells) => self.builder.build(&cells, rows),
            Err(reason) => rows.push_back(Row::Invalid { row, short_code: None, reason }),
        }
        drop(statement);
        (self.last_id, self.row) = (id, row);
        Ok(true)
    }
}

/// Opens a database for reading. Without a log of changes beside it, nothing is created beside it either.
fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = match path.to_str() {
        Some(path) if !Path::new(&log).exists() => {
            let address = format!("file:{}?immutable=1", utf8_percent_encode(path, &PATH));
            Connection::open_with_flags(address, flags | OpenFlags::SQLITE_OPEN_URI)?
        }
        _ => Connection::open_with_flags(path, flags)?,
    };
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    Ok(connection)
}

/// Returns the columns of the table `urls`; none if there is no such table.
fn columns(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let is_table =
        "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'urls' AND sql NOT LIKE 'CREATE VIRTUAL%'";
    if connection.query_row(is_table, [], |_| Ok(())).optional()?.is_none() {
        return Ok(Vec::new());
    }
    // A generated column has a hidden expression, which is not read.
    let mut statement = connection.prepare("SELECT name FROM pragma_table_xinfo('urls') WHERE hidden = 0")?;
    statement.query_map([], |row| row.get(0))?.collect()
}

/// Returns the query for the next row: its number, its length, and its values unless it is too long.
fn query(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("\"{}\"", name.replace('"', "\"\""))).collect();
    let lengths: Vec<String> = quoted.iter().map(|name| format!("coalesce(octet_length({name}), 0)")).collect();
    let len = lengths.join(" + ");
    let values: Vec<String> =
        quoted.iter().map(|name| format!("CASE WHEN {len} <= {MAX_ROW_LEN} THEN {name} END")).collect();
    format!("SELECT rowid, {len}, {} FROM urls WHERE rowid > ?1 ORDER BY rowid LIMIT 1", values.join(", "))
}

fn unreadable(error: rusqlite::Error) -> FileError {
    FileError::of_file(format!("is a database of SQLite that cannot be read: {error}"))
}
