//! Series of several links in PostgreSQL.

use deadpool_postgres::ClientWrapper;

use super::query;
use crate::statistics::{LinkSeries, PointClicks, SeriesQuery};
use crate::store::Result;

pub(super) async fn find(db: &ClientWrapper, query: &SeriesQuery) -> Result<Vec<LinkSeries>> {
    // Each link has few hours in the range, which are looked up by their key. A link without one has a row of nulls.
    let sql = "SELECT urls.id, counted.point, counted.humans, counted.bots
               FROM unnest($1::bigint[]) WITH ORDINALITY AS asked (id, place)
               JOIN urls ON urls.id = asked.id AND ($2::bigint IS NULL OR urls.user_id = $2)
               LEFT JOIN LATERAL (
                   SELECT width_bucket(hour, $3::timestamptz[]) AS point, sum(humans)::bigint AS humans,
                       sum(bots)::bigint AS bots
                   FROM click_hours WHERE url_id = asked.id AND hour >= $4 AND hour < $5
                   GROUP BY point
               ) AS counted ON true
               ORDER BY asked.place";
    let SeriesQuery { urls, owner, boundaries } = query;
    let mut found: Vec<LinkSeries> = Vec::new();
    for row in query::rows(db, sql, &[urls, owner, boundaries, &boundaries.first(), &boundaries.last()]).await? {
        let url_id = row.try_get("id")?;
        if found.last().is_none_or(|series| series.url_id != url_id) {
            found.push(LinkSeries { url_id, points: vec![PointClicks::default(); query.count()] });
        }
        let place = row.try_get::<_, Option<i32>>("point")?.and_then(|place| usize::try_from(place - 1).ok());
        if let (Some(series), Some(place)) = (found.last_mut(), place)
            && let Some(point) = series.points.get_mut(place)
        {
            point.humans = row.try_get::<_, i64>("humans")?.unsigned_abs();
            point.bots = row.try_get::<_, i64>("bots")?.unsigned_abs();
        }
    }
    Ok(found)
}
