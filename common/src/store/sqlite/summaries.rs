//! Summaries of the counts of past hours and days in SQLite.
//!
//! A summary is used unless one of its hours is in `late_click_counts`, where each change of a past hour is recorded.
//! So the statistics are exact at every moment, and the upkeep may be late.

use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, Transaction};

use super::connections::Connections;
use super::stats::fold;
use crate::Timestamp;
use crate::statistics::ClickFilter;
use crate::store::folded_clicks::{ALL_LINKS, DAY_HOURS, Gap, HOUR_SECONDS, MANY_ROWS, day_of};
use crate::store::{Result, StoreError};

/// The time that one run of the upkeep spends. The next run continues.
const TIME: Duration = Duration::from_secs(20);

/// The time after which a transaction summarises no further hour, since other writers wait for it.
const PART: Duration = Duration::from_millis(50);

/// The number of hours before the present one in which links are searched for many counts.
const SEARCHED_HOURS: i64 = 48;

/// Writes the summaries of hours and days whose counts changed.
pub(super) async fn write(connections: &Connections) -> Result<()> {
    let until = Instant::now() + TIME;
    connections.write(advance).await?;
    while Instant::now() < until && connections.write(summarise).await? {}
    Ok(())
}

/// Makes hours past that have ended. Those of links with many counts become late, so that they get summaries.
fn advance(db: &Transaction<'_>) -> Result<()> {
    let past: i64 = db.query_row("SELECT past FROM click_summary_state", [], |row| row.get(0))?;
    let now = Timestamp::now().unix_seconds();
    let present = now - now.rem_euclid(HOUR_SECONDS);
    let mut late = db.prepare_cached("INSERT INTO late_click_counts VALUES (?1, ?2) ON CONFLICT DO NOTHING")?;
    let hours = |from: i64| (from..present).step_by(HOUR_SECONDS.unsigned_abs() as usize);
    for hour in hours(past) {
        late.execute((ALL_LINKS, hour))?;
    }
    let near = past.max(present - SEARCHED_HOURS * HOUR_SECONDS);
    let day = DAY_HOURS * HOUR_SECONDS;
    let days = (day_of(near)..=present - day).step_by(day.unsigned_abs() as usize);
    let ended = hours(near).map(|hour| (hour, hour + HOUR_SECONDS, hour));
    let ended = ended.chain(days.map(|start| (start, start + day, start + day - HOUR_SECONDS)));
    let sql = "INSERT INTO late_click_counts
               SELECT links.url_id, ?3 FROM link_clicks AS links INDEXED BY link_clicks_last_clicked_at
               WHERE links.last_clicked_at >= ?1 AND links.clicks >= ?4 AND (
                   SELECT count(*) FROM (
                       SELECT 1 FROM click_counts AS counted
                       WHERE counted.url_id = links.url_id AND counted.hour >= ?1 AND counted.hour < ?2 LIMIT ?4
                   )
               ) = ?4
               ON CONFLICT DO NOTHING";
    let mut search = db.prepare_cached(sql)?;
    if past < present {
        for (start, end, named) in ended {
            search.execute((start, end, named, MANY_ROWS))?;
        }
        db.execute("UPDATE click_summary_state SET past = ?1", [present])?;
    }
    Ok(())
}

/// Summarises some of the late hours, and their days. Returns whether more may remain.
fn summarise(db: &Transaction<'_>) -> Result<bool> {
    let until = Instant::now() + PART;
    let past: i64 = db.query_row("SELECT past FROM click_summary_state", [], |row| row.get(0))?;
    let mut first = db.prepare_cached("SELECT url_id, hour FROM late_click_counts ORDER BY url_id, hour LIMIT 1")?;
    let mut forget = db.prepare_cached("DELETE FROM late_click_counts WHERE url_id = ?1 AND hour = ?2")?;
    let sql = "SELECT 1 FROM late_click_counts WHERE url_id = ?1 AND hour >= ?2 AND hour < ?3";
    let mut others = db.prepare_cached(sql)?;
    while Instant::now() < until {
        let late: Option<(i64, i64)> = first.query_row([], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let Some((url_id, hour)) = late else { return Ok(false) };
        forget.execute((url_id, hour))?;
        write_one(db, url_id, hour, 1, &[])?;
        let (day, end) = (day_of(hour), day_of(hour) + DAY_HOURS * HOUR_SECONDS);
        // A day is summarised from its hours, after the last late one of them.
        if end <= past && !others.exists((url_id, day, end))? {
            write_one(db, url_id, day, DAY_HOURS, &[1])?;
        }
    }
    Ok(true)
}

/// Writes the summary of an hour or a day if it has many counts, and deletes the previous one.
fn write_one(db: &Connection, url_id: i64, start: i64, hours: i64, lengths: &[i64]) -> Result<()> {
    let delete = "DELETE FROM click_summaries WHERE url_id = ?1 AND hours = ?2 AND start = ?3";
    db.prepare_cached(delete)?.execute((url_id, hours, start))?;
    let gap = Gap { url_id, from: start, to: start + hours * HOUR_SECONDS };
    let sql = "SELECT ?1 = ?5 OR (
                   SELECT count(*) FROM (
                       SELECT 1 FROM click_counts WHERE url_id = ?1 AND hour >= ?2 AND hour < ?3 LIMIT ?4
                   )
               ) = ?4";
    let are_many: bool =
        db.prepare_cached(sql)?.query_row((url_id, gap.from, gap.to, MANY_ROWS, ALL_LINKS), |row| row.get(0))?;
    if are_many {
        let folded = fold(db, vec![gap], lengths, ClickFilter::All)?;
        if !folded.is_empty() {
            let counts = serde_json::to_string(&folded).map_err(|error| StoreError::Internal(error.into()))?;
            let sql = "INSERT INTO click_summaries VALUES (?1, ?2, ?3, ?4)";
            db.prepare_cached(sql)?.execute((url_id, hours, start, counts))?;
        }
    }
    Ok(())
}
