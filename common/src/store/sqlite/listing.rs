//! One page of a table, by id, and how many rows there are in all.
//!
//! A page of a whole list costs the same wherever it lies; that of a filter costs what the rows before it do.

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
        let offset = i64::try_from(page.offset()).unwrap_or(i64::MAX);
        let place =
            if self.filters.is_empty() { Place::find(db, self.table, offset)? } else { Place::beginning(offset) };
        let conditions: Vec<String> = self.conditions().chain(["id >= ?".to_owned()]).collect();
        let sql = format!(
            "SELECT {} FROM {} WHERE {} ORDER BY id LIMIT ? OFFSET ?",
            self.columns,
            self.table,
            conditions.join(" AND ")
        );
        let bounds = [place.first_id, i64::from(page.size) + 1, place.to_skip].map(Value::Integer);
        let values = params_from_iter(self.values().chain(&bounds));
        let mut statement = db.prepare_cached(&sql)?;
        let mut rows: Vec<T> = statement.query_map(values, row)?.collect::<Result<_, _>>()?;
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

    /// Counts the matches of filters, up to a bound.
    fn count(&self, db: &Connection) -> Result<Total> {
        let conditions: Vec<String> = self.conditions().collect();
        let sql = format!(
            "SELECT count(*) FROM (SELECT 1 FROM {} WHERE {} LIMIT {})",
            self.table,
            conditions.join(" AND "),
            Total::COUNTED + 1
        );
        let n: i64 = db.prepare_cached(&sql)?.query_row(params_from_iter(self.values()), |row| row.get(0))?;
        let n = n.unsigned_abs();
        Ok(if n > Total::COUNTED { Total::Many } else { Total::Exactly(n) })
    }

    fn conditions(&self) -> impl Iterator<Item = String> {
        self.filters.iter().map(|filter| format!("{} = ?", filter.column))
    }

    fn values(&self) -> impl Iterator<Item = &Value> {
        self.filters.iter().map(|filter| &filter.value)
    }
}

/// Where a page of a whole list begins.
struct Place {
    first_id: i64,
    /// How many rows from `first_id` on come before the page.
    to_skip: i64,
}

impl Place {
    /// The sizes of blocks whose rows are counted: 2^bits ids, the largest first.
    const BITS: [u32; 3] = [24, 16, 8];

    fn beginning(offset: i64) -> Place {
        Place { first_id: 0, to_skip: offset }
    }

    /// Adds up blocks until the page's first row is in the next one, then smaller ones within that.
    fn find(db: &Connection, list: &str, offset: i64) -> Result<Place> {
        let mut place = Place::beginning(offset);
        if offset < 1 << 8 {
            return Ok(place);
        }
        let mut last_id = i64::MAX;
        let sql =
            "SELECT block, n FROM id_blocks WHERE list = ?1 AND bits = ?2 AND block BETWEEN ?3 AND ?4 ORDER BY block";
        let mut statement = db.prepare_cached(sql)?;
        for bits in Place::BITS {
            let mut blocks = statement.query((list, bits, place.first_id >> bits, last_id >> bits))?;
            let found = loop {
                let Some(row) = blocks.next()? else { return Ok(Place::beginning(offset)) };
                let (block, n): (i64, i64) = (row.get(0)?, row.get(1)?);
                if place.to_skip < n {
                    break block;
                }
                place.to_skip -= n;
            };
            place.first_id = found << bits;
            last_id = place.first_id + ((1 << bits) - 1);
        }
        Ok(place)
    }
}
