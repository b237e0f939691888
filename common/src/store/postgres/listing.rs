//! One page of a table, by id, and how many rows there are in all: one statement, so of one moment.
//!
//! A page at a cursor costs the same wherever it lies, since an index leads to its first row: that of the ids, or that of
//! a filter and the ids. A page by its number costs what the rows before it do.

use std::fmt;

use deadpool_postgres::ClientWrapper;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

use super::{error, query};
use crate::store::{ListCursor, Listing, Page, PageStart, Result, Total};

/// What to list. All names are our own; only values come from outside, and are bound.
pub(super) struct List {
    pub(super) table: &'static str,
    pub(super) columns: &'static str,
    pub(super) filters: Vec<Filter>,
}

/// `column = value`.
pub(super) struct Filter {
    column: &'static str,
    value: Box<dyn ToSql + Send + Sync>,
    /// Under which name `row_counts` keeps the number of rows with this value, if it does.
    counted_as: Option<String>,
    /// Whether no row can have the value: PostgreSQL's texts do not hold U+0000, and it refuses to compare with it.
    is_impossible: bool,
}

impl Filter {
    pub(super) fn counted(column: &'static str, value: impl ToSql + fmt::Display + Send + Sync + 'static) -> Filter {
        let name = format!("{column}={value}");
        Filter { is_impossible: name.contains('\0'), column, value: Box::new(value), counted_as: Some(name) }
    }

    pub(super) fn uncounted(column: &'static str, value: String) -> Filter {
        Filter { is_impossible: value.contains('\0'), column, value: Box::new(value), counted_as: None }
    }
}

/// A page, and how many deltas its total was summed from.
pub(super) struct Listed<T> {
    pub(super) listing: Listing<T>,
    pub(super) deltas: u64,
}

impl List {
    pub(super) async fn page<T>(
        self,
        db: &ClientWrapper,
        page: Page,
        row: impl Fn(&Row) -> Result<T, Error>,
    ) -> Result<Listed<T>> {
        if self.filters.iter().any(|filter| filter.is_impossible) {
            return Ok(Listed { listing: Listing::empty(), deltas: 0 });
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
        let first = rows.first().ok_or_else(|| error::unexpected("silence"))?;
        let (total, deltas): (i64, i64) = (first.try_get("total")?, first.try_get("deltas")?);
        let total = total.unsigned_abs();
        let total = if name.is_none() && total > Total::COUNTED { Total::Many } else { Total::Exactly(total) };
        // Beside the total stands a row of nulls when the page is empty.
        let is_empty = first.try_get::<_, Option<i64>>(0)?.is_none();
        let found = if is_empty { Vec::new() } else { rows.iter().map(row).collect::<Result<Vec<T>, _>>()? };
        Ok(Listed { listing: Listing::cut(page, found, total), deltas: deltas.unsigned_abs() })
    }

    /// Under which name `row_counts` keeps the total.
    fn counted_as(&self) -> Option<String> {
        match self.filters.as_slice() {
            [] => Some(String::new()),
            [only] => only.counted_as.clone(),
            _ => None,
        }
    }

    /// Returns the statement, whose `$1` is the place where the page begins.
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
            let (counted, conditions) = (Total::COUNTED + 1, filters.collect::<Vec<_>>().join(" AND "));
            format!(
                "SELECT count(*) AS total, 0::bigint AS deltas
                 FROM (SELECT FROM {table} WHERE {conditions} LIMIT {counted}) AS counted"
            )
        };
        // A number in the statement, and one of two: a plan that is kept needs to know it.
        let limit = 1 + if page.size <= Page::DEFAULT_SIZE { Page::DEFAULT_SIZE } else { Page::MAX_SIZE };
        let rows = match page.start {
            PageStart::Number(1) | PageStart::After(_) => format!("{} LIMIT {limit}", self.rows_beyond("$1", false)),
            PageStart::Before(_) => format!("{} LIMIT {limit}", self.rows_beyond("$1", true)),
            // A page past an exact total is empty without a look at the rows before it.
            PageStart::Number(_) => format!(
                "{} OFFSET $1 LIMIT (SELECT CASE WHEN $1 < total OR total > {} THEN {limit} ELSE 0 END FROM total)",
                self.rows_beyond("0", false),
                if is_counted { u64::MAX >> 1 } else { Total::COUNTED }
            ),
        };
        format!(
            "WITH total AS MATERIALIZED ({total}), page AS (SELECT {columns} FROM {table} WHERE {rows})
             SELECT page.*, total, deltas FROM total LEFT JOIN page ON true ORDER BY page.id"
        )
    }

    /// Returns the conditions and the order of the rows behind a place among the ids, or of those in front of it.
    ///
    /// A counted filter that comes first takes the form of its index, whose second column is the id.
    /// For `column = value` PostgreSQL may read the index of ids instead, in the hope to meet the value soon: a rare
    /// value would cost the whole table.
    fn rows_beyond(&self, place: &str, is_in_front: bool) -> String {
        let (beyond, up_to, direction) = if is_in_front { ("<", ">=", "DESC") } else { (">", "<=", "ASC") };
        let mut conditions = vec![format!("id {beyond} {place}")];
        let mut order = format!("id {direction}");
        for (filter, n) in self.filters.iter().zip(2..) {
            let column = filter.column;
            if n == 2 && filter.counted_as.is_some() {
                conditions.push(format!("({column}, id) {beyond} (${n}, {place}) AND {column} {up_to} ${n}"));
                order = format!("{column} {direction}, {order}");
            } else {
                conditions.push(format!("{column} = ${n}"));
            }
        }
        format!("{} ORDER BY {order}", conditions.join(" AND "))
    }
}
