//! Counts of clicks in SQLite.

use rusqlite::Connection;

use super::urls;
use crate::Id;
use crate::click_stats::{ClickStats, StatsRange};
use crate::store::Result;

pub(super) fn find(db: &Connection, url: Id, range: StatsRange) -> Result<Option<ClickStats>> {
    if urls::find(db, url)?.is_none() {
        return Ok(None);
    }
    let series = db
        .prepare_cached(
            "SELECT hour - (hour % ?4 + ?4) % ?4 AS at, sum(clicks) FROM click_counts
             WHERE url_id = ?1 AND kind IN ('b', 'B') AND hour >= ?2 AND hour < ?3 GROUP BY at ORDER BY at",
        )?
        .query_map((url, range.from, range.to, range.per.seconds()), |row| Ok((row.get(0)?, clicks(row)?)))?
        .collect::<Result<_, _>>()?;
    let most = |kind: &str| -> Result<Vec<(String, u64)>> {
        let sql = "SELECT value, sum(clicks) AS n FROM click_counts
                   WHERE url_id = ?1 AND kind IN (?4, upper(?4)) AND hour >= ?2 AND hour < ?3
                   GROUP BY value ORDER BY n DESC, value LIMIT ?5";
        let values = (url, range.from, range.to, kind, StatsRange::MOST as i64);
        let mut statement = db.prepare_cached(sql)?;
        let rows = statement.query_map(values, |row| Ok((row.get(0)?, clicks(row)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    };
    let without_event = db
        .prepare_cached(
            "SELECT 0, coalesce(sum(clicks), 0) FROM click_counts
             WHERE url_id = ?1 AND kind = 'B' AND hour >= ?2 AND hour < ?3",
        )?
        .query_row((url, range.from, range.to), clicks)?;
    Ok(Some(ClickStats { series, without_event, referrers: most("r")?, browsers: most("b")? }))
}

fn clicks(row: &rusqlite::Row<'_>) -> rusqlite::Result<u64> {
    row.get(1).map(i64::unsigned_abs)
}
