//! Counts of a batch of clicks and of a loaded file, in place of the triggers of an insert.
//!
//! A batch changes each count once, where triggers would change it with each click.
//! The connection of a load runs no triggers. With them, a large file would block other writers five times as long.
//! Tests compare the counts with those of the triggers.

use rusqlite::{Connection, Transaction};

use super::search;
use super::staging::Stageable;
use crate::Timestamp;
use crate::event::EventType;
use crate::store::Result;
use crate::store::click_counts::BatchCounts;
use crate::store::folded_clicks::ALL_LINKS;

/// Adds a batch of clicks to every count.
pub(super) fn count_batch(db: &Transaction<'_>, sums: &BatchCounts) -> Result<()> {
    let BatchCounts { links, owners, hours, counts, totals } = sums;
    let sql = "INSERT INTO row_counts VALUES ('events', ?1, ?2) ON CONFLICT DO UPDATE SET n = n + excluded.n";
    let mut rows = db.prepare_cached(sql)?;
    let mut all = 0;
    for (url_id, link) in links.iter().filter(|(_, link)| link.events > 0) {
        all += link.events;
        rows.execute((format!("url_id={url_id}"), link.events))?;
    }
    for (user_id, events) in owners {
        rows.execute((format!("user_id={user_id}"), events))?;
    }
    if all > 0 {
        rows.execute(("", all))?;
        rows.execute((format!("event_type={}", EventType::CLICKED), all))?;
    }
    let sql = "INSERT INTO link_clicks VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE
               SET clicks = clicks + ?2, last_clicked_at = max(coalesce(last_clicked_at, ?3), ?3)";
    let mut clicks = db.prepare_cached(sql)?;
    for (url_id, link) in links.iter().filter(|(_, link)| link.people > 0) {
        clicks.execute((url_id, link.people, link.last))?;
    }
    let sql = "INSERT INTO click_counts VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET clicks = clicks + ?5";
    let mut count = db.prepare_cached(sql)?;
    for ((url_id, hour, kind, value), n) in counts {
        count.execute((url_id, hour, kind.to_string(), value, n))?;
    }
    let sql = "INSERT INTO click_totals VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET clicks = clicks + ?4";
    let mut total = db.prepare_cached(sql)?;
    for ((hour, kind, value), n) in totals {
        total.execute((hour, kind.to_string(), value, n))?;
    }
    let sql = "INSERT INTO click_hours VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT DO UPDATE SET humans = humans + ?3, bots = bots + ?4";
    let mut of_hour = db.prepare_cached(sql)?;
    let past: Timestamp = db.query_row("SELECT past FROM click_summary_state", [], |row| row.get(0))?;
    let mut late = db.prepare_cached("INSERT INTO late_click_counts VALUES (?1, ?2) ON CONFLICT DO NOTHING")?;
    for ((url_id, hour), [humans, bots]) in hours {
        of_hour.execute((url_id, hour, humans, bots))?;
        if *hour < past {
            late.execute((url_id, hour))?;
            late.execute((ALL_LINKS, hour))?;
        }
    }
    Ok(())
}

/// Sums what the rows of `marked` add to the counts, without any lock. `now` is the time of rows without a time.
pub(super) fn sum_up<T: Stageable>(connection: &Connection, now: Timestamp) -> Result<()> {
    connection.execute_batch(
        "DROP TABLE IF EXISTS temp.sums;
         DROP TABLE IF EXISTS temp.click_sums;
         DROP TABLE IF EXISTS temp.link_sums;
         CREATE TEMPORARY TABLE sums (filter TEXT, n INTEGER);
         CREATE TEMPORARY TABLE click_sums (url_id INTEGER, hour INTEGER, kind TEXT, value TEXT, n INTEGER);
         CREATE TEMPORARY TABLE link_sums (url_id INTEGER, n INTEGER, last INTEGER);",
    )?;
    for column in T::COUNTED_BY.unwrap_or_default() {
        let sum = format!("INSERT INTO sums SELECT '{column}=' || {column}, count(*) FROM marked GROUP BY {column}");
        connection.execute(&sum, [])?;
    }
    if T::COUNTED_BY.is_some() {
        connection.execute("INSERT INTO sums SELECT '', count(*) FROM marked", [])?;
    }
    if T::BRINGS_CLICKS {
        let clicks = "WITH clicks AS MATERIALIZED (
                SELECT url_id, timestamp - (timestamp % 3600 + 3600) % 3600 AS hour, visitor,
                    substr(visitor, -1) = '|' AS is_person, referrer, source, target
                FROM (
                    SELECT url_id, coalesce(timestamp, ?1) AS timestamp, visitor, referrer, source, target
                    FROM marked WHERE event_type = 'clicked'
                )
            )
            INSERT INTO click_sums
            SELECT url_id, hour, 'v', visitor, count(*) FROM clicks GROUP BY url_id, hour, visitor
            UNION ALL
            SELECT url_id, hour, iif(is_person, 'r', 'q'), referrer, count(*) FROM clicks WHERE referrer IS NOT NULL
            GROUP BY url_id, hour, is_person, referrer
            UNION ALL
            SELECT url_id, hour, iif(is_person, 's', 't'), source, count(*) FROM clicks WHERE source IS NOT NULL
            GROUP BY url_id, hour, is_person, source
            UNION ALL
            SELECT url_id, hour, iif(is_person, 'd', 'e'), target, count(*) FROM clicks WHERE target IS NOT NULL
            GROUP BY url_id, hour, is_person, target";
        connection.execute(clicks, [now])?;
        let links = "INSERT INTO link_sums
            SELECT url_id, count(*), max(coalesce(timestamp, ?1)) FROM marked
            WHERE event_type = 'clicked' AND substr(visitor, -1) = '|' GROUP BY url_id";
        connection.execute(links, [now])?;
    }
    Ok(())
}

/// Counts loaded clicks of limited links as taken, and logs the links whose limit they use up.
const RAISE_TAKEN: &str = "INSERT INTO url_changes (short_code)
        SELECT urls.short_code FROM link_limits AS own JOIN urls ON urls.id = own.url_id
        WHERE own.url_id IN (SELECT url_id FROM click_sums) AND NOT own.is_exhausted
            AND own.max_clicks <= (SELECT sum(humans + bots) FROM click_hours WHERE url_id = own.url_id);
    UPDATE link_limits SET taken = stored.clicks
    FROM (
        SELECT url_id, sum(humans + bots) AS clicks FROM click_hours
        WHERE url_id IN (SELECT url_id FROM click_sums) GROUP BY url_id
    ) AS stored
    WHERE link_limits.url_id = stored.url_id AND max_clicks IS NOT NULL AND taken < stored.clicks;";

/// Adds the sums to the counts.
pub(super) fn add<T: Stageable>(transaction: &Transaction<'_>) -> Result<()> {
    if T::COUNTED_BY.is_none() {
        return Ok(());
    }
    let table = T::TABLE;
    transaction.execute_batch(&format!(
        "INSERT INTO row_counts SELECT '{table}', filter, n FROM sums WHERE true
         ON CONFLICT DO UPDATE SET n = n + excluded.n;
         INSERT INTO click_counts SELECT url_id, hour, kind, value, n FROM click_sums WHERE true
         ON CONFLICT DO UPDATE SET clicks = clicks + excluded.clicks;
         INSERT INTO click_hours
         SELECT url_id, hour, sum(iif(substr(value, -1) = '|', n, 0)), sum(iif(substr(value, -1) = '|', 0, n))
         FROM click_sums WHERE kind = 'v' GROUP BY url_id, hour
         ON CONFLICT DO UPDATE SET humans = humans + excluded.humans, bots = bots + excluded.bots;
         INSERT INTO click_totals SELECT hour, kind, value, sum(n) FROM click_sums GROUP BY hour, kind, value
         ON CONFLICT DO UPDATE SET clicks = clicks + excluded.clicks;
         INSERT INTO late_click_counts
         SELECT url_id, hour FROM click_sums WHERE hour < (SELECT past FROM click_summary_state)
         UNION SELECT 0, hour FROM click_sums WHERE hour < (SELECT past FROM click_summary_state)
         ON CONFLICT DO NOTHING;
         INSERT INTO link_clicks SELECT url_id, n, last FROM link_sums WHERE true
         ON CONFLICT DO UPDATE SET clicks = clicks + excluded.clicks,
             last_clicked_at = max(coalesce(last_clicked_at, excluded.last_clicked_at), excluded.last_clicked_at);"
    ))?;
    if T::BRINGS_CLICKS {
        transaction.execute_batch(RAISE_TAKEN)?;
    }
    if T::CHANGES_LINKS {
        transaction.execute("INSERT INTO url_changes (short_code) SELECT short_code FROM marked ORDER BY rowid", [])?;
        let links = "INSERT INTO link_clicks (url_id) SELECT urls.id FROM marked CROSS JOIN urls USING (short_code)";
        transaction.execute(links, [])?;
        let limits = "INSERT INTO link_limits (url_id, max_clicks, taken)
            SELECT urls.id, urls.max_clicks, 0 FROM marked CROSS JOIN urls USING (short_code)
            WHERE urls.max_clicks IS NOT NULL";
        transaction.execute(limits, [])?;
        // A pending row may belong to a deleted url whose id the file uses again.
        transaction.execute_batch(search::FLUSH)?;
        let tags = "INSERT OR IGNORE INTO url_tags
            SELECT tag.value, urls.id FROM marked CROSS JOIN urls USING (short_code), json_each(marked.tags) AS tag
            WHERE marked.tags <> '[]'";
        transaction.execute(tags, [])?;
        let search = "INSERT INTO urls_search (rowid, text)
            SELECT url_id, text FROM searched_texts
            WHERE url_id IN (SELECT urls.id FROM marked CROSS JOIN urls ON urls.short_code = marked.short_code)";
        transaction.execute(search, [])?;
    }
    Ok(())
}
