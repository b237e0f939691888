//! Pages of urls under every filter and order, each in one statement and so of one moment.
//!
//! The statements are not prepared, so that PostgreSQL plans each with its values: the best index depends on them.

use deadpool_postgres::ClientWrapper;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, Row};

use super::columns::StoredTime;
use super::listing::SummedListing;
use super::urls::from_row;
use super::{error, search};
use crate::Timestamp;
use crate::store::url_cursor::{SortValue, UrlCursor};
use crate::store::url_list::{self, Bound, Source, Sql, conditions, is_reverse};
use crate::store::{Listing, Page, PageStart, Result, Total};
use crate::url::{SearchTerm, SortKey, Url, UrlFilter, UrlSort};

pub(super) async fn list(
    db: &ClientWrapper,
    filter: UrlFilter,
    sort: UrlSort,
    page: &Page<UrlCursor>,
) -> Result<SummedListing<Url, UrlCursor>> {
    let Some(matches) = Matches::of(&filter) else {
        return Ok(SummedListing { listing: Listing::empty(), deltas: 0 });
    };
    let name = counted_as(&filter);
    let statement = statement(&matches, name.as_deref(), sort, page);
    let rows = run(db, statement).await?;
    let first = rows.first().ok_or_else(|| error::unexpected("empty result"))?;
    let (total, deltas): (i64, i64) = (first.try_get("total")?, first.try_get("deltas")?);
    let total = total.unsigned_abs();
    let is_above = name.is_none() && total > matches.counted;
    let total = if is_above { Total::Above(matches.counted) } else { Total::Exactly(total) };
    // An empty page has one row: the total, and nulls.
    let is_empty = first.try_get::<_, Option<i64>>("id")?.is_none();
    let found = rows.iter().filter(|_| !is_empty).map(|row| Ok((from_row(row)?, cursor(row, sort)?)));
    let mut found: Vec<(Url, UrlCursor)> = found.collect::<Result<_, Error>>()?;
    if is_reverse(page) {
        found.reverse();
    }
    Ok(SummedListing { listing: Listing::cut(page, found, total), deltas: deltas.unsigned_abs() })
}

/// Returns the first urls after an id, by id.
pub(super) async fn walk(db: &ClientWrapper, filter: &UrlFilter, after: i64, size: u32) -> Result<Vec<Url>> {
    let Some(Matches { conditions, .. }) = Matches::of(filter) else { return Ok(Vec::new()) };
    let (columns, key) = (Url::COLUMNS, url_list::column(SortKey::Id));
    let source = Source { columns, from: "urls".to_owned(), from_absent: None, conditions, key, id: key };
    let rows = url_list::rows(&[source], UrlSort::default(), &url_list::walk_page(after, size), None);
    Ok(run(db, rows).await?.iter().map(from_row).collect::<Result<_, Error>>()?)
}

/// The rows of a filter.
struct Matches {
    conditions: Vec<Sql>,
    /// The conditions for rows that are read in the order of the list.
    walked: Vec<Sql>,
    /// The number up to which the rows are counted.
    counted: u64,
}

impl Matches {
    /// Returns `None` if no url can match, since PostgreSQL refuses a value.
    fn of(filter: &UrlFilter) -> Option<Matches> {
        let others: Vec<Sql> =
            conditions(filter, Timestamp::now()).into_iter().map(|condition| condition.sql).collect();
        let with = |condition: fn(&SearchTerm) -> Sql| {
            others.iter().cloned().chain(filter.search.as_ref().map(condition)).collect::<Vec<Sql>>()
        };
        let matches = if filter.search.as_ref().is_some_and(search::is_pair) {
            Matches {
                conditions: with(search::condition),
                walked: with(search::scanned),
                counted: search::COUNTED_PAIRS,
            }
        } else {
            let conditions = with(search::condition);
            Matches { walked: conditions.clone(), conditions, counted: Total::COUNTED }
        };
        let is_impossible = |value: &Bound| matches!(value, Bound::Text(text) if text.contains('\0'));
        let is_refused = matches.conditions.iter().flat_map(|condition| &condition.values).any(is_impossible);
        (!is_refused).then_some(matches)
    }
}

async fn run(db: &ClientWrapper, statement: Sql) -> Result<Vec<Row>> {
    let values: Vec<(Box<dyn ToSql + Send + Sync>, Type)> = statement.values.into_iter().map(typed).collect();
    let values: Vec<(&(dyn ToSql + Sync), Type)> =
        values.iter().map(|(value, ty)| (&**value as &(dyn ToSql + Sync), ty.clone())).collect();
    Ok(db.query_typed(&numbered(&statement.text), &values).await?)
}

/// Returns the statement for a total and a page.
///
/// A total that triggers count costs nothing, and the page is read in its order.
/// For other filters the first 10,001 matches (1,001 of two characters) are read once. If that is all of them, the page is sorted from them;
/// otherwise matches are frequent, and the page is read in its order until it is full.
fn statement(matches: &Matches, name: Option<&str>, sort: UrlSort, page: &Page<UrlCursor>) -> Sql {
    let (from, id) = if sort.key.is_of_clicks() {
        ("urls JOIN link_clicks AS counted ON counted.url_id = urls.id", "counted.url_id")
    } else {
        ("urls", "urls.id")
    };
    let key = url_list::column(sort.key);
    let walk = |columns, conditions: &[Sql]| Source {
        columns,
        from: from.to_owned(),
        from_absent: None,
        conditions: conditions.to_vec(),
        key,
        id,
    };
    let limit = limit(page, name.is_none().then_some(matches.counted));
    let mut statement = Sql::new("WITH ", []);
    if let Some(name) = name {
        let name = || Bound::Text(name.to_owned());
        statement.push(
            "total AS MATERIALIZED (
                 SELECT coalesce((SELECT n FROM row_counts WHERE list = 'urls' AND filter = ?), 0)
                     + coalesce(sum(n), 0)::bigint AS total, count(*) AS deltas
                 FROM row_count_deltas WHERE list = 'urls' AND filter = ?
             ), page AS (",
            [name(), name()],
        );
        let rows = url_list::rows(&[walk(Url::COLUMNS, &matches.walked)], sort, page, limit.as_deref());
        statement.push(&rows.text, rows.values);
    } else {
        let all = Sql::all(&matches.conditions);
        let most = matches.counted;
        statement.push(&format!("found AS MATERIALIZED (SELECT {id} AS id, {key} AS value FROM {from} WHERE "), []);
        statement.push(&all.text, all.values);
        statement.push(
            &format!(
                " LIMIT {}),
                 total AS MATERIALIZED (SELECT count(*) AS total, 0::bigint AS deltas FROM found), picked AS (",
                most + 1
            ),
            [],
        );
        let is_all = |than: &str| Sql::new(format!("(SELECT total FROM total) {than} {most}"), []);
        let found = Source {
            columns: "found.id",
            from: "found".to_owned(),
            from_absent: None,
            conditions: vec![is_all("<=")],
            key: "found.value",
            id: "found.id",
        };
        let walk = walk("urls.id", &[&matches.walked[..], &[is_all(">")]].concat());
        let rows = url_list::rows(&[found, walk], sort, page, limit.as_deref());
        statement.push(&rows.text, rows.values);
        // OFFSET 0 makes PostgreSQL look up each row by its id.
        statement.push(
            &format!(
                "), page AS (
                     SELECT link.*, part, sort_value FROM picked
                     CROSS JOIN LATERAL (SELECT {} FROM urls WHERE urls.id = picked.id OFFSET 0) AS link",
                Url::COLUMNS
            ),
            [],
        );
    }
    let direction = url_list::direction(sort, page);
    let part = if is_reverse(page) { "DESC" } else { "ASC" };
    statement.push(
        &format!(
            ") SELECT page.*, total, deltas FROM total LEFT JOIN page ON true
             ORDER BY page.part {part}, page.sort_value {direction}, page.id {direction}"
        ),
        [],
    );
    statement
}

/// Returns the number of rows of a numbered page. A page beyond an exact total is empty without reading the rows before
/// it. A total above `counted` is not exact.
fn limit(page: &Page<UrlCursor>, counted: Option<u64>) -> Option<String> {
    let PageStart::Number(2..) = page.start else { return None };
    let is_open = counted.map_or_else(|| "false".to_owned(), |counted| format!("total > {counted}"));
    let (offset, size) = (page.offset().min(i64::MAX.unsigned_abs()), u64::from(page.size) + 1);
    Some(format!("(SELECT CASE WHEN total > {offset} OR {is_open} THEN {size} ELSE 0 END FROM total)"))
}

/// Replaces each `?` by the number of its parameter.
fn numbered(sql: &str) -> String {
    let mut pieces = sql.split('?');
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.zip(1..).fold(first, |sql, (piece, n)| format!("{sql}${n}{piece}"))
}

fn typed(value: Bound) -> (Box<dyn ToSql + Send + Sync>, Type) {
    match value {
        Bound::Integer(value) => (Box::new(value), Type::INT8),
        Bound::Text(text) => (Box::new(text), Type::TEXT),
        Bound::Flag(flag) => (Box::new(flag), Type::BOOL),
        Bound::Time(time) => (Box::new(time), Type::TIMESTAMPTZ),
        Bound::StoredTime(time) => (Box::new(StoredTime(time)), Type::TIMESTAMPTZ),
    }
}

fn cursor(row: &Row, sort: UrlSort) -> Result<UrlCursor, Error> {
    let value = match sort.key {
        SortKey::Id => SortValue::Absent,
        key if key.is_text() => {
            row.try_get::<_, Option<String>>("sort_value")?.map_or(SortValue::Absent, SortValue::Text)
        }
        key if key.is_time() => {
            let time: Option<StoredTime> = row.try_get("sort_value")?;
            time.map_or(SortValue::Absent, |StoredTime(time)| SortValue::Integer(time))
        }
        _ => SortValue::Integer(row.try_get("sort_value")?),
    };
    Ok(UrlCursor::At { key: sort.key, value, id: row.try_get("id")? })
}

/// Returns the name under which `row_counts` has the total.
fn counted_as(filter: &UrlFilter) -> Option<String> {
    let only = |filter: UrlFilter, name: String| (filter == UrlFilter::default()).then_some(name);
    match filter {
        UrlFilter { user_id: Some(id), .. } => {
            only(UrlFilter { user_id: None, ..filter.clone() }, format!("user_id={id}"))
        }
        UrlFilter { is_active: Some(is_active), .. } => {
            only(UrlFilter { is_active: None, ..filter.clone() }, format!("is_active={is_active}"))
        }
        _ => only(filter.clone(), String::new()),
    }
}
