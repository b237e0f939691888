//! Visits in PostgreSQL, and the clicks of tags.

use std::collections::HashMap;

use deadpool_postgres::ClientWrapper;

use super::{error, query};
use crate::event::Details;
use crate::statistics::{PointClicks, StatsScope};
use crate::store::{Result, Total};
use crate::tag_count::TagFilter;
use crate::visit::{Visit, VisitQuery};

/// Returns a page of visits, and their number.
pub(super) async fn list(db: &ClientWrapper, query: &VisitQuery) -> Result<(Vec<Visit>, Total)> {
    let clicks = &query.clicks;
    let (id, owner, tag) = match &clicks.scope {
        StatsScope::Link(id) => (Some(*id), None, None),
        StatsScope::All { tag, owner } => (None, *owner, tag.as_ref().map(|tag| tag.as_str())),
    };
    // Each scope has a statement of its own, so that its index is used.
    let scope = match (id, owner, tag) {
        (Some(_), ..) => "url_id = $1",
        (None, None, None) => "$1::bigint IS NULL",
        (None, Some(_), None) => "user_id = $2",
        (None, None, Some(_)) => "url_id IN (SELECT url_id FROM url_tags WHERE tag = $3)",
        (None, Some(_), Some(_)) => {
            "url_id IN (SELECT url_id FROM url_tags JOIN urls ON urls.id = url_id WHERE tag = $3 AND urls.user_id = $2)"
        }
    };
    let people = if clicks.bots { "" } else { " AND coalesce(visitor, '|') LIKE '%|'" };
    let from = format!(
        "events WHERE {scope} AND coalesce($1::bigint, $2::bigint, 0) IS NOT NULL AND coalesce($3::text, '') IS NOT NULL
             AND event_type = 'clicked' AND timestamp >= $4 AND timestamp < $5{people}"
    );
    let most = Total::COUNTED + 1;
    let count = format!("SELECT count(*) FROM (SELECT FROM {from} LIMIT {most}) AS counted");
    let total = query::row(db, &count, &[&id, &owner, &tag, &clicks.from, &clicks.to]).await?;
    let total: i64 = total.ok_or_else(|| error::unexpected("empty result"))?.try_get(0)?;
    let total = total.unsigned_abs();
    let total = if total > Total::COUNTED { Total::MANY } else { Total::Exactly(total) };
    let sql = format!("SELECT timestamp, details, visitor FROM {from} ORDER BY id DESC LIMIT $6 OFFSET $7");
    let (limit, offset) = (i64::from(query.limit), i64::try_from(query.offset).unwrap_or(i64::MAX));
    let rows = query::rows(db, &sql, &[&id, &owner, &tag, &clicks.from, &clicks.to, &limit, &offset]).await?;
    let visits = rows.iter().map(|row| {
        let (details, visitor): (Details, Option<&str>) = (row.try_get("details")?, row.try_get("visitor")?);
        Ok(Visit::of_event(row.try_get("timestamp")?, &details, visitor))
    });
    Ok((visits.collect::<Result<_>>()?, total))
}

/// Returns the clicks of all time of each tag that has one.
pub(super) async fn count_by_tag(db: &ClientWrapper, filter: TagFilter) -> Result<HashMap<String, PointClicks>> {
    let sql = "SELECT tag, sum(humans)::bigint AS humans, sum(bots)::bigint AS bots FROM url_tags
               JOIN urls ON urls.id = url_tags.url_id AND ($1::bigint IS NULL OR urls.user_id = $1)
               JOIN click_hours ON click_hours.url_id = urls.id
               GROUP BY tag";
    let rows = query::rows(db, sql, &[&filter.user_id]).await?;
    let counts = rows.iter().map(|row| {
        let clicks = |column| row.try_get::<_, i64>(column).map(i64::unsigned_abs);
        Ok((row.try_get("tag")?, PointClicks { humans: clicks("humans")?, bots: clicks("bots")? }))
    });
    counts.collect()
}
