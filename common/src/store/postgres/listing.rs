//! One page of a table, ordered by id, and the total number of rows, in one statement and so of one moment.
//!
//! The cost of a page at a cursor does not depend on its position, since an index leads to its first row.
//! The cost of a page by its number grows with the number of rows before it.

use std::fmt;

use deadpool_postgres::ClientWrapper;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

use super::{error, query};
use crate::store::page::UNCOUNTED;
use crate::store::{ListCursor, Listing, Page, PageCursor as _, PageStart, Result, Total};

/// A list to read. Only the filters' values come from outside, and they are bound as parameters.
pub(super) struct List {
    pub(super) table: &'static str,
    pub(super) columns: &'static str,
    pub(super) filters: Vec<Filter>,
}

/// The condition `column = value`.
pub(super) struct Filter {
    column: &'static str,
    value: Box<dyn ToSql + Send + Sync>,
    /// The name under which `row_counts` has the number of rows with this value.
    counted_as: String,
    /// Whether no row can have the value, since it contains U+0000. PostgreSQL refuses it even in a comparison.
    is_impossible: bool,
}

impl Filter {
    pub(super) fn counted(column: &'static str, value: impl ToSql + fmt::Display + Send + Sync + 'static) -> Filter {
        let name = format!("{column}={value}");
        Filter { is_impossible: name.contains('\0'), column, value: Box::new(value), counted_as: name }
    }
}

/// A page, with the number of deltas in its total.
pub(super) struct SummedListing<T, C = ListCursor> {
    pub(super) listing: Listing<T, C>,
    pub(super) deltas: u64,
}

impl List {
    pub(super) async fn page<T>(
        self,
        db: &ClientWrapper,
        page: Page,
        row: impl Fn(&Row) -> Result<T, Error>,
    ) -> Result<SummedListing<T>> {
        if self.filters.iter().any(|filter| filter.is_impossible) {
            return Ok(SummedListing { listing: Listing::empty(), deltas: 0 });
        }
        let bound = match page.start {
            PageStart::Number(1) => ListCursor::START.id(),
            PageStart::Number(_) => i64::try_from(page.offset()).unwrap_or(i64::MAX),
            PageStart::After(cursor) | PageStart::Before(cursor) => cursor.id(),
        };
        let name = self.counted_as();
        let mut values: Vec<&(dyn ToSql + Sync)> = vec![&bound];
        values.extend(self.filters.iter().map(|filter| &*filter.value as &(dyn ToSql + Sync)));
        if let Some(name) = &name {
            values.push(&self.table);
            values.push(name);
        }
        let rows = query::rows(db, &self.sql(page, name.is_some()), &values).await?;
        let first = rows.first().ok_or_else(|| error::unexpected("empty result"))?;
        let (total, deltas): (i64, i64) = (first.try_get("total")?, first.try_get("deltas")?);
        let total = total.unsigned_abs();
        let total = if name.is_none() && total > Total::COUNTED { Total::MANY } else { Total::Exactly(total) };
        // An empty page has one row: the total, and nulls.
        let is_empty = first.try_get::<_, Option<i64>>(0)?.is_none();
        let with_cursor = |found: &Row| Ok((row(found)?, ListCursor::at(found.try_get(0)?)));
        let found = if is_empty { Ok(Vec::new()) } else { rows.iter().map(with_cursor).collect::<Result<_, Error>>() }?;
        Ok(SummedListing { listing: Listing::cut(&page, found, total), deltas: deltas.unsigned_abs() })
    }

    /// Returns the first rows after an id.
    pub(super) async fn rows_after<T>(
        self,
        db: &ClientWrapper,
        after: i64,
        limit: u32,
        row: impl Fn(&Row) -> Result<T, Error>,
    ) -> Result<Vec<T>> {
        if self.filters.iter().any(|filter| filter.is_impossible) {
            return Ok(Vec::new());
        }
        let (columns, table, rows) = (self.columns, self.table, self.rows_beyond("$1", false));
        let sql = format!("SELECT {columns} FROM {table} WHERE {rows} LIMIT {limit}");
        let mut values: Vec<&(dyn ToSql + Sync)> = vec![&after];
        values.extend(self.filters.iter().map(|filter| &*filter.value as &(dyn ToSql + Sync)));
        Ok(query::rows(db, &sql, &values).await?.iter().map(row).collect::<Result<_, Error>>()?)
    }

    /// Returns the name under which `row_counts` has the total.
    fn counted_as(&self) -> Option<String> {
        match self.filters.as_slice() {
            _ if UNCOUNTED.contains(&self.table) => None,
            [] => Some(String::new()),
            [only] => Some(only.counted_as.clone()),
            _ => None,
        }
    }

    /// Returns the statement, whose `$1` is the position at which the page begins.
    fn sql(&self, page: Page, is_counted: bool) -> String {
        let (table, columns) = (self.table, self.columns);
        let total = if is_counted {
            let (list, filter) = (self.filters.len() + 2, self.filters.len() + 3);
            format!(
                "SELECT coalesce((SELECT n FROM row_counts WHERE list = ${list} AND filter = ${filter}), 0)
                     + coalesce(sum(n), 0)::bigint AS total, count(*) AS deltas
                 FROM row_count_deltas WHERE list = ${list} AND filter = ${filter}"
            )
        } else {
            let filters = self.filters.iter().zip(2..).map(|(filter, n)| format!("{} = ${n}", filter.column));
            let conditions = ["true".to_owned()].into_iter().chain(filters).collect::<Vec<_>>().join(" AND ");
            let counted = Total::COUNTED + 1;
            format!(
                "SELECT count(*) AS total, 0::bigint AS deltas
                 FROM (SELECT FROM {table} WHERE {conditions} LIMIT {counted}) AS counted"
            )
        };
        // The limit is one of two numbers in the statement, since the plan of a prepared statement depends on it.
        let limit = 1 + if page.size <= Page::DEFAULT_SIZE { Page::DEFAULT_SIZE } else { Page::MAX_SIZE };
        let rows = match page.start {
            PageStart::Number(1) | PageStart::After(_) => format!("{} LIMIT {limit}", self.rows_beyond("$1", false)),
            PageStart::Before(_) => format!("{} LIMIT {limit}", self.rows_beyond("$1", true)),
            // A page beyond an exact total, or behind every list, is empty without reading the rows before it.
            PageStart::Number(_) => format!(
                "{} OFFSET $1 LIMIT (SELECT CASE WHEN $1 < {} AND ($1 < total OR total > {}) THEN {limit} ELSE 0 END FROM total)",
                self.rows_beyond("0", false),
                i64::MAX,
                if is_counted { u64::MAX >> 1 } else { Total::COUNTED }
            ),
        };
        format!(
            "WITH total AS MATERIALIZED ({total}), page AS (SELECT {columns} FROM {table} WHERE {rows})
             SELECT page.*, total, deltas FROM total LEFT JOIN page ON true ORDER BY page.id"
        )
    }

    /// Returns the conditions and the order of the rows after an id, or before it.
    ///
    /// The condition of the first filter has the form of its index, whose second column is the id.
    /// With `column = value`, PostgreSQL may read the index of ids instead, and for a rare value the whole table.
    fn rows_beyond(&self, id: &str, is_before: bool) -> String {
        let (beyond, up_to, direction) = if is_before { ("<", ">=", "DESC") } else { (">", "<=", "ASC") };
        let mut conditions = vec![format!("id {beyond} {id}")];
        let mut order = format!("id {direction}");
        for (filter, n) in self.filters.iter().zip(2..) {
            let column = filter.column;
            if n == 2 {
                conditions.push(format!("({column}, id) {beyond} (${n}, {id}) AND {column} {up_to} ${n}"));
                order = format!("{column} {direction}, {order}");
            } else {
                conditions.push(format!("{column} = ${n}"));
            }
        }
        format!("{} ORDER BY {order}", conditions.join(" AND "))
    }
}
