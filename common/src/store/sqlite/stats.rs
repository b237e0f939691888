//! Statistics of clicks in SQLite, read from summaries, and from counts where there is none.

use rusqlite::{Connection, Row};

use super::urls;
use crate::Id;
use crate::link_labels::Tag;
use crate::statistics::{ClickFilter, Statistics, StatsQuery, StatsScope, TopLink};
use crate::store::Result;
use crate::store::folded_clicks::{ALL_LINKS, CountRow, DAY_HOURS, FoldedClicks, Gap, HOUR_SECONDS, without_summaries};

pub(super) fn find(db: &Connection, query: &StatsQuery) -> Result<Option<Statistics>> {
    let (links, top) = match &query.scope {
        StatsScope::Link(id) => {
            if urls::find(db, *id)?.is_none() {
                return Ok(None);
            }
            (vec![id.get()], Vec::new())
        }
        StatsScope::All { tag: None, owner: None } => (vec![ALL_LINKS], find_top(db, None, None)?),
        StatsScope::All { tag, owner } => {
            let tag = tag.as_ref().map(Tag::as_str);
            let sql = format!("SELECT id FROM urls WHERE {} ORDER BY id", matches(tag, *owner));
            let links =
                db.prepare_cached(&sql)?.query_map((tag, owner), |row| row.get(0))?.collect::<Result<_, _>>()?;
            (links, find_top(db, tag, *owner)?)
        }
    };
    let (from, to) = (query.from.unix_seconds(), query.to.unix_seconds());
    let gaps = links.into_iter().map(|url_id| Gap { url_id, from, to }).collect();
    Ok(Some(fold(db, gaps, &[DAY_HOURS, 1], query.filter.clone())?.into_statistics(query.bots, top)))
}

/// Returns the condition of links with the tag `?1` and the owner `?2`, if these are given.
///
/// A condition that holds for an absent filter, too, would make the database read all links.
fn matches(tag: Option<&str>, owner: Option<Id>) -> String {
    let tag = if tag.is_some() { "urls.id IN (SELECT url_id FROM url_tags WHERE tag = ?1)" } else { "?1 IS NULL" };
    let owner = if owner.is_some() { "urls.user_id = ?2" } else { "?2 IS NULL" };
    format!("{tag} AND {owner}")
}

/// Returns the links with the most clicks of people of all time.
fn find_top(db: &Connection, tag: Option<&str>, owner: Option<Id>) -> Result<Vec<TopLink>> {
    // Few links have the most clicks, so that the first of them are found in their order.
    let sql = format!(
        "SELECT urls.id, urls.short_code, urls.title, counted.clicks
         FROM link_clicks AS counted INDEXED BY link_clicks_clicks CROSS JOIN urls ON urls.id = counted.url_id
         WHERE counted.clicks > 0 AND {} ORDER BY counted.clicks DESC, counted.url_id DESC LIMIT {}",
        matches(tag, owner),
        Statistics::TOP
    );
    let link = |row: &Row<'_>| {
        let clicks = row.get::<_, i64>(3)?.unsigned_abs();
        Ok(TopLink { id: row.get(0)?, short_code: row.get(1)?, title: row.get(2)?, clicks })
    };
    Ok(db.prepare_cached(&sql)?.query_map((tag, owner), link)?.collect::<Result<_, _>>()?)
}

/// Reads the counts of gaps: from the summaries of these lengths in hours, then from the counts of each hour.
pub(super) fn fold(db: &Connection, mut gaps: Vec<Gap>, lengths: &[i64], filter: ClickFilter) -> Result<FoldedClicks> {
    let mut folded = FoldedClicks::of(filter);
    let sql = "SELECT start, counts FROM click_summaries AS summary
               WHERE url_id = ?1 AND hours = ?2 AND start >= ?3 AND start <= ?4 AND NOT EXISTS (
                   SELECT 1 FROM late_click_counts AS late
                   WHERE late.url_id = ?1 AND late.hour >= summary.start AND late.hour < summary.start + ?5
               )
               ORDER BY start";
    let mut statement = db.prepare_cached(sql)?;
    let takes_summaries = folded.takes_summaries();
    for hours in lengths.iter().filter(|_| takes_summaries) {
        let seconds = hours * HOUR_SECONDS;
        let mut read = Vec::new();
        for Gap { url_id, from, to } in &gaps {
            let mut rows = statement.query((url_id, hours, from, to - seconds, seconds))?;
            while let Some(row) = rows.next()? {
                // A text of another version is as good as none.
                if let Ok(summary) = serde_json::from_str(row.get_ref(1)?.as_str().unwrap_or_default()) {
                    folded.merge(summary);
                    read.push((*url_id, row.get(0)?));
                }
            }
        }
        gaps = without_summaries(&gaps, &read, *hours);
    }
    for gap in &gaps {
        add_counts(db, *gap, &mut folded)?;
    }
    Ok(folded)
}

fn add_counts(db: &Connection, gap: Gap, folded: &mut FoldedClicks) -> Result<()> {
    let sql = if gap.url_id == ALL_LINKS {
        "SELECT hour, kind, value, clicks FROM click_totals WHERE ?1 = 0 AND hour >= ?2 AND hour < ?3"
    } else {
        "SELECT hour, kind, value, clicks FROM click_counts WHERE url_id = ?1 AND hour >= ?2 AND hour < ?3"
    };
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query((gap.url_id, gap.from, gap.to))?;
    while let Some(row) = rows.next()? {
        let (kind, value) = (row.get_ref(1)?, row.get_ref(2)?);
        let text = |column: rusqlite::types::ValueRef<'_>| column.as_str().unwrap_or_default().to_owned();
        let (kind, value) = (text(kind), text(value));
        folded.add(&CountRow { hour: row.get(0)?, kind: &kind, value: &value, clicks: row.get(3)? });
    }
    Ok(())
}
