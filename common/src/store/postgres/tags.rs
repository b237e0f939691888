//! Tags with the numbers of their links in PostgreSQL.

use deadpool_postgres::ClientWrapper;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::listing::SummedListing;
use super::{error, query};
use crate::store::{Listing, Page, PageCursor as _, PageStart, Result, Total};
use crate::tag_count::{TagCount, TagCursor, TagFilter};

pub(super) async fn list(
    db: &ClientWrapper,
    filter: TagFilter,
    page: &Page<TagCursor>,
) -> Result<SummedListing<TagCount, TagCursor>> {
    let (beyond, order, cursor) = match &page.start {
        PageStart::Number(_) => (">", "ASC", &TagCursor::START),
        PageStart::After(cursor) => (">", "ASC", cursor),
        PageStart::Before(cursor) => ("<", "DESC", cursor),
    };
    let most = Total::COUNTED + 1;
    let (counts, total) = if filter.user_id.is_some() {
        // Begins with the links of the user. For the first tags alone, PostgreSQL would walk through the tags of all links.
        let counts = "counts AS MATERIALIZED (
                 SELECT url_tags.tag, count(*) AS links FROM urls JOIN url_tags ON url_tags.url_id = urls.id
                 WHERE urls.user_id = $4 GROUP BY url_tags.tag
             )";
        (counts, format!("SELECT count(*) AS n FROM (SELECT FROM counts LIMIT {most}) AS tags"))
    } else {
        // One step of an index leads from each tag to the next.
        let total = format!(
            "SELECT count(tag) AS n FROM (
                 WITH RECURSIVE tags (tag) AS (
                     SELECT min(tag) FROM url_tags
                     UNION ALL
                     SELECT (SELECT min(tag) FROM url_tags WHERE tag > tags.tag) FROM tags WHERE tag IS NOT NULL
                 )
                 SELECT tag FROM tags LIMIT {most}
             ) AS tags"
        );
        ("counts AS NOT MATERIALIZED (SELECT tag, count(*) AS links FROM url_tags GROUP BY tag)", total)
    };
    let sql = format!(
        "WITH {counts}, total AS MATERIALIZED ({total}), page AS (
             SELECT tag, links FROM counts WHERE tag {beyond} $1 ORDER BY tag {order} LIMIT $2 OFFSET $3
         )
         SELECT page.*, total.n AS total FROM total LEFT JOIN page ON true ORDER BY tag"
    );
    let bound = cursor.bound();
    let (size, offset) = (i64::from(page.size) + 1, i64::try_from(page.offset()).unwrap_or(i64::MAX));
    let mut values: Vec<&(dyn ToSql + Sync)> = vec![&bound, &size, &offset];
    values.extend(filter.user_id.as_ref().map(|id| id as &(dyn ToSql + Sync)));
    let rows = query::rows(db, &sql, &values).await?;
    let first = rows.first().ok_or_else(|| error::unexpected("empty result"))?;
    let total = first.try_get::<_, i64>("total")?.unsigned_abs();
    let total = if total > Total::COUNTED { Total::MANY } else { Total::Exactly(total) };
    let found = rows.iter().filter_map(|row| tag_count(row).transpose()).collect::<Result<_, _>>()?;
    Ok(SummedListing { listing: Listing::cut(page, found, total), deltas: 0 })
}

/// Returns the tag of a row. An empty page has one row without a tag.
fn tag_count(row: &Row) -> Result<Option<(TagCount, TagCursor)>, tokio_postgres::Error> {
    let Some(tag) = row.try_get::<_, Option<String>>("tag")? else { return Ok(None) };
    let links = row.try_get::<_, i64>("links")?.unsigned_abs();
    Ok(Some((TagCount { tag: tag.clone(), links }, TagCursor::At(tag))))
}
