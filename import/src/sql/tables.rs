//! The tables of a dump: the one that has the links, and the one that has the log of clicks.

use std::io::{Read, Seek};

use super::statements::{Statement, Statements};
use super::tokens::Dialect;
use crate::error::FileError;
use crate::shapes::{SHAPES, Shape, list, normalise, shorten};
use crate::source::Source;

/// The most tables of a dump.
const MAX_TABLES: usize = 10_000;

/// Tables whose columns are known without a `CREATE TABLE`: the end of the name, and the columns.
const KNOWN: [(&str, &[&str]); 5] = [
    ("url", &["keyword", "url", "title", "timestamp", "ip", "clicks"]),
    ("log", &["click_id", "click_time", "shorturl", "referrer", "user_agent", "ip_address", "country_code"]),
    (
        "links",
        &[
            "id",
            "short_url",
            "long_url",
            "ip",
            "creator",
            "clicks",
            "secret_key",
            "is_disabled",
            "is_custom",
            "is_api",
            "created_at",
            "updated_at",
            "long_url_hash",
        ],
    ),
    (
        "clicks",
        &["id", "ip", "country", "referer", "referer_host", "user_agent", "link_id", "created_at", "updated_at"],
    ),
    ("urls", &["id", "short_url", "long_url", "hits", "expiry_time", "notes"]),
];

/// A table of a dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<String>,
}

/// The tables of a dump that are read.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) shape: &'static Shape,
    pub(super) links: Table,
    pub(super) clicks: Option<Table>,
}

/// Reads a whole dump from its start for its tables, and returns to its start.
pub(super) fn survey<R: Read + Seek>(input: &mut R, dialect: Dialect) -> Result<Vec<Table>, FileError> {
    let mut tables: Vec<Table> = Vec::new();
    input.rewind()?;
    let mut statements = Statements::new(&mut *input, dialect)?;
    while let Some(statement) = statements.next_statement()? {
        let (name, columns) = match statement {
            Statement::Create { table, columns } => (table, columns),
            Statement::Insert { table, .. } if tables.iter().any(|known| known.name == table) => continue,
            Statement::Insert { table, columns } if columns.is_empty() => {
                let len = if statements.next_row()? { statements.values().map_or(0, <[_]>::len) } else { 0 };
                let columns = known_columns(&table, len);
                (table, columns)
            }
            Statement::Insert { table, columns } => (table, columns),
        };
        if tables.len() == MAX_TABLES {
            return Err(FileError::of_file(format!("has over {MAX_TABLES} tables")));
        }
        if tables.iter().all(|known| known.name != name) {
            tables.push(Table { name, columns });
        }
    }
    input.rewind()?;
    Ok(tables)
}

fn known_columns(table: &str, len: usize) -> Vec<String> {
    let lower = table.to_lowercase();
    let known = KNOWN.iter().find(|(end, columns)| lower.ends_with(end) && columns.len() == len);
    known.map(|(_, columns)| columns.iter().map(ToString::to_string).collect()).unwrap_or_default()
}

/// Chooses the tables of links and of clicks.
///
/// # Errors
/// When no table has links, or several have.
pub(super) fn choose(tables: &[Table], from: Option<Source>, prefix: Option<&str>) -> Result<Chosen, FileError> {
    let has_prefix = |table: &&Table| prefix.is_none_or(|prefix| table.name.starts_with(prefix));
    let mut found: Vec<(&Table, &'static Shape)> = Vec::new();
    for table in tables.iter().filter(has_prefix) {
        found.extend(shape_of(table, from).map(|shape| (table, shape)));
    }
    let names: Vec<String> = tables.iter().map(|table| table.name.clone()).collect();
    match found[..] {
        [(table, shape)] => Ok(Chosen { shape, links: table.clone(), clicks: log_of(table, shape, tables).cloned() }),
        [] => {
            let names = if names.is_empty() { "none".to_owned() } else { list(&names) };
            let of = from.map_or_else(|| "a known service".to_owned(), |from| from.name().to_owned());
            let prefix = prefix.map(|prefix| format!(" with the prefix {}", shorten(prefix))).unwrap_or_default();
            Err(FileError::of_file(format!("has no table of links of {of}{prefix}; its tables are {names}")))
        }
        _ => {
            let names: Vec<String> = found.iter().map(|(table, _)| table.name.clone()).collect();
            let names = list(&names);
            Err(FileError::of_file(format!(
                "has several tables of links, {names}: choose one by its service or by the prefix of its name"
            )))
        }
    }
}

/// Returns the shape of a table of links.
fn shape_of(table: &Table, from: Option<Source>) -> Option<&'static Shape> {
    let normal: Vec<String> = table.columns.iter().map(|name| normalise(name)).collect();
    let is_of = |shape: &&Shape| from.is_none_or(|from| shape.source == from) && has_dumps(shape.source);
    SHAPES.iter().filter(is_of).find(|shape| shape.fits(&normal))
}

fn has_dumps(source: Source) -> bool {
    matches!(source, Source::Yourls | Source::Polr | Source::Chhoto)
}

/// Returns the table of clicks beside a table of links.
fn log_of<'a>(links: &Table, shape: &Shape, tables: &'a [Table]) -> Option<&'a Table> {
    let (end, log): (_, &[&str]) = match shape.source {
        Source::Yourls => ("url", &["clicktime", "shorturl"]),
        Source::Polr => ("links", &["linkid", "createdat", "useragent"]),
        _ => return None,
    };
    let prefix = links.name.strip_suffix(end)?;
    let fits = |table: &&Table| {
        let normal: Vec<String> = table.columns.iter().map(|name| normalise(name)).collect();
        table.name.starts_with(prefix) && log.iter().all(|mark| normal.iter().any(|name| name == mark))
    };
    tables.iter().find(fits)
}
