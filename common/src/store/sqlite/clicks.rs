//! Clicks on their way into SQLite: the place of their journal and their events change in one transaction.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, Transaction};

use crate::event::{Details, EventType};
use crate::store::Result;
use crate::store::referrer_budget::ReferrerBudget;
use crate::{Click, ClickBatch, ClickSource, Id, JournalId, JournalPosition, JournalState, Shipped, Timestamp};

pub(super) fn ship(db: &Transaction<'_>, referrers: &ReferrerBudget, batch: ClickBatch<'_>) -> Result<Shipped> {
    // The transaction is the only one that writes, so what is read here stands until it ends.
    let found = find_journal(db, batch.journal)?;
    if found.map(|state| state.position) != batch.from {
        return Ok(Shipped::Elsewhere(found));
    }
    let recorded = record(db, referrers, batch)?;
    let orphaned = batch.clicks.len() as u64 - recorded;
    let before = found.unwrap_or(JournalState { position: batch.to, recorded: 0, orphaned: 0, parked: 0 });
    let state = JournalState {
        position: batch.to,
        recorded: before.recorded + recorded,
        orphaned: before.orphaned + orphaned,
        parked: before.parked + batch.parked,
    };
    let sql = "INSERT INTO click_journals
                   (journal, segment, \"offset\", sequence, recorded, orphaned, parked, shipped_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
               ON CONFLICT DO UPDATE SET segment = excluded.segment, \"offset\" = excluded.\"offset\",
                   sequence = excluded.sequence, recorded = excluded.recorded, orphaned = excluded.orphaned,
                   parked = excluded.parked, shipped_at = excluded.shipped_at";
    let JournalPosition { segment, offset, sequence } = state.position;
    let counts = [segment, offset, sequence, state.recorded, state.orphaned, state.parked].map(u64::cast_signed);
    let [segment, offset, sequence, recorded, orphaned, parked] = counts;
    let journal = batch.journal.to_string();
    let values = (journal, segment, offset, sequence, recorded, orphaned, parked, Timestamp::now());
    db.prepare_cached(sql)?.execute(values)?;
    Ok(Shipped::Taken(state))
}

/// Inserts the clicks whose links exist, and returns their number.
fn record(db: &Transaction<'_>, referrers: &ReferrerBudget, batch: ClickBatch<'_>) -> Result<u64> {
    let sql = "INSERT INTO events (url_id, user_id, event_type, timestamp, details, browser, referrer, client)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let mut statement = db.prepare_cached(sql)?;
    let mut owners = HashMap::new();
    let mut recorded = 0;
    for click in batch.clicks {
        let owner = match owners.entry((click.url_id, click.short_code.as_str())) {
            Entry::Occupied(found) => *found.get(),
            Entry::Vacant(asked) => *asked.insert(find_owner(db, click)?),
        };
        let Some(owner) = owner else { continue };
        let details = Details::of_click(click);
        let at = Timestamp::from(click.at);
        let client = click.client.map(|network| network.trunc().to_string());
        let ClickSource { browser, referrer } = referrers.source_of(click);
        let values = (click.url_id, owner, EventType::CLICKED, at, details.as_str(), browser, referrer, client);
        recorded += statement.execute(values)? as u64;
    }
    Ok(recorded)
}

/// Returns the owner of the link that a click followed; `None` if the link is gone.
///
/// The id alone does not name a link: a restored backup gives the same id to another.
fn find_owner(db: &Transaction<'_>, click: &Click) -> Result<Option<Id>> {
    let sql = "SELECT user_id FROM urls WHERE id = ?1 AND (short_code = ?2 OR EXISTS (
                   SELECT 1 FROM former_codes WHERE url_id = ?1 AND short_code = ?2
               ))";
    let values = (click.url_id, click.short_code.as_str());
    Ok(db.prepare_cached(sql)?.query_row(values, |row| row.get(0)).optional()?)
}

pub(super) fn find_journal(db: &Connection, id: JournalId) -> Result<Option<JournalState>> {
    let sql = "SELECT segment, \"offset\", sequence, recorded, orphaned, parked FROM click_journals WHERE journal = ?1";
    Ok(db.prepare_cached(sql)?.query_row([id.to_string()], state).optional()?)
}

pub(super) fn forget_journals(db: &Transaction<'_>, keep: Duration) -> Result<u64> {
    let sql = "DELETE FROM click_journals WHERE shipped_at < ?1
                   AND EXISTS (SELECT 1 FROM click_journals WHERE shipped_at >= ?1)";
    Ok(db.execute(sql, [Timestamp::ago(keep)])? as u64)
}

fn state(row: &Row<'_>) -> rusqlite::Result<JournalState> {
    let number = |column| row.get(column).map(i64::cast_unsigned);
    Ok(JournalState {
        position: JournalPosition { segment: number(0)?, offset: number(1)?, sequence: number(2)? },
        recorded: number(3)?,
        orphaned: number(4)?,
        parked: number(5)?,
    })
}
