//! One page of a table, by id, and how many rows there are in all.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

use crate::store::{Listing, Page, Result, Total};

/// What to list. All names are our own; only values come from outside, and are bound.
pub(super) struct List {
    pub(super) table: &'static str,
    pub(super) columns: &'static str,
    pub(super) filters: Vec<Filter>,
}

/// `column = value`.
pub(super) struct Filter {
    pub(super) column: &'static str,
    pub(super) value: Value,
    /// Whether `row_counts` keeps the number of rows with this value.
    pub(super) counted: bool,
}

impl List {
    pub(super) fn page<T>(
        self,
        db: &Connection,
        page: Page,
        row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Listing<T>> {
        let total = self.total(db)?;
        if let Total::Exactly(n) = total
            && page.offset() >= n
        {
            return Ok(Listing { rows: Vec::new(), total, more: false });
        }
        let limit = i64::from(page.size) + 1;
        let offset = i64::try_from(page.offset()).unwrap_or(i64::MAX);
        let sql = format!(
            "SELECT {} FROM {} {} ORDER BY id LIMIT {limit} OFFSET {offset}",
            self.columns,
            self.table,
            self.conditions()
        );
        let mut statement = db.prepare_cached(&sql)?;
        let mut rows: Vec<T> = statement.query_map(params_from_iter(self.values()), row)?.collect::<Result<_, _>>()?;
        let more = rows.len() > page.size as usize;
        rows.truncate(page.size as usize);
        Ok(Listing { rows, total, more })
    }

    fn total(&self, db: &Connection) -> Result<Total> {
        let key = match self.filters.as_slice() {
            [] => Some(String::new()),
            [only] if only.counted => Some(match &only.value {
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

    fn count(&self, db: &Connection) -> Result<Total> {
        let sql = format!(
            "SELECT count(*) FROM (SELECT 1 FROM {} {} LIMIT {})",
            self.table,
            self.conditions(),
            Total::COUNTED + 1
        );
        let n: i64 = db.prepare_cached(&sql)?.query_row(params_from_iter(self.values()), |row| row.get(0))?;
        let n = n.unsigned_abs();
        Ok(if n > Total::COUNTED { Total::Many } else { Total::Exactly(n) })
    }

    fn conditions(&self) -> String {
        let conditions: Vec<String> = self.filters.iter().map(|filter| format!("{} = ?", filter.column)).collect();
        if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) }
    }

    fn values(&self) -> impl Iterator<Item = &Value> {
        self.filters.iter().map(|filter| &filter.value)
    }
}
