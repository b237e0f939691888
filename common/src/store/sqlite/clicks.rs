//! Clicks on their way into SQLite: the place of their journal and their events change in one transaction.

use rusqlite::{Connection, OptionalExtension, Row, Transaction};

use crate::event::{Details, EventType};
use crate::store::Result;
use crate::{ClickBatch, ClickSource, JournalId, JournalPosition, JournalState, Shipped, Timestamp};

pub(super) fn ship(db: &Transaction<'_>, batch: ClickBatch<'_>) -> Result<Shipped> {
    // The transaction is the only one that writes, so what is read here stands until it ends.
    let found = find_journal(db, batch.journal)?;
    if found.map(|state| state.position) != batch.from {
        return Ok(Shipped::Elsewhere(found));
    }
    let recorded = record(db, batch)?;
    let orphaned = batch.clicks.len() as u64 - recorded;
    let before = found.unwrap_or(JournalState { position: batch.to, recorded: 0, orphaned: 0 });
    let state =
        JournalState { position: batch.to, recorded: before.recorded + recorded, orphaned: before.orphaned + orphaned };
    let sql = "INSERT INTO click_journals (journal, segment, \"offset\", recorded, orphaned, shipped_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)
               ON CONFLICT DO UPDATE SET segment = excluded.segment, \"offset\" = excluded.\"offset\",
                   recorded = excluded.recorded, orphaned = excluded.orphaned, shipped_at = excluded.shipped_at";
    let values = [state.position.segment, state.position.offset, state.recorded, state.orphaned].map(u64::cast_signed);
    let [segment, offset, recorded, orphaned] = values;
    let journal = batch.journal.to_string();
    db.prepare_cached(sql)?.execute((journal, segment, offset, recorded, orphaned, Timestamp::now()))?;
    Ok(Shipped::Taken(state))
}

/// Inserts the clicks whose links are there, and tells how many those are.
fn record(db: &Transaction<'_>, batch: ClickBatch<'_>) -> Result<u64> {
    // The owner is read from the url: it is the one row that must be there.
    let sql = "INSERT INTO events (url_id, user_id, event_type, timestamp, details, browser, referrer)
               SELECT id, user_id, ?2, ?3, ?4, ?5, ?6 FROM urls WHERE id = ?1";
    let mut statement = db.prepare_cached(sql)?;
    let mut recorded = 0;
    for click in batch.clicks {
        let details = Details::of_click(click);
        let at = Timestamp::from(click.at);
        let ClickSource { browser, referrer } = ClickSource::of_click(click);
        let values = (click.url_id, EventType::CLICKED, at, details.as_str(), browser, referrer);
        recorded += statement.execute(values)? as u64;
    }
    Ok(recorded)
}

pub(super) fn find_journal(db: &Connection, id: JournalId) -> Result<Option<JournalState>> {
    let sql = "SELECT segment, \"offset\", recorded, orphaned FROM click_journals WHERE journal = ?1";
    Ok(db.prepare_cached(sql)?.query_row([id.to_string()], state).optional()?)
}

pub(super) fn forget_journal(db: &Transaction<'_>, id: JournalId) -> Result<()> {
    db.prepare_cached("DELETE FROM click_journals WHERE journal = ?1")?.execute([id.to_string()])?;
    Ok(())
}

fn state(row: &Row<'_>) -> rusqlite::Result<JournalState> {
    let number = |column| row.get(column).map(i64::cast_unsigned);
    Ok(JournalState {
        position: JournalPosition { segment: number(0)?, offset: number(1)? },
        recorded: number(2)?,
        orphaned: number(3)?,
    })
}
