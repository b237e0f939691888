//! One page of a table, by id, and how many rows there are in all: one statement, so of one moment.
//!
//! A page of a whole list costs the same wherever it lies; that of a filter costs what the rows before it do.

use std::fmt;

use deadpool_postgres::ClientWrapper;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

use super::{error, query};
use crate::store::{Listing, Page, Result, Total};

/// Fewer rows than this are skipped without a look for their place, as `find_place` itself does: the smallest block.
const FIRST_BLOCK: i64 = 1 << 8;

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
            let listing = Listing { rows: Vec::new(), total: Total::Exactly(0), more: false };
            return Ok(Listed { listing, deltas: 0 });
        }
        let limit = i64::from(page.size) + 1;
        let offset = i64::try_from(page.offset()).unwrap_or(i64::MAX);
        let name = self.counted_as();
        let mut values: Vec<&(dyn ToSql + Sync)> = vec![&limit, &offset];
        values.extend(self.filters.iter().map(|filter| &*filter.value as &(dyn ToSql + Sync)));
        if let Some(name) = &name {
            values.push(&self.table);
            values.push(name);
        }
        let rows = query::rows(db, &self.sql(offset, name.is_some()), &values).await?;
        let first = rows.first().ok_or_else(|| error::unexpected("silence"))?;
        let (total, deltas): (i64, i64) = (first.try_get("total")?, first.try_get("deltas")?);
        let total = total.unsigned_abs();
        let is_bound = name.is_none() && total > Total::COUNTED;
        // Beside the total stands a row of nulls when the page is empty.
        let is_empty = first.try_get::<_, Option<i64>>(0)?.is_none();
        let mut found = if is_empty { Vec::new() } else { rows.iter().map(row).collect::<Result<Vec<T>, _>>()? };
        let more = found.len() > page.size as usize;
        found.truncate(page.size as usize);
        let total = if is_bound { Total::Many } else { Total::Exactly(total) };
        Ok(Listed { listing: Listing { rows: found, total, more }, deltas: deltas.unsigned_abs() })
    }

    /// Under which name `row_counts` keeps the total.
    fn counted_as(&self) -> Option<String> {
        match self.filters.as_slice() {
            [] => Some(String::new()),
            [only] => only.counted_as.clone(),
            _ => None,
        }
    }

    fn sql(&self, offset: i64, is_counted: bool) -> String {
        let (table, columns) = (self.table, self.columns);
        let conditions: Vec<String> =
            self.filters.iter().zip(3..).map(|(filter, n)| format!("{} = ${n}", filter.column)).collect();
        let conditions = conditions.join(" AND ");
        let beginning = "(VALUES (0::bigint, $2::bigint)) AS beginning (first_id, to_skip)";
        let (place, conditions) = match conditions.as_str() {
            "" if offset < FIRST_BLOCK => (beginning, "id >= (SELECT first_id FROM place)".to_owned()),
            "" => ("find_place($3, $2)", "id >= (SELECT first_id FROM place)".to_owned()),
            _ => (beginning, conditions),
        };
        let total = if is_counted {
            let (list, filter) = (self.filters.len() + 3, self.filters.len() + 4);
            format!(
                "SELECT coalesce((SELECT n FROM row_counts WHERE list = ${list} AND filter = ${filter}), 0)
                     + coalesce(sum(n), 0)::bigint AS total, count(*) AS deltas
                 FROM row_count_deltas WHERE list = ${list} AND filter = ${filter}"
            )
        } else {
            let counted = Total::COUNTED + 1;
            format!(
                "SELECT count(*) AS total, 0::bigint AS deltas
                 FROM (SELECT FROM {table} WHERE {conditions} LIMIT {counted}) AS counted"
            )
        };
        // A page past an exact total is empty without a look at the rows before it.
        format!(
            "WITH total AS MATERIALIZED ({total}), place AS MATERIALIZED (SELECT * FROM {place}), page AS (
                 SELECT {columns} FROM {table} WHERE {conditions} ORDER BY id
                 LIMIT (SELECT CASE WHEN $2::bigint < total OR total > {counted} THEN $1::bigint ELSE 0 END FROM total)
                 OFFSET (SELECT to_skip FROM place)
             )
             SELECT page.*, total, deltas FROM total LEFT JOIN page ON true ORDER BY page.id",
            counted = if is_counted { u64::MAX >> 1 } else { Total::COUNTED },
        )
    }
}
