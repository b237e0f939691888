//! The indexes that lead to the urls of a filter.
//!
//! SQLite has no statistics of the values, so it cannot choose the best index. This module counts the matches of each
//! filter up to a limit, and finds the filter with the fewest.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::search;
use crate::link_state::LinkState;
use crate::store::url_list::{Bound, Condition, Field, Sql, marks};
use crate::store::{Result, Total};
use crate::url::{SearchTerm, UrlFilter};

/// The indexes from which the rows of one condition are read. Each row is in one of them.
pub(super) struct Driver {
    /// The position of the condition among those of the filter.
    at: usize,
    pub(super) places: Vec<Place>,
    /// Whether each index orders the rows of the condition by id.
    pub(super) is_by_id: bool,
    pub(super) counts_once: bool,
    /// The number of rows, if the driver was made from them.
    counted: Option<Total>,
}

/// An index with rows of a condition.
pub(super) struct Place {
    pub(super) from: &'static str,
    condition: Sql,
    pub(super) id: &'static str,
    /// The table of the index alone.
    index: &'static str,
    /// The condition for the table of the index alone. It may count a row several times.
    index_condition: Sql,
}

/// Finds the filter with the fewest matches among those that have an index, and their number up to a limit.
pub(super) fn find_driver(
    db: &Connection,
    filter: &UrlFilter,
    conditions: &[Condition],
) -> Result<Option<(Driver, Total)>> {
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
            Some(LinkState::Exhausted) => return Ok(Some(exhausted_driver(at, own))),
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
        Field::NotTag | Field::EndsAfter | Field::Exhausted => return Ok(None),
    };
    let place = Place { from, condition: own.clone(), id: "urls.id", index: from, index_condition: own };
    Ok(Some(Driver { at, places: vec![place], is_by_id, counts_once: true, counted: None }))
}

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

/// Returns the places of urls that contain a text: the index, and the urls whose changes it does not contain yet.
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

/// Returns the index of links whose limit is used up.
fn exhausted_driver(at: usize, own: Sql) -> Driver {
    // The subquery has no column with the name of one of `urls`.
    let from = "(SELECT url_id, is_exhausted FROM link_limits INDEXED BY link_limits_is_exhausted) AS used
        CROSS JOIN urls ON urls.id = used.url_id";
    let condition = Sql::new(format!("used.is_exhausted = 1 AND {}", own.text), own.values);
    let place =
        Place { from, condition: condition.clone(), id: "used.url_id", index: from, index_condition: condition };
    Driver { at, places: vec![place], is_by_id: true, counts_once: true, counted: None }
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
pub(super) fn resolve(place: Option<(&Driver, &Place)>, conditions: &[Condition]) -> Vec<Sql> {
    let is_other = |at: usize| place.is_none_or(|(driver, _)| driver.at != at);
    let others = conditions.iter().enumerate().filter(|(at, _)| is_other(*at));
    let first = place.map(|(_, place)| place.condition.clone());
    first.into_iter().chain(others.map(|(_, condition)| condition.sql.clone())).collect()
}

/// Counts the matches of all conditions, up to [`Total::COUNTED`].
pub(super) fn count(db: &Connection, driver: Option<&Driver>, conditions: &[Condition]) -> Result<Total> {
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

pub(super) fn values(sql: &Sql) -> impl Iterator<Item = Value> {
    sql.values.iter().map(|value| match value {
        Bound::Integer(value) | Bound::StoredTime(value) => Value::Integer(*value),
        Bound::Text(text) => Value::Text(text.clone()),
        Bound::Flag(flag) => Value::Integer(i64::from(*flag)),
        Bound::Time(time) => Value::Integer(time.unix_seconds()),
    })
}
