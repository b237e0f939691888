//! Clicks of limited links in SQLite. Its one writer takes clicks one after another, so that no limit is exceeded.

use rusqlite::{OptionalExtension, Transaction};

use crate::click_limit::grant;
use crate::store::Result;
use crate::{ClickTake, Id, TakenClicks};

pub(super) fn take(db: &Transaction<'_>, takes: &[ClickTake]) -> Result<Vec<TakenClicks>> {
    let mut find = db.prepare_cached("SELECT max_clicks - taken FROM link_limits WHERE url_id = ?1")?;
    let mut take = db.prepare_cached("UPDATE link_limits SET taken = taken + ?2 WHERE url_id = ?1")?;
    let mut outcomes = Vec::with_capacity(takes.len());
    for ClickTake { url_id, needed, ahead } in takes {
        let remaining: Option<Option<i64>> = find.query_row([url_id], |row| row.get(0)).optional()?;
        outcomes.push(match remaining {
            Some(Some(remaining)) => {
                let granted = grant(remaining, *needed, *ahead);
                if granted > 0 {
                    take.execute((url_id, granted))?;
                }
                TakenClicks::Granted(granted)
            }
            Some(None) => TakenClicks::Unlimited,
            None => TakenClicks::Unknown,
        });
    }
    Ok(outcomes)
}

/// Takes clicks back. Clicks that are stored remain taken.
pub(super) fn give_back(db: &Transaction<'_>, unused: &[(Id, i64)]) -> Result<()> {
    let mut statement = db.prepare_cached(
        "UPDATE link_limits SET taken = min(taken, max(
             taken - ?2, coalesce((SELECT sum(humans + bots) FROM click_hours WHERE url_id = ?1), 0)
         ))
         WHERE url_id = ?1",
    )?;
    for unused in unused {
        statement.execute(*unused)?;
    }
    Ok(())
}
