//! Shipping clicks into SQLite. The journal's position and the events change in one transaction.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, Transaction};

use super::counting;
use crate::event::{Details, EventType};
use crate::store::Result;
use crate::store::click_counts::{BatchCounts, LinkedClick, RecordedClicks};
use crate::store::referrer_budget::ReferrerBudget;
use crate::{Click, ClickBatch, ClickSource, Id, JournalId, JournalPosition, JournalState, ShipOutcome, Timestamp};

pub(super) fn ship(db: &Transaction<'_>, referrers: &ReferrerBudget, batch: ClickBatch<'_>) -> Result<ShipOutcome> {
    // No other transaction writes meanwhile, so the state remains valid until this one ends.
    let found = find_journal(db, batch.journal)?;
    if found.map(|state| state.position) != batch.from {
        return Ok(ShipOutcome::Mismatch(found));
    }
    let RecordedClicks { recorded, without_event } = record(db, referrers, batch)?;
    let orphaned = batch.clicks.len() as u64 - recorded;
    let nothing = JournalState { position: batch.to, recorded: 0, without_event: 0, orphaned: 0, parked: 0 };
    let before = found.unwrap_or(nothing);
    let state = JournalState {
        position: batch.to,
        recorded: before.recorded + recorded,
        without_event: before.without_event + without_event,
        orphaned: before.orphaned + orphaned,
        parked: before.parked + batch.parked,
    };
    let sql = "INSERT INTO click_journals
                   (journal, segment, \"offset\", sequence, recorded, orphaned, parked, without_event, shipped_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
               ON CONFLICT DO UPDATE SET segment = excluded.segment, \"offset\" = excluded.\"offset\",
                   sequence = excluded.sequence, recorded = excluded.recorded, orphaned = excluded.orphaned,
                   parked = excluded.parked, without_event = excluded.without_event, shipped_at = excluded.shipped_at";
    let JournalPosition { segment, offset, sequence } = state.position;
    let JournalState { recorded, without_event, orphaned, parked, .. } = state;
    let counts = [segment, offset, sequence, recorded, orphaned, parked, without_event].map(u64::cast_signed);
    let [segment, offset, sequence, recorded, orphaned, parked, without_event] = counts;
    let journal = batch.journal.to_string();
    let values = (journal, segment, offset, sequence, recorded, orphaned, parked, without_event, Timestamp::now());
    db.prepare_cached(sql)?.execute(values)?;
    Ok(ShipOutcome::Committed(state))
}

/// Stores the clicks whose links exist, as events or only in the counts.
fn record(db: &Transaction<'_>, referrers: &ReferrerBudget, batch: ClickBatch<'_>) -> Result<RecordedClicks> {
    let mut owners = HashMap::new();
    let mut clicks = Vec::with_capacity(batch.clicks.len());
    for click in batch.clicks {
        let owner = match owners.entry((click.url_id, click.short_code.as_str())) {
            Entry::Occupied(found) => *found.get(),
            Entry::Vacant(asked) => *asked.insert(find_owner(db, click)?),
        };
        clicks.extend(owner.map(|owner| LinkedClick::new(click, owner, referrers)));
    }
    if clicks.is_empty() {
        return Ok(RecordedClicks::default());
    }
    // While this row exists, no trigger counts a click.
    db.prepare_cached("INSERT INTO batch_counting DEFAULT VALUES")?.execute([])?;
    insert(db, &clicks)?;
    counting::count_batch(db, &BatchCounts::of(&clicks))?;
    db.prepare_cached("DELETE FROM batch_counting")?.execute([])?;
    Ok(RecordedClicks::of(&clicks))
}

/// Inserts clicks as events of the owners of their links.
fn insert(db: &Transaction<'_>, clicks: &[LinkedClick<'_>]) -> Result<()> {
    let sql = "INSERT INTO events (url_id, user_id, event_type, timestamp, details, visitor, referrer, source, target,
                                   client)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    let mut statement = db.prepare_cached(sql)?;
    for LinkedClick { click, owner, source } in clicks.iter().filter(|linked| !linked.click.is_counted_only) {
        let details = Details::of_click(click);
        let at = Timestamp::from(click.at);
        let client = click.client.map(|network| network.trunc().to_string());
        let ClickSource { visitor, referrer, source, target } = source;
        let visitor = visitor.map(|visitor| visitor.to_string());
        let clicked = EventType::CLICKED;
        let values = (click.url_id, owner, clicked, at, details.as_str(), visitor, referrer, source, target, client);
        statement.execute(values)?;
    }
    Ok(())
}

/// Returns the owner of the link of a click. `None` if the link does not exist.
///
/// The id alone does not identify a link: a restored backup gives the same id to another link.
fn find_owner(db: &Transaction<'_>, click: &Click) -> Result<Option<Id>> {
    let sql = "SELECT user_id FROM urls WHERE id = ?1 AND (short_code = ?2 OR EXISTS (
                   SELECT 1 FROM former_codes WHERE url_id = ?1 AND short_code = ?2
               ))";
    let values = (click.url_id, click.short_code.as_str());
    Ok(db.prepare_cached(sql)?.query_row(values, |row| row.get(0)).optional()?)
}

pub(super) fn find_journal(db: &Connection, id: JournalId) -> Result<Option<JournalState>> {
    let sql = "SELECT segment, \"offset\", sequence, recorded, orphaned, parked, without_event
               FROM click_journals WHERE journal = ?1";
    Ok(db.prepare_cached(sql)?.query_row([id.to_string()], state).optional()?)
}

pub(super) fn delete_old_journals(db: &Transaction<'_>, keep: Duration) -> Result<u64> {
    let sql = "DELETE FROM click_journals WHERE shipped_at < ?1
                   AND EXISTS (SELECT 1 FROM click_journals WHERE shipped_at >= ?1)";
    Ok(db.execute(sql, [Timestamp::ago(keep)])? as u64)
}

/// Deletes the counts of clicks without an event whose whole hour is old.
pub(super) fn delete_old_counts(db: &Transaction<'_>, horizon: Timestamp) -> Result<()> {
    let subtract = "UPDATE link_clicks SET clicks = link_clicks.clicks - old.n FROM (
                        SELECT url_id, sum(clicks) AS n FROM click_counts
                        WHERE kind = 'V' AND value LIKE '%|' AND hour <= ?1 - 3600 GROUP BY url_id
                    ) AS old
                    WHERE link_clicks.url_id = old.url_id";
    db.execute(subtract, [horizon])?;
    let delete = "DELETE FROM click_counts WHERE kind IN ('V', 'R', 'Q', 'S', 'T', 'D', 'E') AND hour <= ?1 - 3600";
    db.execute(delete, [horizon])?;
    Ok(())
}

fn state(row: &Row<'_>) -> rusqlite::Result<JournalState> {
    let number = |column| row.get(column).map(i64::cast_unsigned);
    Ok(JournalState {
        position: JournalPosition { segment: number(0)?, offset: number(1)?, sequence: number(2)? },
        recorded: number(3)?,
        orphaned: number(4)?,
        parked: number(5)?,
        without_event: number(6)?,
    })
}
