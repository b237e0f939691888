//! Statistics of clicks in PostgreSQL, read from summaries, and from counts where there is none.

use deadpool_postgres::{ClientWrapper, Transaction};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, IsolationLevel, Row};

use crate::link_labels::Tag;
use crate::statistics::{ClickFilter, Statistics, StatsQuery, StatsScope, TopLink};
use crate::store::Result;
use crate::store::folded_clicks::{ALL_LINKS, CountRow, DAY_HOURS, FoldedClicks, Gap, without_summaries};
use crate::{Id, Timestamp};

pub(super) async fn find(db: &mut ClientWrapper, query: &StatsQuery) -> Result<Option<Statistics>> {
    // All statements see one moment.
    let at_once = db.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
    let transaction = at_once.start().await?;
    let (links, top) = match &query.scope {
        StatsScope::Link(id) => {
            if rows(&transaction, "SELECT FROM urls WHERE id = $1", &[id]).await?.is_empty() {
                return Ok(None);
            }
            (vec![id.get()], Vec::new())
        }
        StatsScope::All { tag: None, owner: None } => (vec![ALL_LINKS], find_top(&transaction, None, None).await?),
        StatsScope::All { tag, owner } => {
            let tag = tag.as_ref().map(Tag::as_str);
            let sql = format!("SELECT id FROM urls WHERE {}", matches(tag, *owner));
            let found = rows(&transaction, &sql, &[&tag, owner]).await?;
            let links = found.iter().map(|row| row.try_get(0)).collect::<Result<_, Error>>()?;
            (links, find_top(&transaction, tag, *owner).await?)
        }
    };
    let (from, to) = (query.from.unix_seconds(), query.to.unix_seconds());
    let gaps = links.into_iter().map(|url_id| Gap { url_id, from, to }).collect();
    let folded = fold(&transaction, gaps, &[DAY_HOURS, 1], query.filter.clone()).await?;
    transaction.commit().await?;
    Ok(Some(folded.into_statistics(query.bots, top)))
}

/// Returns the condition of links with the tag `$1` and the owner `$2`, if these are given.
///
/// A condition that holds for an absent filter, too, would make the database read all links.
fn matches(tag: Option<&str>, owner: Option<Id>) -> String {
    let tag =
        if tag.is_some() { "urls.id IN (SELECT url_id FROM url_tags WHERE tag = $1)" } else { "$1::text IS NULL" };
    let owner = if owner.is_some() { "urls.user_id = $2" } else { "$2::bigint IS NULL" };
    format!("{tag} AND {owner}")
}

/// Returns the links with the most clicks of people of all time.
async fn find_top(db: &Transaction<'_>, tag: Option<&str>, owner: Option<Id>) -> Result<Vec<TopLink>> {
    let sql = format!(
        "SELECT urls.id, urls.short_code, urls.title, counted.clicks FROM link_clicks AS counted JOIN urls ON urls.id = counted.url_id
         WHERE counted.clicks > 0 AND {} ORDER BY counted.clicks DESC, counted.url_id DESC LIMIT {}",
        matches(tag, owner),
        Statistics::TOP
    );
    let found = rows(db, &sql, &[&tag, &owner]).await?;
    let link = |row: &Row| {
        let clicks = row.try_get::<_, i64>(3)?.unsigned_abs();
        Ok(TopLink { id: row.try_get(0)?, short_code: row.try_get(1)?, title: row.try_get(2)?, clicks })
    };
    Ok(found.iter().map(link).collect::<Result<_, Error>>()?)
}

/// Reads the counts of gaps: from the summaries of these lengths in hours, then from the counts of each hour.
pub(super) async fn fold(
    db: &Transaction<'_>,
    mut gaps: Vec<Gap>,
    lengths: &[i64],
    filter: ClickFilter,
) -> Result<FoldedClicks> {
    let mut folded = FoldedClicks::of(filter);
    let takes_summaries = folded.takes_summaries();
    for hours in lengths.iter().filter(|_| takes_summaries) {
        // Each gap has few summaries, so that they are looked up by their key.
        let sql = "SELECT found.url_id, found.start, found.counts
                   FROM unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[]) AS gap (url_id, since, until)
                   CROSS JOIN LATERAL (
                       SELECT url_id, start, counts FROM click_summaries AS summary
                       WHERE summary.url_id = gap.url_id AND summary.hours = $4
                           AND summary.start >= gap.since AND summary.start <= gap.until - $5 * interval '1 hour'
                           AND NOT EXISTS (
                               SELECT FROM late_click_counts AS late
                               WHERE late.url_id = gap.url_id
                                   AND late.hour >= summary.start AND late.hour < summary.start + $5 * interval '1 hour'
                           )
                       ORDER BY start
                   ) AS found";
        let [ids, since, until] = columns(&gaps);
        let (length, factor) = (i16::try_from(*hours).unwrap_or(i16::MAX), *hours as f64);
        let values: [&(dyn ToSql + Sync); 5] = [&ids, &times(&since), &times(&until), &length, &factor];
        let mut read = Vec::new();
        for row in rows(db, sql, &values).await? {
            // A text of another version is as good as none.
            if let Ok(summary) = serde_json::from_str(row.try_get(2)?) {
                folded.merge(summary);
                read.push((row.try_get(0)?, row.try_get::<_, Timestamp>(1)?.unix_seconds()));
            }
        }
        gaps = without_summaries(&gaps, &read, *hours);
    }
    add_counts(db, &gaps, &mut folded).await?;
    Ok(folded)
}

async fn add_counts(db: &Transaction<'_>, gaps: &[Gap], folded: &mut FoldedClicks) -> Result<()> {
    // OFFSET 0 keeps the planner from reading all counts, since it does not know how short the gaps are.
    let of_links = "SELECT counted.hour, counted.kind::text, counted.value, counted.clicks
                    FROM unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[]) AS gap (url_id, since, until)
                    CROSS JOIN LATERAL (
                        SELECT hour, kind, value, clicks FROM click_counts
                        WHERE url_id = gap.url_id AND hour >= gap.since AND hour < gap.until OFFSET 0
                    ) AS counted";
    let of_all = "SELECT counted.hour, counted.kind::text, counted.value, counted.clicks
                  FROM unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[]) AS gap (url_id, since, until)
                  CROSS JOIN generate_series(0, 4) AS part (part)
                  CROSS JOIN LATERAL (
                      SELECT hour, kind, value, clicks FROM click_totals
                      WHERE part = part.part AND hour >= gap.since AND hour < gap.until OFFSET 0
                  ) AS counted";
    let (all, links): (Vec<Gap>, Vec<Gap>) = gaps.iter().partition(|gap| gap.url_id == ALL_LINKS);
    for (gaps, sql) in [(links, of_links), (all, of_all)] {
        if gaps.is_empty() {
            continue;
        }
        let [ids, since, until] = columns(&gaps);
        for row in rows(db, sql, &[&ids, &times(&since), &times(&until)]).await? {
            folded.add(&CountRow {
                hour: row.try_get::<_, Timestamp>(0)?.unix_seconds(),
                kind: row.try_get(1)?,
                value: row.try_get(2)?,
                clicks: row.try_get(3)?,
            });
        }
    }
    Ok(())
}

fn columns(gaps: &[Gap]) -> [Vec<i64>; 3] {
    [|gap: &Gap| gap.url_id, |gap: &Gap| gap.from, |gap: &Gap| gap.to].map(|column| gaps.iter().map(column).collect())
}

fn times(seconds: &[i64]) -> Vec<Timestamp> {
    seconds.iter().map(|at| Timestamp::from_unix_seconds(*at)).collect()
}

/// Runs a statement that is prepared once on each connection.
pub(super) async fn rows(db: &Transaction<'_>, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
    let statement = db.prepare_cached(sql).await?;
    Ok(db.query(&statement, values).await?)
}
