//! Recording clicks in SQLite.

use rusqlite::Transaction;

use crate::event::{Details, EventType};
use crate::store::{RecordedClicks, Result};
use crate::{Click, Timestamp};

pub(super) fn record(db: &Transaction<'_>, clicks: &[Click]) -> Result<RecordedClicks> {
    // The owner is read from the url: it is the one row that must be there.
    let sql = "INSERT INTO events (url_id, user_id, event_type, timestamp, details)
               SELECT id, user_id, ?2, ?3, ?4 FROM urls WHERE id = ?1";
    let mut statement = db.prepare_cached(sql)?;
    let mut outcome = RecordedClicks::default();
    for click in clicks {
        let details = Details::of_url(click.short_code.as_str(), click.target.as_given());
        let at = Timestamp::from(click.at);
        match statement.execute((click.url_id, EventType::CLICKED, at, details.as_str()))? {
            0 => outcome.orphaned += 1,
            _ => outcome.recorded += 1,
        }
    }
    Ok(outcome)
}
