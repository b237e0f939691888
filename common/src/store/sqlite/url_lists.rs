//! Pages of urls under every filter and order.
//!
//! SQLite has no statistics of the values, so it cannot choose the best index. This module counts the matches of each
//! filter up to a limit, and names the index to use.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

use super::search;
use super::urls::from_row;
use crate::Timestamp;
use crate::link_state::LinkState;
use crate::store::url_cursor::{SortValue, UrlCursor};
use crate::store::url_list::{self, Bound, Condition, Field, Source, Sql, conditions, is_reverse, marks};
use crate::store::{Listing, Page, Result, Total};
use crate::url::{SearchTerm, SortKey, Url, UrlFilter, UrlSort};

/// The indexes from which the rows of one condition are read. Each row is in one of them.
struct Driver {
    /// The position of the condition among those of the filter.
    at: usize,
    places: Vec<Place>,
    /// Whether each index orders the rows of the condition by id.
    is_by_id: bool,
    counts_once: bool,
    /// The number of rows, if the driver was made from them.
    counted: Option<Total>,
}

/// An index with rows of a condition.
struct Place {
    from: &'static str,
    condition: Sql,
    id: &'static str,
    /// The table of the index alone.
    index: &'static str,
    /// The condition for the table of the index alone. It may count a row several times.
    index_condition: Sql,
}

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

/// Finds the filter with the fewest matches among those that have an index, and their number up to a limit.
fn find_driver(db: &Connection, filter: &UrlFilter, conditions: &[Condition]) -> Result<Option<(Driver, Total)>> {
    let mut least: Option<(Driver, Total)> = None;
    for (at, condition) in conditions.iter().enumerate() {
        let Some(driver) = driver(db, filter, at, condition)? else { continue };
        let matches = match driver.counted {
            Some(counted) => counted,
            None => sum(&driver.places, |place| count_in(db, place.index, &place.index_condition))?,
        };
        if !driver.counts_once && matches == Total::MANY {
            continue;
        }
        let is_less = match (&least, matches) {
            (None, _) => true,
            (Some((_, Total::Exactly(least))), Total::Exactly(n)) => n < *least,
            (Some((_, Total::Above(_))), Total::Exactly(_)) => true,
            (Some((_, _)), Total::Above(_)) => false,
        };
        if is_less {
            least = Some((driver, matches));
        }
    }
    Ok(least)
}

fn driver(db: &Connection, filter: &UrlFilter, at: usize, condition: &Condition) -> Result<Option<Driver>> {
    let own = condition.sql.clone();
    let (from, is_by_id) = match condition.field {
        Field::ShortCode => ("urls INDEXED BY urls_short_code_key", true),
        Field::UserId => ("urls INDEXED BY urls_user_id", true),
        Field::IsActive => ("urls INDEXED BY urls_is_active", true),
        Field::Host => ("urls INDEXED BY urls_target_host", false),
        Field::Created => ("urls INDEXED BY urls_created_at", false),
        Field::State => match filter.state {
            Some(LinkState::Inactive) => ("urls INDEXED BY urls_is_active", true),
            Some(LinkState::Scheduled) => ("urls INDEXED BY urls_starts_at", false),
            Some(LinkState::Expired) => ("urls INDEXED BY urls_expires_at", false),
            _ => return Ok(None),
        },
        Field::Search => {
            let Some(term) = &filter.search else { return Ok(None) };
            let places = search_places(db, term, own)?;
            let all = |places| Driver { at, places, is_by_id: true, counts_once: true, counted: Some(Total::MANY) };
            return Ok(Some(few_ids(db, at, &places)?.unwrap_or_else(|| all(places))));
        }
        Field::Tag => return Ok(Some(tag_driver(at, own))),
        Field::Clicks => {
            let is_never = filter.never_clicked == Some(true);
            let condition = Sql::new(if is_never { "idle.clicks = 0" } else { "idle.clicks > 0" }, []);
            let place = Place {
                from: "link_clicks AS idle INDEXED BY link_clicks_clicks CROSS JOIN urls ON urls.id = idle.url_id",
                condition: condition.clone(),
                id: "idle.url_id",
                index: "link_clicks AS idle INDEXED BY link_clicks_clicks",
                index_condition: condition,
            };
            return Ok(Some(Driver { at, places: vec![place], is_by_id: is_never, counts_once: true, counted: None }));
        }
        Field::NotTag | Field::EndsAfter => return Ok(None),
    };
    let place = Place { from, condition: own.clone(), id: "urls.id", index: from, index_condition: own };
    Ok(Some(Driver { at, places: vec![place], is_by_id, counts_once: true, counted: None }))
}

/// Returns the places of urls that contain a text: the index, and the urls whose changes it does not contain yet.
/// Returns a driver with the ids that an index finds, unless they are more than are counted. So a list searches the index
/// once.
fn few_ids(db: &Connection, at: usize, places: &[Place]) -> Result<Option<Driver>> {
    let (mut ids, mut n): (Vec<i64>, u64) = (Vec::new(), 0);
    for place in places {
        let (id, index, condition) = (place.id, place.index, &place.index_condition);
        let most = Total::COUNTED + 1;
        let sql = format!("SELECT {id} FROM {index} WHERE {} LIMIT {most}", condition.text);
        let mut statement = db.prepare_cached(&sql)?;
        for id in statement.query_map(params_from_iter(values(condition)), |row| row.get(0))? {
            ids.push(id?);
            n += 1;
        }
    }
    let ids = Bound::Text(format!("{ids:?}"));
    Ok((n <= Total::COUNTED).then(|| {
        let condition = Sql::new("urls.id IN (SELECT value FROM json_each(?))", [ids]);
        let from = "urls NOT INDEXED";
        let place =
            Place { from, condition: condition.clone(), id: "urls.id", index: from, index_condition: condition };
        Driver { at, places: vec![place], is_by_id: false, counts_once: true, counted: Some(Total::Exactly(n)) }
    }))
}

fn search_places(db: &Connection, term: &SearchTerm, own: Sql) -> Result<Vec<Place>> {
    let is_indexed = "urls_search MATCH ? AND urls_search.rowid NOT IN (SELECT url_id FROM urls_search_pending)";
    let condition = Sql::new(is_indexed, [Bound::Text(search::query(db, term)?)]);
    let indexed = Place {
        from: "urls_search CROSS JOIN urls ON urls.id = urls_search.rowid",
        condition: condition.clone(),
        id: "urls_search.rowid",
        index: "urls_search",
        index_condition: condition,
    };
    let from = "urls_search_pending CROSS JOIN urls ON urls.id = urls_search_pending.url_id";
    let pending =
        Place { from, condition: own.clone(), id: "urls_search_pending.url_id", index: from, index_condition: own };
    let has_pending = count_in(db, from, &pending.condition)? != Total::Exactly(0);
    Ok(if has_pending { vec![indexed, pending] } else { vec![indexed] })
}

/// Returns the index of a condition with these tags.
fn tag_driver(at: usize, own: Sql) -> Driver {
    let index = "url_tags AS tagged";
    let is_single = own.values.len() == 1;
    let (from, id) = if is_single {
        ("url_tags AS tagged CROSS JOIN urls ON urls.id = tagged.url_id", "tagged.url_id")
    } else {
        ("urls NOT INDEXED", "urls.id")
    };
    let marks = marks(own.values.len());
    let index_condition = Sql::new(format!("tagged.tag IN ({marks})"), own.values.clone());
    let condition = if is_single {
        index_condition.clone()
    } else {
        Sql::new(format!("urls.id IN (SELECT url_id FROM url_tags WHERE tag IN ({marks}))"), own.values)
    };
    let place = Place { from, condition, id, index, index_condition };
    Driver { at, places: vec![place], is_by_id: is_single, counts_once: is_single, counted: None }
}

/// Returns the conditions, with that of the driver first and in the form for its place.
fn resolve(place: Option<(&Driver, &Place)>, conditions: &[Condition]) -> Vec<Sql> {
    let is_other = |at: usize| place.is_none_or(|(driver, _)| driver.at != at);
    let others = conditions.iter().enumerate().filter(|(at, _)| is_other(*at));
    let first = place.map(|(_, place)| place.condition.clone());
    first.into_iter().chain(others.map(|(_, condition)| condition.sql.clone())).collect()
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

/// Counts the matches of all conditions, up to [`Total::COUNTED`].
fn count(db: &Connection, driver: Option<&Driver>, conditions: &[Condition]) -> Result<Total> {
    match driver {
        None => count_in(db, "urls NOT INDEXED", &Sql::all(&resolve(None, conditions))),
        Some(driver) => sum(&driver.places, |place| {
            count_in(db, place.from, &Sql::all(&resolve(Some((driver, place)), conditions)))
        }),
    }
}

/// Adds up the matches of several places.
fn sum(places: &[Place], count: impl Fn(&Place) -> Result<Total>) -> Result<Total> {
    places.iter().try_fold(Total::Exactly(0), |total, place| {
        let Total::Exactly(n) = total else { return Ok(total) };
        Ok(match count(place)? {
            Total::Exactly(more) if n + more <= Total::COUNTED => Total::Exactly(n + more),
            _ => Total::MANY,
        })
    })
}

fn count_in(db: &Connection, from: &str, condition: &Sql) -> Result<Total> {
    let most = Total::COUNTED + 1;
    let sql = format!("SELECT count(*) FROM (SELECT 1 FROM {from} WHERE {} LIMIT {most})", condition.text);
    let n: i64 = db.prepare_cached(&sql)?.query_row(params_from_iter(values(condition)), |row| row.get(0))?;
    let n = n.unsigned_abs();
    Ok(if n > Total::COUNTED { Total::MANY } else { Total::Exactly(n) })
}

fn values(sql: &Sql) -> impl Iterator<Item = Value> {
    sql.values.iter().map(|value| match value {
        Bound::Integer(value) | Bound::StoredTime(value) => Value::Integer(*value),
        Bound::Text(text) => Value::Text(text.clone()),
        Bound::Flag(flag) => Value::Integer(i64::from(*flag)),
        Bound::Time(time) => Value::Integer(time.unix_seconds()),
    })
}
