//! Pages of urls under every filter and order.
//!
//! Each list names the index to use, see [`super::url_drivers`].

use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

use super::search;
use super::url_drivers::{Driver, count, find_driver, resolve, values};
use super::urls::from_row;
use crate::Timestamp;
use crate::store::url_cursor::{SortValue, UrlCursor};
use crate::store::url_list::{self, Bound, Condition, Field, Source, Sql, conditions, is_reverse};
use crate::store::{Listing, Page, Result, Total};
use crate::url::{SearchTerm, SortKey, Url, UrlFilter, UrlSort};

pub(super) fn list(
    db: &Connection,
    filter: UrlFilter,
    sort: UrlSort,
    page: &Page<UrlCursor>,
) -> Result<Listing<Url, UrlCursor>> {
    let conditions = all_conditions(&filter);
    let (driver, matches) = match find_driver(db, &filter, &conditions)? {
        Some((driver, matches)) => (Some(driver), matches),
        None => (None, Total::MANY),
    };
    let total = match counted_as(&filter) {
        Some(name) => counted(db, &name)?,
        None if conditions.len() == 1 && driver.as_ref().is_some_and(|driver| driver.counts_once) => matches,
        None => count(db, driver.as_ref(), &conditions)?,
    };
    if matches!(total, Total::Exactly(n) if page.offset() >= n) {
        return Ok(Listing::cut(page, Vec::new(), total));
    }
    // All rows of the index are sorted if they are few, or if no order of another index leads to the matches soon.
    let drives = |driver: &Driver| {
        (sort.key == SortKey::Id && driver.is_by_id)
            || matches != Total::MANY
            || (total != Total::MANY && conditions.len() > 1)
    };
    let found = find_rows(db, driver.filter(drives).as_ref(), &conditions, sort, page)?;
    Ok(Listing::cut(page, found, total))
}

/// Returns the first urls after an id, by id.
pub(super) fn walk(db: &Connection, filter: &UrlFilter, after: i64, size: u32) -> Result<Vec<Url>> {
    let conditions = all_conditions(filter);
    // An index without the order of ids is useful only if its few matches are sorted quickly.
    let driver = find_driver(db, filter, &conditions)?
        .filter(|(driver, matches)| driver.is_by_id || *matches != Total::MANY)
        .map(|(driver, _)| driver);
    let page = url_list::walk_page(after, size);
    let found = find_rows(db, driver.as_ref(), &conditions, UrlSort::default(), &page)?;
    Ok(found.into_iter().map(|(url, _)| url).collect())
}

fn all_conditions(filter: &UrlFilter) -> Vec<Condition> {
    let mut conditions = conditions(filter, Timestamp::now());
    if let Some(term) = &filter.search {
        conditions.push(Condition { field: Field::Search, sql: search_rows(term) });
    }
    conditions
}

/// Returns the rows of a page, and one more, from the places of a driver or in the order of an index.
fn find_rows(
    db: &Connection,
    driver: Option<&Driver>,
    conditions: &[Condition],
    sort: UrlSort,
    page: &Page<UrlCursor>,
) -> Result<Vec<(Url, UrlCursor)>> {
    let is_of_clicks = sort.key.is_of_clicks();
    let key = url_list::column(sort.key);
    let rows = match driver {
        Some(driver) => {
            let beside = if is_of_clicks { WITH_CLICKS } else { "" };
            let places = driver.places.iter().map(|place| Source {
                columns: Url::COLUMNS,
                from: format!("{} {beside}", place.from),
                from_absent: None,
                conditions: resolve(Some((driver, place)), conditions),
                key,
                id: place.id,
            });
            let places: Vec<Source> = places.collect();
            if driver.is_by_id && sort.key == SortKey::Id {
                url_list::rows(&places, sort, page, None)
            } else {
                sorted(&places, sort, page)
            }
        }
        None => {
            let id = if is_of_clicks { "counted.url_id" } else { "urls.id" };
            let (from, conditions) = (table_in_order(sort.key).to_owned(), resolve(None, conditions));
            // The index of ends has only links with one.
            let from_absent = (sort.key == SortKey::ExpiresAt).then_some("urls NOT INDEXED");
            let source = Source { columns: Url::COLUMNS, from, from_absent, conditions, key, id };
            url_list::rows(&[source], sort, page, None)
        }
    };
    let mut statement = db.prepare_cached(&rows.text)?;
    let found = statement.query_map(params_from_iter(values(&rows)), |row| Ok((from_row(row)?, cursor(row, sort)?)))?;
    let mut found: Vec<(Url, UrlCursor)> = found.collect::<Result<_, _>>()?;
    if is_reverse(page) {
        found.reverse();
    }
    Ok(found)
}

/// Returns the statement for a page that is sorted from all matches, which are read once.
///
/// It sorts ids and values of the order, and looks up only the rows of the page.
fn sorted(places: &[Source], sort: UrlSort, page: &Page<UrlCursor>) -> Sql {
    let mut statement = Sql::new("WITH found AS MATERIALIZED (", []);
    for (n, place) in places.iter().enumerate() {
        let conditions = Sql::all(&place.conditions);
        let union = if n == 0 { "" } else { " UNION ALL " };
        let (id, key, from) = (place.id, place.key, &place.from);
        statement.push(
            &format!("{union}SELECT {id} AS id, {key} AS value FROM {from} WHERE {}", conditions.text),
            conditions.values,
        );
    }
    let found = Source {
        columns: "found.id AS id",
        from: "found".to_owned(),
        from_absent: None,
        conditions: Vec::new(),
        key: "found.value",
        id: "found.id",
    };
    let picked = url_list::rows(&[found], sort, page, None);
    statement.push("), picked AS (", []);
    statement.push(&picked.text, picked.values);
    let part = if is_reverse(page) { "DESC" } else { "ASC" };
    let direction = url_list::direction(sort, page);
    // A subquery has the columns of a link, so that their names are those of one table.
    statement.push(
        &format!(
            ") SELECT link.*, part, sort_value FROM picked
             CROSS JOIN (SELECT {} FROM urls) AS link ON link.id = picked.id
             ORDER BY part {part}, sort_value {direction}, picked.id {direction}",
            Url::COLUMNS
        ),
        [],
    );
    statement
}

/// The table of clicks, for an order by its columns.
const WITH_CLICKS: &str = "CROSS JOIN link_clicks AS counted ON counted.url_id = urls.id";

/// Returns the table with the index that has the order.
fn table_in_order(key: SortKey) -> &'static str {
    match key {
        SortKey::Id => "urls NOT INDEXED",
        SortKey::CreatedAt => "urls INDEXED BY urls_created_at",
        SortKey::UpdatedAt => "urls INDEXED BY urls_updated_at",
        SortKey::Title => "urls INDEXED BY urls_title",
        SortKey::ShortCode => "urls INDEXED BY urls_short_code_key",
        SortKey::ExpiresAt => "urls INDEXED BY urls_expires_at",
        SortKey::Clicks => {
            "link_clicks AS counted INDEXED BY link_clicks_clicks CROSS JOIN urls ON urls.id = counted.url_id"
        }
        SortKey::LastClickedAt => {
            "link_clicks AS counted INDEXED BY link_clicks_last_clicked_at CROSS JOIN urls ON urls.id = counted.url_id"
        }
    }
}

fn cursor(row: &Row<'_>, sort: UrlSort) -> rusqlite::Result<UrlCursor> {
    let value = match sort.key {
        SortKey::Id => SortValue::Absent,
        key if key.is_text() => row.get::<_, Option<String>>("sort_value")?.map_or(SortValue::Absent, SortValue::Text),
        _ => row.get::<_, Option<i64>>("sort_value")?.map_or(SortValue::Absent, SortValue::Integer),
    };
    Ok(UrlCursor::At { key: sort.key, value, id: row.get("id")? })
}

/// Returns the condition that compares each row with a text.
fn search_rows(term: &SearchTerm) -> Sql {
    let columns = "urls.short_code, urls.original_url, urls.title, urls.notes,
        (SELECT group_concat(value, char(10)) FROM json_each(urls.tags))";
    Sql::new(format!("{}(?, {columns})", search::CONTAINS), [Bound::Text(term.folded())])
}

/// Returns the name under which `row_counts` has the total.
fn counted_as(filter: &UrlFilter) -> Option<String> {
    let only = |filter: UrlFilter, name: String| (filter == UrlFilter::default()).then_some(name);
    match filter {
        UrlFilter { user_id: Some(id), .. } => {
            only(UrlFilter { user_id: None, ..filter.clone() }, format!("user_id={id}"))
        }
        UrlFilter { is_active: Some(is_active), .. } => {
            only(UrlFilter { is_active: None, ..filter.clone() }, format!("is_active={}", i64::from(*is_active)))
        }
        _ => only(filter.clone(), String::new()),
    }
}

fn counted(db: &Connection, name: &str) -> Result<Total> {
    let n: Option<i64> = db
        .prepare_cached("SELECT n FROM row_counts WHERE list = 'urls' AND filter = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    Ok(Total::Exactly(n.unwrap_or(0).unsigned_abs()))
}
