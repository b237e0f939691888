//! Clicks of limited links in SQLite. Its one writer takes clicks one after another, so that no limit is exceeded.

use rusqlite::{OptionalExtension, Transaction};

use crate::store::Result;
use crate::{ClickTake, Id, TakenClicks};

/// The part of the remaining clicks that may be taken ahead is one by this number.
const AHEAD_DIVISOR: i64 = 16;

/// Returns the number of clicks to grant of those that remain.
///
/// Clients that wait get what there is. Only a small share of the rest is granted ahead, and none near the end.
fn grant(remaining: i64, needed: i64, ahead: i64) -> i64 {
    let now = needed.min(remaining).max(0);
    now + ahead.min((remaining - now) / AHEAD_DIVISOR).max(0)
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grant_never_exceeds_what_remains_and_takes_none_ahead_near_the_end() {
        let check = |remaining, needed, ahead, expected| {
            assert_eq!(grant(remaining, needed, ahead), expected, "{remaining} {needed} {ahead}");
        };
        check(1_000_000, 1, 0, 1);
        check(1_000_000, 3, 500, 503);
        check(161, 1, 500, 11);
        check(17, 1, 500, 2);
        check(16, 1, 500, 1);
        check(2, 5, 500, 2);
        check(0, 5, 500, 0);
        check(-3, 5, 500, 0);
        check(i64::MAX, 1, i64::MAX - 1, 1 + (i64::MAX - 1) / AHEAD_DIVISOR);
    }
}
