//! Series of several links in SQLite.

use rusqlite::Connection;

use crate::Timestamp;
use crate::statistics::{LinkSeries, PointClicks, SeriesQuery};
use crate::store::Result;

pub(super) fn find(db: &Connection, query: &SeriesQuery) -> Result<Vec<LinkSeries>> {
    let mut url = db.prepare_cached("SELECT 1 FROM urls WHERE id = ?1 AND (?2 IS NULL OR user_id = ?2)")?;
    let mut hours =
        db.prepare_cached("SELECT hour, humans, bots FROM click_hours WHERE url_id = ?1 AND hour >= ?2 AND hour < ?3")?;
    let mut found = Vec::new();
    for &url_id in &query.urls {
        if !url.exists((url_id, query.owner))? {
            continue;
        }
        let mut points = vec![PointClicks::default(); query.count()];
        let mut rows = hours.query((url_id, query.boundaries.first(), query.boundaries.last()))?;
        while let Some(row) = rows.next()? {
            let hour: Timestamp = row.get(0)?;
            let after = query.boundaries.partition_point(|boundary| *boundary <= hour);
            if let Some(point) = after.checked_sub(1).and_then(|point| points.get_mut(point)) {
                point.humans += row.get::<_, i64>(1)?.unsigned_abs();
                point.bots += row.get::<_, i64>(2)?.unsigned_abs();
            }
        }
        found.push(LinkSeries { url_id, points });
    }
    Ok(found)
}
