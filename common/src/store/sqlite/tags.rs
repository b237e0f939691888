//! Tags with the numbers of their links in SQLite.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use crate::store::{Listing, Page, PageCursor as _, PageStart, Result, Total};
use crate::tag_count::{TagCount, TagCursor, TagFilter};

pub(super) fn list(db: &Connection, filter: TagFilter, page: &Page<TagCursor>) -> Result<Listing<TagCount, TagCursor>> {
    let total = total(db, filter)?;
    if matches!(total, Total::Exactly(n) if page.offset() >= n) {
        return Ok(Listing::cut(page, Vec::new(), total));
    }
    let (beyond, order, cursor) = match &page.start {
        PageStart::Number(_) => (">", "ASC", &TagCursor::START),
        PageStart::After(cursor) => (">", "ASC", cursor),
        PageStart::Before(cursor) => ("<", "DESC", cursor),
    };
    let links = tagged_links(filter);
    let sql = format!(
        "SELECT tag, count(*) FROM {links} AND tag {beyond} ? GROUP BY tag ORDER BY tag {order} LIMIT ? OFFSET ?"
    );
    let offset = i64::try_from(page.offset()).unwrap_or(i64::MAX);
    let values =
        [Value::Text(cursor.bound().to_owned()), Value::Integer(i64::from(page.size) + 1), Value::Integer(offset)];
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(owner(filter).into_iter().chain(values)), |row| {
        let tag: String = row.get(0)?;
        Ok((TagCount { tag: tag.clone(), links: row.get::<_, i64>(1)?.unsigned_abs() }, TagCursor::At(tag)))
    })?;
    let mut rows: Vec<(TagCount, TagCursor)> = rows.collect::<Result<_, _>>()?;
    if order == "DESC" {
        rows.reverse();
    }
    Ok(Listing::cut(page, rows, total))
}

/// Counts the tags, up to [`Total::COUNTED`]. Without a filter, one step of an index leads from each tag to the next.
fn total(db: &Connection, filter: TagFilter) -> Result<Total> {
    let most = Total::COUNTED + 1;
    let sql = if filter.user_id.is_some() {
        format!("SELECT count(*) FROM (SELECT DISTINCT tag FROM {} LIMIT {most})", tagged_links(filter))
    } else {
        format!(
            "WITH RECURSIVE tags (tag) AS (
                 SELECT min(tag) FROM url_tags
                 UNION ALL SELECT (SELECT min(tag) FROM url_tags WHERE tag > tags.tag) FROM tags WHERE tag IS NOT NULL
                 LIMIT {most} + 1
             )
             SELECT count(tag) FROM tags"
        )
    };
    let n: i64 = db.prepare_cached(&sql)?.query_row(params_from_iter(owner(filter)), |row| row.get(0))?;
    let n = n.unsigned_abs();
    Ok(if n > Total::COUNTED { Total::MANY } else { Total::Exactly(n) })
}

/// Returns the tables and the condition of tagged links. [`owner`] has the values.
fn tagged_links(filter: TagFilter) -> &'static str {
    match filter.user_id {
        // Begins with the links of the user, even if another index has the tags in order.
        Some(_) => {
            "urls INDEXED BY urls_user_id CROSS JOIN url_tags INDEXED BY url_tags_url_id ON url_tags.url_id = urls.id
             WHERE urls.user_id = ?"
        }
        None => "url_tags WHERE true",
    }
}

fn owner(filter: TagFilter) -> Option<Value> {
    filter.user_id.map(|id| Value::Integer(id.get()))
}
