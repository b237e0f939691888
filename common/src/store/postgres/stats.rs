//! Counts of clicks in PostgreSQL.

use deadpool_postgres::ClientWrapper;

use super::query;
use crate::click_stats::{ClickStats, StatsRange};
use crate::store::Result;
use crate::{Id, Timestamp};

pub(super) async fn find(db: &ClientWrapper, url: Id, range: StatsRange) -> Result<Option<ClickStats>> {
    // One statement sees one moment.
    let sql = "WITH counted AS MATERIALIZED (
                   SELECT kind, hour, value, clicks FROM click_counts
                   WHERE url_id = $1 AND kind IN ('b', 'r', 'B', 'R') AND hour >= $2 AND hour < $3
               )
               SELECT 'u' AS part, NULL::timestamptz AS at, NULL::text AS value, 0::bigint AS n FROM urls WHERE id = $1
               UNION ALL SELECT 'w', NULL, NULL, coalesce(sum(clicks), 0)::bigint FROM counted WHERE kind = 'B'
               UNION ALL (
                   SELECT 's', date_trunc($4, hour, 'UTC') AS at, NULL, sum(clicks)::bigint FROM counted
                   WHERE kind IN ('b', 'B') GROUP BY at ORDER BY at
               )
               UNION ALL (
                   SELECT 'r', NULL, value, sum(clicks)::bigint AS n FROM counted
                   WHERE kind IN ('r', 'R') GROUP BY value ORDER BY n DESC, value LIMIT $5
               )
               UNION ALL (
                   SELECT 'b', NULL, value, sum(clicks)::bigint AS n FROM counted
                   WHERE kind IN ('b', 'B') GROUP BY value ORDER BY n DESC, value LIMIT $5
               )";
    let per = range.per.name();
    let most = StatsRange::MOST as i64;
    let rows = query::rows(db, sql, &[&url, &range.from, &range.to, &per, &most]).await?;
    let mut is_there = false;
    let mut stats = ClickStats::default();
    for row in rows {
        let clicks = row.try_get::<_, i64>("n")?.unsigned_abs();
        match row.try_get("part")? {
            "s" => stats.series.push((row.try_get::<_, Timestamp>("at")?, clicks)),
            "w" => stats.without_event = clicks,
            "r" => stats.referrers.push((row.try_get("value")?, clicks)),
            "b" => stats.browsers.push((row.try_get("value")?, clicks)),
            _ => is_there = true,
        }
    }
    Ok(is_there.then_some(stats))
}
