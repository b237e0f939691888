//! Visits in SQLite, and the clicks of tags.

use std::collections::HashMap;

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use crate::event::Details;
use crate::statistics::{PointClicks, StatsScope};
use crate::store::{Result, Total};
use crate::tag_count::TagFilter;
use crate::visit::{Visit, VisitQuery};

/// The number of clicks of a tag up to which they are found by their links. Beyond it, the newest events soon have a page.
const FEW: i64 = 50_000;

/// Returns a page of visits, and their number.
pub(super) fn list(db: &Connection, query: &VisitQuery) -> Result<(Vec<Visit>, Total)> {
    let clicks = &query.clicks;
    let (table, scope, mut values) = source(db, &clicks.scope)?;
    let people = if clicks.bots { "" } else { " AND is_person" };
    let from = format!("{table} WHERE {scope} AND event_type = 'clicked' AND timestamp >= ? AND timestamp < ?{people}");
    values.extend([clicks.from, clicks.to].map(|at| Value::Integer(at.unix_seconds())));
    let most = Total::COUNTED + 1;
    let count = format!("SELECT count(*) FROM (SELECT 1 FROM {from} LIMIT {most})");
    let total: i64 = db.prepare_cached(&count)?.query_row(params_from_iter(&values), |row| row.get(0))?;
    let total = total.unsigned_abs();
    let total = if total > Total::COUNTED { Total::MANY } else { Total::Exactly(total) };
    let sql = format!("SELECT timestamp, details, visitor FROM {from} ORDER BY id DESC LIMIT ? OFFSET ?");
    let offset = i64::try_from(query.offset).unwrap_or(i64::MAX);
    values.extend([Value::Integer(query.limit.into()), Value::Integer(offset)]);
    let mut statement = db.prepare_cached(&sql)?;
    let visits = statement.query_map(params_from_iter(&values), |row| {
        let (details, visitor): (Details, Option<String>) = (row.get(1)?, row.get(2)?);
        Ok(Visit::of_event(row.get(0)?, &details, visitor.as_deref()))
    })?;
    Ok((visits.collect::<Result<_, _>>()?, total))
}

/// Returns the table with the index for a scope, and the condition of the scope.
fn source(db: &Connection, scope: &StatsScope) -> Result<(&'static str, &'static str, Vec<Value>)> {
    Ok(match scope {
        StatsScope::Link(id) => ("events INDEXED BY events_url_id", "url_id = ?", vec![Value::Integer(id.get())]),
        StatsScope::All { tag: None, owner: None } => ("events NOT INDEXED", "true", Vec::new()),
        StatsScope::All { tag: None, owner: Some(owner) } => {
            ("events INDEXED BY events_user_id", "user_id = ?", vec![Value::Integer(owner.get())])
        }
        StatsScope::All { tag: Some(tag), owner } => {
            let few =
                "SELECT coalesce(sum(clicks), 0) <= ?2 FROM url_tags JOIN link_clicks USING (url_id) WHERE tag = ?1";
            let are_few = db.prepare_cached(few)?.query_row((tag.as_str(), FEW), |row| row.get(0))?;
            let table = if are_few { "events INDEXED BY events_url_id" } else { "events NOT INDEXED" };
            let owner = owner.map_or(Value::Null, |owner| Value::Integer(owner.get()));
            let scope = "url_id IN (
                SELECT url_id FROM url_tags JOIN urls ON urls.id = url_id WHERE tag = ? AND urls.user_id = coalesce(?, urls.user_id)
            )";
            (table, scope, vec![Value::Text(tag.as_str().to_owned()), owner])
        }
    })
}

/// Returns the clicks of all time of each tag that has one.
pub(super) fn count_by_tag(db: &Connection, filter: TagFilter) -> Result<HashMap<String, PointClicks>> {
    let sql = "SELECT tag, sum(humans), sum(bots) FROM url_tags
               JOIN urls ON urls.id = url_tags.url_id AND urls.user_id = coalesce(?1, urls.user_id)
               JOIN click_hours ON click_hours.url_id = urls.id
               GROUP BY tag";
    let mut statement = db.prepare_cached(sql)?;
    let counts = statement.query_map([filter.user_id], |row| {
        let clicks = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
        Ok((row.get(0)?, PointClicks { humans: clicks(1)?, bots: clicks(2)? }))
    })?;
    Ok(counts.collect::<Result<_, _>>()?)
}
