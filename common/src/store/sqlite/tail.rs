//! Clicks in the order of their ids, which is the order of commits, since SQLite has one writer.

use rusqlite::Connection;

use super::{events, query};
use crate::event::EventType;
use crate::store::{ClickTail, NewClicks, Result};

/// Reads the clicks that were stored since the last read. The connection sees the database at one moment.
pub(super) fn follow(db: &Connection, tail: &mut ClickTail, limit: u32) -> Result<NewClicks> {
    let has_gap = tail.advance(query::last_id(db, "events")?, Vec::new());
    let Some((after, up_to)) = tail.readable() else {
        return Ok(NewClicks { clicks: Vec::new(), has_more: false, has_gap });
    };
    // The sign keeps SQLite from the index of types, since few events are that new.
    let sql = format!(
        "SELECT {} FROM events WHERE +event_type = ?1 AND id > ?2 AND id <= ?3 ORDER BY id LIMIT {limit}",
        events::COLUMNS
    );
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map((EventType::CLICKED, after, up_to), events::from_row)?;
    let clicks = rows.collect::<Result<Vec<_>, _>>()?;
    Ok(NewClicks { has_more: tail.note(&clicks, limit), clicks, has_gap })
}
