//! One page of a table, ordered by id, and the total number of rows.
//!
//! The cost of a page at a cursor does not depend on its position, since an index leads to its first row.
//! The cost of a page by its number grows with the number of rows before it.

use std::iter;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

use crate::store::page::UNCOUNTED;
use crate::store::{ListCursor, Listing, Page, PageCursor as _, PageStart, Result, Total};

/// A list to read. Only the filters' values come from outside, and they are bound as parameters.
pub(super) struct List {
    pub(super) table: &'static str,
    pub(super) columns: &'static str,
    pub(super) filters: Vec<Filter>,
}

/// The condition `column = value`, for which `row_counts` has the number of rows.
pub(super) struct Filter {
    pub(super) column: &'static str,
    pub(super) value: Value,
}

impl Filter {
    pub(super) fn counted(column: &'static str, value: impl Into<Value>) -> Filter {
        Filter { column, value: value.into() }
    }
}

impl List {
    pub(super) fn page<T>(
        self,
        db: &Connection,
        page: Page,
        mut row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Listing<T>> {
        let total = self.total(db)?;
        if page.is_behind_every_list() || matches!(total, Total::Exactly(n) if page.offset() >= n) {
            return Ok(Listing::cut(&page, Vec::new(), total));
        }
        let (bound, order, cursor) = match page.start {
            PageStart::Number(_) => ("id > ?", "ASC", ListCursor::START),
            PageStart::After(cursor) => ("id > ?", "ASC", cursor),
            PageStart::Before(cursor) => ("id < ?", "DESC", cursor),
        };
        let sql = format!(
            "SELECT {} FROM {} WHERE {} ORDER BY id {order} LIMIT ? OFFSET ?",
            self.columns,
            self.table,
            self.conditions(&[bound])
        );
        let offset = i64::try_from(page.offset()).unwrap_or(i64::MAX);
        let bounds = [cursor.id(), i64::from(page.size) + 1, offset].map(Value::Integer);
        let mut statement = db.prepare_cached(&sql)?;
        let rows = statement.query_map(params_from_iter(self.values().chain(&bounds)), |found| {
            Ok((row(found)?, ListCursor::at(found.get(0)?)))
        })?;
        let mut rows: Vec<(T, ListCursor)> = rows.collect::<Result<_, _>>()?;
        if order == "DESC" {
            rows.reverse();
        }
        Ok(Listing::cut(&page, rows, total))
    }

    /// Returns the first rows after an id.
    pub(super) fn rows_after<T>(
        self,
        db: &Connection,
        after: i64,
        limit: u32,
        row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let (columns, table, conditions) = (self.columns, self.table, self.conditions(&["id > ?"]));
        let sql = format!("SELECT {columns} FROM {table} WHERE {conditions} ORDER BY id LIMIT {limit}");
        let after = [Value::Integer(after)];
        let mut statement = db.prepare_cached(&sql)?;
        let rows = statement.query_map(params_from_iter(self.values().chain(&after)), row)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn total(&self, db: &Connection) -> Result<Total> {
        let key = match self.filters.as_slice() {
            _ if UNCOUNTED.contains(&self.table) => None,
            [] => Some(String::new()),
            [only] => Some(match &only.value {
                Value::Integer(value) => format!("{}={value}", only.column),
                Value::Text(value) => format!("{}={value}", only.column),
                other => unreachable!("a counted column holds {other:?}"),
            }),
            _ => None,
        };
        let Some(key) = key else { return self.count(db) };
        let n: Option<i64> = db
            .prepare_cached("SELECT n FROM row_counts WHERE list = ?1 AND filter = ?2")?
            .query_row((self.table, key), |row| row.get(0))
            .optional()?;
        Ok(Total::Exactly(n.unwrap_or(0).unsigned_abs()))
    }

    /// Counts the matches of filters, up to [`Total::COUNTED`].
    fn count(&self, db: &Connection) -> Result<Total> {
        let sql = format!(
            "SELECT count(*) FROM (SELECT 1 FROM {} WHERE {} LIMIT {})",
            self.table,
            self.conditions(&[]),
            Total::COUNTED + 1
        );
        let n: i64 = db.prepare_cached(&sql)?.query_row(params_from_iter(self.values()), |row| row.get(0))?;
        let n = n.unsigned_abs();
        Ok(if n > Total::COUNTED { Total::MANY } else { Total::Exactly(n) })
    }

    /// Returns the conditions of the filters, and the others.
    ///
    /// A `+` keeps SQLite from using the index of a column. The first filter matches the fewest rows, but without
    /// statistics SQLite would use the index that was created last.
    fn conditions(&self, others: &[&str]) -> String {
        let signs = iter::once("").chain(iter::repeat("+"));
        let filters = self.filters.iter().zip(signs).map(|(filter, sign)| format!("{sign}{} = ?", filter.column));
        let conditions = filters.chain(others.iter().map(ToString::to_string)).collect::<Vec<_>>().join(" AND ");
        if conditions.is_empty() { "true".to_owned() } else { conditions }
    }

    fn values(&self) -> impl Iterator<Item = &Value> {
        self.filters.iter().map(|filter| &filter.value)
    }
}

#[cfg(test)]
mod tests {
    use super::super::schema::migrate;
    use super::*;

    #[test]
    fn page_under_two_filters_uses_the_index_of_the_first() {
        let mut db = Connection::open_in_memory().unwrap();
        migrate(&mut db).unwrap();
        let filter = |column| Filter::counted(column, 1);
        let check = |table, columns: [&'static str; 2], expected: &str| {
            let list = List { table, columns: "id", filters: columns.map(filter).into() };
            let conditions = list.conditions(&["id > 1"]);
            let sql = format!("EXPLAIN QUERY PLAN SELECT * FROM {table} WHERE {conditions} ORDER BY id");
            let plan: String = db.query_row(&sql, params_from_iter(list.values()), |row| row.get("detail")).unwrap();
            assert!(plan.ends_with(expected), "{plan}");
        };
        check("urls", ["user_id", "is_active"], "urls_user_id (user_id=? AND rowid>?)");
        check("events", ["url_id", "event_type"], "events_url_id (url_id=? AND rowid>?)");
        check("events", ["user_id", "event_type"], "events_user_id (user_id=? AND rowid>?)");
    }
}
